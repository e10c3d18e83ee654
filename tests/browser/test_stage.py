"""What stands on the first screen of each page, at the sizes of projectors and laptops; and the Stage, which shows a
page alone and large. First screens and widths are looked at by the walk (test_walk), which opens each page anyway."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Request, TimeoutError

from tests.browser.conftest import DRAWN, QUIET

pytestmark = pytest.mark.browser

SIZES = ((1280, 720), (1440, 900))
FIRST_SCREEN = {
    "/attention": ("#query-strip", "#key-strip", "#answer", "#bars", "#prompt", "#grid"),
    "/steering": (
        "#region-pick",
        "#sliders .attune-strength",
        "#target",
        "#steer-prompt",
        "#write",
        "#base-text",
        "#steered-text",
        "#steered-figures",
        "#stream-state",
        "#next",
        "#next-price",
    ),
    "/othello": ("#oth-play", "#oth-next", "#oth-belief-tpr", "#oth-edit-board", "#oth-after", "#oth-scale"),
    "/neurons": ("#nrn-list", "#nrn-banner", "#nrn-histogram", "#nrn-ends"),
    "/mlp-features": ("#mlp-list", "#mlp-contexts-top", "#mlp-contexts-random", "#mlp-neurons", "#mlp-evidence"),
    "/faithfulness": ("#fth-list", "#fth-text", "#fth-bars", "#fth-badge", "#fth-claim"),
    "/validation": ("#toy-checks table", "#toy-text"),
}
"""By page: what has to lie inside the first screen at both sizes, in both themes."""
WIDTHS = (360, 768, 2560)
"""Widths at which no page may be wider than its window."""
# Which of the selectors do not lie inside the window, below the header, or lie behind something else; and where.
OUTSIDE = """(selectors) => { window.scrollTo(0, 0);
  const header = document.querySelector('.attune-header').getBoundingClientRect().bottom;
  return selectors.map((s) => { const e = document.querySelector(s); if (!e) return s + ': not there';
    const b = e.getBoundingClientRect(), x = (b.left + b.right) / 2, y = (b.top + b.bottom) / 2;
    if (!b.width || !b.height) return s + ': not drawn';
    if (b.top < header - 1 || b.left < -1 || b.right > innerWidth + 1 || b.bottom > innerHeight + 1)
      return s + ': ' + [b.left, b.top, b.right, b.bottom].map(Math.round) + ' in ' + innerWidth + ' x ' + innerHeight;
    const top = document.elementFromPoint(x, y);
    return top && (e.contains(top) || top.contains(e)) ? '' : s + ': something lies over it'; }).filter(Boolean); }"""
WIDER = "() => document.documentElement.scrollWidth - window.innerWidth"
# The parts that reach out of the window, for the message.
REACHING = """() => [...document.querySelectorAll('body *')]
  .filter((e) => e.getBoundingClientRect().right > innerWidth + 1).slice(0, 6)
  .map((e) => e.tagName + '.' + e.className + '#' + e.id)"""


def outside(page: Page, path: str) -> list[str]:
    """What of a page's table lies outside its first screen, at each size in the present theme."""
    found = []
    for width, height in SIZES if path in FIRST_SCREEN else ():
        page.set_viewport_size({"width": width, "height": height})
        page.evaluate(DRAWN)
        found += page.evaluate(OUTSIDE, list(FIRST_SCREEN[path]))
    return found


def wide(page: Page) -> list[str]:
    """At which widths the page is wider than its window, by how much, and which parts reach out."""
    found = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        try:  # figures follow the window a moment later
            page.wait_for_function(f"() => ({WIDER})() <= 0", timeout=5000)
        except TimeoutError:
            by = page.evaluate(WIDER)
            found.append(f"{width}: {by} too wide, {page.evaluate(REACHING)}")
    return found


def test_the_stage_is_the_same_page_alone_and_large(open_page: Callable[..., Page]) -> None:
    page = open_page("/othello", width=1280, height=720)
    page.wait_for_selector("#oth-right-tpr:has-text('of 64 right')")
    page.evaluate(QUIET)
    asked: list[str] = []

    def note(request: Request) -> None:
        body = request.post_data or ""
        if "_dash-update-component" in request.url and "pulse" not in body:
            asked.append(body[:200])

    sizes = "() => ['#oth-best', '#oth-after'].map((s) => document.querySelector(s).getBoundingClientRect().height)"
    before = page.evaluate(sizes)
    page.on("request", note)
    page.click("#stage")
    page.wait_for_selector(".attune-header", state="hidden")
    page.wait_for_timeout(300)
    assert all(after > 1.05 * size for size, after in zip(before, page.evaluate(sizes), strict=True)), before
    selectors = list(FIRST_SCREEN["/othello"])
    inside = OUTSIDE.replace("document.querySelector('.attune-header').getBoundingClientRect().bottom", "0")
    assert page.evaluate(inside, selectors) == []
    assert asked == [], "the Stage asked again"
    # The page is played on as before, and the pointer finds its square.
    page.locator("#oth-play .attune-legal").first.click()
    page.wait_for_function("() => document.querySelector('#oth-status').innerText.includes('Ply 18 of 18')")
    page.wait_for_function("() => location.search.includes('ply=18')")
    # A key leads to another page and the Stage stays; it is the same after a reload; a typed f is an f.
    page.keyboard.press("1")
    page.wait_for_selector("#prompt")
    assert page.locator(".attune-header").is_hidden()
    page.fill("#prompt", "")
    page.type("#prompt", "f1")
    assert page.input_value("#prompt") == "f1"
    page.reload()
    page.wait_for_selector(".attune-answer p")
    assert page.locator(".attune-header").is_hidden()
    page.keyboard.press("Escape")
    page.wait_for_selector(".attune-header", state="visible")
    # The game that was played on the page that was left is there again, over the reload.
    page.keyboard.press("3")
    page.wait_for_function("() => (document.querySelector('#oth-status') || {}).innerText?.includes('Ply 18 of 18')")
    page.keyboard.press("f")
    page.wait_for_selector(".attune-header", state="hidden")
    page.keyboard.press("f")
    page.wait_for_selector(".attune-header", state="visible")
    page.keyboard.press("?")
    page.wait_for_selector("dialog[open] >> text=the page alone and large")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog[open]", state="detached")
