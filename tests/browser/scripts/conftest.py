"""The scripts in Chromium without a server: a page with all of them, and a stand-in for what they call of Dash."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route

from app import own_scripts

ASSETS = Path(__file__).resolve().parents[3] / "assets"
ADDRESS = "http://localhost/"
# Props that are set are kept by component in `props` and, in their order, in `put`.
DASH = """
window.props = {}; window.put = [];
window.data = (id) => (props[id] || {}).data;
window.dash_component_api = { getLayout: (id) => props[id] && { props: props[id] } };
window.dash_clientside = { no_update: "unchanged", callback_context: { triggered: [], triggered_id: null },
  set_props: (id, more) => {
    props[id] = { ...props[id], ...more };
    put.push([id, JSON.parse(JSON.stringify(more))]);
  } };
"""


def scripts() -> list[Path]:
    """All scripts in the order in which the app loads them."""
    first = [ASSETS / name for name in own_scripts()]
    rest = sorted(set(ASSETS.rglob("*.js")) - set(first), key=lambda path: (path.parent != ASSETS, str(path)))
    return [*first, *rest]


@pytest.fixture(scope="session")
def window(browser: Browser) -> Iterator[Page]:
    """One page for all tests: it is loaded anew for each, which is quicker than another page."""
    page = browser.new_page(accept_downloads=True)
    page.set_default_timeout(10_000)
    yield page
    page.close()


@pytest.fixture
def scripted(window: Page) -> Iterator[Callable[..., Page]]:
    """Load the page anew with a body and all scripts; at the end none of them may have had an error."""
    problems: list[str] = []
    listeners: dict[str, Callable[[Any], None]] = {
        "pageerror": lambda error: problems.append(f"page error: {error}"),
        "dialog": lambda dialog: problems.append(f"dialog: {dialog.message}"),
    }

    def load(body: str = "") -> Page:
        def answer(route: Route) -> None:
            route.fulfill(content_type="text/html", body=f"<!doctype html><html><body>{body}</body></html>")

        window.unroute_all()
        window.route(ADDRESS + "*", answer)
        window.goto(ADDRESS)
        window.evaluate("() => {" + DASH + "\n".join(path.read_text("utf-8") for path in scripts()) + "}")
        return window

    for kind, listener in listeners.items():
        window.on(kind, listener)  # type: ignore[call-overload]
    yield load
    for kind, listener in listeners.items():
        window.remove_listener(kind, listener)
    assert not problems, "\n".join(problems)
