"""Steering vectors as other programs keep them: one vector per block, added to the residual stream behind it.

llama.cpp and repeng write GGUF files with the tensors ``direction.N``; others write safetensors or a plain array. None
of them says which model it is for beyond a hint, so whoever uses them looks at width and blocks. ``direction.N``
is added to what block N gives, counted from 0, in llama.cpp, in repeng and here alike.
"""

from __future__ import annotations

import io
import json
import pickle
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save

from analysis import foreign
from analysis.errors import UserError
from analysis.models.gguf_files import read_header
from analysis.models.pickles import PythonObjects, check_pickle

MAX_FILE = 64 << 20
MAX_BLOCKS, MAX_WIDTH = 512, 1 << 17
ENDINGS = (".gguf", ".safetensors", ".pt", ".pth", ".bin", ".npy")
_NUMBER = re.compile(r"(?:.*[._-])?(\d{1,4})(?:\.(?:weight|vector|direction))?")
Vectors = dict[int, np.ndarray]
"""By block: a vector (D,) float32."""


@dataclass(frozen=True)
class VectorFile:
    """What a file holds: ``vectors`` by block, and ``hint``: the model that it names, "" for none."""

    vectors: Vectors
    hint: str = ""


def read_vectors(name: str, body: bytes, block: int) -> VectorFile:
    """The vectors in the bytes of a file; one that does not say its block is of ``block``.

    Raises UserError("file"): another format, damaged, with objects of Python, or no vectors of finite numbers.
    """
    ending = Path(name.lower()).suffix
    if len(body) > MAX_FILE:
        raise _bad(f"It has {len(body) / 1e6:,.0f} MB, and steering vectors take at most {MAX_FILE >> 20} MB.")
    if ending not in ENDINGS:
        raise UserError(f"Steering vectors come in files that end in {', '.join(ENDINGS)}.", "file")
    hint = ""
    with foreign.reading(_bad("It is damaged, or not what its name says.").message, "file"):
        if ending == ".gguf":
            found, hint = _from_gguf(body)
        elif ending == ".safetensors":
            found, hint = load(body), _safe_hint(body)
        elif ending == ".npy":
            found = np.load(io.BytesIO(body), allow_pickle=False)
        else:
            found = _from_torch(body)
        return VectorFile(_by_block(found, block), hint)


