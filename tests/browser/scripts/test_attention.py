"""pages/attention.js: the head's heatmap, clicks in it, and the strips of tokens."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page

from analysis.qk.answers.prompt import HeadCells, SignedCells
from analysis.view_ref import QuestionRef
from components.kit.cells import unpack_cells
from components.kit.view import VIEWS
from components.qk.token_matrix import TokenMatrix, alignment_matrix, attention_matrix, for_browser
from tests.unit.test_attention_views import reading

pytestmark = pytest.mark.browser
Scripted = Callable[..., Page]
EVIL = "<img src=x onerror='alert(1)'>"
LABELS = ["<s>", EVIL, "c", "d"]
STRIPS = "<div id='query-strip'></div><div id='key-strip'></div>"
QUESTIONS = [QuestionRef("TracePrompt", {}, "k"), QuestionRef("HeadAttention", {})]
TEMPLATES = {"light": {"name": "L"}, "dark": {"name": "D"}}


def packed(rows: list[list[int]], pool: int = 1, top: float = 1.0, signed: bool = False) -> TokenMatrix:
    """The cells of a prompt of four tokens, as the server sends them."""
    prompt = reading(LABELS)
    if signed:
        part = SignedCells(top, pool, 4, np.array(rows, np.int8), 2, "f")
        return for_browser(prompt, part, alignment_matrix.ref(QUESTIONS))
    head = HeadCells(top, pool, 4, np.array(rows, np.uint8))
    return for_browser(prompt, head, attention_matrix.ref(QUESTIONS))


ROWS = [[255, 0, 0, 0], [204, 51, 0, 0], [153, 51, 51, 0], [127, 64, 32, 32]]


def drawn(page: Page, cells: Any, skip: bool = False) -> Any:
    """The figure as JSON, and what draws the same on the server."""
    return page.evaluate(
        """async ([cells, templates, skip]) => {
        const [figure, ref] = await dash_clientside.attune.matrix(cells, skip, templates);
        return JSON.parse(JSON.stringify([figure, ref])); }""",
        [cells, TEMPLATES, skip],
    )


def as_json(figure: Any) -> Any:
    """A figure of the server as the browser would tell it, without what belongs to the window."""
    plain = json.loads(json.dumps(figure, default=np.ndarray.tolist).replace("NaN", "null"))
    return plain | {"layout": {k: v for k, v in plain["layout"].items() if k != "template"}}


@pytest.mark.parametrize(
    ("cells", "skip"),
    [
        (packed(ROWS), False),
        (packed(ROWS), True),
        (packed([[255, 0], [51, 204]], pool=2), False),
        (packed([[127, 0], [-128, -64]], pool=2, top=3.0, signed=True), True),
    ],
    ids=["all", "without the first key", "pooled", "signed"],
)
def test_the_browser_draws_what_the_ref_draws(scripted: Scripted, cells: TokenMatrix, skip: bool) -> None:
    figure, ref = drawn(scripted(), cells, skip)
    kind = SignedCells if cells["signed"] else HeadCells
    more = {"rank": 2, "name": "f"} if cells["signed"] else {}
    answer = kind(cells["max"], cells["pool"], cells["tokens"], unpack_cells(cells), **more)  # type: ignore[arg-type]
    view = VIEWS[ref["view"]]
    server = view.draw(reading(LABELS), answer, view.options_from(ref["options"]), "light").figure
    assert figure["layout"]["template"] == {"name": "L"}
    here, there = as_json(figure), as_json(server)
    assert here["data"][0].pop("zmax") == pytest.approx(there["data"][0].pop("zmax"))
    assert np.allclose(
        np.array(here["data"][0].pop("z"), float), np.array(there["data"][0].pop("z"), float), equal_nan=True
    )
    assert here == there and ref["options"].get("skip_first", skip) is skip


def test_without_a_head_nothing_changes(scripted: Scripted) -> None:
    assert drawn(scripted(), None) == ["unchanged", "unchanged"]


def test_labels_are_escaped(scripted: Scripted) -> None:
    figure, _ = drawn(scripted(), packed(ROWS))
    assert figure["data"][0]["x"][1] == "1 &lt;img src=x on…"


def test_a_click_names_query_and_key_or_head(scripted: Scripted) -> None:
    page = scripted()
    cell = "([x, y, cells]) => dash_clientside.attune.cellClick({ points: [{ x, y }] }, cells)"
    ticks = packed(ROWS)["figure"]["data"][0]["x"]
    assert page.evaluate(cell, [ticks[1], ticks[3], packed(ROWS)]) == [3, 1]
    assert page.evaluate(cell, ["0–2", "2–4", packed([[255, 0], [51, 204]], pool=2)]) == [2, 0]
    assert page.evaluate(cell, [ticks[3], ticks[1], packed(ROWS)]) == ["unchanged", "unchanged"], "no key comes later"
    head = """([x, y]) => dash_clientside.attune.headClick({ points: [{ x, y }] },
      { data: [{ customdata: [[[0, 1]], []] }] })"""
    assert page.evaluate(head, [0, 0]) == {"layer": 0, "head": 1} and page.evaluate(head, [0, 1]) == "unchanged"


@pytest.fixture
def strips(scripted: Scripted) -> Page:
    """Strips of four tokens at query 2, key 1."""
    page = scripted(STRIPS)
    prompt = {"labels": LABELS, "text": "t", "chat": True, "generate": 5}
    page.evaluate(
        "([prompt, cells]) => dash_clientside.attune.tokens(prompt, cells, 2, 1, false)", [prompt, packed(ROWS)]
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
        "([prompt, cells]) => dash_clientside.attune.tokens(prompt, cells, 3, null, false)",
        [{"labels": LABELS}, cells],
    )
    assert shades(page) == pytest.approx([0.5, 0.5, 1, 1], abs=1e-3)
