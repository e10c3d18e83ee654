"""findings/desk.js: what two people wrote in one field stays until somebody has chosen, also where the page is left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page

pytestmark = pytest.mark.browser
Scripted = Callable[..., Page]

# A server of one board with one finding, which answers as pages/findings/routes.py does; `sent`: what was written.
SERVER = """
const item = { id: "i", kind: "finding", version: 1, body: { claim: "Ours", note: "" }, html: {} };
const board = { id: "b", title: "Board", kind: "board", changed: 0, stamp: 1, share: "" };
const other = { ...board, id: "c" };
window.sent = [];
window.theirs = (claim) => { item.version += 1; item.body = { ...item.body, claim }; board.stamp += 1; };
window.fetch = async (path, options) => {
  const copy = (value) => JSON.parse(JSON.stringify(value));
  const body = options && options.body ? JSON.parse(options.body) : null;
  let answer = { boards: [board, other] };
  if (path.includes("/boards/b")) answer = { board, boards: [board, other], items: [item], pins: {}, checks: {} };
  if (path.includes("/boards/c")) answer = { board: other, boards: [board, other], items: [], pins: {}, checks: {} };
  if (path.endsWith("/change")) {
    if (body.version !== item.version) answer = { conflict: item };
    else {
      item.version += 1; item.body = body.body; sent.push(body.body.claim);
      answer = { item, stamp: board.stamp += 1 };
    }
  }
  answer = copy(answer);
  return { ok: true, json: async () => answer };
};
localStorage.clear();
window.F = dash_clientside.attune_findings;
window.first = () => F.desk.items[0];
"""


@pytest.fixture
def page(scripted: Scripted) -> Page:
    page = scripted("<div id='host'></div>")
    page.evaluate("() => {" + SERVER + "}")
    page.evaluate("() => F.load(document.getElementById('host'), 'b')")
    return page


def state(page: Page) -> Any:
    return page.evaluate(
        "() => [first().conflict && first().conflict.fields, first().draft, first().base.body.claim, sent]"
    )


@pytest.mark.parametrize("leave", ["window.dispatchEvent(new Event('pagehide'))", "F.load(document.body, 'c')"])
@pytest.mark.parametrize("seen", [True, False])
def test_two_versions_outlive_the_page(page: Page, leave: str, seen: bool) -> None:
    """``seen``: the conflict stood there before the page was left; else it comes to light while it is left."""
    page.evaluate("() => { F.edit(first(), 'claim', 'Mine'); theirs('Theirs'); }")
    if seen:
        page.evaluate("() => F.save(first())")
        assert state(page) == [["claim"], {"claim": "Mine"}, "Theirs", []]
    page.evaluate(f"() => {{ {leave}; }}")
    page.wait_for_timeout(50)
    page.clock.install()
    page.evaluate("async () => { await F.load(document.body, 'c'); await F.load(document.body, 'b'); }")
    page.clock.fast_forward(1500)  # longer than a draft waits to be saved
    assert state(page) == [["claim"], {"claim": "Mine"}, "Theirs", []]
    page.evaluate("() => F.settle(first(), 'both')")
    page.wait_for_function("() => sent.length")
    assert state(page) == [None, {}, "Theirs / Mine", ["Theirs / Mine"]]
    assert page.evaluate("() => localStorage.length") == 0
