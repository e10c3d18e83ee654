"""Pin: by its button and by the key p, from a figure, a panel and a page without one; said, undone and refused."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from analysis.findings.store import FindingStore
from tests.browser.conftest import Server

pytestmark = pytest.mark.browser
PLACE = ".attune-pin-place"
SERVED = "async (path) => (await fetch(path)).json()"
PRESS = """async (name) => {
  const place = document.querySelector('.attune-pin-place'), began = performance.now();
  const said = new Promise((done) => {
    new MutationObserver(() => place.textContent && done()).observe(place, { childList: true });
  });
  document.querySelector(`[data-pin="${name}"]`).click();
  await said;
  return performance.now() - began;
}"""


def newest(page: Page) -> tuple[str, str]:
    """Board and item of the newest message."""
    expect(page.locator(PLACE)).to_contain_text("Pinned to My findings. Undo")
    link = page.locator(f"{PLACE} a").get_attribute("href") or ""
    found = re.fullmatch(r"/findings\?board=(\w+)&item=(\w+)", link)
    assert found, link
    return found[1], found[2]


def test_what_a_card_shows_is_pinned_by_button_and_by_key(page: Page, server: Server) -> None:
    def served(item: str) -> dict[str, Any]:
        pin = store.item(item).body["pins"][0]
        exhibit: dict[str, Any] = page.evaluate(SERVED, f"/findings/api/pins/{pin}?theme=light")
        return exhibit

    # A figure, by its button.
    store = FindingStore(server.home / "findings")
    page.wait_for_selector("#grid .heatmaplayer image")
    took = sorted(page.evaluate(PRESS, "grid") for _ in range(5))
    assert took[2] < 300, f"pin to board took {took} ms"
    board, item = newest(page)
    heads = served(item)
    assert heads["title"] == "Heads" and heads["figure"]["data"][0]["type"] == "heatmap"
    assert heads["settings"]["view"] == "attention/heads taken out" and heads["control"]["name"] == "random heads"
    assert heads["settings"]["text"].startswith("The ferry")
    assert heads["models"][0]["label"].startswith("SmolLM2") and heads["address"].startswith("/attention?")
    pin = store.pin(heads["id"])
    assert [(s.operation, bool(s.model), bool(s.code)) for s in pin.stamps] == [
        ("TracePrompt", True, True),
        ("EstimateFalls", True, True),
    ]
    deadline = time.monotonic() + 20
    while not store.pin(pin.id).picture and time.monotonic() < deadline:
        page.wait_for_timeout(100)
    assert store.picture(store.pin(pin.id).picture).startswith(b"\x89PNG")

    # Texts, by the key over the card, which does nothing in a field.
    page.locator(f"{PLACE} .btn-close").click()
    page.hover("#key-strip")
    page.focus("#prompt")
    page.keyboard.press("p")
    assert page.locator(PLACE).inner_text() == ""
    page.locator("#query-strip button").first.focus()
    page.keyboard.press("p")
    board_again, item = newest(page)
    strips = served(item)
    assert board_again == board and strips["figure"] is None and strips["title"].startswith("Tokens, layer")
    assert strips["parts"][0]["texts"][0]["text"].startswith("The") and 0 < strips["numbers"]["attention"] <= 1

    # Undone.
    page.locator(PLACE).get_by_role("button", name="Undo").click()
    expect(page.locator(PLACE)).to_contain_text("Taken off the board.")
    assert item not in {i.id for i in store.board(board).items}
    store.close()


def test_a_panel_has_its_control_and_an_empty_card_says_so(open_page: Callable[..., Page], server: Server) -> None:
    page = open_page("/model", width=1280, height=720)
    page.wait_for_selector("#residents .attune-job")
    page.locator('[data-pin="model-in-use"]').focus()
    page.keyboard.press("Enter")
    _, item = newest(page)
    store = FindingStore(server.home / "findings")
    pin = store.pin(store.item(item).body["pins"][0])
    assert pin.control is not None and 0 < pin.control["numbers"]["largest difference"] < 1e-3
    assert pin.stamps[0].operation == "DescribeModel" and [p["kind"] for p in pin.parts] == ["texts", "facts", "table"]
    store.close()
    page.goto(server.url + "/mlp-features?tab=fit")  # a fit that nobody has made has no curve
    page.locator('[data-pin="mlp-new-curve"]').click()
    expect(page.locator(PLACE)).to_have_text("There is nothing to pin yet.")
