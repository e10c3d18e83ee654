"""Texts that people bring: contrasts, rows of chains, corpora, set-up files, games. Damaged in every way, each is a
sentence (or what can be used of it), within seconds and without taking memory."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from analysis.corpora.sources import keep_upload, read_source
from analysis.corpora.text_source import TextSource
from analysis.errors import UserError
from analysis.faithfulness.rows import read_rows
from analysis.othello.records import parse_moves
from analysis.qk.contrasts.jsonl import parse_jsonl
from analysis.steering.setup import load_setup
from tests.unit.hostile.watch import watched


def _line(values: str) -> str:
    """A line with that JSON text in every field that the readers know."""
    names = ("text", "positive", "negative", "query", "label", "question", "cot", "model_answer", "candidates")
    return "{" + ", ".join(f'"{name}": {values}' for name in names) + "}"


LINES: dict[str, str] = {
    "nothing": "",
    "blank": "\n\n  \n",
    "no JSON": "hello\n" * 10,
    "list": "[1, 2]\n" * 10,
    "number": "3\n" * 10,
    "null": "null\n" * 10,
    "empty objects": "{}\n" * 10,
    "deep lists": "[" * 90_000,
    "deep objects": '{"text":' * 5_000 + "1" + "}" * 5_000,
    "deep inside": _line("[" * 400 + "]" * 400),
    "beyond the floats": _line("1e999"),
    "beyond the floats in lists": _line("[[0, 1e999]]"),
    "beyond the integers": _line("[[0, 1" + "0" * 400 + "]]"),
    "beyond the parser": _line("1" + "0" * 6_000),
    "no numbers": _line("NaN"),
    "no numbers in lists": _line("[NaN, -Infinity]"),
    "half a pair": _line('"a \\ud800 b"'),
    "half a pair in lists": _line('["\\udc00"]'),
    "objects": _line("{}"),
    "lists": _line("[]"),
    "lists of lists": _line("[[[]]]"),
    "nulls": _line("null"),
    "empty texts": _line('""'),
    "cut off": '{"text": "a b", "positive": ["a"], "nega',
    "one long line": '{"text": "' + "a" * 3_000_000,
    "zero bytes": "\x00" * 5_000,
    "candidates by the thousand": json.dumps(
        {"question": "q", "cot": "c", "model_answer": "1", "candidates": [str(i) for i in range(9_000)]}
    ),
    "columns by the thousand": json.dumps({f"c{i}": i for i in range(50_000)}),
}


@pytest.mark.parametrize("text", LINES.values(), ids=LINES)
def test_contrasts_from_lines(text: str) -> None:
    with watched(seconds=5), pytest.raises(UserError) as caught:
        parse_jsonl(text)
    caught.value.message.encode()
    assert len(caught.value.message) < 2_000


@pytest.mark.parametrize("text", LINES.values(), ids=LINES)
def test_rows_of_chains(text: str) -> None:
    with watched(seconds=5):
        try:
            found = read_rows(text)
        except UserError as error:
            error.message.encode()
            return
    assert not found.items, "nothing of these can be measured"


@pytest.mark.parametrize("text", LINES.values(), ids=LINES)
@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "..\\..\\a.jsonl", "/etc/\x00.jsonl", "a.exe", ""])
def test_corpora(name: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path))
    if name == "a.txt" and len(text.split()) > 2_000:
        pytest.skip("as plain text, that is a text")
    with watched(seconds=5), pytest.raises(UserError) as caught:
        keep_upload(name, text.encode("utf-8", "surrogatepass"))
    caught.value.message.encode()
    assert not list(tmp_path.glob("corpora/*")), "nothing is kept of it"


@pytest.mark.parametrize("body", [b"\xff\xfea\x00", b"\xfe\xff", b"\x80" * 9_000, b"PK\x03\x04" + bytes(9_000)])
def test_corpora_that_are_no_text(body: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path))
    with pytest.raises(UserError):
        keep_upload("a.txt", body)


@pytest.mark.parametrize("body", [b"", b"[", b"3\n", b'["a", 1, 2]\n', b"[" * 9_000, b"\xff\n", b'["a", "", "", ""]\n'])
def test_a_kept_corpus_that_was_changed(body: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Changed after it was kept, or made to look kept: its name is its checksum, and that is all that protects it."""
    import hashlib

    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path))
    name = hashlib.sha256(body).hexdigest()
    (tmp_path / "corpora").mkdir()
    (tmp_path / "corpora" / f"{name}.jsonl").write_bytes(body)
    with pytest.raises(UserError):
        read_source(TextSource("text", name, "a"))
    (tmp_path / "corpora" / f"{name}.jsonl").write_bytes(body + b"x")
    with pytest.raises(UserError):
        read_source(TextSource("text", name, "a"))


