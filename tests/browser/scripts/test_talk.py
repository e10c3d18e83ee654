"""talk/screens.js: a room is told what is stale or came out otherwise, and which of two views is which."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page

pytestmark = pytest.mark.browser
Scripted = Callable[..., Page]

# Pins answer as pages/frame/pins.py, pages/findings/checks.py and pages/findings/views.py do.
SERVER = """
const exhibit = (id) => ({ id, title: "KL", caption: "", figure: null, height: 0, parts: [], control: null, numbers: {},
  settings: { view: "x/y", text: "long ".repeat(20), layer: 3 }, facts: {}, address: "/", models: [],
  date: "2026-01-01T10:00", check: checks[id] || null, stale: null, frozen: "Frozen.", theme: "light" });
window.checks = {};
window.asked = [];
window.fetch = async (path) => {
  asked.push(path);
  let answer = exhibit(path.split("/pins/")[1]?.split("?")[0]);
  if (path.endsWith("/stale")) answer = { stale: { b: "Changed since it was pinned: the code that computes it." } };
  if (path.includes("/compare")) answer = { exhibits: [exhibit("a"), exhibit("b")], apart: ["layer 3", ""] };
  return { ok: true, json: async () => answer };
};
window.T = dash_clientside.attune_talk;
window.pin = (id) => ({ id, title: "View " + id, view: "x/y", figure: false, address: "/" });
window.screenOf = (pins, body = {}) => T.screensOf({ board: { title: "B" },
  pins: Object.fromEntries(pins.map((p) => [p.id, p])),
  items: [{ id: "i", kind: "finding", body: { pins: pins.map((p) => p.id), ...body }, html: {} }] })[1];
window.drawn = async (screen) => {
  const frame = T.frameOf(screen);
  document.body.append(frame);
  await T.fill(frame, screen, "light", "");
  return frame;
};
"""


@pytest.fixture
def page(scripted: Scripted) -> Page:
    page = scripted()
    page.evaluate("() => {" + SERVER + "}")
    return page


def marks(page: Page, *pins: str) -> Any:
    draw = "async (ids) => { window.frame = await drawn(screenOf(ids.map(pin))); }"
    page.evaluate(draw, list(pins))
    return page.evaluate("() => [...frame.querySelectorAll('.attune-exhibit-mark')].map((e) => e.textContent)")


def test_a_room_is_told_what_is_stale_or_moved(page: Page) -> None:
    page.evaluate(
        "() => { checks.a = { state: 'equal', text: 'Equal.' }; checks.c = { state: 'moved', text: 'Moved.' }; }"
    )
    assert marks(page, "a") == marks(page, "b") == []
    page.evaluate("() => T.changesOf('board')")
    assert marks(page, "a") == []
    assert marks(page, "b") == ["Stale: Changed since it was pinned: the code that computes it."]
    assert marks(page, "c") == ["Checked: Moved."]
    page.evaluate("() => T.fill(frame, screenOf([pin('b')]), 'light', '')")  # again: what stood there is gone
    assert page.evaluate("() => frame.querySelectorAll('.talk-views').length") == 1
    assert page.evaluate("() => frame.querySelector('.talk-settings').textContent").startswith("layer 3 · text long")


def test_a_finding_without_a_claim_is_called_as_its_views(page: Page) -> None:
    titles = "(body) => screenOf([pin('a'), pin('b')], body).title"
    assert page.evaluate(titles, {}) == "View a, View b"
    assert page.evaluate(titles, {"claim": "It holds."}) == "It holds."


def test_views_of_one_kind_share_their_axes_and_say_which_is_which(page: Page) -> None:
    page.evaluate("async () => { await drawn(screenOf(['a', 'b'].map((id) => ({ ...pin(id), figure: true })))); }")
    assert page.evaluate("asked") == ["/findings/api/compare?theme=light&pins=a,b"]
    titles = "() => [...document.querySelectorAll('.attune-exhibit-title')].map((e) => e.textContent)"
    assert page.evaluate(titles) == ["KL: layer 3", "KL"]
