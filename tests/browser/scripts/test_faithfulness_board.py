"""pages/faithfulness/board.js: it counts as the server does, opens items and studies, and says what is left out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page
from plotly.utils import PlotlyJSONEncoder

from analysis.faithfulness.agreement import kappa_matrix
from analysis.faithfulness.answers.board import TierScores
from analysis.view_ref import ViewRef
from components.faithfulness.bias_figures import called_shares
from tests.unit.conftest import app
from tests.unit.faithfulness.answers import Held
from tests.unit.test_faith_board_page import NAMES, answered, made_board, written

__all__ = ["app"]  # a fixture that holds for all tests here
pytestmark = pytest.mark.browser
Scripted = Callable[..., Page]
# A file of a size, chosen or dropped.
FILE = "const file = new File([new Uint8Array(size)], 'a.jsonl'), data = new DataTransfer(); data.items.add(file);"
GIVE = {
    "change": "(size) => {" + FILE + """ const input = document.querySelector('input'); input.files = data.files;
      input.dispatchEvent(new Event('change', { bubbles: true })); }""",
    "drop": "(size) => {" + FILE + """ document.querySelector('div').dispatchEvent(
      new DragEvent('drop', { bubbles: true, dataTransfer: data })); }""",
}  # fmt: skip


def in_browser(page: Page, call: str, *sent: Any) -> Any:
    """What a call of the browser's half answers, and the properties that it set; ``sent`` has the values."""
    given = json.loads(json.dumps(sent, cls=PlotlyJSONEncoder))
    return page.evaluate(
        "(sent) => { const board = dash_clientside.attune_faithboard, before = put.length;"
        f"const answer = {call}; return JSON.parse(JSON.stringify([answer ?? null, put.slice(before)])); }}",
        given,
    )


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    return Held(monkeypatch)


def drawn(held: Held, scores: TierScores) -> tuple[Any, Any]:
    """What the page's store has for the browser, and the points."""
    from pages.faithfulness.bias import draw
    from pages.faithfulness.truth import packed

    of = {"study": "", "source": "s", "tier": "1", "question": held.question(scores, "FaithScores", tier="1")}
    base = draw(of, "bias", "dark", held.question(made_board(), "FaithBoard"))
    return base, packed(scores) | {"study": "", "tier": "1"}


def with_scores(scores: TierScores, **columns: Callable[[int], float | None]) -> TierScores:
    """Points with other scores by some measures, spelled with underscores, by their place."""
    changed = [
        replace(p, scores=p.scores | {name.replace("_", "-"): score(k) for name, score in columns.items()})
        for k, p in enumerate(scores.points)
    ]
    return replace(scores, points=tuple(changed))


@pytest.mark.parametrize("level", [-1.0, 0.0, 0.5, 0.9])
def test_the_browser_counts_as_the_server_does(scripted: Scripted, held: Held, level: float) -> None:
    from pages.cards import render

    data = answered(3)
    moved = dict.fromkeys(data.thresholds, level)
    base, points = drawn(held, data)
    (figure, _, ref, agreement, _, kappa, said), _ = in_browser(scripted(), "board.bias(...sent)", base, moved, points)
    expected = called_shares(data, moved)
    named = [c[0] for c in figure["data"][0]["customdata"]]
    assert figure["data"][0]["x"] == pytest.approx([expected[n] for n in named])
    calls = [[None if (s := p.scores[n]) is None else s >= level for p in data.points] for n in NAMES[:3]]
    matrix, cells = kappa_matrix(calls), agreement["data"][0]["z"]
    for i in range(2):
        for j in range(i + 1):
            want = None if np.isnan(matrix[i + 1, j]) else pytest.approx(matrix[i + 1, j])
            assert cells[i][j] == want
    assert kappa["facts"]["kappa"] == {"measures": list(NAMES[:3]), "below_the_diagonal": cells}
    assert cells[0][1] is None and "75% are labelled so" in said
    # What the cards keep draws the same again, without the browser, and says the same in an export.
    for kept, seen, what in ((ref, figure, "x"), (kappa, agreement, "z")):
        drawing = render(ViewRef.from_dict(kept), "dark")
        again = json.loads(written(drawing.figure))
        assert kept["facts"].keys() == drawing.facts.keys()
        for name in kept["facts"].keys() - {"kappa"}:
            assert kept["facts"][name] == pytest.approx(drawing.facts[name])
        for trace, shown in zip(again["data"], seen["data"], strict=True):
            assert np.array(trace[what], float) == pytest.approx(np.array(shown[what], float), nan_ok=True)
            assert trace["text"] == shown["text"]
        assert again["layout"]["annotations"] == seen["layout"]["annotations"]


