"""The comparing half of the Faithfulness page without a model: points, thresholds, tables, forms, what stays withheld.

Answers of the operations are made by hand, in the shape that they have.
"""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from plotly.utils import PlotlyJSONEncoder
from scipy.stats import spearmanr

from analysis.answer import from_wire
from analysis.errors import UserError
from analysis.faithfulness.answers.board import Board, ScorePoint, StudyList, StudyName, TierScores
from analysis.faithfulness.answers.item import Intervention, ItemScore, ItemTrace, TraceLine, TracePoint
from analysis.faithfulness.answers.jobs import AnswerCount, OwnChain, OwnChains, RefusedLine
from analysis.faithfulness.ops.jobs import FaithOwn, FaithStudy
from components.faithfulness.bias_figures import ThresholdOptions, bias, called_shares, kappa_map
from components.faithfulness.board_figures import LeaderboardOptions, leaderboard
from components.faithfulness.board_table import board_table, refused_table, span, tier_cards, within
from components.faithfulness.cost_figures import cost, lengths, sweep
from components.faithfulness.honesty import honesty_strip
from components.faithfulness.item_figures import moved_options, score_strip, trace
from components.faithfulness.point_figures import DistributionOptions, TruthOptions, distributions, importance_truth
from components.kit.card import UNCHANGED
from components.kit.view import NoOptions
from tests.unit.faithfulness.answers import Held, intervention, reading

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("Early Answering", "SCM", "CC-SHAP", "chain length", "answer confidence")
WHY = "Withheld: confidence alone tells these labels apart."


pytestmark = pytest.mark.usefixtures("app")


def answered(seed: int = 0, count: int = 40) -> TierScores:
    """As FaithScores answers: CC-SHAP lacks every third score, chain length has no threshold."""
    rng = np.random.default_rng(seed)
    points = []
    for k in range(count):
        scores: dict[str, float | None] = {n: float(rng.uniform(-1, 1)) for n in NAMES}
        scores["CC-SHAP"] = None if k % 3 == 0 else scores["CC-SHAP"]
        points.append(ScorePoint(f"i{k}", k % 4 != 0, "R", str(k), 0, "t", 2, scores, scores["Early Answering"]))
    thresholds = {n: 0.5 for n in NAMES if n != "chain length"}
    return TierScores(tuple(points), NAMES, thresholds, "Early Answering", "1")


def made_board(shown: bool = True, **more: Any) -> Board:
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
    data = {
        "studies": [{"name": "", "title": "bundled"}, {"name": "mine", "title": "my own"}], "study": "",
        "fingerprint": "abc",
        "source": "Comes with Attune.", "tiers": tiers, "rows": rows, "differences": gaps, "kappa": kappa,
        "lengths": lengths, "cost": {"sentence": "Cost."}, "fur": None, "honesty": ["Model: tiny.", ""],
        "exhibits": [{"tier": "Z", "name": "Z", "sentence": "Shown.", "made": 9, "certified": 4}],
        "published_note": "Other models, other items.",
    }  # fmt: skip
    return replace(from_wire(Board, data, {}), **more)


def written(component: Any) -> str:
    return json.dumps(component, cls=PlotlyJSONEncoder, ensure_ascii=False)


# Points


def test_packing_keeps_every_point() -> None:
    from pages.faithfulness.truth import packed

    data = answered()
    sent = packed(data)
    assert sent["item"] == [p.item for p in data.points] and sent["label"] == [p.label for p in data.points]
    for name in NAMES:
        for point, again in zip(data.points, sent["scores"][name], strict=True):
            score = point.scores[name]
            assert (again is None) == (score is None)
            assert score is None or abs(again - score) < 1e-3 * abs(score)


def test_small_numbers_survive_rounding() -> None:
    point = answered().points[0]
    points = [replace(point, scores={"SCM": v}) for v in (3e-5, 0.123456, None, 7.0)]
    scores = TierScores(tuple(points), ("SCM",), {}, "SCM", "1")
    assert scores.column("SCM") == [3e-5, 0.1235, None, 7.0] and scores.column("FUR") == [None] * 4


