"""What somebody else saved with PyTorch or safetensors, as plain nested values and tensors.

Probes, channels and lists of tokens of other projects are dictionaries in dictionaries, so a reader of state dicts does
not serve for them. The file arrives as bytes from a browser. It is written to a folder of its own and read there with
``weights_only``, after its table has been held against its bytes; what would need unpickling is refused with the line
that makes a readable file of it.
"""

from __future__ import annotations

import pickle
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from analysis import foreign
from analysis.errors import UserError
from analysis.models.metadata_folder import safetensors_header
from analysis.models.pickles import NotATable, PythonObjects, check_pickle

MAX_TENSORS = 10_000


def read_data(name: str, body: bytes, field: str, recipe: str) -> tuple[Any, dict[str, str]]:
    """The value that a file holds, and the notes in its header (of safetensors only).

    A safetensors file is a dictionary of tensors, whose dots make no dictionaries. ``recipe``: a sentence on how a
    readable file is made. Raises UserError(field): no such file, damaged, Python objects in it, tensors that are not
    plain, or more of them than ``MAX_TENSORS``.
    """
    name = Path(name).name[:120] or "the file"
    with tempfile.TemporaryDirectory(prefix="attune-") as folder:
        path = Path(folder) / ("file.safetensors" if name.lower().endswith(".safetensors") else "file.pt")
        path.write_bytes(body)
        try:
            data, notes = _read(path, field)
        except UserError as error:
            raise UserError(error.message.replace(path.name, name), field) from error
        except (PythonObjects, pickle.UnpicklingError) as error:
            said = f"{name} holds Python objects besides tensors, which are not read since they could run code."
            raise UserError(f"{said} {recipe}", field) from error
        except NotATable as error:
            said = f"{name} was written by neither PyTorch nor safetensors, or is damaged."
            raise UserError(f"{said} {recipe}", field) from error
        except Exception as error:  # a damaged file: each kind of damage fails with another exception
            raise UserError(f"{name} cannot be read: it is damaged or cut off. Download it again.", field) from error
    if not _plain(data):
        raise UserError(f"{name} holds tensors that are no plain numbers (sparse, or without values).", field)
    return data, notes


def _read(path: Path, field: str) -> tuple[Any, dict[str, str]]:
    if path.suffix == ".safetensors":
        if len(safetensors_header(path)) > MAX_TENSORS:
            raise UserError(f"{path.name} holds more than {MAX_TENSORS:,} tensors, and is not opened.", field)
        with safe_open(path, "pt") as file:
            # Copies: the file is gone when its folder is.
            return {key: file.get_tensor(key).clone() for key in file.keys()}, dict(file.metadata() or {})
    foreign.regular(path, field)
    check_pickle(path, field, MAX_TENSORS)
    return torch.load(path, weights_only=True, map_location="cpu"), {}


def _plain(value: Any) -> bool:
    """Whether every tensor in nested values has its numbers in memory; a level at a time, since depth is the file's."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > foreign.MAX_DEPTH:
            return False
        tensors = [v for v in level if isinstance(v, Tensor)]
        if any(v.layout != torch.strided or v.device.type != "cpu" for v in tensors):
            return False
        inner = [v for v in level if isinstance(v, (dict, list, tuple))]
        level = [v for part in inner for v in (part.values() if isinstance(part, dict) else part)]
    return True
