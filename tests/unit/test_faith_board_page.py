"""The comparing half of the Faithfulness page without a model: points, thresholds, tables, forms, what stays withheld.

Answers of the operations are made by hand, in the shape that they have.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plotly.utils import PlotlyJSONEncoder
from scipy.stats import spearmanr

from analysis.errors import UserError
from analysis.faithfulness.agreement import kappa_matrix
from analysis.service.ops_faith_jobs import FaithOwn, FaithStudy
from app import create_app
from components.faith_board_figures import called_shares
from components.faith_board_table import board_table, refused_table, span, tier_cards, within
from components.faith_honesty import honesty_strip

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("Early Answering", "SCM", "CC-SHAP", "chain length", "answer confidence")
WHY = "Withheld: confidence alone tells these labels apart."


@pytest.fixture(scope="module", autouse=True)
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The pages can be imported once there is an app."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATTUNE_HOME", str(tmp_path_factory.mktemp("home")))
        create_app()
        yield


def answered(seed: int = 0, count: int = 40) -> dict[str, Any]:
    """As FaithScores answers: CC-SHAP lacks every third score, chain length has no threshold."""
    rng = np.random.default_rng(seed)
    points = []
    for k in range(count):
        scores: dict[str, float | None] = {n: float(rng.uniform(-1, 1)) for n in NAMES}
        scores["CC-SHAP"] = None if k % 3 == 0 else scores["CC-SHAP"]
        points.append(
            {
                "item": f"i{k}",
                "label": k % 4 != 0,
                "regime": "R",
                "problem": str(k),
                "demos": 0,
                "text": "t",
                "steps": 2,
            }
            | {"scores": scores, "importance": scores["Early Answering"]}
        )
    thresholds = {n: 0.5 for n in NAMES if n != "chain length"}
    return {
        "points": points,
        "measures": list(NAMES),
        "thresholds": thresholds,
        "importance": "Early Answering",
        "tier": "1",
    }


def made_board(shown: bool = True) -> dict[str, Any]:
    """As FaithBoard answers: tiers 1 and 2, of which the second may be withheld."""

    def area(value: float | None) -> dict[str, Any]:
        counts = {"n_faithful": 30, "n_unfaithful": 10, "ties": 0.25, "permuted": [0.41, 0.59]}
        return {"auroc": value, "low": None if value is None else 0.3, "high": None if value is None else 0.9} | counts

    rows: list[dict[str, Any]] = [
        {"measure": n, "family": f, "main": "soft", "sentence": f"What {n} does.", "baseline": f == "baseline"}
        | {"threshold": 0.5, "thresholded": n != "chain length", "note": "Odd." if n in NAMES[:2] else ""}
        | {"auroc": {"1": area(0.625), "2": area(0.7654)}, "called": {"1": 0.5, "2": 0.4321}, "level": "chain"}
        | {"published": {"step": None, "chain": None}, "passes": 3, "seconds": 0.5}
        for n, f in zip(NAMES, ("importance", "importance", "attribution", "baseline", "baseline"), strict=True)
    ]
    rows[2]["auroc"]["1"] = None
    tiers = [
        {"tier": t, "title": f"Tier {t}", "sentence": "Rests.", "items": 40, "problems": 20, "seeds": s}
        | {"dropped": 0, "dropped_sentence": "None.", "confidence": 0.7, "shown": t == "1" or shown, "why_not": WHY}
        for t, s in (("1", 5), ("2", 1))
    ]
    gaps = [
        {"tier": "1", "a": "SCM", "b": "answer confidence", "difference": 0.2, "low": 0.1, "high": 0.3},
        {"tier": "1", "a": "Early Answering", "b": "answer confidence", "difference": -0.001, "low": -0.1, "high": 0.1},
    ]
    kappa = {"measures": list(NAMES[:3]), "tiers": {t: [[1.0] * 3 for _ in range(3)] for t in "12"}}
    lengths = [{"tier": t, "steps": "2", "measure": "SCM", "auroc": 0.6, "n": 40} for t in "12"]
    return {
        "studies": [{"name": "", "title": "bundled"}, {"name": "mine", "title": "my own"}], "study": "",
        "source": "Comes with Attune.", "tiers": tiers, "rows": rows, "differences": gaps, "kappa": kappa,
        "lengths": lengths, "cost": {"sentence": "Cost."}, "fur": None, "honesty": ["Model: tiny.", ""],
        "exhibits": [{"tier": "Z", "name": "Z", "sentence": "Shown.", "made": 9, "certified": 4}],
        "published_note": "Other models, other items.",
    }  # fmt: skip


def written(component: Any) -> str:
    return json.dumps(component, cls=PlotlyJSONEncoder, ensure_ascii=False)


# Points


def test_packing_keeps_every_point() -> None:
    from pages.faithfulness.truth import packed, unpacked

    data = answered()
    for point, again in zip(data["points"], unpacked(packed(data)), strict=True):
        assert all(point[k] == again[k] for k in ("item", "label", "regime", "text", "steps"))
        for name, score in point["scores"].items():
            assert (again["scores"][name] is None) == (score is None)
            assert score is None or abs(again["scores"][name] - score) < 1e-3 * abs(score)
    other = unpacked(packed(data), "SCM")
    assert all(p["importance"] == p["scores"]["SCM"] for p in other)


def test_small_numbers_survive_rounding() -> None:
    from pages.faithfulness.board import rounded

    data = {"rate": 3e-5, "rows": [0.123456, None, 7, "x", True]}
    assert rounded(data) == {"rate": 3e-5, "rows": [0.1235, None, 7, "x", True]}


def test_rank_correlation_is_spearmans() -> None:
    from pages.faithfulness.truth import rank_correlation

    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 6, 50).astype(float), rng.integers(0, 6, 50).astype(float)
    found = rank_correlation(x, y)
    assert found == pytest.approx(spearmanr(x, y).statistic) and rank_correlation(x, -x) == pytest.approx(-1)
    assert rank_correlation(x, np.ones(50)) is None and rank_correlation(x[:2], y[:2]) is None


def test_the_caption_counts_only_points_with_both_scores() -> None:
    from pages.faithfulness.truth import caption

    points = answered()["points"]
    assert "over 26 items" in caption(points, "CC-SHAP", "Early Answering", 0.4)
    assert "AUROC of CC-SHAP for the label: 0.40" in caption(points, "CC-SHAP", "Early Answering", 0.4)
    assert "Rank" not in caption(points, "SCM", "SCM", None) and "AUROC" not in caption([], "SCM", "CC-SHAP", None)


def test_bars_at_the_measures_own_thresholds_are_the_shares_called_faithful() -> None:
    from pages.faithfulness.bias import rows_of
    from pages.faithfulness.truth import packed

    data = answered()
    shares = called_shares(data["points"], data["thresholds"])
    rows = {r["measure"]: r["called"] for r in rows_of(made_board(), packed(data) | {"tier": "1"})}
    assert {n: c["1"] for n, c in rows.items() if c["1"] is not None} == pytest.approx(shares)
    assert rows["chain length"] == {"1": None}


@pytest.mark.skipif(shutil.which("node") is None, reason="Node runs the browser's half without a browser.")
@pytest.mark.parametrize("level", [-1.0, 0.0, 0.5, 0.9])
def test_the_browser_counts_as_the_server_does(level: float) -> None:
    from pages.faithfulness.bias import draw
    from pages.faithfulness.truth import packed

    data = answered(3)
    points = packed(data) | {"study": "", "tier": "1", "source": "s"}
    base, moved = draw(points, "bias", "dark", made_board()), dict.fromkeys(data["thresholds"], level)
    script = (
        "globalThis.window = { dash_clientside: { no_update: null } };"
        "globalThis.document = { addEventListener() {} };"
        f"require({json.dumps(str(ROOT / 'assets' / 'faithboard.js'))});"
        "const [base, moved, points] = JSON.parse(require('fs').readFileSync(0));"
        "console.log(JSON.stringify(window.dash_clientside.attune_faithboard.bias(base, moved, points)));"
    )
    sent = json.dumps([base, moved, points], cls=PlotlyJSONEncoder)
    done = subprocess.run(["node", "-e", script], input=sent, capture_output=True, text=True, check=True)
    figure, _, settings, agreement, *_, said = json.loads(done.stdout)
    expected = called_shares(data["points"], moved)
    assert settings["called"] == pytest.approx(expected)
    named = [c[0] for c in figure["data"][0]["customdata"]]
    assert figure["data"][0]["x"] == pytest.approx([expected[n] for n in named])
    calls = [[None if (s := p["scores"][n]) is None else s >= level for p in data["points"]] for n in NAMES[:3]]
    matrix, cells = kappa_matrix(calls), agreement["data"][0]["z"]
    for i in range(2):
        for j in range(i + 1):
            want = None if np.isnan(matrix[i + 1, j]) else pytest.approx(matrix[i + 1, j])
            assert cells[i][j] == want
    assert cells[0][1] is None and "75% are labelled so" in said


# What is withheld


def watched(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The operations that points are asked with from now on; none is answered."""
    from pages.faithfulness import truth

    asked: list[Any] = []

    def attempt(make: Any, *_: Any) -> tuple[None, str]:
        asked.append(make())
        return None, "no"

    monkeypatch.setattr(truth, "attempt", attempt)
    return asked


