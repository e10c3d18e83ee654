"""Every page is opened once and walked through, tab by tab, and five things are seen on the way.

It has sent questions and settings to the server, never answers. axe-core finds no serious or critical barrier on any
tab, nor one of contrast in the other theme on the last tab. And every figure is a value: what its card keeps, read back
from JSON, draws the same figure again, and can be pinned. What is needed first is on the first screen, and no page is
wider than a window (test_stage says which). One walk serves all, since opening the pages is most of the
work.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from dash import Dash
from playwright.sync_api import Browser, Page, Request
from plotly.utils import PlotlyJSONEncoder

from analysis.engine.client import Client
from analysis.view_ref import ViewRef
from components.kit.card import CARDS as ALL
from components.kit.card import PANELS as ALL_PANELS
from pages.registry import pages
from tests.browser import test_stage
from tests.browser.conftest import QUIET, Server, grave, windows

pytestmark = pytest.mark.browser

# What stands on a page once it has answered about what it opens with.
ANSWERED = {
    "/": ".home-label:has-text('heads on a prompt')",
    "/attention": ".attune-answer p",
    "/steering": "#stream-state:has-text('a second.')",
    "/othello": "#oth-right-tpr:has-text('of 64 right')",
    "/neurons": "#nrn-ends .nrn-end",
    "/mlp-features": "#mlp-contexts-top .mlp-context",
    "/faithfulness": "#fth-badge .fth-badge",
    "/validation": "#toy-train",
    "/findings": ".fnd-main",
    "/model": "#residents .attune-works",
}
SHORT = {"/steering": "?count=8"}
"""What the address asks for besides, so that a page does not write long texts."""
MOST = 100_000
"""Bytes that all callbacks together may send while a page opens."""
LEAST = {"/attention": 3, "/steering": 3, "/othello": 6, "/neurons": 4, "/mlp-features": 3, "/faithfulness": 6}
"""How many cards of a page hold a figure, at least, once it has answered and all its tabs were opened."""
LEAST_PANELS = {"/attention": 3, "/steering": 4, "/neurons": 6, "/mlp-features": 7, "/model": 1}
"""The same of cards without a graph."""
TAB = ".tab-content > .active"
CONTRAST = ["color-contrast"]
"""The one rule that depends on the theme."""
CARDS = """(names) => names.filter((name) => document.getElementById(name)).map((name) => {
  const ref = dash_component_api.getLayout({ settings: name }).props.data;
  const figure = dash_component_api.getLayout(name).props.figure;
  return [name, ref || null, ref && figure ? JSON.parse(JSON.stringify(figure)) : null];
})"""
PANELS = """(names) => names.filter((name) => document.querySelector(`[data-card="${name}"]`)).map((name) =>
  [name, dash_component_api.getLayout({ settings: name }).props.data || null])"""
# What Pin gives for each card with something in it, on a board that is taken away again.
PIN = """async () => {
  const out = {};
  const post = async (path, body) => (await fetch('/findings/api' + path, { method: 'POST',
    headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) })).json();
  const board = (await post('/boards', { title: 'Walk' })).board.id;
  for (const { dataset } of document.querySelectorAll('[data-pin]')) {
    const ref = dash_component_api.getLayout({ settings: dataset.pin }).props.data;
    if (!ref || !ref.view) continue;
    const more = { title: dataset.pin, address: location.pathname, theme: 'light' };
    out[dataset.pin] = await post('/pin', { ref, board, ...more });
  }
  await post(`/boards/${board}/drop`, {});
  return out;
}"""
THEME = "document.documentElement.dataset.bsTheme"


def barriers(page: Page, tab: str, where: str | None, rules: list[str] | None = None) -> list[str]:
    """The grave barriers, with theme and tab before each. No callback may be under way."""
    return [f"{page.evaluate(THEME)}, tab {tab}: {barrier}" for barrier in grave(page, where, rules)]


def test_every_page_is_looked_at() -> None:
    assert {page.path for page in pages()} == set(ANSWERED)


def plain(value: Any) -> Any:
    """A figure as lists and numbers, whichever way its arrays travel."""
    if isinstance(value, dict):
        if "bdata" in value:
            raw = (
                base64.b64decode(value["bdata"]) if isinstance(value["bdata"], str) else bytes(value["bdata"].values())
            )
            rows = np.frombuffer(raw, dtype=value["dtype"])
            shape = [int(n) for n in str(value.get("shape", len(rows))).split(",")]
            return plain(rows.reshape(shape).tolist())
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [plain(v) for v in value]
    if isinstance(value, float):
        return None if np.isnan(value) else float(np.float32(value))
    return value


def differences(a: Any, b: Any, path: str = "") -> list[str]:
    """Where two plain figures differ by more than the rounding of float32."""
    if isinstance(a, dict) and isinstance(b, dict):
        keys = {k for k in a.keys() | b.keys() if a.get(k) is not None or b.get(k) is not None}
        return [d for k in sorted(keys) for d in differences(a.get(k), b.get(k), f"{path}.{k}")]
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return [d for i, (x, y) in enumerate(zip(a, b, strict=True)) for d in differences(x, y, f"{path}[{i}]")]
    if isinstance(a, (int, float)) and isinstance(b, (int, float)) and not isinstance(a, bool):
        return [] if abs(a - b) <= 1e-6 + 1e-5 * abs(b) else [f"{path}: {a} and {b}"]
    return [] if a == b else [f"{path}: {str(a)[:80]} and {str(b)[:80]}"]


def leave_out_ranges(drawn: dict[str, Any], figure: dict[str, Any]) -> None:
    """Take out what Plotly writes into a figure on the page once it has worked out an axis that was left open."""
    for name in {n for n in (*drawn, *figure) if re.fullmatch(r"[xy]axis\d*", n)}:
        axis, there = drawn.setdefault(name, {}), figure.setdefault(name, {})
        if "range" not in axis:
            axis.pop("autorange", None)  # "reversed", which becomes a range
        for key in ("type", "range", "autorange"):
            if key not in axis:
                there.pop(key, None)


@pytest.fixture(scope="module")
def render(server: Server) -> Any:
    """Draw a ref in this process, asking the worker of the app under test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATTUNE_HOME", str(server.home))
        Dash("views", use_pages=False)
        from analysis import catalogue
        from pages import cards, common

        assert catalogue.NAMES and pages()
        client = Client()
        patch.setattr(common, "client", lambda: client)
        yield lambda ref, theme: cards.render(ViewRef.from_dict(json.loads(json.dumps(ref))), theme)


