"""Model folders whose files are broken, swapped or made to do harm: the size check and loading answer in a sentence."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from analysis.errors import UserError
from analysis.models.loader import load_model
from analysis.models.metadata import estimate
from analysis.models.spec import ModelSpec
from tests.unit.hostile.watch import watched
from tests.unit.tiny_models import tiny_model

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 509184\n"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny saved model with a tokenizer of words."""
    path = tmp_path_factory.mktemp("whole") / "tiny"
    words = {w: i for i, w in enumerate(["<unk>", "<s>", "</s>", *"the a cat dog sat ran on in red blue".split()])}
    made = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    tiny_model("llama").save_pretrained(path)
    PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>").save_pretrained(path)
    return path


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy whose files may be damaged."""
    path = tmp_path / "tiny"
    path.mkdir()
    for file in whole.iterdir():
        (path / file.name).write_bytes(file.read_bytes())
    return path


def _edit(name: str, change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        data = json.loads((path / name).read_text())
        change(data)
        (path / name).write_text(json.dumps(data))

    return damage


def _write(name: str, body: bytes) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        (path / name).write_bytes(body)

    return damage


def _weights(change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        save_file(change(load_file(path / "model.safetensors")), path / "model.safetensors", {"format": "pt"})

    return damage


def _header(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        body = (path / "model.safetensors").read_bytes()
        size = struct.unpack("<Q", body[:8])[0]
        header = json.loads(body[8 : 8 + size])
        change(header)
        new = json.dumps(header).encode()
        (path / "model.safetensors").write_bytes(struct.pack("<Q", len(new)) + new + body[8 + size :])

    return damage


def _first(header: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(v for k, v in header.items() if k != "__metadata__")
    return found


def _cut(path: Path) -> None:
    body = (path / "model.safetensors").read_bytes()
    (path / "model.safetensors").write_bytes(body[: len(body) // 2])


def _pickled(value: Any) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        (path / "model.safetensors").unlink()
        torch.save(value, path / "pytorch_model.bin")

    return damage


def _pipe(name: str) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        (path / name).unlink()
        os.mkfifo(path / name)

    return damage


def _swap(path: Path) -> None:
    a, b = (path / "model.safetensors").read_bytes(), (path / "tokenizer.json").read_bytes()
    (path / "model.safetensors").write_bytes(b)
    (path / "tokenizer.json").write_bytes(a)


SIZED: dict[str, Callable[[Path], None]] = {
    "pointer in place of weights": _write("model.safetensors", POINTER.encode()),
    "pointer in place of the config": _write("config.json", POINTER.encode()),
    "empty weights": _write("model.safetensors", b""),
    "weights cut off": _cut,
    "a page in place of weights": _write("model.safetensors", b"<!DOCTYPE html><html>Not found</html>"),
    "header of 2^62 bytes": _write("model.safetensors", struct.pack("<Q", 1 << 62) + b"{}"),
    "header beyond the file": _write("model.safetensors", struct.pack("<Q", 90_000_000) + b"{}"),
    "header that is no JSON": _write("model.safetensors", struct.pack("<Q", 8) + b"{{{{{{{{"),
    "deep header": _write("model.safetensors", struct.pack("<Q", 200_000) + b"[" * 200_000),
    "shape beyond the numbers": _header(lambda h: _first(h).update(shape=[10**400, 2])),
    "shape no numbers": _header(lambda h: _first(h).update(shape=["a", None])),
    "negative shape": _header(lambda h: _first(h).update(shape=[-4, 48])),
    "offsets beyond the numbers": _header(lambda h: _first(h).update(data_offsets=[0, 10**40])),
    "offsets backwards": _header(lambda h: _first(h).update(data_offsets=[4000, 0])),
    "infinite offsets": _header(lambda h: _first(h).update(data_offsets=[0, 1e999])),
    "shape of more than the bytes": _header(lambda h: _first(h).update(shape=[900_000, 900_000])),
    "entries that are no tensors": _header(lambda h: h.update(x=3)),
    "weights and tokenizer swapped": _swap,
    "a file for another model": _edit("config.json", lambda c: c.update(num_hidden_layers=400)),
    "a config for a large model": _edit(
        "config.json", lambda c: c.update(hidden_size=20_000, intermediate_size=90_000, num_attention_heads=100)
    ),
    "weights of whole numbers": _weights(lambda t: {n: v.to(torch.int32) for n, v in t.items()}),
    "text in place of a number": _edit("config.json", lambda c: c.update(num_attention_heads="many")),
    "no heads": _edit("config.json", lambda c: c.update(num_attention_heads=0)),
    "index of a shard that is not there": _write(
        "model.safetensors.index.json", json.dumps({"weight_map": {"a": "model-00001-of-00002.safetensors"}}).encode()
    ),
    "pickle of objects": _pickled({"a": Path("x")}),
    "pickle that expands": _pickled({"a": torch.zeros(1, 1).expand(50_000, 50_000)}),
    "weights are a pipe": _pipe("model.safetensors"),
    "tokenizer is a pipe": _pipe("tokenizer.json"),
    "config is a pipe": _pipe("config.json"),
}
LOADED: dict[str, Callable[[Path], None]] = {
    "tokenizer of a newer library": _edit("tokenizer.json", lambda d: d["model"].update(type="NewBPE")),
    "tokenizer cut off": _write("tokenizer.json", b'{"version": "1.0", "model": {'),
    "tokenizer empty": _write("tokenizer.json", b""),
    "tokenizer is a list": _write("tokenizer.json", b"[1, 2]"),
    "deep tokenizer": _write("tokenizer.json", b"[" * 200_000),
    "tokenizer no text": _write("tokenizer.json", b"\xff\xfe" * 400),
    "tokenizer_config is a list": _write("tokenizer_config.json", b"[1]"),
    "deep tokenizer_config": _write("tokenizer_config.json", b'{"a":' * 50_000),
    "weights renamed": _weights(lambda t: {f"x{i}": v for i, v in enumerate(t.values())}),
    "half of the weights": _weights(lambda t: dict(list(t.items())[::2])),
    "weights turned": _weights(lambda t: {n: v.T.contiguous() if v.ndim == 2 else v for n, v in t.items()}),
    "weights no numbers": _weights(lambda t: {n: v * float("nan") for n, v in t.items()}),
    "no weights": lambda path: (path / "model.safetensors").unlink(),
    "no tensors": _weights(lambda t: {}),
    "pickle of nothing": _pickled({}),
    "pickle of a number": _pickled(3),
    "generation_config is a list": _write("generation_config.json", b"[1, 2]"),
}


@pytest.mark.parametrize("kind", SIZED)
def test_the_size_check_answers_in_a_sentence(folder: Path, kind: str) -> None:
    SIZED[kind](folder)
    with watched(), pytest.raises(UserError) as caught:
        estimate(ModelSpec(str(folder)))
    assert caught.value.field == "model" and len(caught.value.message) < 500


@pytest.mark.parametrize("kind", [*SIZED, *LOADED])
def test_loading_answers_in_a_sentence(folder: Path, kind: str) -> None:
    (SIZED | LOADED)[kind](folder)
    with watched(), pytest.raises(UserError) as caught:
        load_model(ModelSpec(str(folder)))
    assert caught.value.field == "model" and len(caught.value.message) < 700


def test_what_is_not_damaged_loads(folder: Path) -> None:
    assert estimate(ModelSpec(str(folder))).fits
    assert load_model(ModelSpec(str(folder))).facts.layers == 4