def test_a_withheld_tier_is_withheld_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    from pages.faithfulness import board, cost, truth

    hidden, asked = made_board(shown=False), watched(monkeypatch)
    points, *panels = truth.load_points("scores", "2", hidden, None, None, "s")
    assert "scores" not in points and asked == [] and all(WHY in written(p) for p in panels)
    table, cards, _ = board.show_table("board", hidden, "2")
    assert WHY in written(table) and WHY in written(cards) and "0.77" not in written([table, cards])
    figure, _, settings = board.show_board("board", hidden, ["1", "2"], True, "dark")
    assert "0.7654" not in written([figure, settings]) and "0.4321" not in written([figure, settings])
    shown = cost.show_cost("cost", hidden, "dark")
    assert [r["tier"] for r in shown[5]["rows"]] == ["1"]
    # The same with the tier shown has all of it, so the test above could have failed.
    assert "0.7654" in written(board.show_board("board", made_board(), ["1", "2"], True, "dark"))
    assert "0.77" in written(board.show_table("board", made_board(), "2")[0])
    truth.load_points("scores", "2", made_board(), None, None, "s")
    assert [a.tier for a in asked] == ["2"]


def test_points_are_asked_for_once_and_only_when_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    from dash import no_update

    from pages.faithfulness import truth

    asked = watched(monkeypatch)
    known = {"study": "", "source": "Comes with Attune.", "tier": "1"}
    for tab, tier, kept in (("board", "1", None), ("truth", "1", known), ("truth", None, None), ("bias", "0", None)):
        assert truth.load_points(tab, tier, made_board(), kept, None, "s")[0] is no_update
    assert asked == [] and truth.load_points("truth", "1", None, known, None, "s")[0] is None
    truth.load_points("truth", "1", made_board(), known | {"study": "mine"}, None, "s")
    assert len(asked) == 1