def test_rank_correlation_is_spearmans() -> None:
    from components.faithfulness.point_figures import rank_correlation

    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 6, 50).astype(float), rng.integers(0, 6, 50).astype(float)
    found = rank_correlation(x, y)
    assert found == pytest.approx(spearmanr(x, y).statistic) and rank_correlation(x, -x) == pytest.approx(-1)
    assert rank_correlation(x, np.ones(50)) is None and rank_correlation(x[:2], y[:2]) is None


def test_the_caption_counts_only_points_with_both_scores() -> None:
    scores, board = answered(), made_board()

    def caption(measure: str, by: str) -> str:
        return importance_truth(scores, board, TruthOptions(measure, by), "dark").caption

    said = caption("SCM", "CC-SHAP")
    assert "over 26 items" in said and "AUROC of SCM for the label: 0.62" in said and "Dashed" in said
    assert "Rank" not in caption("SCM", "SCM") and "AUROC" not in caption("CC-SHAP", "SCM")
    assert "Dashed" not in caption("chain length", "SCM")


def test_bars_at_the_measures_own_thresholds_are_the_shares_called_faithful() -> None:
    scores = answered()
    shares = called_shares(scores, scores.thresholds)
    bars = bias(made_board(), scores, ThresholdOptions(), "dark").figure["data"][0]
    assert dict(zip([c[0] for c in bars["customdata"]], bars["x"], strict=True)) == pytest.approx(shares)
    assert "chain length" not in shares and len(shares) == 4


# What is withheld


