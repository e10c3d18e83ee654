"""What the scripts of the Findings page get: versions and conflicts, refusals in words, numbers that follow a check."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from dash import Dash, html

from analysis.answer import to_wire
from analysis.engine.question import Result
from analysis.findings.records import Check, Pin
from analysis.findings.store import findings
from components.findings.again import recomputed
from components.kit.figure import figure
from components.kit.view import Control, Drawing, NoOptions, view
from pages.findings import checks
from pages.findings.routes import register_routes
from pages.findings.views import distinctions

Ask = Callable[..., Any]


@dataclass(frozen=True)
class Loss:
    """An answer of the test's own view."""

    kl: float


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ask]:
    """Ask a route of an app that has no others: GET, or POST with a body."""
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path))
    app = Dash(__name__)
    app.layout = html.Div()
    register_routes(app)
    browser = app.server.test_client()

    def send(path: str, body: Any = None) -> Any:
        path = f"/findings/api{path}"
        answer = browser.get(path) if body is None else browser.post(path, json=body)
        assert answer.status_code == 200
        return answer.get_json()

    yield send
    findings().close()


def test_a_board_is_written_in_versions(ask: Ask) -> None:
    board = ask("/boards", {"title": " Heads "})["board"]
    path = f"/boards/{board['id']}"
    first = ask(f"{path}/items", {"kind": "finding", "body": {"claim": "One of 2"}, "author": "a"})["item"]
    second = ask(f"{path}/items", {"kind": "note", "body": {"note": "*N*"}, "after": "", "author": "a"})["item"]
    assert first["html"]["claim"].endswith('<span class="fnd-numeral">2</span>') and "<em>" in second["html"]["note"]
    shown = ask(path)
    assert [item["id"] for item in shown["items"]] == [second["id"], first["id"]]
    assert "items" not in ask(f"{path}?stamp={shown['board']['stamp']}")

    change = f"/items/{first['id']}/change"
    made = ask(change, {"body": {"claim": "Two"}, "version": 1, "author": "b"})
    assert made["item"]["version"] == 2 and made["stamp"] == shown["board"]["stamp"] + 1
    lost = ask(change, {"body": {"claim": "Three"}, "version": 1, "author": "a"})
    assert lost["conflict"]["body"] == {"claim": "Two"} and lost["conflict"]["version"] == 2
    assert "conflict" in ask(f"/items/{first['id']}/drop", {"version": 1})
    assert ask(f"/items/{second['id']}/move", {"after": first["id"], "author": "a"})["item"]["id"] == second["id"]
    assert (
        "moved" in ask(f"{path}/undo", {"author": "a"})["text"]
        and "undo" in ask(f"{path}/undo", {"author": "c"})["refused"]
    )
    copy = ask(f"{path}/copy", {"author": "a"})["board"]
    assert copy["title"] == "Heads (copy)" and copy["id"] != board["id"]
    assert [i["body"] for i in ask(f"/boards/{copy['id']}")["items"]] == [i["body"] for i in ask(path)["items"]]
    ask(f"{path}/drop", {})
    assert "not there any more" in ask(path)["gone"]


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/boards", {"title": "  "}, "title"),
        ("/boards", {"title": 7}, "title"),
        ("/boards", {"title": "x" * 1_000}, "200"),
        ("/boards", {"title": "x", "kind": "shelf"}, "no such kind"),
        ("/boards/none/items", {"kind": "note", "body": {}}, "board"),
        ("/boards/inbox/items", {"kind": "note", "body": {"note": "x" * 3_000_000}}, "too much"),
        ("/boards/inbox/items", {"kind": "note", "body": {"note": "x" * 200_001}}, "200,000"),
        ("/boards/inbox/items", {"kind": "finding", "body": {"pins": ["gone"]}}, "not there"),
        ("/boards/inbox/items", {"kind": "step", "body": {"address": "//e.com"}}, "begins with /"),
        ("/items/none/change", {"body": {}, "version": 1}, "not on the board"),
        ("/items/none/change", {"body": {}, "version": "1"}, "Reload"),
        ("/boards/inbox/undo", {}, "nothing to undo"),
        ("/boards/inbox/check", {}, "no view"),
        ("/compare?pins=a,b", None, "not there"),
        ("/pins/none/again", None, "not computed"),
    ],
)
def test_what_cannot_be_done_is_said(ask: Ask, path: str, body: Any, words: str) -> None:
    findings().inbox()
    assert words in ask(path, body)["refused"]


