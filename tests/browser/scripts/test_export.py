"""frame/export.js: figures leave the page as data and as a page, with their settings; no cell becomes a formula."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page

pytestmark = pytest.mark.browser
Scripted = Callable[..., Page]
# A figure as plotly leaves it: a heatmap with a typed array and a gap, and bars whose numbers came packed.
FIGURE = """
const plot = document.querySelector(".js-plotly-plot");
plot.data = [
  { type: "heatmap", x: ["a", "b"], y: ["=1+1", "r"], z: [Float32Array.of(1, NaN), Float32Array.of(3, 4)], uid: "no" },
  { name: "bars, all", type: "bar", x: ["p", "q"],
    y: { dtype: "f4", bdata: btoa(String.fromCharCode(0, 0, 128, 63, 0, 0, 0, 64)), shape: "2" } },
];
plot.layout = { xaxis: {} }; plot._fullLayout = { _size: { l: 10, r: 10, t: 10, b: 10 } };
"""
SAID = "() => (props.message || {}).children"


@pytest.fixture
def page(scripted: Scripted) -> Page:
    """A page with one figure."""
    made = scripted(
        "<div class=attune-export><button data-export=fig>Export</button></div>"
        "<div id='fig'><div class='js-plotly-plot' style='width: 700px; height: 300px'></div></div>"
    )
    made.evaluate(
        "() => {"
        + FIGURE
        + """ const layout = window.dash_component_api.getLayout;
        window.dash_component_api.getLayout = (id) => id.settings === "fig"
          ? { props: { data: { prompt: "a, <b>" } } } : layout(id); }"""
    )
    return made


def exported(page: Page, kind: str) -> str:
    with page.expect_download() as made:
        page.click("[data-export]")
        page.click(f"[data-format={kind}]")
    page.wait_for_function(SAID)
    assert page.evaluate(SAID) == f"Exported attune-fig.{kind}" and page.evaluate("props.message.is_open")
    assert made.value.suggested_filename == f"attune-fig.{kind}" and page.locator("[role=menu]").count() == 0
    return Path(made.value.path()).read_text("utf-8")


def test_json_has_numbers_and_settings(page: Page) -> None:
    made = json.loads(exported(page, "json"))
    assert made["settings"]["prompt"] == "a, <b>" and made["settings"]["figure"] == "fig"
    heat, bars = made["traces"]
    assert heat["z"] == [[1, None], [3, 4]] and "uid" not in heat and bars["y"] == [1, 2]


def test_settings_are_those_of_all_questions_and_what_a_rule_chose(page: Page) -> None:
    ref = {
        "view": "attention/bars",
        "questions": [
            {"operation": "TracePrompt", "params": {"text": "a", "seed": 1}, "key": "k"},
            {"operation": "AttentionRow", "params": {"text": "a", "seed": 2, "rank": -1}, "key": ""},
        ],
        "options": {"unit": "raw"},
    }
    settings = {"view": "attention/bars", "unit": "raw", "text": "a", "seed": 1, "AttentionRow.seed": 2, "rank": -1}
    script = "(ref) => dash_clientside.attune.settingsOf(ref)"
    assert page.evaluate(script, ref) == settings
    assert page.evaluate(script, ref | {"facts": {"rank": 8}}) == settings | {"rank": 8}


def test_csv_reads_back_and_no_cell_is_a_formula(page: Page) -> None:
    rows = list(csv.reader(exported(page, "csv").splitlines()))
    assert len(rows[0]) == 1 and json.loads(rows[0][0][2:])["prompt"] == "a, <b>"
    assert rows[1:] == [
        ["trace", "x", "y", "value"],
        ["heatmap 0", "a", "'=1+1", "1"],
        ["heatmap 0", "a", "r", "3"],
        ["heatmap 0", "b", "r", "4"],
        ["bars, all", "p", "1", ""],
        ["bars, all", "q", "2", ""],
    ]


def test_html_stands_alone_and_escapes_its_settings(page: Page) -> None:
    page.route("**/plotly.min.js", lambda route: route.fulfill(body="/* library </script> */"))
    page.evaluate(
        """() => { const script = document.createElement("script"); script.type = "text/plain";
        script.src = "/plotly.min.js"; document.body.append(script); }"""
    )
    made = exported(page, "html")
    assert "<\\/script> */" in made and made.count("</script>") == 2, "the library cannot end its own element"
    assert "prompt: a, &lt;b&gt;" in made.replace("\\u003c", "<") and "<b>" not in made


def test_pictures_are_drawn_with_the_settings_below(page: Page) -> None:
    page.evaluate(
        """() => { window.Plotly = { toImage: async (figure, how) => { window.drawn = [figure.layout, how];
        return "data:image/svg+xml,<svg/>"; } }; }"""
    )
    assert exported(page, "svg") == "<svg/>"
    layout, how = page.evaluate("drawn")
    note = layout["annotations"][-1]["text"]
    assert "prompt: a, &lt;b&gt;" in note and "exported_by: Attune" in note
    assert how["scale"] == 1 and how["height"] == layout["height"] > 300 and how["width"] == 700


def test_nothing_is_exported_where_nothing_is_drawn_and_keys_go_through_the_menu(page: Page) -> None:
    page.evaluate("() => { document.querySelector('.js-plotly-plot').data = []; }")
    page.focus("[data-export]")
    for key in ("Enter", "ArrowDown", "Escape"):
        page.keyboard.press(key)
    assert page.locator("[role=menu]").count() == 0 and page.evaluate("document.activeElement.dataset.export") == "fig"
    assert page.get_attribute("[data-export]", "aria-expanded") == "false" and page.evaluate(SAID) is None
    for key in ("Enter", "ArrowDown", "ArrowDown", "ArrowDown"):
        page.keyboard.press(key)
    assert page.evaluate("document.activeElement.dataset.format") == "csv"
    page.keyboard.press("Enter")
    page.wait_for_function(SAID)
    assert page.evaluate(SAID) == "There is nothing to export yet."


def test_passages_of_many_pages_are_cut(scripted: Callable[..., Page]) -> None:
    ref = {"view": "v", "questions": [{"operation": "A", "params": {"texts": "x" * 5_000, "text": "y" * 2_000}}]}
    flat = scripted().evaluate("ref => dash_clientside.attune.settingsOf(ref)", ref)
    assert flat["texts"] == "x" * 2_000 + "… (5000 characters)" and flat["text"] == "y" * 2_000