@dataclass
class Walk:
    """What was seen on a page. ``sizes``: bytes of each callback's request while it opened, and their beginnings.
    ``outside``: what should be on the first screen and is not, by theme; ``wide``: where the page is wider than its
    window. ``barriers``: violations. ``cards``: ref and figure of each that holds one, by name; ``panels``: ref of
    those without a graph; ``pins``: what Pin gave for the cards and panels that held something at the end."""

    path: str
    sizes: list[tuple[int, str]]
    outside: dict[str, list[str]]
    wide: list[str]
    barriers: list[str]
    cards: dict[str, tuple[Any, Any]]
    panels: dict[str, Any]
    pins: dict[str, dict[str, Any]]


def settle(page: Page) -> None:
    """Wait for what a tab asks, on a busy machine as well: it is not answered any more once the next tab is open."""
    for _ in range(6):
        page.evaluate(QUIET)
        if not page.evaluate("window.store.getState().isLoading"):
            return


def cards_of(page: Page) -> tuple[dict[str, tuple[Any, Any]], dict[str, Any]]:
    """Refs and figures of the cards that hold one now, and refs of those without a graph."""
    figures = {name: (ref, figure) for name, ref, figure in page.evaluate(CARDS, list(ALL)) if ref and figure}
    return figures, {name: ref for name, ref in page.evaluate(PANELS, list(ALL_PANELS)) if ref}


