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


# A server of three notes; what it is sent is answered when the test says so: `answer()`.
ORDERED = """
let order = ["a", "b", "c"], undone = null;
const held = [], board = { id: "b", title: "Board", kind: "board", changed: 0, stamp: 1, share: "" };
const note = (id) => ({ id, kind: "note", version: 1, body: { note: id }, html: {} });
const shown = () => ({ board, boards: [board], items: order.map(note), pins: {}, checks: {} });
window.asked = [];
window.answer = () => held.shift()();
window.fetch = async (path, options) => {
  if (options && options.body) {
    asked.push(path.split("/").slice(-2).join(" "));
    await new Promise((resolve) => { held.push(resolve); });
    const id = path.split("/").at(-2), { after } = JSON.parse(options.body), before = order;
    if (path.endsWith("/move")) {
      order = order.filter((other) => other !== id);
      order.splice(after ? order.indexOf(after) + 1 : 0, 0, id);
      undone = before;
    } else [order, undone] = [undone, order];
  }
  const answer = path.endsWith("/boards") ? { boards: [board] } : { text: "", ...shown() };
  return { ok: true, json: async () => JSON.parse(JSON.stringify(answer)) };
};
localStorage.clear();
window.F = dash_clientside.attune_findings;
window.order = () => F.desk.items.map((it) => it.base.id).join("");
"""


def test_moves_stay_while_older_orders_come_and_undo_waits_for_them(scripted: Scripted) -> None:
    page = scripted("<div id='findings-host'></div><div id='fnd-live'></div>")
    page.evaluate("() => {" + ORDERED + "}")
    page.evaluate("() => F.open({ board: 'b' })")
    page.wait_for_function("() => order() === 'abc'")

    def answered(asked: str, order: str) -> None:
        page.wait_for_function("n => asked.length === n", arg=len(asked.split(", ")))
        assert page.evaluate("asked.join(', ')") == asked
        page.evaluate("async () => { answer(); await new Promise((resolve) => setTimeout(resolve, 30)); }")
        assert page.evaluate("order()") == order

    page.evaluate("() => { F.move('c', 1); F.move('b', 0); F.step('undo'); F.step('redo'); }")
    assert page.evaluate("order()") == "bac"
    answered("c move", "bac")  # the answer knows nothing of the second move
    answered("c move, b move", "bac")
    answered("c move, b move, b undo", "acb")
    answered("c move, b move, b undo, b redo", "bac")
