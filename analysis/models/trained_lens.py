"""A trained lens: a map for each block that takes its stream to what the last block would give, read from a file.

Two kinds are known. A tuned lens (arXiv 2303.08112) adds W h + b to the stream h, so that zeros are the plain lens;
its translators are counted as its authors save them (``params.pt``: ``0.weight``, ``0.bias`` and so on): number i reads
what goes into block i, 0 the embeddings. A Jacobian lens is one matrix J for each block, J h; number i reads what comes
out of block i. No file says which weights it was trained on, and one of another model of the same shape opens without a
fault: so blocks, width and numbers are checked here, and who opens it measures how often it agrees with the model.
"""

from __future__ import annotations

import pickle
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from analysis import foreign
from analysis.errors import UserError
from analysis.models.pickles import NotATable, PythonObjects, check_pickle

KINDS = ("tuned", "jacobian")
ENDINGS = (".safetensors", ".pt", ".pth", ".bin")
MAX_UPLOAD, MAX_FILE, MAX_BLOCKS = 64 << 20, 4 << 30, 512
_NAME = re.compile(r"(?:[A-Za-z_][\w]*\.)*?(?:[A-Za-z_]*[._])?(\d{1,4})(?:\.(weight|bias))?")
_NAMED = ("base_model_name_or_path", "base_model", "model_name", "model")
"""Where a config or metadata names the model, in order."""
Maps = dict[int, tuple[Tensor, Tensor | None]]
"""By block (-1: the embeddings): a matrix (D, D) and a vector (D,) float32, or None."""


@dataclass(frozen=True)
class TrainedLens:
    """``maps`` of a lens of a ``kind``; blocks without one, the last among them, are read as they are. ``hint``: the
    model that its file names, "" for none."""

    kind: str
    maps: Maps
    hint: str = ""

    def moved(self, block: int, x: Tensor) -> Tensor:
        """The stream x (..., D) behind a block as the last block would give it, in x's dtype."""
        if block not in self.maps:
            return x
        weight, bias = (None if part is None else part.to(x.device) for part in self.maps[block])
        assert weight is not None
        y = x.float() @ weight.mT
        if bias is not None:
            y = y + bias
        return (x.float() + y if self.kind == "tuned" else y).to(x)


def read_lens(place: Path, kind: str, blocks: int, width: int) -> TrainedLens:
    """The lens in a file, or in a folder with ``params.pt`` and ``config.json``, for a model with so many blocks. What
    the config, or the metadata of a safetensors file, says of the model is held against it.

    Raises UserError("file"): no such file, another format, Python objects in it, or maps that are not of such a model.
    """
    config: dict[str, Any] = {}
    try:
        if place.is_dir():
            place = place / "params.pt"
        if place.name == "params.pt" and (place.parent / "config.json").exists():
            config = _config(place.parent / "config.json")
        size = foreign.regular(place, "file")
    except OSError as error:
        raise _bad(f"It cannot be read ({error.strerror or 'system error'}).") from error
    if place.suffix.lower() not in ENDINGS:
        raise UserError(
            f"A trained lens is a file that ends in {', '.join(ENDINGS)}, or a folder with params.pt and config.json.",
            "file",
        )
    if size > MAX_FILE:
        raise _bad(f"It has {size / 1e9:.1f} GB, and at most {MAX_FILE >> 30} GB are read.")
    with foreign.reading(_bad("It is damaged, or not what its name says.").message, "file"):
        if place.suffix.lower() == ".safetensors":
            config, found = config | _metadata(place), load_file(place)
        else:
            found = _from_torch(place)
    for name, own, what in (("num_hidden_layers", blocks, "blocks"), ("d_model", width, "numbers in its stream")):
        if name in config and str(config[name]) != str(own):
            raise _bad(f"It says that it is of a model with {str(config[name])[:20]} {what}; this one has {own:,}.")
    hint = next((str(config[name])[:200] for name in _NAMED if config.get(name)), "")
    return TrainedLens(kind, _maps(found, kind, blocks, width), hint)