@pytest.fixture(scope="module", params=ANSWERED)
def walk(request: pytest.FixtureRequest, browser: Browser, server: Server) -> Walk:
    path, sizes = str(request.param), []
    pages()  # cards are known once the pages are imported

    def count(sent: Request) -> None:
        if "/_dash-update-component" in sent.url:
            body = sent.post_data_buffer or b""
            sizes.append((len(body), body[:120].decode("utf-8", "replace")))

    with windows(browser, server) as open_page:
        page = open_page("/assets/theme.js", width=1440, height=900)  # a window that has asked nothing yet
        page.on("request", count)
        page.goto(server.url + path + SHORT.get(path, ""))
        page.wait_for_selector(ANSWERED[path])
        settle(page)
        page.remove_listener("request", count)
        cards, panels = cards_of(page)
        outside: dict[str, list[str]] = {}
        for theme in ("dark", "light") if path in test_stage.FIRST_SCREEN else ():
            page.click("#theme-toggle")
            outside[theme] = test_stage.outside(page, path)
        lines = barriers(page, "first", None)
        tabs = [name for name in page.locator(".nav-tabs .nav-link").all_inner_texts() if name]
        for name in tabs[1:]:
            page.locator(".nav-tabs .nav-link", has_text=name).first.click()
            settle(page)
            more = cards_of(page)  # before axe-core scrolls through them
            cards, panels = more[0] | cards, more[1] | panels
            lines += barriers(page, name, TAB)
        pins = page.evaluate(PIN)
        page.click("#theme-toggle")
        settle(page)
        # The last tab alone: all of them once more would take the suite past its twenty minutes.
        lines += barriers(page, "last", None, CONTRAST)
        wide = test_stage.wide(page)
    return Walk(path, sizes, outside, wide, lines, cards, panels, pins)


def test_nobody_meets_a_grave_barrier(walk: Walk) -> None:
    assert not walk.barriers, f"{len(walk.barriers)} violations:\n" + "\n".join(walk.barriers)


def test_what_is_needed_is_on_the_first_screen_and_no_page_is_wider_than_its_window(walk: Walk) -> None:
    assert not any(walk.outside.values()), json.dumps(walk.outside, indent=1)
    assert not walk.wide, "\n".join(walk.wide)


def test_opening_a_page_sends_little(walk: Walk) -> None:
    total = sum(size for size, _ in walk.sizes)
    print(f"{walk.path}: {total:,} bytes in {len(walk.sizes)} requests")
    largest = sorted(walk.sizes, reverse=True)[:5]
    assert len(walk.sizes) > 1 and total < MOST, f"{total:,} bytes, the largest: {largest}"


def test_what_a_card_keeps_draws_its_figure_again(walk: Walk, render: Callable[..., Any]) -> None:
    assert len(walk.cards) >= LEAST.get(walk.path, 0), list(walk.cards)
    wrong = {}
    for name, (ref, figure) in walk.cards.items():
        drawn = json.loads(json.dumps(render(ref, "light").figure, cls=PlotlyJSONEncoder))
        for either in (drawn, figure):
            either["layout"].pop("template", None)  # the theme's, which a switch changes in the browser
        leave_out_ranges(drawn["layout"], figure["layout"])
        problems = differences(plain(drawn), plain(figure))
        if problems:
            wrong[name] = problems[:5]
    assert not wrong, json.dumps(wrong, indent=1)
    assert len(walk.panels) >= LEAST_PANELS.get(walk.path, 0), list(walk.panels)
    assert [name for name, ref in walk.panels.items() if not render(ref, "light").parts] == []


def test_what_a_card_shows_can_be_pinned(walk: Walk) -> None:
    assert len(walk.pins) >= LEAST.get(walk.path, 0) + LEAST_PANELS.get(walk.path, 0), list(walk.pins)
    assert {name: made for name, made in walk.pins.items() if "pin" not in made} == {}
