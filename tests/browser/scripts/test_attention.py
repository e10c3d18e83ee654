"""pages/attention.js: the head's heatmap, clicks in it, and the strips of tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page

from components.kit.cells import pack_cells

pytestmark = pytest.mark.browser
Scripted = Callable[..., Page]
EVIL = "<img src=x onerror='alert(1)'>"
LABELS = ["<s>", EVIL, "c", "d"]
STRIPS = "<div id='query-strip'></div><div id='key-strip'></div>"
TEMPLATES = {"light": {"name": "L"}, "dark": {"name": "D"}}


def packed(rows: list[list[int]], pool: int = 1, tokens: int = 4, top: float = 1.0) -> dict[str, Any]:
    return pack_cells(np.array(rows, np.uint8)) | {"max": top, "pool": pool, "tokens": tokens}


ROWS = [[255, 0, 0, 0], [204, 51, 0, 0], [153, 51, 51, 0], [127, 64, 32, 32]]


def heatmap(page: Page, cells: Any, skip: bool = False) -> Any:
    reading = {"labels": LABELS, "key": "k"}
    return page.evaluate(
        """async ([cells, reading, templates, skip]) => {
        const figure = await dash_clientside.attune.heatmap(cells, reading, templates, "name", skip);
        return figure.data ? { ...figure.data[0], layout: figure.layout,
          z: figure.data[0].z.map((r) => Array.from(r, (v) => (Number.isNaN(v) ? null : v))) } : figure; }""",
        [cells, reading, TEMPLATES, skip],
    )


def test_the_heatmap_shows_the_causal_half_under_escaped_labels(scripted: Scripted) -> None:
    page = scripted()
    drawn = heatmap(page, packed(ROWS))
    assert drawn["z"][1] == [pytest.approx(0.8), pytest.approx(0.2), None, None]
    assert drawn["x"][1] == "1 &lt;img src=x on…" and drawn["zmax"] == 1 and drawn["zmin"] == 0
    assert drawn["layout"]["template"] == {"name": "L"} and drawn["layout"]["uirevision"] == "namek"
    assert heatmap(page, None) == "unchanged"


def test_without_the_first_key_the_rest_has_a_scale_of_its_own(scripted: Scripted) -> None:
    drawn = heatmap(scripted(), packed(ROWS), skip=True)
    assert drawn["z"][0] == [None] * 4 and drawn["z"][1] == [None, pytest.approx(0.2), None, None]
    assert drawn["zmax"] == pytest.approx(64 / 255)


def test_a_signed_part_of_the_logits_has_a_scale_around_zero(scripted: Scripted) -> None:
    cells = pack_cells(np.array([[127, 0], [-127, 64]], np.int8)) | {"max": 3.0, "pool": 2, "tokens": 4}
    drawn = heatmap(scripted(), cells)
    assert (drawn["zmin"], drawn["zmax"]) == (-3, 3) and drawn["x"] == ["0–2", "2–4"]
    assert "nats" in drawn["hovertemplate"]


def test_a_click_names_query_and_key_or_head(scripted: Scripted) -> None:
    page = scripted()
    cell = "([x, y]) => dash_clientside.attune.cellClick({ points: [{ x, y }] }, {})"
    assert page.evaluate(cell, ["1 a", "3 b"]) == [3, 1] and page.evaluate(cell, ["4–8", "8–12"]) == [8, 4]
    assert page.evaluate(cell, ["3 b", "1 a"]) == ["unchanged", "unchanged"], "no key comes after its query"
    head = """([x, y]) => dash_clientside.attune.headClick({ points: [{ x, y }] },
      { data: [{ customdata: [[[0, 1]], []] }] })"""
    assert page.evaluate(head, [0, 0]) == {"layer": 0, "head": 1} and page.evaluate(head, [0, 1]) == "unchanged"


@pytest.fixture
def strips(scripted: Scripted) -> Page:
    """Strips of four tokens at query 2, key 1."""
    page = scripted(STRIPS)
    reading = {"labels": LABELS, "text": "t", "chat": True, "generate": 5}
    page.evaluate(
        "([reading, cells]) => dash_clientside.attune.tokens(reading, cells, 2, 1, false)", [reading, packed(ROWS)]
    )
    return page


def shades(page: Page) -> list[float]:
    return list(
        page.evaluate(
            "[...document.querySelectorAll('#key-strip button')].map((b) => +b.style.getPropertyValue('--shade'))"
        )
    )


def test_strips_show_what_a_query_attends_to(strips: Page) -> None:
    assert strips.locator("img").count() == 0
    key, query = strips.locator("#key-strip button"), strips.locator("#query-strip button")
    assert key.all_inner_texts() == query.all_inner_texts() == LABELS
    assert shades(strips) == pytest.approx([1, (51 / 153) ** 0.5, (51 / 153) ** 0.5, 0], abs=1e-3)
    assert key.nth(1).get_attribute("title") == "20.0 % of the attention"
    assert "attune-masked" in (key.nth(3).get_attribute("class") or "")
    assert "attune-picked" in (key.nth(1).get_attribute("class") or "")
    host = strips.locator("#key-strip")
    assert [host.get_attribute(f"data-token-{n}") for n in ("text", "chat", "generate")] == ["t", "1", "5"]
    assert key.nth(1).get_attribute("aria-label") == f"key token 1: {EVIL}"


def test_pointing_shows_another_query_and_pressing_picks_one(strips: Page) -> None:
    strips.hover("#query-strip button:nth-child(2)")
    assert shades(strips) == pytest.approx([1, 0.5, 0, 0], abs=1e-3)
    strips.click("#query-strip button:nth-child(4)")
    strips.click("#key-strip button:nth-child(1)")
    assert strips.evaluate("put") == [["key", {"data": None}], ["query", {"data": 3}], ["key", {"data": 0}]]


def test_keys_walk_along_a_strip(strips: Page) -> None:
    strips.focus("#query-strip button:nth-child(3)")
    places = []
    for key in ("ArrowRight", "ArrowRight", "Home", "ArrowLeft", "End"):
        strips.keyboard.press(key)
        places.append(strips.evaluate("document.activeElement.dataset.index"))
    assert places == ["3", "3", "0", "0", "3"]


def test_pooled_cells_shade_every_token_of_their_pool(scripted: Scripted) -> None:
    page = scripted(STRIPS)
    cells = packed([[255, 0], [51, 204]], pool=2)
    page.evaluate(
        "([reading, cells]) => dash_clientside.attune.tokens(reading, cells, 3, null, false)",
        [{"labels": LABELS}, cells],
    )
    assert shades(page) == pytest.approx([0.5, 0.5, 1, 1], abs=1e-3)
