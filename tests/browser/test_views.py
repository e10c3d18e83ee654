"""Every figure on screen is a value: what its card keeps, read back from JSON, draws the same figure again, and can be
pinned, as can each panel."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from dash import Dash
from playwright.sync_api import Page
from plotly.utils import PlotlyJSONEncoder

from analysis.engine.client import Client
from analysis.view_ref import ViewRef
from tests.browser.conftest import Server
from tests.browser.test_axe import ANSWERED, QUIET

pytestmark = pytest.mark.browser
CARDS = """(names) => names.filter((name) => document.getElementById(name)).map((name) => {
  const ref = dash_component_api.getLayout({ settings: name }).props.data;
  const figure = dash_component_api.getLayout(name).props.figure;
  return [name, ref || null, ref && figure ? JSON.parse(JSON.stringify(figure)) : null];
})"""

PANELS = """(names) => names.filter((name) => document.querySelector(`[data-card="${name}"]`)).map((name) =>
  [name, dash_component_api.getLayout({ settings: name }).props.data || null])"""


# Each card and panel with something in it, in all tabs that were opened: what its pin came to.
PIN = """async () => {
  const out = {};
  for (const { dataset } of document.querySelectorAll('[data-pin]')) {
    const ref = dash_component_api.getLayout({ settings: dataset.pin }).props.data;
    if (!ref || !ref.view) continue;
    const made = await fetch('/findings/api/pin', { method: 'POST', headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ ref, title: dataset.pin, address: location.pathname, theme: 'light' }) });
    out[dataset.pin] = await made.json();
  }
  return out;
}"""


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


@pytest.fixture(scope="module")
def render(server: Server) -> Any:
    """Draw a ref in this process, asking the worker of the app under test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATTUNE_HOME", str(server.home))
        Dash("views", use_pages=False)
        from analysis import catalogue
        from pages import cards, common
        from pages.registry import pages

        assert catalogue.NAMES and pages()
        client = Client()
        patch.setattr(common, "client", lambda: client)
        yield lambda ref, theme: cards.render(ViewRef.from_dict(json.loads(json.dumps(ref))), theme)


LEAST = {"/attention": 3, "/steering": 3, "/othello": 6, "/neurons": 4, "/mlp-features": 3, "/faithfulness": 6}
"""How many cards of a page hold a figure, at least, once it has answered and all its tabs were opened."""
LEAST_PANELS = {"/steering": 4, "/neurons": 6, "/mlp-features": 7}
"""The same of cards without a graph."""


@pytest.mark.parametrize("path", list(LEAST))
def test_what_a_card_keeps_draws_its_figure_again(
    path: str, open_page: Callable[..., Page], render: Callable[..., Any]
) -> None:
    from components.kit.card import CARDS as ALL
    from components.kit.card import PANELS as ALL_PANELS

    page = open_page(path, width=1440, height=900)
    page.wait_for_selector(ANSWERED[path])
    for name in [name for name in page.locator(".nav-tabs .nav-link").all_inner_texts() if name]:
        page.locator(".nav-tabs .nav-link", has_text=name).first.click()
        page.evaluate(QUIET)
    shown = [(name, ref, figure) for name, ref, figure in page.evaluate(CARDS, list(ALL)) if ref and figure]
    assert len(shown) >= LEAST[path], [name for name, *_ in shown]
    wrong = {}
    for name, ref, figure in shown:
        drawn = json.loads(json.dumps(render(ref, "light").figure, cls=PlotlyJSONEncoder))
        for either in (drawn, figure):
            either["layout"].pop("template", None)  # the theme's, which a switch changes in the browser
        problems = differences(plain(drawn), plain(figure))
        if problems:
            wrong[name] = problems[:5]
    assert not wrong, json.dumps(wrong, indent=1)
    pins = page.evaluate(PIN)
    assert {name for name, *_ in shown} <= pins.keys() and [p for p in pins.values() if "pin" not in p] == []
    panels = [(name, ref) for name, ref in page.evaluate(PANELS, list(ALL_PANELS)) if ref]
    assert len(panels) >= LEAST_PANELS.get(path, 0), [name for name, _ in panels]
    assert [name for name, ref in panels if not render(ref, "light").parts] == []