# The board


def test_a_row_says_what_it_is_worth() -> None:
    text = written(board_table(made_board()["rows"], made_board()["differences"], "1"))
    assert "0.62 [0.30, 0.90]" in text and "0.41 to 0.59" in text and "30 + 10" in text and "25%" in text
    assert "50% at ≥ 0.5" in text and "+0.20 [+0.10, +0.30]" in text and "What SCM does." in text
    assert text.count("fthb-beats") == 1  # SCM's interval lies above zero, that of Early Answering does not
    assert "0.00 [−0.10, +0.10]" in text and "−0.00" not in text
    assert text.count("not run") == 1 and text.count("Odd.") == 1 and "Early Answering, SCM: " in text


def test_numbers_without_a_value_are_words() -> None:
    assert "None." not in written(tier_cards([made_board()["tiers"][0] | {"tier": "file"}]))
    assert within(None, None, None) == "not defined" and within(0.5, None, 0.6) == "0.50"
    assert span(None) == "" and span([None, None]) == "" and span([0.4, 0.6]) == "0.40 to 0.60"
    assert "1 demonstration seed." in written(tier_cards(made_board()["tiers"]))
    assert written(honesty_strip(["Model: tiny.", ""])).count("fthb-honesty-part") == 1


def test_what_was_chosen_stays_as_far_as_it_is_there() -> None:
    from pages.faithfulness.board import kept, offer, with_points

    board = made_board()
    first = offer(board, [], [], None, {})
    assert first[1] == "default" and first[3] == ["1", "2"] and first[5] == "2"
    again = offer(board, first[2], ["1"], "1", {})
    assert again[3] == ["1"] and again[5] == "1"  # what was switched off stays off
    assert offer(board, [], [], None, {"tier": "1"})[5] == "1" and offer(None, [], [], None, None)[1] is None
    assert [o["value"] for o in with_points(board)] == ["1", "2", "Z"]
    bare = board | {"tiers": [], "exhibits": []}
    assert with_points(bare | {"study": "file-1"})[0]["value"] == "file"
    assert with_points(bare | {"study": "own-1"})[0]["value"] == "own"
    assert kept([], "x") is None and kept([{"value": "a"}], None, "b") == "a"


