"""exhibit.js with plotly itself: figures large and small, tables that sort, texts, boards, control, the other theme."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import plotly
import pytest
from playwright.sync_api import Page

from components.findings.exhibit import plain_figure
from components.kit.figure import figure
from components.kit.part import Boards, Facts, Table, Text, Texts, part_to_dict
from components.kit.theme import TEMPLATES
from components.othello.board import board_data

pytestmark = pytest.mark.browser
Scripted = Callable[..., Page]
PLOTLY = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
EVIL = '<img src=x onerror="alert(1)">'
SIZES = """() => Array.from(document.querySelectorAll('.ytick text, .xtick text, .xtitle'),
  (e) => parseFloat(getComputedStyle(e).fontSize))"""
DRAW = "([x, o]) => dash_clientside.attune_exhibit.draw(document.getElementById('host'), x, o).then(() => null)"
PARTS = (
    Table("Heads", ("head", "score", "word"), (("a10", 0.5, EVIL), ("a9", 12, "b"), ("b", None, "a"))),
    Texts("Texts", (Text("Steered", "b c", "a ", (("b ", 0.5), ("c", -1.0)), {"KL": 0.25}), Text("Plain", EVIL))),
    Boards("Boards", (("Mine", board_data([0] * 27 + [1, 2] + [0] * 35)),)),
    Facts("Certificate", (("p", 0.00001234), ("n", 40))),
)


def exhibit(**changes: Any) -> dict[str, Any]:
    ticks = [f"layer {i}" for i in range(40)]
    drawn = figure(
        [{"type": "bar", "y": ticks, "x": list(range(40)), "orientation": "h"}],
        "light",
        yaxis={"tickvals": ticks, "ticktext": ticks, "tickfont": {"size": 10}},
        xaxis={"title": {"text": "score"}},
    )
    usual: dict[str, Any] = {
        "id": "p", "title": "A view", "caption": "What it shows.", "figure": plain_figure(drawn), "height": 300,
        "parts": [], "control": None, "numbers": {}, "settings": {"layer": 3, "text": EVIL}, "facts": {},
        "address": "/attention", "models": [{"label": "SmolLM2"}], "date": "2026-01-01", "check": None, "stale": None,
        "frozen": None, "theme": "light",
    }  # fmt: skip
    return usual | changes


@pytest.fixture
def page(scripted: Scripted) -> Page:
    page = scripted('<div id="host" style="width: 900px"></div>')
    page.add_script_tag(path=PLOTLY)
    return page


def test_a_figure_is_drawn_and_read_from_afar(page: Page) -> None:
    page.evaluate(DRAW, [exhibit(), {}])
    assert min(page.evaluate(SIZES)) == 10 and page.locator(".ytick").count() == 40
    control = {"name": "shuffled labels", "text": "Nothing is left.", "numbers": {"trace": -0.25}}
    page.evaluate(DRAW, [exhibit(control=control), {"big": True, "height": 400, "beside": True}])
    assert min(page.evaluate(SIZES)) >= 18 and 5 <= page.locator(".ytick").count() <= 20
    assert page.locator(".js-plotly-plot").count() == 1
    words = [line for line in page.locator("aside").inner_text().split("\n") if line]
    assert words == ["Control: shuffled labels", "Nothing is left.", "trace", "−0.25"]
    page.evaluate("() => dash_clientside.attune_exhibit.clear(document.getElementById('host'))")
    assert page.locator("#host").inner_text() == ""


NAMES = [f"{word} {kind}" for word in ("early", "late", "first", "last") for kind in "abcdefghij"]
SHOWN = """() => Array.from(document.querySelectorAll('.ytick text'), (e) => e.textContent)"""
RIGHT = """() => { const plot = document.querySelector('.js-plotly-plot').getBoundingClientRect();
  return Math.max(...Array.from(document.querySelectorAll('.textpoint text, .annotation-text'),
    (e) => e.getBoundingClientRect().right)) - plot.right; }"""


def test_from_afar_no_name_is_dropped_and_nothing_is_cut(page: Page) -> None:
    """40 names in 400 px: each is in one of the parts that the button goes through, and the words beside them fit."""
    heads = [
        {"text": f"<b>{words}</b>", "x": x, "y": 1, "xref": "paper", "yref": "paper", "yanchor": "bottom"}
        | {"xanchor": "left", "showarrow": False}
        for words, x in (("The first panel and a long head of it", 0), ("The second panel", 0.52))
    ]
    words = {"type": "scatter", "mode": "text", "text": ["0.50 · 100%"] * 40, "textposition": "middle right"}
    drawn = figure(
        [words | {"x": [1] * 40, "y": list(range(40)), "xaxis": axis} for axis in ("x", "x2")],
        "light",
        xaxis={"domain": [0, 0.48], "range": [0, 1.1]},
        xaxis2={"domain": [0.52, 1], "range": [0, 1.1]},
        yaxis={"range": [39.5, -0.5], "tickvals": list(range(40)), "ticktext": NAMES},
        annotations=heads,
        margin={"t": 20},
    )
    page.evaluate(DRAW, [exhibit(figure=plain_figure(drawn)), {"big": True, "height": 400}])
    button = page.locator(".attune-exhibit-rows")
    seen: list[str] = []
    while len(seen) < 40:
        part = page.evaluate(SHOWN)
        assert f"Rows {len(seen) + 1} to {len(seen) + len(part)} of 40" in button.inner_text() or len(seen) > 20
        assert min(page.evaluate(SIZES)) >= 18 and page.evaluate(RIGHT) <= 1
        new = [name for name in part if name not in seen]
        assert new and new == NAMES[len(seen) : len(seen) + len(new)]
        seen += new
        button.click()
    assert page.evaluate(SHOWN)[0] == NAMES[0]
    head, other = (box for e in page.locator(".annotation-text").all() if (box := e.bounding_box()))
    assert head["x"] + head["width"] <= other["x"] and head["height"] > 1.5 * other["height"]


def test_a_map_of_all_pairs_of_tokens_stays_one_picture(page: Page) -> None:
    tokens = [f"{i} tok 1984" for i in range(41)]
    drawn = figure(
        [{"type": "heatmap", "x": tokens, "y": tokens, "z": [[i * j for i in range(41)] for j in range(41)]}],
        "light",
        xaxis={"type": "category", "tickangle": -45},
        yaxis={"type": "category", "autorange": "reversed", "title": {"text": "query"}},
    )
    page.evaluate(DRAW, [exhibit(figure=plain_figure(drawn)), {"big": True, "height": 500}])
    assert page.locator(".attune-exhibit-rows").is_hidden()
    shown = sorted(page.evaluate(SHOWN), key=lambda label: int(label.split()[0]))
    step = int(shown[1].split()[0])
    assert step > 1 and shown == tokens[::step] and min(page.evaluate(SIZES)) >= 18
    assert "".join(page.locator(".ytitle").all_text_contents()) == f"query; one token in {step} is named"
    tops = sorted(
        page.evaluate("() => Array.from(document.querySelectorAll('.ytick text'), e => e.getBoundingClientRect().top)")
    )
    assert min(b - a for a, b in itertools.pairwise(tops)) >= 18
    page.evaluate("() => dash_clientside.attune_exhibit.clear(document.getElementById('host'))")


def test_names_are_told_from_numbers(page: Page) -> None:
    cases = {
        "a b c": True, "1 2 4 8": False, "0  0.5  1": False, "L0 L1 L2": False, "L3 L7 L1": True, "L1H2 L3H4": True,
        "layer_1 layer_2 other": True,
    }  # fmt: skip
    names = "(labels) => dash_clientside.attune_far.areNames(labels)"
    assert {case: page.evaluate(names, case.split(" ")) for case in cases} == cases


def test_a_long_control_is_told_in_one_sentence(page: Page) -> None:
    control = {"name": "chance", "text": "It is 0.5 of all. Tier 2 has 0.4.", "numbers": {"chance": 0.5}}
    page.evaluate(DRAW, [exhibit(figure=None, control=control), {"big": True}])
    assert page.locator("aside").inner_text().split() == "Control: chance It is 0.5 of all. c shows all of it".split()
    page.evaluate(DRAW, [exhibit(figure=None, control=control), {}])
    assert "Tier 2 has 0.4." in page.locator("aside").inner_text()


def test_parts_are_text_and_tables_sort(page: Page) -> None:
    page.evaluate(
        DRAW, [exhibit(figure=None, parts=[part_to_dict(p) for p in PARTS], stale="the fit has changed."), {}]
    )
    assert page.locator("img").count() == 0 and page.locator("#host").get_by_text(EVIL, exact=True).count() == 3
    column = lambda: page.locator("tbody tr td:first-child").all_inner_texts()  # noqa: E731
    score, name = page.get_by_role("button", name="score"), page.get_by_role("button", name="head")
    score.click()
    assert column() == ["a9", "a10", "b"] and page.locator("th[aria-sort=descending]").inner_text() == "score"
    score.press("Enter")
    assert column() == ["a10", "a9", "b"] and page.locator("th[aria-sort=ascending]").count() == 1
    score.press("ArrowLeft")
    page.keyboard.press("Enter")
    assert column() == ["a9", "a10", "b"] and name.evaluate("e => e === document.activeElement")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    assert column() == ["a10", "a9", "b"] and page.locator("th[aria-sort=none]").count() == 3
    assert page.locator(".attune-exhibit-words").first.inner_text() == "a b c"
    assert page.locator(".attune-exhibit-less").inner_text() == "c" and page.locator(".attune-square").count() == 64
    words = page.locator("#host").inner_text()
    assert "No control" in words and "1.23e−5" in words and "Stale: the fit has changed." in words


def test_the_theme_is_followed(page: Page) -> None:
    colour = "() => getComputedStyle(document.querySelector('.xtitle')).fill"
    page.evaluate(DRAW, [exhibit(), {"templates": TEMPLATES}])
    before = page.evaluate(colour)
    page.evaluate("document.documentElement.setAttribute('data-bs-theme', 'dark')")
    page.wait_for_function(f"(before) => document.querySelector('.xtitle') && ({colour})() !== before", arg=before)
    assert page.evaluate(colour) == "rgb(230, 237, 243)"