def test_a_measure_on_a_few_items_is_not_counted_as_if_it_were_on_all(scripted: Scripted, held: Held) -> None:
    """Forty points on which CC-SHAP was run four times, as FUR is."""
    few = with_scores(answered(5), CC_SHAP=lambda k: 1.0 if k in (1, 2, 4, 5) else None)
    base, points = drawn(held, few)
    (figure, _, ref, agreement, caption, _, said), _ = in_browser(
        scripted(), "board.bias(...sent)", base, dict.fromkeys(NAMES, 2.0), points
    )
    # Three measures of the board's kappa; all call nothing faithful, one of them nothing of four items.
    assert said.startswith("2 of 2 measures call under 10% of these 40 items") and "CC-SHAP (n = 4)" in said
    assert ref["options"]["thresholds"] == dict.fromkeys(NAMES, 2.0)
    ticks = figure["layout"]["yaxis"]["ticktext"]
    assert "CC-SHAP  ≥ 2 (n = 4)" in ticks and sum("n =" in t for t in ticks) == 1
    assert [c[2] for c in figure["data"][0]["customdata"] if c[0] == "CC-SHAP"] == [" of 4 items"]
    assert "on up to 40 items" in caption and "n beside its name" in caption
    assert agreement["layout"]["yaxis"]["ticktext"] == ["SCM", "CC-SHAP (n = 4)"]
    assert agreement["data"][0]["customdata"][1][0][2] == "<br>on 4 items"


def test_measures_that_lack_hardly_any_score_are_counted(scripted: Scripted, held: Held) -> None:
    scores = with_scores(answered(6), CC_SHAP=lambda k: 0.0, SCM=lambda k: None if k < 4 else 0.0)
    base, points = drawn(held, scores)
    (*_, said), _ = in_browser(scripted(), "board.bias(...sent)", base, {}, points)
    assert " of 3 measures" in said and "Not counted" not in said


def test_it_is_said_which_of_text_and_file_is_used(scripted: Scripted) -> None:
    for text, file, what in (
        ("{}", "data:", "not the file"),
        (" ", "data:", ""),
        (None, "data:", ""),
        ("{}", None, ""),
    ):
        said, _ = in_browser(scripted(), "board.reads(...sent)", text, file)
        assert what in said and bool(said) == bool(what)


@pytest.mark.parametrize("event", ["change", "drop"])
def test_a_file_that_is_too_large_is_said_to_be(scripted: Scripted, event: str) -> None:
    from analysis.faithfulness.ops.rows import MAX_FILE
    from pages.faithfulness.study_tab import study_tab

    parts = [c for c in study_tab()._traverse() if hasattr(c, "to_plotly_json")]
    upload = next(c for c in parts if getattr(c, "id", "") == "fth-file-upload")
    host = next(c for c in parts if "data-fthb-most" in c.to_plotly_json()["props"])
    marks = host.to_plotly_json()["props"]
    assert upload in host.children
    assert upload.max_size == marks["data-fthb-most"] == MAX_FILE and "20 MB" in written(host.children)
    page = scripted("<div data-fthb-most><input type='file'></div>")
    page.evaluate(
        "(marks) => Object.assign(document.querySelector('div').dataset, marks)",
        {"fthbMost": MAX_FILE, "fthbRefused": marks["data-fthb-refused"]},
    )
    for size, refused in ((MAX_FILE, False), (MAX_FILE + 1, True)):
        page.evaluate(GIVE[event], size)
        put = dict(page.evaluate("put"))
        assert bool(put) is refused
    assert put["fth-file-upload"] == {"contents": None} and "a.jsonl: larger than 20 MB" in written(put)