def _setup(manifest: Any, arrays: dict[str, torch.Tensor] | None = None) -> bytes:
    return save(
        arrays or {"a0": torch.zeros(4)}, {"attune": manifest if isinstance(manifest, str) else json.dumps(manifest)}
    )


def _header(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode("utf-8", "surrogatepass")


BASE = {"kind": "steering set-up", "format": 1}
SETUPS: dict[str, bytes] = {
    "nothing": b"",
    "eight bytes": bytes(8),
    "header of 2^63": struct.pack("<Q", 2**63) + b"{}",
    "header that is none": _header("{{{{"),
    "deep header": _header("[" * 100_000),
    "deep manifest": _header(json.dumps({"__metadata__": {"attune": "[" * 100_000}})),
    "header a list": _header("[1, 2]"),
    "no manifest": _header('{"__metadata__": {}}'),
    "manifest a number": _header('{"__metadata__": {"attune": "3"}}'),
    "manifest no text": _header('{"__metadata__": {"attune": 3}}'),
    "another format": _setup({**BASE, "format": 10**9}),
    "nothing else": _setup(BASE),
    "interventions of other kinds": _setup({**BASE, "interventions": 3}),
    "an intervention that is none": _setup({**BASE, "interventions": [3, None]}),
    "numbers beyond range": _setup('{"kind": "steering set-up", "format": 1, "interventions": [], "seed": 1e999}'),
    "no numbers": _setup('{"kind": "steering set-up", "format": NaN}'),
    "a page": b"<!DOCTYPE html>" + bytes(200),
    "an archive": b"PK\x03\x04" + bytes(200),
    "zeros": bytes(5_000),
}


@pytest.mark.parametrize("body", SETUPS.values(), ids=SETUPS)
def test_steering_set_ups(body: bytes, tmp_path: Path) -> None:
    with watched(seconds=5), pytest.raises(UserError) as caught:
        load_setup(body)
    assert caught.value.field == "file"
    (tmp_path / "a.safetensors").write_bytes(body)
    with pytest.raises(UserError):
        load_setup(tmp_path / "a.safetensors")


@pytest.mark.parametrize("value", [None, -1, "x", [], {}, [3], [[[]]], 10**300, True, "\ud800"], ids=repr)
def test_every_entry_of_a_set_up_of_another_kind(value: Any) -> None:
    from analysis.models.sites import Site
    from analysis.steering import Add, SteeringSetup, save_setup

    setup = SteeringSetup("m", "f", 4, (Add(Site(1, "residual"), torch.ones(4), 1.0),))
    body = save_setup(None, setup)
    size = struct.unpack("<Q", body[:8])[0]
    header = json.loads(body[8 : 8 + size])
    whole = json.loads(header["__metadata__"]["attune"])
    rows = whole["interventions"][0]
    for name in [*whole, *(f"row {n}" for n in rows)]:
        manifest = json.loads(json.dumps(whole))
        if name.startswith("row "):
            manifest["interventions"][0][name[4:]] = value
        else:
            manifest[name] = value
        new = json.dumps({**header, "__metadata__": {"attune": json.dumps(manifest)}}).encode()
        try:
            load_setup(struct.pack("<Q", len(new)) + new + body[8 + size :])
        except UserError as error:
            error.message.encode()


@pytest.mark.parametrize(
    "text", ["", "\x00", "9" * 1_999, "٣٤ ٥", "f5 " * 600, "[" * 1_999, "\ud800", "F5" * 999, "x" * 9_999]
)
def test_games_as_text(text: str) -> None:
    with watched(seconds=3), pytest.raises(UserError) as caught:
        parse_moves(text)
    assert caught.value.field == "moves"