def test_numbers_and_pictures_follow_a_check_that_moved(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.kit.view.VIEWS", {})

    @view("test/loss", Loss)
    def draw(loss: Loss, _options: NoOptions, theme: str) -> Drawing:
        data = [{"type": "bar", "x": ["kl"], "y": [loss.kl]}]
        control = Control("baseline", "Of nothing.", {"kl": loss.kl / 10})
        return Drawing(figure(data, theme), f"KL {loss.kl}", control=control, numbers={"per cent": 100 * loss.kl})

    store = findings()
    answers = [store.put_answer(Result(*to_wire(Loss(kl)))) for kl in (0.25, 0.75)]
    numbers = {"per cent": 25.0, "kl": 0.25, "control.kl": 0.025}
    drawn = store.put_json({"data": [{"type": "bar", "x": ["kl"], "y": [0.25]}], "layout": {}})
    pins = [
        store.put_pin(Pin(name * 8, name, {"view": "test/loss"}, "/validation", "", "light", 1.0 + n, (answers[0],),
                          drawn, numbers=numbers))
        for n, name in enumerate("ab")
    ]  # fmt: skip
    board = store.inbox().id
    text = "{{per cent}} {{kl}} {{control.kl}}"
    item = store.add(board, "finding", {"claim": text, "pins": [pin.id for pin in pins]})
    (shown,) = ask(f"/boards/{board}")["items"]
    assert [part.partition("<")[0] for part in shown["html"]["claim"].split(">")[1::2]] == ["25", "0.250", "0.0250"]
    listed = {n["reference"]: n["value"] for n in ask(f"/items/{item.id}/numbers?words=kl b")["numbers"]}
    assert listed == {"{{kl@bbbbbbbb}}": "0.250", "{{control.kl@bbbbbbbb}}": "0.0250"}

    store.put_check(Check(pins[0].id, time.time(), "moved", "Moved.", (answers[1],), {"kl": 0.75}))
    (shown,) = ask(f"/boards/{board}")["items"]
    assert [part.partition("<")[0] for part in shown["html"]["claim"].split(">")[1::2]] == ["75", "0.750", "0.0750"]
    again = ask(f"/pins/{pins[0].id}/again?theme=dark")
    assert again["figure"]["data"][0]["y"] == [0.75] and again["caption"] == "KL 0.75" and again["theme"] == "dark"
    check = store.check(pins[0].id)
    assert check is not None and recomputed(pins[0], check, store, "light")["control"]["numbers"] == {"kl": 0.075}  # type: ignore[index]

    pair = ask(f"/compare?pins={pins[0].id},{pins[1].id}")
    assert [e["figure"]["layout"]["yaxis"]["range"] for e in pair["exhibits"]] == [[0, pytest.approx(0.2625)]] * 2
    assert pair["difference"]["figure"]["data"][0]["y"] == [0.0] and pair["difference"]["control"] is None
    assert re.fullmatch(r"b \(pinned [-\d: ]+ UTC\) minus a \(pinned [-\d: ]+ UTC\)\.", pair["difference"]["caption"])


def test_views_are_told_apart_by_the_settings_that_differ() -> None:
    one = {"view": "a/b", "text": "Same", "head": {"layer": 18, "head": 6}, "strengths": [0.25, 1.0]}
    other = {"view": "a/b", "text": "Same", "head": {"layer": 17, "head": 6}, "strengths": [0.25], "skip_first": True}
    assert distinctions([one, other]) == ["layer 18 · strengths 0.25 1", "layer 17 · strengths 0.25 · skip first True"]
    assert distinctions(
        [{"key": {"layer": 1}, "query": {"layer": 2}}, {"key": {"layer": 3}, "query": {"layer": 4}}]
    ) == [
        "key layer 1 · query layer 2",
        "key layer 3 · query layer 4",
    ]
    assert distinctions([one, one, {**one, "text": "x" * 200}])[2] == f"text {'x' * 60}…" and distinctions([one]) == [
        ""
    ]


def test_how_a_check_ended_is_said_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    states = {"runs": checks.Checking(), "ended": checks.Checking(done=True, end=now - 10)}
    monkeypatch.setattr(checks, "_checking", states | {"long ago": checks.Checking(done=True, end=now - 1000)})
    assert [checks.progress_of(board) is not None for board in (*states, "long ago", "never")] == [
        True,
        True,
        False,
        False,
    ]
