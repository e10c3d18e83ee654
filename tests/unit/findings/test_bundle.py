"""Bundles: there and back, and those that someone made to do harm."""

from __future__ import annotations

import hashlib
import io
import json
import stat
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis import zipped
from analysis.errors import UserError
from analysis.findings.export.bundle import keep, open_bundle, write_bundle
from analysis.findings.export.handover import gather
from analysis.findings.export.redact import redact
from analysis.findings.export.texts import text_id
from analysis.findings.store import FindingStore
from tests.unit.findings.example_board import SECRET, handover
from tests.unit.findings.test_redact import PIECES, WORDS

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000050001"
    "a5f645400000000049454e44ae426082"
)


def whole() -> bytes:
    """A good bundle."""
    board = handover()
    return write_bundle(replace(board, pictures={"cd" * 32: PNG}), {"page.html": b"<!doctype html>"}, "0.1.0")


def members_of(body: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(members: dict[str, bytes], mend: bool = True) -> bytes:
    """A zip of these members; ``mend``: with checksums that agree."""
    if mend:
        manifest = json.loads(members["manifest.json"])
        manifest["sha256"] = {n: hashlib.sha256(b).hexdigest() for n, b in members.items() if n != "manifest.json"}
        members = {**members, "manifest.json": json.dumps(manifest).encode()}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in members.items():
            archive.writestr(name, body)
    return out.getvalue()


def with_board(change: Callable[[dict[str, Any]], Any]) -> bytes:
    """A bundle whose board was changed by someone who mended the checksums."""
    members = members_of(whole())
    board = json.loads(members["board.json"])
    change(board)
    return packed({**members, "board.json": json.dumps(board).encode()})


def with_member(name: str, body: bytes, mend: bool = True) -> bytes:
    return packed({**members_of(whole()), name: body}, mend)


def with_figure(change: Callable[[dict[str, Any]], Any]) -> bytes:
    members = members_of(whole())
    name = next(n for n in members if n.startswith("figures/"))
    figure = json.loads(members[name])
    change(figure)
    return packed({**members, name: json.dumps(figure).encode()})


def raw_zip(*entries: tuple[zipfile.ZipInfo | str, bytes]) -> bytes:
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")  # a name twice
        for name, body in entries:
            archive.writestr(name, body)
    return out.getvalue()


def a_link() -> bytes:
    info = zipfile.ZipInfo("page.html")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return raw_zip((info, b"/etc/passwd"))


def a_lie() -> bytes:
    """A member that says it is small and unfolds to more."""
    body = bytearray(raw_zip(("manifest.json", b"0" * 300_000)))
    real = (300_000).to_bytes(4, "little")
    for at in (i for i in range(len(body)) if body[i : i + 4] == real):
        body[at : at + 4] = (10).to_bytes(4, "little")
    return bytes(body)


def encrypted() -> bytes:
    body = bytearray(whole())
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        found = body.find(signature)
        while found >= 0:
            body[found + at] |= 1
            found = body.find(signature, found + 4)
    return bytes(body)


def first_pin(board: dict[str, Any]) -> dict[str, Any]:
    pin: dict[str, Any] = board["pins"]["pin-a"]
    return pin


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "no zip": (lambda: b"<svg onload=alert(1)>", "damaged or no zip"),
    "empty": (lambda: b"", "damaged or no zip"),
    "cut off": (lambda: whole()[:-200], "damaged or no zip"),
    "slip upwards": (lambda: raw_zip(("../../evil.json", b"{}")), "member that a bundle has not"),
    "slip from the root": (lambda: raw_zip(("/etc/cron.d/x", b"{}")), "member that a bundle has not"),
    "slip by backslash": (lambda: raw_zip(("pictures\\..\\..\\x.png", b"")), "member that a bundle has not"),
    "slip inside a folder": (lambda: raw_zip(("setups/../../x.safetensors", b"")), "member that a bundle has not"),
    "a pickle": (lambda: raw_zip(("answers/x.pkl", b"cos\nsystem\n")), "member that a bundle has not"),
    "a folder": (lambda: raw_zip(("answers/", b"")), "member that a bundle has not"),
    "right to left": (lambda: raw_zip(("page\u202elmth.exe", b"")), "member that a bundle has not"),
    "a link": (a_link, "is a link"),
    "a name twice": (lambda: raw_zip(("board.json", b"{}"), ("board.json", b"[]")), "twice"),
    "a bomb": (lambda: raw_zip(("board.json", b"0" * 40_000_000)), "unfolds to more than data do"),
    "a lie": (a_lie, "damaged or no zip|larger than it says"),
    "encrypted": (encrypted, "encrypted"),
    "no manifest": (lambda: raw_zip(("board.json", b"{}")), "lacks its manifest"),
    "a member more": (lambda: with_member("methods.txt", b"x", mend=False), "not those that its manifest names"),
    "changed": (lambda: with_member("page.html", b"<script>", mend=False), "its checksum is another"),
    "newer": (
        lambda: packed({**members_of(whole()), "manifest.json": b'{"format": 99, "sha256": {}}'}, mend=False),
        "of format 99",
    ),
    "deep": (lambda: with_member("board.json", b"[" * 90_000 + b"]" * 90_000), "nested deeper"),
    "no JSON": (lambda: with_member("board.json", b"{'a': 1}"), "cannot be read as JSON"),
    "not finite": (lambda: with_member("board.json", b'{"title": NaN}'), "NaN"),
    "half a character": (lambda: with_board(lambda b: b.update(title="\ud800")), "surrogate"),
    "no title": (lambda: with_board(lambda b: b.update(title=" ")), "needs a title"),
    "a list for a board": (lambda: with_member("board.json", b"[]"), "holds no record"),
    "an unknown kind": (lambda: with_board(lambda b: b.update(kind="talk")), "of a kind"),
    "a note that is too long": (
        lambda: with_board(lambda b: b["items"][1]["body"].update(note="x" * 300_000)),
        "Shorten",
    ),
    "a note of 10 MB": (
        lambda: with_board(lambda b: b["items"][1]["body"].update(note="x" * 10_000_000)),
        "unfolds to more than data do",
    ),
    "an item with a field more": (lambda: with_board(lambda b: b["items"][1]["body"].update(html="<b>")), "no field"),
    "an address elsewhere": (
        lambda: with_board(lambda b: b["items"][3]["body"].update(address="javascript:alert(1)")),
        "leads to a page of Attune",
    ),
    "a pin's address elsewhere": (
        lambda: with_board(lambda b: first_pin(b).update(address="//evil.example/x")),
        "leads to a page of Attune",
    ),
    "a pin that is not there": (
        lambda: with_board(lambda b: b["items"][1]["body"].update(pins=["other"])),
        "names a pin that is not in it",
    ),
    "a pin of another form": (lambda: with_board(lambda b: first_pin(b).update(caption=["x"])), "of another kind"),
    "a pin with a field more": (lambda: with_board(lambda b: first_pin(b).update(onload="x")), "that no pin has"),
    "numbers that are texts": (lambda: with_board(lambda b: first_pin(b).update(numbers={"a": "b"})), "another kind"),
    "a part of no kind": (lambda: with_board(lambda b: first_pin(b).update(parts=[{"kind": "svg"}])), "does not know"),
    "a table without rows": (lambda: with_board(lambda b: first_pin(b)["parts"][0].pop("rows")), "lacks a part"),
    "a table of words": (lambda: with_board(lambda b: first_pin(b)["parts"][0].update(rows=["x"])), "no list of rows"),
    "facts without names": (
        lambda: with_board(lambda b: first_pin(b)["parts"].append({"kind": "facts", "title": "t", "rows": [[1, 2]]})),
        "has no names",
    ),
    "a text without words": (lambda: with_board(lambda b: first_pin(b)["parts"][1]["texts"][0].pop("text")), "a text"),
    "a control without a name": (lambda: with_board(lambda b: first_pin(b)["control"].pop("name")), "its control"),
    "a figure without a layout": (lambda: with_figure(lambda f: f.pop("layout")), "cannot be read"),
    "a view without a name": (lambda: with_board(lambda b: first_pin(b).update(ref={})), "names no view"),
    "arrays that are none": (
        lambda: packed({n: b"\x80\x04." if n.endswith(".safetensors") else b for n, b in members_of(whole()).items()}),
        "are no arrays",
    ),
    "a picture that is none": (lambda: with_member(f"pictures/{'cd' * 32}.png", b"<svg/>"), "no PNG"),
    "a figure that is none": (lambda: with_figure(lambda f: f.clear()), "is none"),
    "a map from the network": (lambda: with_figure(lambda f: f["data"].append({"type": "scattermap"})), "not shown"),
    "a picture from the network": (
        lambda: with_figure(lambda f: f["layout"].update(images=[{"source": "https://evil.example/x.png"}])),
        "from elsewhere",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_bundle_is_a_sentence(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make, words = HOSTILE[name]
    with pytest.raises(UserError, match=words) as refusal:
        open_bundle(make())
    assert refusal.value.message[0].isupper() and refusal.value.message.endswith(".")
    assert list(tmp_path.rglob("*")) == []


def test_too_many_members_and_too_much_in_all_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipped, "MAX_MEMBERS", 3)
    with pytest.raises(UserError, match="has at most 3"):
        open_bundle(whole())
    monkeypatch.setattr(zipped, "MAX_MEMBERS", 5000)
    monkeypatch.setattr(zipped, "MAX_TOTAL", 1000)
    with pytest.raises(UserError, match="unfolds to more than"):
        open_bundle(whole())
    monkeypatch.setattr(zipped, "MAX_BUNDLE", 1000)
    with pytest.raises(UserError, match="this file is larger"):
        open_bundle(whole())


def test_a_bundle_becomes_the_board_again(tmp_path: Path) -> None:
    store = FindingStore(tmp_path)
    path = tmp_path / "board.zip"
    path.write_bytes(whole())
    board = keep(store, open_bundle(path))
    again, before = gather(store, board.id), handover()
    assert again.title == before.title
    assert [item.kind for item in again.content.items] == [item.kind for item in before.content.items]
    assert again.content.items[1].body["note"] == before.content.items[1].body["note"]
    for old, new in zip(before.content.pins.values(), again.content.pins.values(), strict=True):
        assert new.id != old.id and new.ref == old.ref and new.numbers == old.numbers and new.stamps == old.stamps
        assert again.figures[new.figure] == before.figures[old.figure]
        one, two = before.answers[old.answers[0]], again.answers[new.answers[0]]
        assert one.data == two.data and np.array_equal(one.arrays["scores"], two.arrays["scores"])
    assert list(again.pictures.values()) == [PNG]
    second = keep(store, open_bundle(whole()))
    assert second.id != board.id and not set(again.content.pins) & set(gather(store, second.id).content.pins)


def test_a_board_that_cannot_be_kept_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, bundle = FindingStore(tmp_path), open_bundle(whole())

    def full(*_: Any, **__: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(store, "add", full)
    with pytest.raises(OSError, match="no space"):
        keep(store, bundle)
    assert store.boards() == ()


def test_equal_boards_give_equal_bundles() -> None:
    assert whole() == whole()


def test_an_answer_of_zeros_is_no_bomb() -> None:
    board = replace(handover(), pictures={})
    next(iter(board.answers.values())).arrays["zeros"] = np.zeros(1_000_000, dtype=np.float32)
    again = open_bundle(write_bundle(board, {}, "0.1.0")).handover
    assert any(not answer.arrays["zeros"].any() for answer in again.answers.values() if "zeros" in answer.arrays)


def test_nothing_hidden_is_in_a_bundle() -> None:
    body = write_bundle(redact(handover(), {text_id(SECRET): ""}), {}, "0.1.0")
    text = " ".join([n + b.decode("utf-8", "replace") for n, b in members_of(body).items()]).casefold()
    assert [word for word in (*WORDS, *PIECES, "never-in-a-file") if word.casefold() in text] == []
    assert len(open_bundle(body).handover.content.pins) == 2
