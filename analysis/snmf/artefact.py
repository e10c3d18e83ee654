"""A factorization as two files: arrays that hold no code, and a manifest in words that says what they are.

Features keep a hundredth of the neurons, so what is stored of each is which neurons and how much, and a whole tree of
features takes less room than one dense matrix. A reader checks checksum, sizes, bounds and finiteness before the first
number is used: a damaged or exchanged file becomes a sentence and not a wrong picture.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from analysis import foreign
from analysis.artefacts import write_whole
from analysis.errors import UserError

FORMAT = 1
_MAX_NUMBERS = 1 << 29
_EXTRA = "extra."
_INT16 = 2**15


def save_factors(
    path: Path, components: Sequence[Tensor], weights: Sequence[Tensor], manifest: dict[str, Any],
    arrays: dict[str, Tensor],
) -> Path:  # fmt: skip
    """Write ``path``.safetensors and ``path``.json; returns the path of the manifest.

    Args:
        components: one matrix (K_l, d) for each level, the smallest concepts first; zeros are not stored.
        weights: one matrix (K_{l+1}, K_l) of weights >= 0 between each level and the next.
        manifest: plain data on where the factorization comes from. Added here: ``format``, ``width``, ``levels`` (the
            sizes), ``extra`` (names of further arrays) and ``sha256`` of the other file.
        arrays: further arrays by name, stored in their own dtype and given back as they are.

    Entries and weights are kept as float16 (relative error 2^-11). Raises ValueError for levels that do not fit
    together or hold numbers that are not finite.
    """
    sizes, width = [len(c) for c in components], components[0].shape[1]
    fault = _fault(components, weights, sizes, width)
    if fault:
        raise ValueError(f"not a factorization that can be saved: {fault}")
    stored: dict[str, Tensor] = {}
    for level, matrix in enumerate(components):
        stored[f"index.{level}"], stored[f"value.{level}"] = _sparse(matrix.detach().cpu().float())
    for level, matrix in enumerate(weights):
        stored[f"weights.{level}"] = matrix.detach().cpu().to(torch.float16).contiguous()
    stored |= {_EXTRA + n: a.detach().cpu().clone(memory_format=torch.contiguous_format) for n, a in arrays.items()}
    body = save(stored)
    digest = hashlib.sha256(body).hexdigest()
    own = {"format": FORMAT, "width": width, "levels": sizes, "extra": sorted(arrays), "sha256": digest}
    text = json.dumps({**manifest, **own}, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"
    data_path, manifest_path = _paths(path)
    data_path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(data_path, body)
    write_whole(manifest_path, text.encode())
    return manifest_path


def load_factors(path: Path) -> tuple[list[Tensor], list[Tensor], dict[str, Any], dict[str, Tensor]]:
    """What :func:`save_factors` wrote: components of each level and weights between them (float32), manifest, arrays.

    Raises:
        UserError: field "fit": missing, written by another version, changed after it was written, or wrong inside.
    """
    data_path, manifest_path = _paths(path)
    record, body = _manifest(_bytes(manifest_path)), _bytes(data_path)
    if hashlib.sha256(body).hexdigest() != record.get("sha256"):
        raise UserError(
            f"{data_path.name} was changed after it was written: its checksum is not the one in {manifest_path.name}. "
            "Copy both files again, or make the factorization again.",
            "fit",
        )
    try:
        stored = load(body)
    except (SafetensorError, ValueError, KeyError) as error:
        raise _bad(f"{data_path.name} is no safetensors file") from error
    sizes, width = record["levels"], record["width"]
    wanted = [f"{n}.{i}" for i in range(len(sizes)) for n in ("index", "value")]
    wanted += [f"weights.{i}" for i in range(len(sizes) - 1)] + [_EXTRA + n for n in record["extra"]]
    missing = [n for n in wanted if n not in stored]
    if missing:
        raise _bad(f"the array {missing[0]} is missing")
    components = [_dense(stored[f"index.{i}"], stored[f"value.{i}"], size, width) for i, size in enumerate(sizes)]
    weights = [stored[f"weights.{i}"].float() for i in range(len(sizes) - 1)]
    fault = _fault(components, weights, sizes, width)
    if fault:
        raise _bad(fault)
    return components, weights, record, {n: stored[_EXTRA + n] for n in record["extra"]}


def _sparse(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Which entries are kept in each row (-1 where fewer are than in the fullest row), and their values."""
    most = max(1, int((matrix != 0).sum(1).max()))
    index = matrix.abs().topk(most, 1).indices.sort(1).values
    value = matrix.gather(1, index)
    index = index.masked_fill(value == 0, -1)
    kind = torch.int16 if matrix.shape[1] <= _INT16 else torch.int32
    return index.to(kind).contiguous(), value.to(torch.float16).contiguous()