def read_sent(name: str, body: bytes, kind: str, blocks: int, width: int) -> TrainedLens:
    """The lens in the bytes of a file of that name. Raises UserError("file")."""
    ending = Path(name.lower()).suffix
    if len(body) > MAX_UPLOAD:
        raise _bad(f"A browser sends at most {MAX_UPLOAD >> 20} MB. Give its path on this machine.")
    with tempfile.NamedTemporaryFile(suffix=ending if ending in ENDINGS else ".other") as file:
        file.write(body)
        file.flush()
        return read_lens(Path(file.name), kind, blocks, width)


def _bad(why: str) -> UserError:
    return UserError(f"This file has no trained lens that can be used. {why}", "file")


def _config(path: Path) -> dict[str, Any]:
    data = foreign.parse_json(
        foreign.read_bytes(path, 1 << 20, "file").decode("utf-8", "replace"), "file", "config.json"
    )
    return data if isinstance(data, dict) else {}


def _metadata(path: Path) -> dict[str, Any]:
    with safe_open(path, "pt") as file:
        return dict(file.metadata() or {})


def _from_torch(path: Path) -> Any:
    try:
        check_pickle(path, "file", 4 * MAX_BLOCKS)
        return torch.load(path, map_location="cpu", weights_only=True)
    except (NotATable, PythonObjects, pickle.UnpicklingError) as error:
        raise UserError(
            "This file holds Python objects beside tensors, or is no file of PyTorch. It was not opened, since loading "
            "such objects can run code. Save the state dict alone, or safetensors.",
            "file",
        ) from error


def _maps(found: Any, kind: str, blocks: int, width: int) -> Maps:
    """Maps by block of what a file holds: named tensors, or one stack of matrices."""
    if not isinstance(found, Mapping):
        found = {"": found}
    if len(found) == 1:
        (stack,) = found.values()
        if isinstance(stack, Tensor) and stack.ndim == 3:
            found = {str(n): matrix for n, matrix in enumerate(stack)}
    weights: dict[int, Tensor] = {}
    biases: dict[int, Tensor] = {}
    for name, value in found.items():
        match = _NAME.fullmatch(name) if isinstance(name, str) else None
        if match is None:
            raise _bad(f"Its tensor “{str(name)[:40]}” says no block; names needed are N.weight and N.bias.")
        part, bias = (biases, True) if match[2] == "bias" else (weights, False)
        if int(match[1]) in part:
            raise _bad(f"It has two tensors of number {match[1]}.")
        part[int(match[1])] = _checked(str(name), value, (width,) if bias else (width, width))
    counts = (blocks,) if kind == "tuned" else (blocks - 1, blocks)
    if sorted(weights) != list(range(len(weights))) or len(weights) not in counts or set(biases) - set(weights):
        needed = f"{blocks} translators, numbered from 0" if kind == "tuned" else f"{blocks - 1} or {blocks} matrices"
        raise _bad(f"It has {len(weights)} maps, and a {kind} lens of a model with {blocks} blocks has {needed}.")
    first = -1 if kind == "tuned" else 0
    return {n + first: (weights[n], biases.get(n)) for n in sorted(weights)}


def _checked(name: str, value: Any, shape: tuple[int, ...]) -> Tensor:
    if not isinstance(value, Tensor) or value.layout != torch.strided or not value.is_floating_point():
        raise _bad(f"What it holds as “{name[:40]}” is no array of floating numbers.")
    if tuple(value.shape) != shape:
        got, needed = (" x ".join(map(str, s)) or "a single number" for s in (value.shape, shape))
        raise _bad(f"Its tensor “{name[:40]}” is {got}; for this model it would be {needed}: it is of another model.")
    numbers: Tensor = value.detach().float().contiguous()
    if not bool(numbers.isfinite().all()):
        raise _bad(f"Its tensor “{name[:40]}” has numbers that are not finite.")
    return numbers
