"""assets/drawn.js and assets/pairs.js: a pattern drawn on the grid, and tokens of two prompts paired by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page

pytestmark = pytest.mark.browser
Scripted = Callable[..., Page]
GRID = (
    "<canvas id='drawn-canvas' tabindex='0' style='width:300px;height:300px;display:block'></canvas>"
    "<div id='drawn-at'></div><div id='drawn-long'></div>"
)
STRIPS = "<div id='pair-mine'></div><div id='pair-theirs'></div>"


def test_a_pattern_is_painted_taken_away_and_drawn_with_the_keyboard(scripted: Scripted) -> None:
    page = scripted(GRID)
    draw = "(drawn) => dash_clientside.attune.drawing({ labels: ['a', '<b>', 'c', 'd'] }, drawn)"
    page.evaluate(draw, None)
    box = page.locator("#drawn-canvas").bounding_box()
    assert box is not None
    unit = box["width"] / 4
    page.mouse.move(box["x"] + 0.5 * unit, box["y"] + 3.5 * unit)
    page.mouse.down()
    page.mouse.move(box["x"] + 2.5 * unit, box["y"] + 3.5 * unit)
    page.mouse.up()
    assert page.evaluate("data('drawn-cells')") == [[3, 0], [3, 1], [3, 2]]
    assert page.inner_text("#drawn-at") == "3 “d” looks at 2 “c”" and page.inner_text("#drawn-long") == ""
    page.evaluate(draw, [[3, 0], [3, 1]])
    page.mouse.move(box["x"] + 1.5 * unit, box["y"] + 3.5 * unit)
    page.mouse.down()
    page.mouse.up()
    assert page.evaluate("data('drawn-cells')") == [[3, 0]]
    page.focus("#drawn-canvas")
    page.keyboard.press("ArrowDown")
    page.keyboard.press(" ")
    assert page.evaluate("data('drawn-cells')") == [[1, 0], [3, 0]]
    named = "(name) => dash_clientside.attune.pattern(name, { labels: ['a', 'b', 'c'] }, 0)"
    assert page.evaluate(named, "previous") == [[1, 0], [2, 1]] == page.evaluate(named, "previous")
    assert page.evaluate(named, "none") == [] and page.evaluate(named, "column") == [[1, 0], [2, 0]]


def test_two_presses_pair_tokens_and_the_same_twice_parts_them(scripted: Scripted) -> None:
    page = scripted(STRIPS)
    both = {"labels": ["a", "<b>", "c"], "others": ["a", "x", "y", "c"], "pairs": [[0, 0], [1, 2], [2, 3]]}
    pairing = "([both, pairs]) => dash_clientside.attune.pairing(both, pairs)"
    page.evaluate(pairing, [both, None])
    assert page.locator("#pair-theirs button").all_inner_texts() == both["others"]
    assert page.locator(".attn-alone").count() == 1 and page.locator(".attn-differs").count() == 2
    page.click("#pair-mine button:nth-child(2)")
    page.click("#pair-theirs button:nth-child(2)")
    assert page.evaluate("data('site-pairs')") == [[0, 0], [1, 1], [2, 3]]
    page.evaluate(pairing, [both, [[0, 0], [1, 1], [2, 3]]])
    page.click("#pair-theirs button:nth-child(4)")
    page.click("#pair-theirs button:nth-child(4)")
    assert page.evaluate("data('site-pairs')") == [[0, 0], [1, 1]]