def _dense(index: Tensor, value: Tensor, size: int, width: int) -> Tensor:
    if index.ndim != 2 or index.shape != value.shape or len(index) != size:
        raise _bad("its features do not have the number that the manifest says")
    where = index.long()
    if bool((where < -1).any()) or bool((where >= width).any()):
        raise _bad("it names neurons that the site does not have")
    rows = torch.zeros(size, width + 1)  # what stands at -1 goes into a column that is cut off
    rows.scatter_(1, where.masked_fill(where < 0, width), value.float())
    return rows[:, :width].contiguous()


def _fault(components: Sequence[Tensor], weights: Sequence[Tensor], sizes: list[int], width: int) -> str:
    """What keeps these levels from being a factorization, in words; empty if nothing does."""
    if not sizes or min(sizes) < 1 or len(weights) != len(sizes) - 1:
        return "its levels and the weights between them do not fit together"
    for matrix, size in zip(components, sizes, strict=True):
        if tuple(matrix.shape) != (size, width):
            return "its features do not have the width of the site"
    for level, matrix in enumerate(weights):
        if tuple(matrix.shape) != (sizes[level + 1], sizes[level]):
            return "the weights between its levels do not have the sizes of the levels"
        if bool((matrix < 0).any()):
            return "the weights between its levels are negative in places"
    if not all(bool(m.isfinite().all()) for m in (*components, *weights)):
        return "it holds numbers that are not finite"
    return ""


def _manifest(body: bytes) -> dict[str, Any]:
    try:
        record = foreign.parse_json(body, "fit", "its manifest")
    except UserError as error:
        raise _bad(f"its manifest is not readable ({error.message.rstrip('.')})") from error
    if not isinstance(record, dict) or "format" not in record:
        raise _bad("its manifest does not say which format it has")
    if record["format"] != FORMAT:
        raise UserError(
            f"This factorization was written in format {str(record['format'])[:20]}; this version reads format "
            f"{FORMAT}. Make it again, or use the version of the code that wrote it.",
            "fit",
        )
    sizes, width, extra = record.get("levels"), record.get("width"), record.get("extra")
    if not isinstance(sizes, list) or not sizes or not all(type(n) is int and 0 < n < 10**6 for n in sizes):
        raise _bad("its manifest does not say how many features and neurons it has")
    if type(width) is not int or not 0 < width < 10**7:
        raise _bad("its manifest does not say how many features and neurons it has")
    if sum(sizes) * width > _MAX_NUMBERS:  # it is kept sparse, so a small file could claim any size
        raise _bad(f"its manifest claims {sum(sizes):,} features of {width:,} neurons, more than are ever kept")
    if not isinstance(extra, list) or not all(isinstance(n, str) for n in extra):
        raise _bad("its manifest does not say which further arrays it has")
    return foreign.Record(record, "This factorization", "fit")


def _bad(why: str) -> UserError:
    return UserError(
        f"This factorization cannot be used: {why}. Copy both of its files again, or make it again.", "fit"
    )


def _bytes(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():  # a pipe would hold whoever opens it
            raise OSError(f"{path.name} is no plain file")
        return path.read_bytes()
    except FileNotFoundError as error:
        sentence = f"There is no file {path.name}. A factorization is a pair: .safetensors and .json."
        raise UserError(sentence, "fit") from error
    except OSError as error:
        raise UserError(f"{path.name} could not be read. Check that it is a file and may be opened.", "fit") from error


def _paths(path: Path) -> tuple[Path, Path]:
    return path.with_name(path.name + ".safetensors"), path.with_name(path.name + ".json")
