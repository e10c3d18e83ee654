"""PyTorch files that would make more than they hold: each is a sentence before PyTorch makes room for anything."""

from __future__ import annotations

import io
import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from analysis.errors import UserError
from analysis.mfa.checkpoint import read_checkpoint
from analysis.models.metadata import estimate
from analysis.models.pickles import check_pickle
from analysis.models.spec import ModelSpec
from analysis.othello.checkpoints import load_checkpoint, read_tensors
from tests.unit.hostile.watch import watched


def _table(count: int, size: tuple[int, ...], stride: tuple[int, ...]) -> bytes:
    """A table whose only tensor has this storage, shape and stride, whatever the file holds."""
    whole = io.BytesIO()
    torch.save({"a": torch.zeros(2, 3)}, whole)
    with zipfile.ZipFile(whole) as archive:
        name = next(n for n in archive.namelist() if n.endswith("data.pkl"))
        body = archive.read(name)
    # The numbers of the table: storage of 6, offset 0, shape (2, 3), stride (3, 1).
    old = re.compile(rb"K\x06tq.QK\x00K\x02K\x03\x86q.K\x03K\x01\x86q.", re.DOTALL)
    new = _number(count) + b"tQ" + _number(0) + _tuple(size) + _tuple(stride)
    assert len(old.findall(body)) == 1
    return old.sub(lambda _: new, body)


def _number(n: int) -> bytes:
    return pickle.dumps(n, protocol=2)[2:-1]


def _tuple(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(_number, values)) + b"t"


