"""The routes of pins: what a card holds is drawn, frozen and put on a board, or refused in words."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dash import Dash, html
from flask.testing import FlaskClient

from analysis.answer import to_wire
from analysis.engine.client import Client
from analysis.engine.question import Result
from analysis.findings.store import findings
from analysis.qk.ops.features import Evidence
from components.kit.theme import template
from components.qk.evidence_figures import spectrum
from pages import common
from pages.frame import pins
from pages.frame.pins import register_pins, window_of
from tests.unit.findings.pinned import png
from tests.unit.test_attention_views import EVIDENCE

CAMERA = {"eye": {"x": 1, "y": 2.5, "z": 0}, "projection": {"type": "perspective"}}


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FlaskClient]:
    """A server with the routes, without a worker, whose client has just had an answer."""
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path))
    client = Client(patience=0.1)
    client.remember(Evidence(layer=1), Result(*to_wire(EVIDENCE)))
    for module in (common, pins):
        monkeypatch.setattr(module, "client", lambda: client)
    app = Dash("pins", use_pages=False)
    app.layout = html.Div()
    register_pins(app)
    yield app.server.test_client()
    findings().close()


def asked(**changes: Any) -> dict[str, Any]:
    question = {"operation": "Evidence", "params": Evidence(layer=1).to_params(), "key": ""}
    ref = {"view": "attention/spectrum", "questions": [question], "options": {}, "facts": {"rank": 1}}
    return {"ref": ref, "title": "Singular values", "address": "/attention?tab=evidence", "theme": "dark",
            "height": 360, "window": {"xaxis.range": [0, 5], "evil": "x"}, "author": "me", **changes}  # fmt: skip


def test_a_pin_is_a_finding_with_all_that_the_view_says(web: FlaskClient) -> None:
    made = web.post("/findings/api/pin", json=asked()).get_json()
    content = findings().board(made["board"])
    assert made["title"] == content.board.title == "My findings" and made["version"] == 1
    (item,) = content.items
    assert (item.id, item.kind, item.body["pins"], item.author) == (made["item"], "finding", [made["pin"]], "me")
    pin = content.pins[made["pin"]]
    drawing = spectrum.draw(EVIDENCE, spectrum.options(), "dark")
    assert pin.ref["view"] == "attention/spectrum" and "facts" not in pin.ref
    assert (pin.caption, pin.facts, pin.theme, pin.height) == (drawing.caption, drawing.facts, "dark", 360)
    assert pin.window == {"xaxis.range": [0, 5]} and pin.models[0]["source"] == "default"
    assert pin.control is not None and pin.control["name"] == "shuffled labels"
    own = list(drawing.numbers)
    assert list(pin.numbers)[: len(own)] == own != sorted(own), "the view's own come first, in its order"
    shown = web.get(f"/findings/api/pins/{pin.id}?theme=light").get_json()
    assert shown["figure"]["layout"]["template"] == template("light") and shown["frozen"] is None
    assert shown["figure"]["layout"]["xaxis"]["range"] == [0, 5]


def test_a_pin_goes_to_the_board_that_is_named_while_there_is_one(web: FlaskClient) -> None:
    board = findings().new_board("Heads").id
    assert web.post("/findings/api/pin", json=asked(board=board)).get_json()["title"] == "Heads"
    findings().drop_board(board)
    assert web.post("/findings/api/pin", json=asked(board=board)).get_json()["title"] == "My findings"


@pytest.mark.parametrize(
    ("ref", "words"),
    [
        (None, "names no view"),
        ({"view": "no/such"}, "no view called"),
        (asked()["ref"] | {"questions": []}, "draws 1 answers, not 0"),
        (asked()["ref"] | {"options": {"x": 1}}, "no option 'x'"),
    ],
)
def test_what_cannot_be_pinned_is_refused_in_words(web: FlaskClient, ref: Any, words: str) -> None:
    assert words in web.post("/findings/api/pin", json=asked(ref=ref)).get_json()["refused"]
    assert findings().boards() == ()


def test_the_answer_of_a_job_that_is_not_kept_any_more_is_refused(web: FlaskClient) -> None:
    question = {"operation": "HeldOut", "params": {}, "key": "0" * 64}
    ref = {"view": "attention/map", "questions": [question], "options": {"layer": 0, "head": 0}}
    assert "is not kept any more" in web.post("/findings/api/pin", json=asked(ref=ref)).get_json()["refused"]


def test_an_address_that_leads_elsewhere_and_other_types_are_turned_away(web: FlaskClient) -> None:
    for address in ("https://example.org/", "//example.org", "javascript:alert(1)"):
        assert "begins with /" in web.post("/findings/api/pin", json=asked(address=address)).get_json()["refused"]
    assert web.post("/findings/api/pin", data="{}", content_type="text/plain").status_code == 415


def test_the_picture_follows(web: FlaskClient) -> None:
    pin = web.post("/findings/api/pin", json=asked()).get_json()["pin"]
    path = f"/findings/api/pins/{pin}/picture"
    assert web.get(path).status_code == 404
    for wrong in (None, "data:image/png;base64,@@", "data:image/svg+xml;base64,PHN2Zz4="):
        assert "PNG" in web.post(path, json={"png": wrong}).get_json()["refused"]
    url = "data:image/png;base64," + base64.b64encode(png()).decode()
    assert web.post(path, json={"png": url}).get_json() == {"pin": pin}
    answer = web.get(path)
    assert answer.data == png() and answer.mimetype == "image/png"


def test_a_window_is_ranges_and_cameras_alone() -> None:
    good = {"yaxis2.range": [1, 2.5], "scene.camera": CAMERA}
    bad = {"xaxis.range": [1, float("nan")], "yaxis.range": "x", "xaxis.title": "x", "scene2.camera": {"eye": 1},
           "scene3.camera": CAMERA | {"projection": "x"}, "__proto__.range": [0, 1]}  # fmt: skip
    assert window_of(good | bad) == good
    assert window_of(None) == window_of([1]) == {}
