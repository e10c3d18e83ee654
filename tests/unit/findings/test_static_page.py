"""The static page: what it may run, what its data can do, and that nothing hidden is in it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.findings.export.handover import Handover
from analysis.findings.export.redact import redact
from analysis.findings.export.texts import text_id
from pages.findings.static_page import base_size, delta, static_page
from tests.unit.findings.example_board import SECRET, handover
from tests.unit.findings.test_redact import PIECES, WORDS

HOSTILE = "</script><script>alert(1)</script><!--<script>\u2028<img src=x onerror=alert(1)>"
DATA = st.recursive(
    st.none() | st.integers(-3, 3) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)


class Elements(HTMLParser):
    """The elements of a page: tags, scripts with their content, policies."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.scripts: list[tuple[dict[str, Any], str]] = []
        self.policy = ""
        self.inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        held = dict(attributes)
        self.inside = tag == "script"
        if self.inside:
            self.scripts.append((held, ""))
        if held.get("http-equiv") == "Content-Security-Policy":
            self.policy = str(held["content"])

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.scripts[-1] = (self.scripts[-1][0], self.scripts[-1][1] + data)


def page(board: Handover | None = None) -> str:
    return static_page(board or handover(), "0.1.0").decode()


def applied(one: Any, changes: list[list[Any]]) -> Any:
    """As the page's script does it."""
    made = [json.loads(json.dumps(one))]
    for path, *value in changes:
        at, full = made, [0, *path]
        for key in full[:-1]:
            at = at[key]
        if value:
            at[full[-1]] = value[0]
        else:
            del at[full[-1]]
    return made[0]


@settings(max_examples=40, deadline=None)
@given(DATA, DATA)
def test_the_dark_exhibit_is_the_light_one_and_what_differs(one: Any, other: Any) -> None:
    assert applied(one, delta(one, other)) == other


def test_the_policy_lets_run_what_is_in_the_page_and_nothing_else() -> None:
    elements = Elements(page())
    run = [body for attributes, body in elements.scripts if attributes.get("type") != "application/json"]
    hashes = {f"'sha256-{base64.b64encode(hashlib.sha256(b.encode()).digest()).decode()}'" for b in run}
    named = set(re.findall(r"'sha256-[^']+'", elements.policy))
    assert hashes == named and len(run) == 7
    assert "default-src 'none'" in elements.policy and "unsafe-eval" not in elements.policy
    assert all("src" not in attributes for attributes, _ in elements.scripts)
    assert not {"link", "img", "iframe", "object", "base"} & set(elements.tags)


def test_a_page_without_data_has_at_most_five_megabytes() -> None:
    assert 4_000_000 < base_size() <= 5_000_000


@pytest.mark.parametrize("where", ["title", "claim", "note", "caption", "table"])
def test_no_text_becomes_markup(where: str) -> None:
    board = handover()
    content, pin = board.content, board.content.pins["pin-b"]
    if where == "title":
        board = replace(board, content=replace(content, board=replace(content.board, title=HOSTILE)))
    elif where in ("claim", "note"):
        content.items[2].body[where] = HOSTILE  # type: ignore[literal-required]
    elif where == "caption":
        board.exhibits["pin-b"]["light"]["caption"] = HOSTILE
    else:
        pin.parts[0]["rows"].append([HOSTILE, 1])
    text = page(board)
    before, after = Elements(page()), Elements(text)
    assert before.tags == after.tags
    assert [len(b) for a, b in before.scripts if not a] == [len(b) for a, b in after.scripts if not a]
    data = json.loads(next(body for attributes, body in after.scripts if attributes))
    assert all("<img" not in item.get(name, "") for item in data["items"] for name in ("claim", "note"))


def test_a_finding_without_a_claim_is_called_as_its_views() -> None:
    board = handover()
    board.content.items[2].body["claim"] = ""
    data = json.loads(next(body for attributes, body in Elements(page(board)).scripts if attributes))
    assert [item.get("claim") for item in data["items"]] == ["", "It looks at Quxford.", "Row of sentence"]


def test_readers_get_no_speaker_notes_and_no_addresses() -> None:
    text = page()
    assert "Say slowly" not in text and "never-in-a-file" not in text
    data = json.loads(next(body for attributes, body in Elements(text).scripts if attributes))
    assert all(exhibit["light"]["address"] == "" for exhibit in data["exhibits"].values())


def test_nothing_hidden_is_in_the_page() -> None:
    text = page(redact(handover(), {text_id(SECRET): ""}))
    held = text[: text.index("plotly.js v")] + text[text.rindex("attune-data") :]
    data = next(body for attributes, body in Elements(text).scripts if attributes)
    everything = (data + json.dumps(json.loads(data)) + Elements(text).policy).casefold()
    assert [word for word in (*WORDS, *PIECES) if word.casefold() in everything] == []
    assert "zebra" not in held.casefold() and "quxford" not in text.casefold()
