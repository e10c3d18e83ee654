"""Channels in the form of the official code (arXiv 2604.06005), lists of neurons, lists of tokens: read and written.

``results.pt`` is {neuron: {"iterations": [{rotated_vector_best, rotated_kurtosis, best_epoch,
residual_masked_token_count}]}}, one iteration for each channel; which block and which of a neuron's vectors it is of
stands in ``metadata.json`` beside it, in the name of its folder, or nowhere. Lists are JSON, text or a tensor.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analysis import foreign
from analysis.errors import UserError
from analysis.home import folder
from analysis.models.torch_data import read_data

MAX_BYTES = 160 << 20
MAX_PADDED = 512 << 20
MAX_NEURONS, MAX_CHANNELS = 2_000, 200
MAX_LIST = 500_000
RECIPE = (
    "Make a plain file of it where you trust it: torch.save of the same dictionary with tensors and numbers only, as "
    "the manual page of Neurons shows."
)
KEY = re.compile(r"[0-9a-f]{16}")
_PLACE = {"gate": "gate", "in": "up", "up": "up", "out": "down", "down": "down"}
_LAYER = re.compile(r"layer[_-]?(\d{1,3})", re.IGNORECASE)
_MASK = re.compile(r"(?:mask|matrix|vector)[_-](gate|in|up|out|down)(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True)
class OtherResults:
    """Channels of a file. ``layer`` and ``vector`` are None where nothing names them. For N neurons of at most C
    channels: ``channels`` (N, C, d) float32, ``kurtosis`` (N, C) float32, ``step`` and ``masked`` (N, C) int32, all 0
    beyond ``counts`` (N,) int32; ``kurtosis`` is 0 where the file has none."""

    neurons: tuple[int, ...]
    counts: np.ndarray
    channels: np.ndarray
    kurtosis: np.ndarray
    step: np.ndarray
    masked: np.ndarray
    layer: int | None
    vector: str | None


def read_results(name: str, body: bytes, metadata: bytes | None = None) -> OtherResults:
    """The channels of a ``results.pt``. Raises UserError(field="results"): no such file, damaged, no numbers."""
    if len(body) > MAX_BYTES:
        raise _bad(f"{name} is larger than {MAX_BYTES >> 20} MB. Write fewer neurons into one file.")
    data, _ = read_data(name, body, "results", RECIPE)
    if not isinstance(data, dict) or not data:
        raise _bad(f"{name} holds no results: a dictionary of neurons is needed, each with its “iterations”.")
    if len(data) > MAX_NEURONS:
        raise _bad(f"{name} holds {len(data):,} neurons; at most {MAX_NEURONS:,} are opened at once.")
    rows = sorted(((_neuron(name, key), value) for key, value in data.items()), key=lambda row: row[0])
    if len({neuron for neuron, _ in rows}) < len(rows):
        raise _bad(f"{name} holds one neuron twice.")
    found = [_iterations(name, neuron, value) for neuron, value in rows]
    widths = {len(one["vector"]) for channels in found for one in channels}
    if len(widths) > 1:
        raise _bad(f"{name} holds vectors of several widths ({', '.join(map(str, sorted(widths)[:4]))}).")
    counts = np.array([len(channels) for channels in found], np.int32)
    shape = (len(found), int(counts.max()))
    width = widths.pop()
    if shape[0] * shape[1] * width * 4 > MAX_PADDED:  # one neuron of many channels makes room for as many of each
        raise _bad(f"{name} would take more than {MAX_PADDED >> 20} MB. Write fewer neurons into one file.")
    channels = np.zeros((*shape, width), np.float32)
    kurtosis, step, masked = np.zeros(shape, np.float32), np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    for i, one_neuron in enumerate(found):
        for c, one in enumerate(one_neuron):
            channels[i, c] = one["vector"]
            kurtosis[i, c], step[i, c], masked[i, c] = one["kurtosis"], one["step"], one["masked"]
    layer, vector = _where(name, metadata)
    return OtherResults(tuple(n for n, _ in rows), counts, channels, kurtosis, step, masked, layer, vector)


def read_folder(text: str) -> list[tuple[str, bytes]]:
    """A ``results.pt`` by its path, or by that of its folder, and the ``metadata.json`` beside it, as (name, bytes).

    The name keeps the last three folders, which say block and vector in the official layout. Raises
    UserError(field="results") for what is not there, or is no such file.
    """
    path = Path(text).expanduser()
    if path.is_dir():
        path = path / "results.pt"
    names = [("/".join(path.parts[-4:]), foreign.read_bytes(path, MAX_BYTES, "results"))]
    notes = path.with_name("metadata.json")
    return [*names, ("metadata.json", foreign.read_bytes(notes, 1 << 20, "results"))] if notes.is_file() else names


def written_results(results: OtherResults) -> bytes:
    """The same as the official code writes it: float32 tensors, Python numbers, in a PyTorch file."""
    data = {}
    for i, neuron in enumerate(results.neurons):
        data[neuron] = {
            "iterations": [
                {
                    "rotated_vector_best": torch.from_numpy(np.array(results.channels[i, c])),
                    "rotated_kurtosis": float(results.kurtosis[i, c]),
                    "best_epoch": int(results.step[i, c]),
                    "residual_masked_token_count": int(results.masked[i, c]),
                }
                for c in range(int(results.counts[i]))
            ]
        }
    buffer = io.BytesIO()
    torch.save(data, buffer)
    return buffer.getvalue()


def read_numbers(name: str, body: bytes, most: int, field: str) -> tuple[int, ...]:
    """Different whole numbers from 0, ascending, of a list: JSON, text, or a tensor. Raises UserError(field)."""
    short = Path(name).name[:120] or "The list"
    if len(body) > 16 << 20:
        raise UserError(f"{short} is larger than 16 MB; a list of numbers is not.", field)
    if short.lower().endswith((".pt", ".pth", ".safetensors")):
        data, _ = read_data(name, body, field, "Save the tensor of numbers alone.")
    elif short.lower().endswith(".json"):
        data = foreign.parse_json(body, field, short)
    else:
        try:
            words = re.split(r"[\s,;]+", body.decode("utf-8-sig").strip())
        except UnicodeDecodeError as error:
            raise UserError(f"{short} is no text. A list is JSON, text or a .pt tensor.", field) from error
        if len(words) > MAX_LIST or not all(w.isascii() and w.isdigit() and len(w) < 10 for w in words):
            raise UserError(f"{short} must hold whole numbers only, apart by blanks, commas or lines.", field)
        data = [int(w) for w in words]
    if isinstance(data, dict) and len(data) == 1:  # {"indices": [...]}, or one named tensor
        data = next(iter(data.values()))
    if isinstance(data, Tensor):
        if data.is_floating_point() or data.is_complex() or data.dtype == torch.bool or data.ndim != 1:
            raise UserError(f"{short} must hold one row of whole numbers, not a tensor {tuple(data.shape)}.", field)
        data = data.tolist() if len(data) <= MAX_LIST else []
    if isinstance(data, (set, tuple)):
        data = list(data)
    if isinstance(data, list):
        data = [int(v) if isinstance(v, Tensor) and v.numel() == 1 and not v.is_floating_point() else v for v in data]
    if not isinstance(data, list) or not data or any(type(v) is not int or not 0 <= v < 2**31 for v in data):
        raise UserError(f"{short} must be a list of whole numbers from 0.", field)
    numbers = tuple(sorted(set(data)))
    if len(numbers) > most:
        raise UserError(f"{short} names {len(numbers):,} numbers; at most {most:,} are taken at once.", field)
    return numbers


def keep_tokens(name: str, body: bytes) -> tuple[str, int]:
    """Keep a list of tokens to leave out; its key and how many they are. Raises UserError(field="outliers")."""
    numbers = read_numbers(name, body, MAX_LIST, "outliers")
    plain = json.dumps(numbers, separators=(",", ":")).encode()
    key = hashlib.sha256(plain).hexdigest()[:16]
    path = folder("token-lists") / f"{key}.json"
    if not path.exists():
        part = path.with_suffix(".part")
        part.write_bytes(plain)
        part.replace(path)
    return key, len(numbers)


def kept_tokens(key: str) -> list[int]:
    """The tokens kept under a key. Raises UserError(field="outliers") if they are gone."""
    if not KEY.fullmatch(key):
        raise UserError("This list of tokens was not opened here. Open its file again.", "outliers")
    path = folder("token-lists") / f"{key}.json"
    return list(foreign.read_json(path, 16 << 20, "outliers", "The list of tokens"))


def _neuron(name: str, key: Any) -> int:
    if isinstance(key, str) and key.isascii() and key.isdigit() and len(key) < 10:
        key = int(key)
    if type(key) is not int or not 0 <= key < 10_000_000:
        raise _bad(f"{name} names a neuron {str(key)[:40]!r}, which is no number of one.")
    return key


def _iterations(name: str, neuron: int, value: Any) -> list[dict[str, Any]]:
    rows = value.get("iterations") if isinstance(value, dict) else None
    if not isinstance(rows, (list, tuple)) or not rows:
        raise _bad(f"Neuron {neuron} of {name} has no “iterations”.")
    if len(rows) > MAX_CHANNELS:
        raise _bad(f"Neuron {neuron} of {name} has {len(rows):,} channels; at most {MAX_CHANNELS} are read.")
    return [_channel(f"Channel {i + 1} of neuron {neuron} of {name}", row) for i, row in enumerate(rows)]


def _channel(where: str, row: Any) -> dict[str, Any]:
    vector = row.get("rotated_vector_best") if isinstance(row, dict) else None
    real = isinstance(vector, Tensor) and vector.is_floating_point()
    if not isinstance(vector, Tensor) or not real or vector.numel() != max(vector.shape, default=0):
        raise _bad(f"{where} has no vector “rotated_vector_best”.")
    plain = vector.detach().float().flatten()
    if not len(plain) or not bool(torch.isfinite(plain).all()) or float(plain.norm()) == 0:
        raise _bad(f"{where} holds values that are no finite numbers, or is all zero.")
    return {
        "vector": plain.numpy(),
        "kurtosis": _number(where, row, "rotated_kurtosis"),
        "step": int(_number(where, row, "best_epoch")),
        "masked": int(_number(where, row, "residual_masked_token_count")),
    }


def _number(where: str, row: dict[str, Any], name: str) -> float:
    value = row.get(name, 0)
    if isinstance(value, Tensor) and value.numel() == 1:
        value = value.item()
    if value is None:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 2**31:
        raise _bad(f"{where}: “{name}” is no number.")
    return float(value)


def _where(name: str, metadata: bytes | None) -> tuple[int | None, str | None]:
    """Block and vector by ``metadata.json``, or else by the name of the file or of its folder."""
    layer = next((int(n) for n in _LAYER.findall(name)), None)
    vector = next((_PLACE[m.lower()] for m in _MASK.findall(name)), None)
    if metadata is None:
        return layer, vector
    facts = foreign.parse_json(metadata, "results", "metadata.json", any_number=True)
    if not isinstance(facts, dict):
        raise _bad("metadata.json holds no names and values.")
    inner = [v for v in facts.values() if isinstance(v, dict)]
    for part in (facts, *inner):
        for key, value in part.items():
            if key in ("layer", "layer_idx", "layer_index") and type(value) is int and 0 <= value < 10_000:
                layer = value
            if key in ("vector", "mask", "mask_type", "matrix", "weight_type") and str(value).lower() in _PLACE:
                vector = _PLACE[str(value).lower()]
    return layer, vector


def _bad(message: str) -> UserError:
    return UserError(message, "results")