def write_gguf(vectors: Mapping[int, np.ndarray], hint: str = "") -> bytes:
    """A control vector as llama.cpp reads it. Raises UserError for one at block 0, where llama.cpp has none."""
    import gguf

    if 0 in vectors:
        raise UserError("llama.cpp adds no vector behind block 0. Save it as safetensors.", "format")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vectors.gguf"
        writer = gguf.GGUFWriter(str(path), "controlvector")
        writer.add_string("controlvector.model_hint", hint or "unknown")
        writer.add_uint32("controlvector.layer_count", len(vectors))
        for block in sorted(vectors):
            writer.add_tensor(f"direction.{block}", np.ascontiguousarray(vectors[block], np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path.read_bytes()


def write_safetensors(vectors: Mapping[int, np.ndarray], hint: str = "") -> bytes:
    """The same names in safetensors, the model's name in the metadata."""
    rows = {f"direction.{block}": torch.from_numpy(np.array(v, np.float32)) for block, v in vectors.items()}
    body: bytes = save(rows, metadata={"model_hint": hint})
    return body


def _bad(why: str) -> UserError:
    return UserError(f"This file has no steering vectors that can be used. {why}", "file")


def _from_gguf(body: bytes) -> tuple[dict[str, np.ndarray], str]:
    with tempfile.NamedTemporaryFile(suffix=".gguf") as file:
        file.write(body)
        file.flush()
        try:
            header = read_header(Path(file.name))
        except UserError as error:
            raise _bad("It is no GGUF file, or a damaged one.") from error
    if header.fields.get("general.architecture") != "controlvector":
        kind = str(header.fields.get("general.architecture"))[:40]
        raise _bad(f"Its architecture is “{kind}”, that of a model; a control vector says “controlvector”.")
    kinds: dict[int, str] = {0: "<f4", 1: "<f2"}
    rows = {}
    for tensor in header.tensors:
        if tensor.kind not in kinds:
            raise _bad(f"Its tensor {tensor.name[:40]} is quantised.")
        part = body[tensor.start : tensor.start + tensor.nbytes]
        rows[tensor.name] = np.frombuffer(part, np.dtype(kinds[tensor.kind]))
    return rows, str(header.fields.get("controlvector.model_hint", ""))[:200]


def _safe_hint(body: bytes) -> str:
    header = json.loads(body[8 : 8 + int.from_bytes(body[:8], "little")])
    return str((header.get("__metadata__") or {}).get("model_hint", ""))[:200]


def _from_torch(body: bytes) -> Any:
    with tempfile.NamedTemporaryFile(suffix=".pt") as file:
        file.write(body)
        file.flush()
        try:
            check_pickle(Path(file.name), "file", 4 * MAX_BLOCKS)
            return torch.load(file.name, map_location="cpu", weights_only=True)
        except (PythonObjects, pickle.UnpicklingError) as error:
            raise UserError(
                "This file holds Python objects beside tensors. It was not opened, since loading such objects can run "
                "code. Save the vectors alone, as docs/steering.md shows.",
                "file",
            ) from error


def _by_block(found: Any, block: int) -> Vectors:
    """Vectors by block of what a file holds: named ones, rows of a matrix, or one vector."""
    if isinstance(found, Mapping):
        if len(found) > MAX_BLOCKS:
            raise _bad(f"It holds {len(found):,} tensors.")
        if len(found) == 1 and _block_of(next(iter(found))) is None:
            return _by_block(next(iter(found.values())), block)
        named: Vectors = {}
        for name, value in found.items():
            number = _block_of(name)
            if number is None or number in named:
                fault = "says no block" if number is None else f"is a second one of block {number}"
                raise _bad(f"Its tensor {str(name)[:40]} {fault}; the names needed are direction.N.")
            named[number] = _vector(value)
        if not named:
            raise _bad("It is empty.")
        if len({len(v) for v in named.values()}) > 1:
            raise _bad("Its vectors have different lengths.")
        return named
    shape = tuple(getattr(found, "shape", ()))
    if len(shape) == 2 and shape[0] > 1:
        if shape[0] > MAX_BLOCKS:
            raise _bad(f"Its matrix has {shape[0]:,} rows; needed is one vector, or one for each block.")
        used = {n: _vector(found[n]) for n in range(shape[0]) if bool((found[n] != 0).any())}
        if not used:
            raise _bad("All its numbers are zero.")
        return used
    return {block: _vector(found)}


def _block_of(name: Any) -> int | None:
    if type(name) is int:
        return name if 0 <= name < 10_000 else None
    match = _NUMBER.fullmatch(name) if isinstance(name, str) else None
    return int(match[1]) if match else None


def _vector(value: Any) -> np.ndarray:
    """One vector (D,) float32 of an array (D,) or (1, D). Raises UserError for anything else."""
    if isinstance(value, torch.Tensor) and value.layout == torch.strided and value.is_floating_point():
        value = value.detach().float().numpy()
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
        raise _bad("What it holds is no array of floating numbers.")
    with np.errstate(over="ignore"):
        row = np.array(value, np.float32)
    if row.size not in row.shape or not 2 <= row.size <= MAX_WIDTH:
        shape = " x ".join(map(str, row.shape)) or "a single number"
        raise _bad(f"An array in it is {shape}; needed is one vector.")
    if not np.isfinite(row).all():
        raise _bad("It has numbers that are not finite.")
    if not row.any():
        raise _bad("All numbers of a vector are zero.")
    return row.reshape(-1)