def watched(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The operations that points are asked with from now on; none is answered."""
    from pages.faithfulness import truth

    asked: list[Any] = []

    def ask(make: Any, *_: Any) -> tuple[None, str]:
        asked.append(make())
        return None, "no"

    monkeypatch.setattr(truth, "ask_for", ask)
    return asked


def test_a_withheld_tier_is_withheld_everywhere(monkeypatch: pytest.MonkeyPatch, held: Held) -> None:
    from pages.faithfulness import bias, board, cost, scores, truth

    asked = watched(monkeypatch)
    hidden = held.question(made_board(shown=False), "FaithBoard", study="hidden")
    plain = held.question(made_board(), "FaithBoard", study="")
    points, of, *panels = truth.load_points("scores", "2", hidden, None, None, "s")
    assert points is None and of["question"] is None and asked == [] and all(WHY in written(p) for p in panels)
    for card in (
        truth.show_truth(of, "SCM", "CC-SHAP", None, "truth", "dark", hidden),
        scores.show_scores(of, True, None, "scores", "dark", hidden),
        bias.draw(of, "bias", "dark", hidden)["bias"],
    ):
        assert card["ref"] is None and card["figure"]["data"] == []
    table, cards, _, lines, of_study, ranking = board.show_table("board", hidden, "2")
    assert WHY in written(table) and WHY in written(cards) and "0.77" not in written([table, cards, lines])
    assert ranking is None and of_study["view"] == "faithfulness/study"
    shown = board.show_board("board", hidden, ["1", "2"], True, "dark")
    assert "0.7654" not in written(shown) and "0.4321" not in written(shown)
    lengths = cost.show_cost("cost", hidden, "dark")["lengths"]["figure"]
    assert len(lengths["data"]) == 1 and "tier 1" in written(lengths)
    # The same with the tier shown has all of it, so the test above could have failed.
    assert "0.7654" in written(board.show_board("board", plain, ["1", "2"], True, "dark"))
    assert "0.77" in written(board.show_table("board", plain, "2")[0])
    assert len(cost.show_cost("cost", plain, "dark")["lengths"]["figure"]["data"]) == 2
    truth.load_points("scores", "2", plain, None, None, "s")
    assert [a.tier for a in asked] == ["2"]


def test_points_are_asked_for_once_and_only_when_looked_at(monkeypatch: pytest.MonkeyPatch, held: Held) -> None:
    from dash import no_update

    from pages.faithfulness import truth

    asked, board = watched(monkeypatch), held.question(made_board(), "FaithBoard")
    known = {"study": "", "source": "Comes with Attune.", "tier": "1"}
    for tab, tier, kept in (("board", "1", None), ("truth", "1", known), ("truth", None, None), ("bias", "0", None)):
        assert truth.load_points(tab, tier, board, kept, None, "s")[0] is no_update
    assert asked == [] and truth.load_points("truth", "1", None, known, None, "s")[:2] == (None, None)
    truth.load_points("truth", "1", board, known | {"study": "mine"}, None, "s")
    assert len(asked) == 1


# The board


def test_a_row_says_what_it_is_worth() -> None:
    text = written(board_table(made_board().rows, made_board().differences, "1"))
    assert "0.62 [0.30, 0.90]" in text and "0.41 to 0.59" in text and "30 + 10" in text and "25%" in text
    assert "50% at ≥ 0.5" in text and "+0.20 [+0.10, +0.30]" in text and "What SCM does." in text
    assert text.count("fthb-beats") == 1  # SCM's interval lies above zero, that of Early Answering does not
    assert "0.00 [−0.10, +0.10]" in text and "−0.00" not in text
    # What bold means stands on the page, once, and only where something is bold.
    assert text.count("not corrected") + text.count("Nothing is corrected") == 1 and "minus that of answer" in text
    assert "corrected" not in written(board_table(made_board().rows, made_board().differences[1:], "1"))
    assert text.count("not run") == 1 and text.count("Odd.") == 1 and "Early Answering, SCM: " in text


def test_a_measure_that_ran_on_one_label_was_run() -> None:
    rows = made_board().rows
    area = rows[0].auroc["1"]
    assert area is not None
    rows[2].auroc["1"] = replace(area, auroc=None, low=None, high=None, n_faithful=0)
    text = written(board_table(rows, [], "1"))
    assert text.count("one label only") == 1 and "not run" not in text and "0 + 10" in text


def test_numbers_without_a_value_are_words() -> None:
    assert "None." not in written(tier_cards([replace(made_board().tiers[0], tier="file")]))
    assert within(None, None, None) == "not defined" and within(0.5, None, 0.6) == "0.50"
    assert span(None) == "" and span((None, None)) == "" and span((0.4, 0.6)) == "0.40 to 0.60"
    assert "1 demonstration seed." in written(tier_cards(made_board().tiers))
    assert written(honesty_strip(["Model: tiny.", ""])).count("fthb-honesty-part") == 1


def test_what_was_chosen_stays_as_far_as_it_is_there(held: Held) -> None:
    from pages.faithfulness.board import Choice, ModelStudies, first_of, offer, with_points

    board = held.question(made_board(), "FaithBoard")
    listed = asdict(ModelStudies.of(None, made_board()))
    first = offer(board, listed, [], [], None, None)
    assert first[1] == "default" and first[3] == ["1", "2"] and first[5] == "2"
    again = offer(board, listed, first[2], ["1"], "1", None)
    assert again[3] == ["1"] and again[5] == "1"  # what was switched off stays off
    assert (
        offer(board, listed, [], [], None, {"tier": "1"})[5] == "1" and offer(None, None, [], [], None, None)[1] is None
    )
    assert [c.value for c in with_points(made_board())] == ["1", "2", "Z"]
    bare = made_board(tiers=(), exhibits=())
    assert with_points(replace(bare, study="file-1"))[0].value == "file"
    assert with_points(replace(bare, study="own-1"))[0].value == "own"
    assert first_of([], "x") is None and first_of([Choice("A", "a")], None, "b") == "a"


def test_a_study_without_labels_is_not_ranked(held: Held) -> None:
    from pages.faithfulness import board

    bare = held.question(made_board(tiers=(), exhibits=()), "FaithBoard")
    drawn = board.show_board("board", bare, [], True, "light")
    table, cards, shown, lines, _, ranking = board.show_table("board", bare, None)
    assert lines is None
    assert (
        "label" in drawn["caption"]
        and drawn["ref"] is None
        and "label" in written(table)
        and cards is None
        and shown is None
        and ranking is None
    )


def answering(monkeypatch: pytest.MonkeyPatch, boards: dict[str, str], rows: list[str] | None) -> list[Any]:
    """Let boards be asked for: the study that each name opens, and the names that are listed (None: not even those)."""
    from analysis.faithfulness.ops.study import FaithStudies
    from pages.faithfulness import board

    asked: list[Any] = []
    held = Held(monkeypatch)

    def ask(make: Any, *_: Any) -> Any:
        asked.append(make())
        names = tuple(StudyName(n, n) for n in rows or ())
        if isinstance(asked[-1], FaithStudies):
            return (None, "no model") if rows is None else (held.hold(StudyList(names, "abc"), "FaithStudies"), None)
        if asked[-1].study not in boards:
            return None, "no such study"
        study = boards[asked[-1].study]
        return held.hold(made_board(study=study, studies=names), "FaithBoard", study=asked[-1].study), None

    monkeypatch.setattr(board, "ask_for", ask)
    return asked


def test_a_study_that_the_model_lacks_gives_way_to_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    from dash import no_update

    from pages.faithfulness import board

    answering(monkeypatch, {"": ""}, ["", "mine"])
    data, study, panel, listed = board.load_board(None, "gone", None, None, "s")
    assert board.board_of(data).study == "" and study == "" and panel == "no such study" and len(listed["rows"]) == 2
    assert board.load_board(None, "", None, None, "s")[1:3] == (no_update, None)


def test_the_open_study_is_named_as_the_board_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model without a bundled study opens its newest one, and a job's link may ask for just that."""
    from dash import no_update

    from pages.faithfulness import board

    asked = answering(monkeypatch, {"": "own-1", "newest": "own-1", "own-1": "own-1"}, ["own-1", "own-0"])
    for name in ("", "newest", None):
        data, study, panel, listed = board.load_board({"source": "b"}, name, None, None, "s")
        shown = board.board_of(data)
        assert shown is not None and shown.study == study == "own-1" and panel is None
        assert board.ModelStudies.from_dict(listed) == board.ModelStudies({"source": "b"}, "abc", shown.studies)
    assert board.load_board(None, "own-1", None, None, "s")[1] is no_update
    data, study, panel, _ = board.load_board(None, "gone", None, None, "s")
    assert (
        board.board_of(data).study == study == "own-1" and panel == "no such study"
    )  # not "", which would be asked for again
    assert len(asked) == 4 + 3


def test_studies_can_be_chosen_where_none_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    from pages.faithfulness import board

    asked = answering(monkeypatch, {}, ["own-1", "own-0"])
    data, _, panel, listed = board.load_board(None, "", None, None, "s")
    assert data is None and panel == "no such study" and len(asked) == 2
    options, value, *_ = board.offer(data, listed, [], [], None, None)
    assert [o["value"] for o in options] == ["own-1", "own-0"] and value is None
    # Where the model itself cannot be had, nothing else is asked of it.
    asked = answering(monkeypatch, {}, None)
    assert board.load_board(None, "own-1", None, None, "s")[3] is None and len(asked) == 2
    assert board.offer(None, None, [], [], None, None)[0] == []


def test_the_board_waits_for_the_model_of_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    from dash import no_update
    from dash._callback_context import context_value
    from dash._utils import AttributeDict

    from pages.faithfulness import board

    asked = answering(monkeypatch, {"own-1": "own-1"}, ["own-1"])
    named = {"source": "b"}
    started = context_value.set(AttributeDict(triggered_inputs=[]))
    try:
        assert board.load_board({"source": "a"}, "own-1", None, {"model": named}, "s") == (no_update,) * 4 and not asked
        assert (
            board.load_board(named, "own-1", None, {"model": named}, "s")[0]["params"] == {"study": "own-1"}
            and len(asked) == 1
        )
        assert board.load_board(named, "own-1", None, {"model": None}, "s")[0] is not None
    finally:
        context_value.reset(started)


def test_hidden_tabs_draw_nothing() -> None:
    from dash import no_update

    from pages.faithfulness import bias, board, cost, scores, truth

    nothing: Any = {"operation": "FaithBoard"}  # and ask for nothing: nobody could answer
    for tab in ("trace", "study"):
        cards = [
            board.show_board(tab, nothing, ["1"], True, "dark"),
            truth.show_truth(None, "SCM", "SCM", None, tab, "dark", nothing),
            scores.show_scores(None, False, None, tab, "dark", nothing),
            *(cost.show_cost(tab, nothing, "dark")[name] for name in ("cost", "lengths", "sweep")),
        ]
        assert all(card == UNCHANGED for card in cards) and bias.draw(None, tab, "dark", nothing) is no_update
        assert all(part is no_update for part in board.show_table(tab, nothing, "1"))


def test_open_tabs_draw_every_item(held: Held) -> None:
    from pages.faithfulness import scores, truth

    board = held.question(made_board(), "FaithBoard")
    of = {"study": "", "source": "s", "tier": "1", "question": held.question(answered(), "FaithScores", tier="1")}
    shown = truth.show_truth(of, "SCM", "CC-SHAP", {"item": "i1"}, "truth", "dark", board)
    drawn = [i for trace in shown["figure"]["data"] for i in trace.get("customdata", ())]
    assert sorted(drawn) == sorted(f"i{k}" for k in range(40) if k % 3) and "AUROC of SCM" in shown["caption"]
    assert any(t["name"] == "chosen item" for t in shown["figure"]["data"])
    assert shown["ref"]["questions"] == [of["question"], board] and shown["ref"]["options"]["item"] == "i1"
    shown = scores.show_scores(of, False, {"item": "i2"}, "scores", "light", board)
    notes = {n["text"] for n in shown["figure"]["layout"]["annotations"]}
    assert notes == set(NAMES[:3]) and shown["caption"].startswith("30 faithful, 10 unfaithful.")
    everything = scores.show_scores(of, True, None, "scores", "light", board)["figure"]
    assert {n["text"] for n in everything["layout"]["annotations"]} == set(NAMES)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_card_is_drawn_again_from_its_json(held: Held, theme: str) -> None:
    from analysis.view_ref import ViewRef
    from pages.cards import render
    from pages.faithfulness import bias, board, cost, scores, truth

    known = held.question(made_board(), "FaithBoard")
    of = {"study": "", "source": "s", "tier": "1", "question": held.question(answered(), "FaithScores", tier="1")}
    costs, moved = cost.show_cost("cost", known, theme), bias.draw(of, "bias", theme, known)
    for shown in (
        board.show_board("board", known, ["1"], True, theme),
        truth.show_truth(of, "SCM", "CC-SHAP", {"item": "i1"}, "truth", theme, known),
        scores.show_scores(of, True, {"item": "i1"}, "scores", theme, known),
        *(costs[name] for name in ("cost", "lengths", "sweep")),
        *(moved[name] for name in ("bias", "kappa")),
    ):
        again = render(ViewRef.from_dict(json.loads(json.dumps(shown["ref"]))), theme)
        assert written(again.figure) == written(shown["figure"]) and "Click" not in again.caption
        assert shown["caption"] == f"{again.caption} {again.hint}".strip()  # the card says what a click does
    ref = moved["bias"]["ref"] | {"options": {"thresholds": {"SCM": -2.0}}}  # as the browser keeps it
    bars = render(ViewRef.from_dict(ref), theme).figure["data"][0]
    assert bars["x"][[c[0] for c in bars["customdata"]].index("SCM")] == 1


def test_an_export_says_what_the_answers_say() -> None:
    """The facts of each figure of the page: plain data, and nothing of a tier that is withheld."""
    board, scores = made_board(shown=False), answered()
    moved = ThresholdOptions({"SCM": -2.0})
    truth = importance_truth(scores, board, TruthOptions("SCM", "CC-SHAP"), "dark")
    line = TraceLine("true", "s.", (TracePoint(0, 0.5, "text", ()),))
    traced = ItemTrace(("start",), (line,), "7", 0.1, passes=3, sentence="s.")
    score = ItemScore("SCM", "attribution", 1, 0.5, 0.2, "soft", (), 0.5, True, "", 0.5, "s.", 0.6, 0.4)
    of_study = {"study", "source"}
    drawn = {
        "leaderboard": (leaderboard(board, LeaderboardOptions(("1", "2"), True), "dark"), of_study | {"rows"}),
        "truth": (truth, of_study),
        "distributions": (distributions(scores, board, DistributionOptions(), "dark"), of_study),
        "bias": (bias(board, scores, moved, "dark"), of_study | {"thresholds", "called", "counted"}),
        "agreement": (kappa_map(board, scores, moved, "dark"), of_study | {"thresholds", "kappa"}),
        "cost": (cost(board, NoOptions(), "dark"), of_study | {"rows", "cost"}),
        "lengths": (lengths(board, NoOptions(), "dark"), of_study | {"rows"}),
        "unlearning": (sweep(board, NoOptions(), "dark"), of_study | {"fur"}),
        "trace": (trace(traced, NoOptions(), "dark"), {"steps", "lines", "answer", "base", "passes", "sentence"}),
        "scores": (score_strip(reading(scores=[score]), NoOptions(), "dark"), {"scores"}),
        "options": (
            moved_options(intervention(), NoOptions(), "dark"),
            {field.name for field in fields(Intervention)} - {"pieces"},
        ),
    }
    facts = {name: drawing.facts for name, (drawing, _) in drawn.items()}
    assert {name: values.keys() for name, values in facts.items()} == {name: keys for name, (_, keys) in drawn.items()}
    assert json.loads(json.dumps(facts)) == facts
    ours = {"study": "default", "source": "Comes with Attune."}
    assert all(values.items() >= ours.items() for name, values in facts.items() if "study" in drawn[name][1])
    assert facts["leaderboard"]["rows"][0]["auroc"].keys() == facts["leaderboard"]["rows"][0]["called"].keys() == {"1"}
    assert [row["tier"] for row in facts["lengths"]["rows"]] == ["1"]
    assert facts["bias"]["thresholds"] == facts["agreement"]["thresholds"] == scores.thresholds | {"SCM": -2.0}
    assert facts["bias"]["called"]["SCM"] == 1 and facts["bias"]["counted"]["CC-SHAP"] == 26
    assert facts["scores"]["scores"][0]["soft"] == 0.5 and "text" not in facts["trace"]["lines"][0]["points"][0]


# Studies


def test_an_empty_number_is_refused_and_not_replaced() -> None:
    from pages.faithfulness.study import of_own, of_study

    assert FaithStudy(**of_study(2, 20, 0, 0, ["1"], False)).tiers == ("1",)
    studies: list[tuple[Any, ...]] = [
        (None, 20, 0, 0, ["1"], None),
        (2, None, 0, 0, ["1"], None),
        (2, 20, 0, 0, [], None),
    ]
    for values in [*studies, (2, 20, 0, 0, None, None)]:
        with pytest.raises(UserError):
            FaithStudy(**of_study(*values))
    good: tuple[Any, ...] = ("Why?", "", "", 4, 0.7, 160, 0, None, None, None)
    assert FaithOwn(**of_own(*good)).plain is False and FaithOwn(**of_own(*good[:-1], True)).continued is True
    assert FaithStudy(**of_study(2, 20, 0, 0, ["1"], True)).settings().measures != FaithStudy().settings().measures
    for values in (("", *good[1:]), (None, *good[1:]), (*good[:3], None, *good[4:]), (*good[:4], None, *good[5:])):
        with pytest.raises(UserError):
            FaithOwn(**of_own(*values))


def test_typed_rows_come_before_a_file_and_a_file_must_be_text() -> None:
    from pages.faithfulness.study import chosen, rows_of

    file = "data:application/json;base64," + base64.b64encode("{}\n\n{é}".encode()).decode()
    assert rows_of("typed", file) == "typed" and rows_of(" ", file) == "{}\n\n{é}" and rows_of(None, None) == ""
    # One answer, for the line beside the button: what was typed stays.
    assert chosen(file, "a.jsonl") == "a.jsonl: 2 lines. It is read where the box above is empty."
    with pytest.raises(UserError, match="UTF-8"):
        rows_of("", "data:x;base64," + base64.b64encode(b"\xff\xfe").decode())
    with pytest.raises(UserError, match="UTF-8"):
        rows_of("", "data:x;base64,###")


def test_a_jobs_link_leads_to_what_the_job_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    from urllib.parse import parse_qsl, urlsplit

    from analysis.faithfulness.ops import jobs
    from analysis.faithfulness.ops import rows as rows_ops
    from analysis.models.spec import ModelSpec
    from pages.faithfulness import study
    from pages.faithfulness.board import ModelStudies
    from pages.faithfulness.state import FaithState
    from pages.state import read

    other = ModelSpec("other")
    job = rows_ops.FaithFile(other, "{}")
    known = ModelStudies(other.to_dict(), "abc", ())
    view = read(FaithState, dict(parse_qsl(urlsplit(study.link_to(job, known)).query)))
    assert view.model == other.to_dict() and view.tab == "board" and not view.problems
    # The name is the one that the job itself gives.
    item = SimpleNamespace(id="i", facts={"line": 1})
    made = SimpleNamespace(items=[item], manifest={"refused": []})
    loaded = SimpleNamespace(facts=SimpleNamespace(fingerprint="abc", label="tiny"), tokenizer=None)
    rows = SimpleNamespace(items=[item], refused=[], sentence="")
    monkeypatch.setattr("analysis.faithfulness.rows.read_rows", lambda *_, **__: rows)
    monkeypatch.setattr(rows_ops, "scored", lambda *_, **__: made)
    monkeypatch.setattr(rows_ops, "keep", lambda *_: None)
    context: Any = SimpleNamespace(model=lambda _: loaded, check=lambda: None)
    assert job.result(context).data["study"] == view.study and view.study.startswith("file-")
    own = jobs.FaithOwn(other, question="Why?")
    assert "study=own-" in study.link_to(own, known) and "tab=scores" in study.link_to(own, known)
    assert "study=study-" in study.link_to(FaithStudy(other), known)
    # What the page knows of another model says nothing of this one.
    for stale in (None, replace(known, model=ModelSpec("third").to_dict()), replace(known, model=None)):
        assert "study=newest" in study.link_to(own, stale)
    assert "study=study-" in study.link_to(FaithStudy(), replace(known, model=None))  # the default model has no entry


def test_refused_forms_ask_for_no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    from pages.faithfulness import study

    begun: list[Any] = []
    monkeypatch.setattr(study, "ask_job", lambda *a: begun.append(a) or (None, "gone"))
    result, panel = study.asked(lambda: FaithOwn(question=""), lambda _: None, "s", None)
    assert result is None and "no question" in written(panel) and not begun
    assert study.asked(lambda: FaithOwn(question="Why?"), lambda _: None, "s", None)[1] == "gone" and len(begun) == 1


def test_refused_lines_are_listed_with_their_reasons() -> None:
    rows = [RefusedLine(k, f"Reason {k}.") for k in range(1, 131)]
    text = written(refused_table(rows))
    assert "Reason 100." in text and "Reason 101." not in text and "And 30 more lines." in text
    assert refused_table([]) is None and "more lines" not in written(refused_table(rows[:3]))


def test_own_chains_can_be_opened_one_by_one() -> None:
    from pages.faithfulness.study import chains

    items = tuple(OwnChain(f"own-{k}", (" a",), "7", " <b>a</b>") for k in range(2))
    text = written(chains(OwnChains("own-x", items, "s.", (AnswerCount("7", 2),), ())))
    assert text.count('"data-fthb-study": "own-x"') == 2 and '"data-fthb-item": "own-1"' in text and "7 (2)" in text


def test_ids_belong_to_this_page_and_occur_once() -> None:
    from pages.faithfulness.bias_tab import bias_tab
    from pages.faithfulness.board_tab import board_tab
    from pages.faithfulness.cost_tab import cost_tab
    from pages.faithfulness.scores_tab import scores_tab
    from pages.faithfulness.study_tab import study_tab
    from pages.faithfulness.truth_tab import truth_tab

    ids = []
    for tab in (board_tab, truth_tab, bias_tab, scores_tab, cost_tab, study_tab):
        ids += [i for c in tab()._traverse() if (i := getattr(c, "id", None)) is not None]
    for tab, controls in (
        (board_tab, {"study": "fth-study-pick", "tiers": "fth-board-tiers", "tier": "fth-board-table-tier"}),
        (bias_tab, {"threshold": "fth-bias-threshold", "threshold of": "fth-bias-of"}),
        (study_tab, {"tiers": "fth-new-tiers"}),
    ):  # controls without a label of their own are named by their group
        groups = [c.to_plotly_json()["props"] for c in tab()._traverse() if getattr(c, "role", "") == "group"]
        for label, control in controls.items():
            mine = next(g for g in groups if f'"{control}"' in written(g["children"]))
            assert mine["aria-label"] == label
    plain = [i for i in ids if isinstance(i, str)]
    assert len(plain) == len(set(plain)) > 60 and all(i.startswith("fth-") for i in plain)
    assert all(next(iter(i.values())).startswith("fth-") for i in ids if not isinstance(i, str))
