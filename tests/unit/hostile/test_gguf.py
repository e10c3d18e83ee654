"""GGUF files that are broken or made to do harm: counts and lengths that no file holds, other kinds, cut anywhere."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.errors import UserError
from analysis.models.loader import load_model
from analysis.models.metadata import estimate
from analysis.models.spec import ModelSpec
from tests.unit.hostile.watch import watched

U32, F32, STRING, ARRAY, U64 = 4, 6, 8, 9, 10


def _text(text: str | bytes) -> bytes:
    body = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(body)) + body


def _head(tensors: int, values: int, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, values)


def _pair(key: str, kind: int, body: bytes) -> bytes:
    return _text(key) + struct.pack("<I", kind) + body


LLAMA = _pair("general.architecture", STRING, _text("llama"))


def _tensor(name: str, shape: tuple[int, ...], kind: int = 0, offset: int = 0) -> bytes:
    return (
        _text(name)
        + struct.pack("<I", len(shape))
        + struct.pack(f"<{len(shape)}Q", *shape)
        + struct.pack("<IQ", kind, offset)
    )


FILES: dict[str, bytes] = {
    "nothing behind the header": _head(0, 0),
    "2^60 tensors": _head(2**60, 0) + bytes(64),
    "2^60 values": _head(1, 2**60) + bytes(64),
    "a million values of nothing": _head(1, 10**6) + bytes(4_000),
    "text of 2^62 bytes": _head(1, 1) + struct.pack("<Q", 2**62) + bytes(64),
    "list of 2^60": _head(1, 1) + _pair("a", ARRAY, struct.pack("<IQ", U32, 2**60)) + bytes(64),
    "list of 2^40 texts": _head(1, 1) + _pair("a", ARRAY, struct.pack("<IQ", STRING, 2**40)) + bytes(64),
    "lists in lists": _head(1, 1) + _pair("a", ARRAY, struct.pack("<IQ", ARRAY, 1) * 50_000) + bytes(64),
    "value of no known kind": _head(1, 1) + _pair("a", 999, bytes(64)),
    "key that is no text": _head(1, 1) + _text(b"\xff\xfe\x80") + struct.pack("<I", U32) + bytes(64),
    "architecture a number": _head(1, 1)
    + _pair("general.architecture", U32, bytes(4))
    + _tensor("a", (4,))
    + bytes(64),
    "architecture no text": _head(1, 1) + _pair("general.architecture", STRING, _text(b"\xff\xff")) + bytes(64),
    "unknown architecture": _head(1, 1)
    + _pair("general.architecture", STRING, _text("nonesuch"))
    + _tensor("a", (4,))
    + bytes(64),
    "tensor of 2^62 numbers": _head(1, 1) + LLAMA + _tensor("a", (2**62,)) + bytes(64),
    "product beyond the integers": _head(1, 1) + LLAMA + _tensor("a", (2**32, 2**32, 2**32, 2**32)) + bytes(64),
    "a thousand axes": _head(1, 1) + LLAMA + _text("a") + struct.pack("<I", 2**31) + bytes(64),
    "tensor of no known kind": _head(1, 1) + LLAMA + _tensor("a", (4,), kind=9_999) + bytes(64),
    "tensor beyond the file": _head(1, 1) + LLAMA + _tensor("a", (4,), offset=2**50) + bytes(64),
    "tensor at the largest place": _head(1, 1) + LLAMA + _tensor("a", (4,), offset=2**64 - 8) + bytes(64),
    "two tensors of one name": _head(2, 1) + LLAMA + _tensor("a", (4,)) + _tensor("a", (4,)) + bytes(64),
    "alignment zero": _head(1, 2) + LLAMA + _pair("general.alignment", U32, bytes(4)) + _tensor("a", (4,)) + bytes(64),
    "alignment 3": _head(1, 2)
    + LLAMA
    + _pair("general.alignment", U32, struct.pack("<I", 3))
    + _tensor("a", (4,))
    + bytes(64),
    "twenty million layers": _head(1, 2)
    + LLAMA
    + _pair("llama.block_count", U32, struct.pack("<I", 20_000_000))
    + _tensor("token_embd.weight", (4, 4))
    + bytes(4_096),
    "layers beyond the integers": _head(1, 2)
    + LLAMA
    + _pair("llama.block_count", U64, struct.pack("<Q", 2**63))
    + _tensor("token_embd.weight", (4, 4))
    + bytes(4_096),
    "no weights of a model": _head(1, 1) + LLAMA + _tensor("token_embd.weight", (4, 4)) + bytes(4_096),
    "another version": _head(1, 1, version=77) + LLAMA + _tensor("a", (4,)) + bytes(64),
    "the other end first": b"GGUF" + struct.pack(">IQQ", 3, 1, 1) + bytes(64),
    "a page": b"<!DOCTYPE html>" + bytes(64),
    "a pointer": b"version https://git-lfs.github.com/spec/v1\n",
    "four letters": b"GGUF",
}


@pytest.mark.parametrize("body", FILES.values(), ids=FILES)
def test_loading_a_broken_file_is_a_sentence(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "model.gguf").write_bytes(body)
    with watched(), pytest.raises(UserError) as caught:
        load_model(ModelSpec(str(tmp_path / "model.gguf")))
    assert caught.value.field == "model" and len(caught.value.message) < 700


@pytest.mark.parametrize("body", FILES.values(), ids=FILES)
def test_the_size_check_never_raises_but_a_sentence(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "model.gguf").write_bytes(body)
    look: Callable[[], object] = lambda: estimate(ModelSpec(str(tmp_path / "model.gguf")))  # noqa: E731
    with watched():
        try:
            look()
        except UserError as error:
            assert error.field == "model"