def test_a_study_without_labels_is_not_ranked() -> None:
    from pages.faithfulness import board

    bare = made_board() | {"tiers": [], "exhibits": []}
    _, said, settings = board.show_board("board", bare, [], True, "light")
    table, cards, shown = board.show_table("board", bare, None)
    assert "label" in said and settings is None and "label" in written(table) and cards is None and shown is None


def test_a_study_that_the_model_lacks_gives_way_to_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    from analysis.service.operation import Result
    from pages.faithfulness import board

    def attempt(make: Any, *_: Any) -> Any:
        asked = make()
        return (None, "no such study") if asked.study else (Result(made_board()), None)

    monkeypatch.setattr(board, "attempt", attempt)
    data, study, panel = board.load_board(None, "gone", "s")
    assert data["study"] == "" and study == "" and panel == "no such study"
    assert board.load_board(None, "", "s")[2] is None


def test_hidden_tabs_draw_nothing() -> None:
    from dash import no_update

    from pages.faithfulness import bias, board, cost, scores, truth

    for tab in ("trace", "study"):
        answers = [
            *board.show_board(tab, made_board(), ["1"], True, "dark"),
            *board.show_table(tab, made_board(), "1"),
            *truth.show_truth(None, "SCM", "SCM", None, tab, "dark", made_board()),
            bias.draw(None, tab, "dark", made_board()),
            *scores.show_scores(None, False, None, tab, "dark", made_board()),
            *cost.show_cost(tab, made_board(), "dark"),
        ]
        assert all(a is no_update for a in answers)


def test_open_tabs_draw_every_item() -> None:
    from pages.faithfulness import scores, truth

    points = truth.packed(answered()) | {"study": "", "tier": "1", "source": "s"}
    figure, said, settings = truth.show_truth(points, "SCM", "CC-SHAP", "i1", "truth", "dark", made_board())
    drawn = [i for trace in figure["data"] for i in trace.get("customdata", ())]
    assert sorted(drawn) == sorted(f"i{k}" for k in range(40) if k % 3) and "AUROC of SCM" in said
    assert len(settings["points"]) == 40 and any(t["name"] == "chosen item" for t in figure["data"])
    figure, said, _ = scores.show_scores(points, False, {"item": "i2"}, "scores", "light", made_board())
    notes = {n["text"] for n in figure["layout"]["annotations"]}
    assert notes == set(NAMES[:3]) and said.startswith("30 faithful, 10 unfaithful.")
    everything = scores.show_scores(points, True, None, "scores", "light", made_board())[0]
    assert {n["text"] for n in everything["layout"]["annotations"]} == set(NAMES)


