"""Steering vectors of other programs: files written by hand as their authors write them, and files that mean harm."""

from __future__ import annotations

import io
import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from safetensors.numpy import load
from safetensors.torch import save

from analysis.errors import UserError
from analysis.steering.vectors import read_vectors, write_gguf, write_safetensors

A, B = np.array([1.5, -2.0, 0.25, 3.0], np.float32), np.array([0.5, 0.0, 1.0, -1.0], np.float32)


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def control_vector(
    rows: dict[str, np.ndarray], architecture: str = "controlvector", kinds: int = 0, counted: int | None = None
) -> bytes:
    """A GGUF file of version 3, byte by byte (after the specification, not with the package that reads it)."""
    pairs = [
        text("general.architecture") + struct.pack("<I", 8) + text(architecture),
        text("controlvector.model_hint") + struct.pack("<I", 8) + text("llama"),
        text("controlvector.layer_count") + struct.pack("<II", 4, len(rows)),
    ]
    head = b"GGUF" + struct.pack("<IQQ", 3, len(rows) if counted is None else counted, len(pairs)) + b"".join(pairs)
    offset, body = 0, b""
    for name, row in rows.items():
        head += text(name) + struct.pack("<IQIQ", 1, row.size, kinds, offset)
        body += row.tobytes() + b"\0" * (-row.nbytes % 32)
        offset = len(body)
    return head + b"\0" * (-len(head) % 32) + body


def saved(value: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


def arrays(value: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, value)
    return stream.getvalue()


LAYOUTS: dict[str, tuple[str, Callable[[], bytes], set[int]]] = {
    "llama.cpp": ("happy.gguf", lambda: control_vector({"direction.3": A, "direction.11": B}), {3, 11}),
    "half": ("happy.GGUF", lambda: control_vector({"direction.3": A.astype(np.float16)}, kinds=1), {3}),
    "safetensors": (
        "v.safetensors", lambda: save({"direction.3": torch.tensor(A), "direction.11": torch.tensor(B)}), {3, 11},
    ),
    "hooks": ("v.safetensors", lambda: save({"model.layers.3": torch.tensor(A)[None]}), {3}),
    "one": ("v.safetensors", lambda: save({"vector": torch.tensor(A, dtype=torch.bfloat16)}), {7}),
    "tensor": ("v.pt", lambda: saved(torch.tensor(A)), {7}),
    "by number": ("v.pt", lambda: saved({3: torch.tensor(A), 11: torch.tensor(B)}), {3, 11}),
    "matrix": ("v.pt", lambda: saved(torch.tensor(np.stack([A * 0, B, A]))), {1, 2}),
    "array": ("v.npy", lambda: arrays(A.astype(np.float64)), {7}),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_its_vectors_by_block(layout: str) -> None:
    name, make, blocks = LAYOUTS[layout]
    file = read_vectors(name, make(), 7)
    assert set(file.vectors) == blocks
    first = min(blocks) if layout != "matrix" else 2
    assert np.array_equal(file.vectors[first], A) and file.vectors[first].dtype == np.float32
    if len(blocks) == 2:
        assert np.array_equal(file.vectors[1 if layout == "matrix" else 11], B)
    assert file.hint == ("llama" if name.lower().endswith("gguf") else "")


def test_what_is_written_is_read_by_the_programs_own_reader(tmp_path: Path) -> None:
    body = write_gguf({3: A, 11: B}, "Some model")
    (tmp_path / "v.gguf").write_bytes(body)
    reader = gguf.GGUFReader(tmp_path / "v.gguf")
    assert {t.name: t.data.tolist() for t in reader.tensors} == {"direction.3": A.tolist(), "direction.11": B.tolist()}
    said = {n: f.contents() for n, f in reader.fields.items() if n.startswith(("general.arch", "controlvector"))}
    assert said == {
        "general.architecture": "controlvector",
        "controlvector.model_hint": "Some model",
        "controlvector.layer_count": 2,
    }
    back = read_vectors("v.gguf", body, 0)
    assert back.hint == "Some model" and np.array_equal(back.vectors[3], A) and np.array_equal(back.vectors[11], B)
    rows = write_safetensors({0: A}, "Some model")
    assert np.array_equal(load(rows)["direction.0"], A) and read_vectors("v.safetensors", rows, 9).hint == "Some model"
    with pytest.raises(UserError, match=r"llama\.cpp adds no vector behind block 0"):
        write_gguf({0: A})


class Evil:
    def __reduce__(self) -> Any:
        return print, ("run",)


def headed(header: Any) -> bytes:
    body = json.dumps(header).encode()
    return struct.pack("<Q", len(body)) + body


BAD: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "ending": ("v.exe", lambda: b"", "come in files that end in"),
    "empty": ("v.gguf", lambda: b"", "no GGUF file, or a damaged one"),
    "cut off": ("v.gguf", lambda: control_vector({"direction.3": A})[:-40], "no GGUF file, or a damaged one"),
    "counts": ("v.gguf", lambda: control_vector({"direction.3": A}, counted=2**61), "no GGUF file, or a damaged one"),
    "model": ("v.gguf", lambda: control_vector({"direction.3": A}, "llama"), "that of a model"),
    "quantised": ("v.gguf", lambda: control_vector({"direction.3": np.zeros(40, np.float32)}, kinds=8), "is quantised"),
    "name": ("v.gguf", lambda: control_vector({"direction.3": A, "bias": B}), "Its tensor bias says no block"),
    "twice": ("v.pt", lambda: saved({3: torch.tensor(A), "layer.3": torch.tensor(A)}), "is a second one of block 3"),
    "lengths": ("v.pt", lambda: saved({3: torch.tensor(A), 4: torch.ones(5)}), "have different lengths"),
    "NaN": ("v.gguf", lambda: control_vector({"direction.3": A * np.nan}), "numbers that are not finite"),
    "zero": ("v.npy", lambda: arrays(A * 0), "All numbers of a vector are zero"),
    "zeros": ("v.npy", lambda: arrays(np.zeros((3, 4))), "All its numbers are zero"),
    "cube": ("v.npy", lambda: arrays(np.ones((2, 2, 2))), "2 x 2 x 2; needed is one vector"),
    "whole": ("v.npy", lambda: arrays(np.arange(4)), "no array of floating numbers"),
    "objects": ("v.npy", lambda: arrays(np.array([Evil()], object)), "damaged, or not what its name says"),
    "pickle": ("v.pt", lambda: pickle.dumps(Evil()), "damaged, or not what its name says"),
    "object": ("v.pt", lambda: saved({"vector": Evil()}), "Python objects beside tensors"),
    "header": ("v.safetensors", lambda: struct.pack("<Q", 2**62), "damaged, or not what its name says"),
    "claims": (
        "v.safetensors",
        lambda: headed({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}),
        "damaged, or not what its name says",
    ),
    "bomb": ("v.pt", lambda: saved(torch.ones(1).expand(1 << 30)), "would become|claims more numbers"),
    "many": ("v.safetensors", lambda: save({f"l.{i}": torch.ones(2) for i in range(600)}), "It holds 600 tensors"),
    "none": ("v.safetensors", lambda: save({}), "It is empty"),
}  # fmt: skip


@pytest.mark.parametrize("fault", BAD)
def test_a_file_that_cannot_be_used_is_a_sentence(fault: str) -> None:
    name, make, sentence = BAD[fault]
    with pytest.raises(UserError, match=sentence) as caught:
        read_vectors(name, make(), 7)
    assert caught.value.field == "file" and caught.value.message.endswith(".")