def test_a_finished_study_opens_only_where_nobody_has_gone_on(scripted: Scripted) -> None:
    for open_tab, study, opens in (("Studies", "own-1", True), ("Intervene", "own-1", False), ("Studies", "", False)):
        page = scripted(
            f"<div id='fth-tab'><a class='nav-link'>Other</a><a class='nav-link active'>{open_tab}</a></div>"
        )
        _, put = in_browser(page, "board.made({ study: sent[0] })", study)
        assert put == ([["fth-study", {"data": study}]] if opens else [])


def test_items_and_studies_open_from_lists_and_figures(scripted: Scripted) -> None:
    page = scripted(
        "<button id=a data-fthb-study='s' data-fthb-item='i' data-fthb-tab='item'>a</button>"
        "<button id=b data-fthb-study='t'>b</button>"
    )
    page.click("#a")
    page.click("#b")
    asked, tab, study = page.evaluate("put")
    assert asked[0] == "fth-open" and asked[1]["data"]["item"] == "i" and asked[1]["data"]["study"] == "s"
    assert [tab, study] == [["fth-tab", {"active_tab": "item"}], ["fth-study", {"data": "t"}]]
    click = {"points": [{"customdata": ["i", 3]}]}
    opened, _ = in_browser(page, "board.open(...sent)", click, {"study": "s"})
    assert (opened["item"], opened["study"]) == ("i", "s") and opened["n"] != asked[1]["data"]["n"]
    for nothing in (None, {"points": [{"customdata": 3}]}, {"points": []}):
        assert in_browser(page, "board.open(...sent)", nothing, {"study": "s"})[0] == "unchanged"


@pytest.mark.parametrize(
    ("picked", "now", "opens"),
    [("default", "own", ""), ("own", "", "own"), ("own", "own", None), (None, "own", None), ("default", None, None)],
)
def test_a_study_is_chosen_in_its_list(scripted: Scripted, picked: str, now: str, opens: str | None) -> None:
    _, put = in_browser(scripted(), "board.study(...sent)", picked, now)
    assert put == ([] if opens is None else [["fth-study", {"data": opens}]])


def test_one_tier_holds_for_the_tabs_that_show_items(scripted: Scripted) -> None:
    page = scripted()
    page.evaluate("() => { dash_clientside.callback_context.triggered_id = 'fth-bias-tier'; }")
    value, put = in_browser(page, "board.tier(...sent)", "1", "2", "1", "1")
    assert value == "2" and put == [["fth-truth-tier", {"value": "2"}], ["fth-scores-tier", {"value": "2"}]]
    assert in_browser(page, "board.tier(...sent)", "2", "2", "2", "2")[0] == "unchanged"


def test_a_threshold_moves_one_measure_or_all_and_goes_back(scripted: Scripted) -> None:
    page, base = scripted(), {"own": {"a": 0.2, "b": 0.4, "c": 0.5}}

    def moved(trigger: str, *sent: Any) -> Any:
        page.evaluate("(id) => { dash_clientside.callback_context.triggered_id = id; }", trigger)
        return in_browser(page, "board.thresholds(...sent)", *sent)[0]

    assert moved("", 0.5, "all", 0, base, {}) == ["unchanged", 0.4, "each its own"]
    assert moved("fth-bias-threshold", 0.9, "b", 0, base, {}) == [{"b": 0.9}, "unchanged", "≥ 0.90"]
    assert moved("fth-bias-threshold", 0.9, "all", 0, base, {})[0] == {"a": 0.9, "b": 0.9, "c": 0.9}
    assert moved("fth-bias-reset", 0.9, "a", 1, base, {"a": 0.9}) == [{}, 0.2, "≥ 0.20"]