# Studies


def test_an_empty_number_is_refused_and_not_replaced() -> None:
    from pages.faithfulness.study import of_own, of_study

    assert FaithStudy(**of_study((2, 20, 0, 0, ["1"]))).tiers == ("1",)
    studies: list[tuple[Any, ...]] = [(None, 20, 0, 0, ["1"]), (2, None, 0, 0, ["1"]), (2, 20, 0, 0, [])]
    for values in [*studies, (2, 20, 0, 0, None)]:
        with pytest.raises(UserError):
            FaithStudy(**of_study(values))
    good: tuple[Any, ...] = ("Why?", "", "", 4, 0.7, 160, 0, None, None)
    assert FaithOwn(**of_own(good)).plain is False
    for values in (("", *good[1:]), (None, *good[1:]), (*good[:3], None, *good[4:]), (*good[:4], None, *good[5:])):
        with pytest.raises(UserError):
            FaithOwn(**of_own(values))


def test_typed_rows_come_before_a_file_and_a_file_must_be_text() -> None:
    from pages.faithfulness.study import chosen, rows_of

    file = "data:application/json;base64," + base64.b64encode("{}\n\n{é}".encode()).decode()
    assert rows_of("typed", file) == "typed" and rows_of(" ", file) == "{}\n\n{é}" and rows_of(None, None) == ""
    assert chosen(file, "a.jsonl") == ("a.jsonl: 2 lines. It is read while the box above is empty.", "")
    with pytest.raises(UserError, match="UTF-8"):
        rows_of("", "data:x;base64," + base64.b64encode(b"\xff\xfe").decode())
    with pytest.raises(UserError, match="UTF-8"):
        rows_of("", "data:x;base64,###")


def test_refused_lines_are_listed_with_their_reasons() -> None:
    rows = [{"line": k, "sentence": f"Reason {k}."} for k in range(1, 131)]
    text = written(refused_table(rows))
    assert "Reason 100." in text and "Reason 101." not in text and "And 30 more lines." in text
    assert refused_table([]) is None and "more lines" not in written(refused_table(rows[:3]))


def test_own_chains_can_be_opened_one_by_one() -> None:
    from pages.faithfulness.study import chains

    items = [{"item": f"own-{k}", "chain": [" a"], "answer": "7", "text": " <b>a</b>"} for k in range(2)]
    text = written(chains({"study": "own-x", "items": items, "answers": [{"answer": "7", "count": 2}]}))
    assert text.count('"data-fthb-study": "own-x"') == 2 and '"data-fthb-item": "own-1"' in text and "7 (2)" in text


def test_ids_belong_to_this_page_and_occur_once() -> None:
    from pages.faithfulness.bias_tab import bias_tab
    from pages.faithfulness.board_tab import board_tab
    from pages.faithfulness.cost_tab import cost_tab
    from pages.faithfulness.scores_tab import scores_tab
    from pages.faithfulness.study_tab import study_tab
    from pages.faithfulness.truth_tab import truth_tab

    view: Any = None
    ids = []
    for tab in (board_tab, truth_tab, bias_tab, scores_tab, cost_tab, study_tab):
        ids += [i for c in tab(view)._traverse() if (i := getattr(c, "id", None)) is not None]
    plain = [i for i in ids if isinstance(i, str)]
    assert len(plain) == len(set(plain)) > 60 and all(i.startswith("fth-") for i in plain)
    assert all(next(iter(i.values())).startswith("fth-") for i in ids if not isinstance(i, str))