def _archive(path: Path, table: bytes, records: dict[str, bytes], how: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", how) as archive:
        archive.writestr("archive/data.pkl", table)
        archive.writestr("archive/version", b"3\n")
        archive.writestr("archive/byteorder", b"little")
        for name, body in records.items():
            archive.writestr(f"archive/data/{name}", body)
    return path


def _expanded(path: Path) -> None:
    torch.save({"tok_emb.weight": torch.zeros(1, 1).expand(45_000, 45_000)}, path)  # 8 GB of 4 bytes


def _many_expanded(path: Path) -> None:
    torch.save({f"a{i}": torch.zeros(1).expand(1_000_000) for i in range(300)}, path)


def _deflated(path: Path) -> None:
    _archive(path, _table(50_000_000, (50_000_000,), (1,)), {"0": bytes(200_000_000)}, zipfile.ZIP_DEFLATED)


def _short_storage(path: Path) -> None:
    _archive(path, _table(10**9, (10**9,), (1,)), {"0": bytes(24)})


def _beyond(path: Path) -> None:
    _archive(path, _table(6, (2, 3), (1000, 1)), {"0": bytes(24)})


def _negative(path: Path) -> None:
    _archive(path, _table(6, (2, -3), (3, 1)), {"0": bytes(24)})


def _astronomical(path: Path) -> None:
    _archive(path, _table(6, (10**400, 3), (0, 0)), {"0": bytes(24)})


def _absent(path: Path) -> None:
    _archive(path, _table(6, (2, 3), (3, 1)), {"1": bytes(24)})


def _many(path: Path) -> None:
    storage = torch.zeros(1)
    torch.save({f"{i}": storage.view(1) for i in range(25_000)}, path)


def _doubled(path: Path) -> None:
    _archive(path, _table(6, (2, 3), (3, 1)), {"0": bytes(24)})
    with pytest.warns(UserWarning), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/data.pkl", _table(10**9, (10**9,), (0,)))


def _legacy_claim(path: Path) -> None:
    body = io.BytesIO()
    torch.save({"a": torch.zeros(2, 3)}, body, _use_new_zipfile_serialization=False)
    whole = body.getvalue()
    assert whole.count(b"K\x06") >= 1
    path.write_bytes(whole.replace(b"K\x06", b"J" + struct.pack("<i", 2_000_000_000)))


def _memo(path: Path) -> None:
    """Thirty bytes for which an unpickler that keeps its memo in a row makes room for two thousand million entries."""
    path.write_bytes(b"\x80\x02K\x01r" + struct.pack("<I", 2_000_000_000) + b".")


def _array(path: Path) -> None:
    _archive(path, b"\x80\x05\x96" + struct.pack("<Q", 40_000_000_000) + b".", {})


def _array_by_call(path: Path) -> None:
    """A call of bytearray with a number: weights_only allows it, and it makes so many bytes."""
    _archive(path, b"\x80\x02cbuiltins\nbytearray\n" + _number(8_000_000_000) + b"\x85R.", {})


def _tensor_by_call(path: Path) -> None:
    _archive(path, b"\x80\x02ctorch\nTensor\n" + _number(2_000_000_000) + b"\x85R.", {})


def _storage_by_call(path: Path) -> None:
    _archive(path, b"\x80\x02ctorch.storage\nUntypedStorage\n" + _number(8_000_000_000) + b"\x85R.", {})


def _deep(path: Path) -> None:
    _archive(path, b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".", {})


def _saved(value: Any) -> Callable[[Path], None]:
    def save(path: Path) -> None:
        torch.save(value, path)

    return save


def _quantised(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save({"a": torch.quantize_per_tensor(torch.zeros(3), 0.1, 0, torch.quint8)}, path)


class Thing:
    """An object that is no tensor."""


KINDS: dict[str, Callable[[Path], None]] = {
    "expanded from one number": _expanded,
    "many expanded": _many_expanded,
    "deflated record": _deflated,
    "storage shorter than said": _short_storage,
    "strides beyond the storage": _beyond,
    "negative shape": _negative,
    "astronomical shape": _astronomical,
    "record that is not there": _absent,
    "25,000 tensors": _many,
    "two tables": _doubled,
    "old layout, long storage": _legacy_claim,
    "memo": _memo,
    "announced array": _array,
    "array by a call": _array_by_call,
    "tensor by a call": _tensor_by_call,
    "storage by a call": _storage_by_call,
    "nested lists": _deep,
    "sparse": _saved({"a": torch.eye(3).to_sparse()}),
    "sparse rows": _saved({"a": torch.eye(3).to_sparse_csr()}),
    "without values": _saved({"a": torch.zeros(3, device="meta")}),
    "quantised": _quantised,
    "object": _saved({"a": Thing()}),
    "number": _saved(3),
    "text": _saved("tensor"),
    "list": _saved([torch.zeros(3)]),
    "names nothing": _saved({}),
    "empty": lambda path: path.write_bytes(b"") and None,
    "zeros": lambda path: path.write_bytes(bytes(4096)) and None,
    "text file": lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\n") and None,
    "no archive": lambda path: path.write_bytes(b"PK\x03\x04" + bytes(64)) and None,
    "archive of other things": lambda path: _archive(path, b"", {}) and None,
    "a page": lambda path: path.write_text("<!DOCTYPE html><html></html>") and None,
}


_PLAIN = (
    "number",
    "text",
    "list",
    "names nothing",
    "nested lists",
)  # describe no tensor too many: loading says what is missing
CASES = [(r, k) for r in ("othello", "mixture", "folder") for k in KINDS if r != "folder" or k not in _PLAIN]


@pytest.mark.parametrize(("reader", "kind"), CASES, ids=[f"{r}: {k}" for r, k in CASES])
def test_a_file_that_is_no_checkpoint_is_a_sentence_and_takes_no_memory(tmp_path: Path, reader: str, kind: str) -> None:
    path = tmp_path / {"othello": "model.pth", "mixture": "model.ckpt", "folder": "pytorch_model.bin"}[reader]
    KINDS[kind](path)
    (tmp_path / "config.json").write_text('{"model_type": "llama", "num_hidden_layers": 1, "hidden_size": 64}')
    readers: dict[str, tuple[str, Callable[[], object]]] = {
        "othello": ("source", lambda: load_checkpoint(path)),
        "mixture": ("file", lambda: read_checkpoint(path)),
        "folder": ("model", lambda: estimate(ModelSpec(str(tmp_path)))),
    }
    field, read = readers[reader]
    with watched(), pytest.raises(UserError) as caught:
        read()
    assert caught.value.field == field
    assert len(caught.value.message) < 400


@pytest.mark.parametrize("zipped", [True, False], ids=["archive", "old layout"])
def test_what_pytorch_writes_passes(tmp_path: Path, zipped: bool) -> None:
    """Parameters, shared storages, buffers that were expanded, plain values of every kind, other dtypes."""
    network = torch.nn.Linear(3, 4)
    plain = {"a": [1, 2.5, None, True, b"x", 2**70, complex(1, 2)], "b": {1, 2}, "c": (torch.float32, torch.Size([2]))}
    content = {
        "state_dict": network.state_dict(),
        "parameters": dict(network.named_parameters()),
        "view": network.weight.detach().T[1:],
        "mask": torch.zeros(1, dtype=torch.bool).expand(40, 40),
        "half": torch.zeros(3, dtype=torch.bfloat16),
        "meta": plain,
    } | ({"small": torch.zeros(3).to(torch.float8_e4m3fn)} if zipped else {})
    torch.save(content, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    found = check_pickle(tmp_path / "a.pt", "file")
    shapes = [t.shape for t in found]
    assert shapes[:6] == [(4, 3), (4,), (4, 3), (4,), (2, 4), (40, 40)]
    assert [t.nbytes for t in found][:2] == [48, 16]
    assert torch.load(tmp_path / "a.pt", weights_only=True)["state_dict"]["weight"].shape == (4, 3)


def test_a_cut_or_changed_checkpoint_is_a_sentence_wherever_it_is_cut(tmp_path: Path) -> None:
    torch.save({"tok_emb.weight": torch.zeros(61, 32)}, tmp_path / "whole.pth")
    whole = (tmp_path / "whole.pth").read_bytes()
    path = tmp_path / "cut.pth"
    for end in range(0, len(whole), 397):
        path.write_bytes(whole[:end])
        with pytest.raises(UserError):
            read_tensors(path)
    for place in range(0, 1500, 41):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        with pytest.raises(UserError):  # a changed checksum, name, shape, or a tensor missing for the network
            load_checkpoint(path)
