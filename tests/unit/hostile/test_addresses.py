"""Addresses that say anything: every entry of every page, with every kind of nonsense, opens a view without raising."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pages import address
from pages.manifest import PageManifest
from pages.registry import pages

PAGES = [page for page in pages() if page.read_address is not None]
NAMES = sorted({name for page in PAGES for name in page.address})
"""Of all pages: an entry of another page is nonsense, too."""

TEXTS: dict[str, Any] = {
    "deep lists": "[" * 50_000,
    "deep objects": '{"a":' * 2_000 + "1" + "}" * 2_000,
    "closed deep lists": "[" * 500 + "]" * 500,
    "beyond the floats": "1e999",
    "beyond the integers": "1" + "0" * 400,
    "beyond the parser": "9" * 6_000,
    "no number": "NaN",
    "infinity": "-Infinity",
    "half a pair": '"\\ud800"',
    "a raw half": "\ud800",
    "zero byte": "a\x00b",
    "list of odd things": '[null, true, [], {}, 1e308, -1, "x"]',
    "object of odd things": '{"source": [], "regions": [[], null, {"region": {}, "factors": [1e999]}], "layers": {}}',
    "steering": '{"fit": {}, "mode": [], "where": {}, "rotation": 3, "regions": {"a": 1}, "layers": [[]]}',
    "features": '[{"kind": [], "n_examples": {}, "seed": "x", "options": [1]}, {"kind": "jsonl"}]',
    "model of other kinds": '{"source": {"a": 1}}',
    "model elsewhere": '{"source": "//host/share"}',
    "model with more": '{"source": "default", "trust_remote_code": true}',
    "markup": "<img src=x onerror=alert(1)>",
    "hash": "@" + "a" * 64,
    "path": "@../../etc/passwd",
    "twice": ["1", "2"],
    "nothing": "",
    "long": "x" * 100_000,
    "other digits": "٣",
    "minus": "-1",
    "exponent": "1e3",
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path)
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_nonsense_opens_a_view(page: PageManifest, text: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path))
    assert page.read_address is not None
    for name in NAMES:
        view = page.read_address({name: text})
        assert getattr(view, "model", None) is None or view.model["source"] == "default"
        json.dumps(vars(view), default=list, allow_nan=False).encode()  # it is written into the page
    page.read_address(dict.fromkeys(NAMES, text))


def test_a_kept_text_is_believed_only_if_it_is_the_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path))
    text = "line\r\n" * 1000
    name = address.remember(text)
    assert address.recall(name) == text
    (tmp_path / "texts" / name[1:]).write_bytes(b"something else")
    assert address.recall(name) == ""
    (tmp_path / "texts" / name[1:]).unlink()
    (tmp_path / "texts" / name[1:]).mkdir()
    assert address.recall(name) == ""


def test_a_text_with_half_a_character_is_kept_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path))
    kept = address.recall(address.remember("a\ud800" * 2000))
    assert kept == "a?" * 2000
