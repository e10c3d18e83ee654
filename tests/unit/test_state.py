"""What an address may do to the Attention page: nothing but open a view, whatever stands in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from analysis.models.spec import ModelSpec
from pages.address import LONG_TEXT, link_to, recall, remember
from pages.attention.state import ADDRESS, View, read_address

INDUCTION = {"kind": "induction", "n_examples": 64, "seed": 0, "options": {}}


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


HOSTILE: list[dict[str, Any]] = [
    {name: value}
    for name in ADDRESS
    for value in ("", "null", "{", "[" * 50_000, "-1", "1e999", "NaN", "\x00", "<script>", "\ud800", "9" * 5000, "١")
    if name != "text"
]
ODD: list[dict[str, Any]] = [
    {"head": '{"layer": "18", "head": 6}'},
    {"head": '{"layer": 18}'},
    {"head": "[18, 6]"},
    {"features": '{"kind": "induction"}'},
    {"features": '[{"kind": "induction", "n_examples": 1e12}, {"kind": ["induction"]}, null, "x", 7]'},
    {"model": '{"source": {"a": 1}}'},
    {"model": '{"source": "default", "trust_remote_code": true}'},
    {"model": '{"source": "default", "device": "cuda; rm"}'},
    {"chat": "1", "manual": "True", "tab": "WHY", "side": ["query"], "reference": {"a": 1}},
    {"features": ["a", "b"], "model": ["c"], "text": ["d", "e"], "query": ["1", "2"], "score": ["s"]},
]


@pytest.mark.parametrize("query", HOSTILE + ODD, ids=lambda q: str(q)[:40])
def test_no_address_can_break_the_view(query: dict[str, Any]) -> None:
    view, usual = read_address(query), View()
    assert view.model in (None, ModelSpec().to_dict()) and view.head is None
    assert (view.tab, view.side, view.reference, view.text) == (usual.tab, usual.side, usual.reference, usual.text)
    for name in ("generate", "active", "rank"):
        assert 0 <= getattr(view, name) <= 4096
    for name in ("query", "key"):
        assert getattr(view, name) is None or getattr(view, name) >= 0
    assert all(f["kind"] == "induction" for f in view.features)
    assert not view.chat and not view.manual and len(view.score) < 40
    json.dumps([vars(view)], allow_nan=False)


def test_at_most_six_features_come_in_and_bad_ones_are_left_out() -> None:
    bad = {**INDUCTION, "n_examples": 3}
    features = [{**INDUCTION, "seed": s} for s in range(4)]
    view = read_address({"features": json.dumps([*features, bad, *features])})
    assert [f["seed"] for f in view.features] == [0, 1, 2, 3, 0]


@pytest.mark.parametrize(
    "name",
    [
        "@../secret", "@..%2Fsecret", "@/etc/passwd", "@" + "../" * 30 + "etc/passwd", "@" + "A" * 64, "@" + "a" * 63,
        "@" + "a" * 65, "@" + "a" * 64 + "\n", "@" + "a" * 60 + "/../", "@" + "a" * 64 + "/../../secret",
    ],
)  # fmt: skip
def test_only_a_hash_is_ever_looked_up(name: str, home: Path) -> None:
    (home / "texts").mkdir(parents=True)
    (home / "secret").write_text("a secret")
    assert recall(name) == name, "it is a prompt that looks odd, and nothing more"


def test_a_hash_that_is_not_here_is_an_empty_prompt() -> None:
    assert recall("@" + "0" * 64) == ""


@pytest.mark.parametrize(
    "text", ["x" * LONG_TEXT, "x" * (LONG_TEXT + 1), "@home", "שלום " * 600, "line\nline\r\n" * 300]
)
def test_what_is_remembered_is_recalled_to_the_letter(text: str, home: Path) -> None:
    name = remember(text)
    assert len(name) <= LONG_TEXT and recall(name) == text
    assert read_address({"text": name}).text == text
    kept = list((home / "texts").iterdir()) if (home / "texts").exists() else []
    assert len(kept) == (name != text) and all(p.parent == home / "texts" for p in kept)


def _query(link: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(link).query))


def test_the_link_of_a_reading_leads_to_what_is_read_and_not_to_what_was() -> None:
    head = "%7B%22layer%22%3A1%2C%22head%22%3A2%7D"
    before = f"/attention?text=old+words&query=7&key=3&chat=true&generate=5&tab=map&head={head}"
    link = link_to(before, ModelSpec(), "new words & more", False, 0)
    view = read_address(_query(link))
    assert (view.text, view.query, view.key, view.chat, view.generate) == ("new words & more", None, None, False, 0)
    assert view.tab == "map" and view.head == {"layer": 1, "head": 2} and view.model == ModelSpec().to_dict()
    assert read_address(_query(link_to(link, ModelSpec(), "y " * 3000, True, 4))).text == "y " * 3000
    assert _query(link_to("", ModelSpec(), "one two", True, 4))["chat"] == "true"


@pytest.mark.parametrize("text", ["", "  ", "x" * 20_001, "\ud800 half", "bell\x07"])
def test_a_prompt_that_is_refused_leaves_nothing_behind(text: str, home: Path) -> None:
    assert link_to("/attention?text=old", ModelSpec(), text, False, 0) == "/attention"
    assert not (home / "texts").exists()
