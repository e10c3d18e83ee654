"""Figures of the faithfulness board, against the rows that they were given."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from plotly.graph_objects import Figure
from plotly.utils import PlotlyJSONEncoder

from analysis.answer import from_wire
from analysis.faithfulness.agreement import kappa_matrix
from analysis.faithfulness.answers.board import (
    Board,
    BoardRow,
    Kappa,
    LengthArea,
    ScorePoint,
    TierRow,
    TierScores,
    Unlearning,
)
from components.faithfulness import bias_figures
from components.faithfulness import board_figures as board
from components.faithfulness import cost_figures as cost
from components.faithfulness import point_figures as point
from components.faithfulness.style import BASELINES, LABELS, SYMBOLS, by_family, label_colour
from components.kit.theme import REMAINDER
from components.kit.view import NoOptions

THEMES = ("light", "dark")
HOSTILE = "<b>3+4=7</b>&<script>"


def checked(figure: dict[str, Any]) -> dict[str, Any]:
    """The figure as the browser gets it, refused if it has a property that plotly does not know."""
    parsed: dict[str, Any] = json.loads(json.dumps(figure, cls=PlotlyJSONEncoder))
    Figure(parsed)
    assert "<script" not in json.dumps(figure, cls=PlotlyJSONEncoder)
    return figure


def words(figure: dict[str, Any]) -> str:
    return " ".join(str(a["text"]) for a in figure["layout"].get("annotations", ()))


def area(value: float, ties: float = 0.0) -> dict[str, Any]:
    return {
        "auroc": value,
        "low": value - 0.1,
        "high": value + 0.05,
        "ties": ties,
        "n_faithful": 30,
        "n_unfaithful": 90,
        "permuted": [0.42, 0.58],
    }


def row(name: str, family: str, one: Any, two: Any, called: Any = None, **more: Any) -> BoardRow:
    data = {
        "measure": name,
        "family": family,
        "main": "soft",
        "sentence": f"What {HOSTILE} does.",
        "baseline": family == "baseline",
        "threshold": 0.5,
        "auroc": {"1": one, "2": two},
        "called": {"1": called},
        "published": {"step": None, "chain": None},
        "passes": 3,
        "seconds": 0.2,
        "note": "",
    } | more
    return from_wire(BoardRow, data, {})


ROWS = (
    row("chain length", "baseline", area(0.5), None, None, passes=0, seconds=0.0),
    row("SCM", "importance", area(0.9, 0.4), area(0.31), 0.1, published={"step": None, "chain": [0.38, 0.03]}),
    row("CC-SHAP", "attribution", None, area(0.55), None, published={"step": [0.41, 0.03], "chain": [0.7, 0.04]}),
    row("NLDD", "other", area(0.99), area(0.26), 0.75, seconds=30.0),
    row("Filler Tokens", "importance", area(0.93), None, 0.4, published={"step": [0.59, 0.01], "chain": [0.5, 0.02]}),
)
TIERS = (
    TierRow("1", f"Tier 1 {HOSTILE}", "s.", 120, 30, 1, 0, "", None, True, ""),
    TierRow("2", "Tier 2", "s.", 80, 20, 5, 0, "", None, True, "matched badly"),
)
ORDER = ["importance", "SCM", "Filler Tokens", "attribution", "CC-SHAP", "other", "NLDD", BASELINES, "chain length"]


def board_of(rows: Sequence[BoardRow] = ROWS, **more: Any) -> Board:
    return Board((), "abc", "", "s.", rows=tuple(rows), **more)


def leaderboard(rows: Sequence[BoardRow], tiers: Sequence[TierRow], published: bool, theme: str) -> dict[str, Any]:
    options = board.LeaderboardOptions(tuple(tier.tier for tier in tiers), published)
    return board.leaderboard(board_of(rows, tiers=tuple(tiers)), options, theme).figure


def drawn(figure: dict[str, Any], axis: str) -> dict[str, tuple[float, int]]:
    """Measure -> (value, line) of the filled markers in one panel."""
    return {
        c[0]: (x, y)
        for t in figure["data"]
        if t["xaxis"] == axis and t["mode"] == "markers"
        for c, x, y in zip(t["customdata"], t["x"], t["y"], strict=True)
    }


def test_measures_stand_by_family_and_baselines_apart_at_the_end() -> None:
    assert [name for name, _ in by_family(ROWS)] == ORDER
    assert [name for name, r in by_family(ROWS) if r is None] == ["importance", "attribution", "other", BASELINES]


@pytest.mark.parametrize("theme", THEMES)
def test_the_board_draws_every_value_where_it_is(theme: str) -> None:
    figure = checked(leaderboard(ROWS, TIERS, True, theme))
    one, two = drawn(figure, "x"), drawn(figure, "x2")
    assert one == {"chain length": (0.5, 8), "SCM": (0.9, 1), "Filler Tokens": (0.93, 2), "NLDD": (0.99, 6)}
    assert two == {"SCM": (0.31, 1), "CC-SHAP": (0.55, 4), "NLDD": (0.26, 6)}  # below 0.5 is drawn below 0.5
    for trace in figure["data"]:
        if trace["mode"] == "markers" and trace["xaxis"] != "x3":
            np.testing.assert_allclose(trace["error_x"]["arrayminus"], 0.1)
            np.testing.assert_allclose(trace["error_x"]["array"], 0.05)
            free = trace["name"] == "free baseline"
            assert trace["marker"]["color"] == (REMAINDER if free else label_colour(True, theme))
    ends = [t for t in figure["data"] if t["name"].startswith("shuffled") and t["xaxis"] == "x"]
    assert [x for x in ends[0]["x"] if x is not None] == [0.42, 0.58] * 4
    lines = [s for s in figure["layout"]["shapes"] if s.get("yref") == "paper"]
    assert [(s["x0"], s["x1"]) for s in lines] == [(0.5, 0.5)] * 3
    values = next(t for t in figure["data"] if t["mode"] == "text" and t["xaxis"] == "x")
    said = dict(zip(values["y"], values["text"], strict=True))
    assert said == {1: "0.90 · 40%", 2: "0.93", 4: "not run", 6: "0.99", 8: "0.50"}
    assert sum(t.get("showlegend", True) and t["name"] == "free baseline" for t in figure["data"]) == 1
    assert not any(t["showlegend"] for t in figure["data"] if t["mode"] == "text")
    assert "120 items, 30 problems, 1 seed<" in words(figure) and "&lt;script" in words(figure)


def test_only_published_values_are_hollow_and_they_have_a_panel_of_their_own() -> None:
    figure = checked(leaderboard(ROWS, TIERS, True, "dark"))
    hollow = [t for t in figure["data"] if str(t.get("marker", {}).get("symbol", "")).endswith("-open")]
    assert {t["xaxis"] for t in hollow} == {"x3"} and all("other models, other items" in t["name"] for t in hollow)
    found = {(c[0], x) for t in hollow for c, x in zip(t["customdata"], t["x"], strict=True)}
    assert found == {
        ("SCM", 0.38),
        ("CC-SHAP", 0.41),
        ("CC-SHAP", 0.7),
        ("Filler Tokens", 0.59),
        ("Filler Tokens", 0.5),
    }
    assert "published: other models, other items" in words(figure).replace("<br>", " ")
    for without in (leaderboard(ROWS, TIERS, False, "light"), leaderboard(ROWS[3:4], TIERS, True, "light")):
        assert "xaxis3" not in checked(without)["layout"]
        assert not any("open" in str(t.get("marker")) for t in without["data"])


def test_a_tier_that_may_not_be_shown_says_why_instead() -> None:
    figure = checked(leaderboard(ROWS, [TIERS[0], replace(TIERS[1], shown=False)], False, "light"))
    assert not any(t["xaxis"] == "x2" for t in figure["data"]) and "matched badly" in words(figure)
    assert drawn(figure, "x")["SCM"] == (0.9, 1)
    assert "matched badly" not in words(leaderboard(ROWS, TIERS, False, "light"))


def test_missing_intervals_and_nulls_leave_the_value() -> None:
    bare = row("SCM", "importance", {"auroc": 0.7}, None)
    figure = checked(leaderboard([bare], TIERS[:1], False, "light"))
    assert drawn(figure, "x") == {"SCM": (0.7, 1)}
    assert not any(t["name"].startswith("shuffled") for t in figure["data"])


def points(n: int = 12, thresholds: Mapping[str, float] | None = None, importance: str = "EA") -> TierScores:
    rng = np.random.default_rng(0)
    rows = [
        {
            "item": f"item {i}",
            "label": (True, False, None)[i % 3],
            "regime": "R",
            "problem": "p",
            "demos": 0,
            "text": HOSTILE + " and a longer text " * 5,
            "steps": 2,
            "scores": {
                "SCM": round(float(rng.random()), 3),
                "NLDD": None if i == 3 else round(float(rng.normal()), 3),
                "FUR": None,
                "EA": None if i == 6 else round(float(rng.random()), 3),
            },
        }
        for i in range(n)
    ]
    found = tuple(from_wire(ScorePoint, r | {"importance": r["scores"]["EA"]}, {}) for r in rows)  # type: ignore[index]
    return TierScores(found, ("SCM", "NLDD", "FUR", "EA"), dict(thresholds or {}), importance, "1")


def truth(scores: TierScores, measure: str, by: str, theme: str, item: str = "") -> dict[str, Any]:
    return point.importance_truth(scores, board_of(), point.TruthOptions(measure, by, item), theme).figure


def distributions(scores: TierScores, names: Sequence[str], theme: str, item: str = "") -> dict[str, Any]:
    rows = [row(name, "importance", None, None) for name in names]
    return point.distributions(scores, board_of(rows), point.DistributionOptions(item=item), theme).figure


@pytest.mark.parametrize("theme", THEMES)
def test_importance_against_truth_shows_label_by_colour_and_symbol(theme: str) -> None:
    given = points(thresholds={"NLDD": 0.5})
    figure = checked(truth(given, "NLDD", "EA", theme, "item 4"))
    by_name = {t["name"]: t for t in figure["data"]}
    assert set(by_name) == {*LABELS.values(), "chosen item"}
    seen = {}
    for label, name in LABELS.items():
        trace = by_name[name]
        assert trace["marker"]["symbol"] == SYMBOLS[label] and trace["marker"]["color"] == label_colour(label, theme)
        seen |= {c: (x, y) for c, x, y in zip(trace["customdata"], trace["x"], trace["y"], strict=True)}
    assert seen == {
        p.item: (p.importance, p.scores["NLDD"]) for p in given.points if p.item not in ("item 3", "item 6")
    }  # as they are, without jitter; what lacks a score is left out
    assert len({t["marker"]["color"] for t in figure["data"]}) == 4
    ring = by_name["chosen item"]
    assert (ring["x"][0], ring["y"][0]) == seen["item 4"] and ring["hoverinfo"] == "skip"
    assert figure["layout"]["shapes"][0]["y0"] == 0.5
    assert "&lt;b&gt;" in by_name["faithful"]["text"][0] and "<b>" not in by_name["faithful"]["text"][0]


def test_distributions_have_a_panel_for_each_measure_with_all_its_points() -> None:
    given = points(thresholds={"SCM": 0.5})
    figure = checked(distributions(given, ["SCM", "NLDD", "FUR"], "dark", "item 4"))
    panels = {axis: [t for t in figure["data"] if t["yaxis"] == axis] for axis in ("y", "y2")}
    assert len(figure["data"]) == sum(map(len, panels.values()))  # nothing of FUR, which has no scores
    for axis, name in (("y", "SCM"), ("y2", "NLDD")):
        clouds = [t for t in panels[axis] if t["name"] != "chosen item"]
        seen = {c: y for t in clouds for c, y in zip(t["customdata"], t["y"], strict=True)}
        assert seen == {p.item: p.scores[name] for p in given.points if p.scores[name] is not None}
        for lane, trace in enumerate(clouds):
            assert all(abs(x - lane) < 0.4 for x in trace["x"])  # within the lane of its label
            place = dict(zip(trace["customdata"], trace["x"], strict=True))
            if "item 4" in place:
                ring = next(t for t in panels[axis] if t["name"] == "chosen item")
                assert (ring["x"][0], ring["y"][0]) == (place["item 4"], seen["item 4"])
    (line,) = figure["layout"]["shapes"]
    assert line["yref"] == "y" and line["y0"] == 0.5  # only where there is a threshold
    assert figure == distributions(given, ["SCM", "NLDD", "FUR"], "dark", "item 4")


def test_called_shares_follow_the_threshold() -> None:
    given = points()
    scores = [p.scores["SCM"] or 0.0 for p in given.points]
    found = bias_figures.called_shares(given, {"SCM": sorted(scores)[4], "FUR": 0.5})
    assert found == {"SCM": 8 / 12}  # at the threshold counts as faithful


def calls(shares: Mapping[str, tuple[int, int]], levels: Mapping[str, float], tier: str = "1") -> TierScores:
    """Points of which, by each measure, so many of so many reach the threshold; the rest has no score."""
    most = max(of for _, of in shares.values())
    rows = [
        ScorePoint(f"i{k}", True, "R", "p", 0, "t", 2,
                   {n: (1.0 if k < yes else -1.0) if k < of else None for n, (yes, of) in shares.items()}, None)
        for k in range(most)
    ]  # fmt: skip
    return TierScores(tuple(rows), tuple(shares), dict(levels), "SCM", tier)


def bias(rows: Sequence[BoardRow], scores: TierScores, theme: str, **more: Any) -> dict[str, Any]:
    return bias_figures.bias(board_of(rows, **more), scores, bias_figures.ThresholdOptions(), theme).figure


@pytest.mark.parametrize("theme", THEMES)
def test_bias_shows_both_shares_and_the_share_that_is(theme: str) -> None:
    shares = {"SCM": (2, 20), "Filler Tokens": (8, 20), "NLDD": (15, 20), "CC-SHAP": (0, 0)}
    scores = calls(shares, {"SCM": 0.5, "NLDD": 0.25, "Filler Tokens": 0.5, "CC-SHAP": 0.5})
    figure = checked(bias(ROWS, scores, theme))
    yes, no = figure["data"]
    assert {c[0]: x for c, x in zip(yes["customdata"], yes["x"], strict=True)} == {
        "SCM": 0.1,
        "Filler Tokens": 0.4,
        "NLDD": 0.75,
    }  # what has no threshold or no score has no bar
    np.testing.assert_allclose(np.add(yes["x"], no["x"]), 1)
    assert no["marker"]["pattern"]["shape"] and not yes["marker"]["pattern"]["shape"]
    line = [s for s in figure["layout"]["shapes"] if s.get("yref") == "paper"]
    assert [s["x0"] for s in line] == [0.25] and "labelled faithful: 25%" in words(figure)
    ticks = figure["layout"]["yaxis"]["ticktext"]
    assert "NLDD  ≥ 0.25" in ticks and "Filler Tokens  ≥ 0.5" in ticks
    moved = bias_figures.bias(board_of(), scores, bias_figures.ThresholdOptions({"SCM": -2.0}), theme)
    bars = moved.figure["data"][0]
    assert bars["x"][[c[0] for c in bars["customdata"]].index("SCM")] == 1 and moved.caption == bias_figures.NOT_RANKED
    assert "SCM  ≥ −2" in moved.figure["layout"]["yaxis"]["ticktext"]
    ranked = board_of(kappa=Kappa((), {"1": ()}))
    assert bias_figures.bias(ranked, scores, bias_figures.ThresholdOptions(), theme).caption == bias_figures.DASHED


def test_a_bar_says_on_how_few_items_it_rests() -> None:
    few = row("FUR", "other", area(0.6) | {"n_faithful": 6, "n_unfaithful": 6}, None)
    scores = calls({"FUR": (3, 12), "SCM": (12, 120)}, {"SCM": 0.5, "FUR": 0.1})
    figure = checked(bias([few, *ROWS], scores, "dark"))
    ticks = figure["layout"]["yaxis"]["ticktext"]
    assert "FUR  ≥ 0.1 (n = 12)" in ticks and sum("n =" in t for t in ticks) == 1
    said = {c[0]: c[2] for c in figure["data"][0]["customdata"]}
    assert said["FUR"] == " of 12 items" and said["SCM"] == " of 120 items"
    assert "labelled faithful: 25%" in words(figure)  # of all items, not of the few that come first
    counted = calls({"SCM": (1, 7), "NLDD": (1, 9)}, {"SCM": 0.5, "NLDD": 0.5})
    assert "SCM  ≥ 0.5 (n = 7)" in bias(ROWS, counted, "dark")["layout"]["yaxis"]["ticktext"]  # counted, not ranked


@pytest.mark.parametrize("theme", THEMES)
def test_a_measure_that_ran_on_one_label_was_run(theme: str) -> None:
    one = row("CC-SHAP", "attribution", {**area(0.5), "auroc": None, "low": None, "high": None}, None)
    never = row("FUR", "other", None, None)
    figure = checked(leaderboard([ROWS[1], one, never], TIERS[:1], False, theme))
    values = next(t for t in figure["data"] if t["mode"] == "text")
    said = dict(zip(values["y"], values["text"], strict=True))
    assert said == {1: "0.90 · 40%", 3: "one label only", 5: "not run"}


@pytest.mark.parametrize("theme", THEMES)
def test_kappa_shows_each_pair_once_with_its_number(theme: str) -> None:
    names = ("SCM", "NLDD", HOSTILE)
    rng = np.random.default_rng(2)
    table = np.sign(rng.normal(size=(3, 300)))
    table[1, 12:], table[2, :12] = np.nan, 1.0  # the second ran on 12 items, which the third calls alike
    table[1, :12] = 1.0
    rows = [
        ScorePoint(f"i{k}", True, "R", "p", 0, "t", 2,
                   {n: None if np.isnan(v) else float(v) for n, v in zip(names, column, strict=True)}, None)
        for k, column in enumerate(table.T)
    ]  # fmt: skip
    scores = TierScores(tuple(rows), names, dict.fromkeys(names, 0.0), "SCM", "1")
    drawing = bias_figures.kappa_map(board_of(kappa=Kappa(names)), scores, bias_figures.ThresholdOptions(), theme)
    (heat,) = checked(drawing.figure)["data"]
    agreement = kappa_matrix(np.where(np.isnan(table), np.nan, table > 0))
    assert heat["z"][1] == [pytest.approx(agreement[2, 0]), None] and heat["z"][0][1] is None
    assert heat["text"][1][0] == f"{agreement[2, 0]:.2f}".replace("-0", "−").removeprefix("0")
    assert (heat["zmin"], heat["zmid"], heat["zmax"]) == (-1, 0, 1)
    assert "empty" in words(drawing.figure) and "&lt;b&gt;" in drawing.figure["layout"]["yaxis"]["ticktext"][1]
    axes = drawing.figure["layout"]["xaxis"]["ticktext"], drawing.figure["layout"]["yaxis"]["ticktext"]
    assert axes[0] == ["SCM", "NLDD (n = 12)"] and axes[1][0] == "NLDD (n = 12)" and "n =" not in axes[1][1]
    on = [[c[2] for c in line] for line in heat["customdata"]]
    assert on[0][0] == "<br>on 12 items" and on[1] == ["<br>on 300 items", "<br>on 12 items"]
    assert "on up to 300 items; a measure with n" in drawing.caption
    assert (
        bias_figures._kappa(-0.12) == "−.12"
        and bias_figures._kappa(-0.004) == ".00"
        and bias_figures._kappa(1.0) == "1.00"
    )
    two = replace(scores, thresholds={"SCM": 0.0, HOSTILE: 0.0})  # what has no threshold is compared with nothing
    drawing = bias_figures.kappa_map(board_of(kappa=Kappa(names)), two, bias_figures.ThresholdOptions(), theme)
    assert "empty" not in words(drawing.figure) and not any(
        "n =" in t for t in drawing.figure["layout"]["yaxis"]["ticktext"]
    )
    assert drawing.caption.endswith("300 items.")


def test_costs_are_on_logarithmic_axes_and_nothing_costs_nothing() -> None:
    figure = checked(cost.cost(board_of(), NoOptions(), "light").figure)
    passes, seconds = figure["data"]
    assert dict(zip(seconds["customdata"], seconds["x"], strict=True)) == {
        "SCM": 0.2,
        "Filler Tokens": 0.2,
        "CC-SHAP": 0.2,
        "NLDD": 30.0,
    }
    assert set(passes["x"]) == {3.0} and words(figure) == "none none"
    for axis, values in (("xaxis", passes["x"]), ("xaxis2", seconds["x"])):
        low, high = figure["layout"][axis]["range"]
        assert figure["layout"][axis]["type"] == "log" and low < np.log10(min(values)) <= np.log10(max(values)) < high
    free = cost.cost(board_of([ROWS[0]]), NoOptions(), "dark")
    assert checked(free.figure) and free.caption == cost.COSTS  # nothing but free rows
    quick = cost.cost(board_of([row("SCM", "importance", None, None, seconds=1e-4)]), NoOptions(), "dark").figure
    assert words(quick) == "none" and not quick["data"][1]["x"]  # less than is worth the name


def test_areas_by_length_stand_in_the_order_of_the_lengths() -> None:
    rows = tuple(
        LengthArea(tier, name, str(steps), value, 40)
        for tier, steps, name, value in (
            ("1", "10 to 12", "SCM", 0.4),
            ("1", 2, "SCM", 0.9),
            ("1", 2, "NLDD", None),
            ("2", 3, "SCM", 0.5),
        )
    )
    figure = checked(cost.lengths(board_of(tiers=TIERS, lengths=rows), NoOptions(), "dark").figure)
    one, two = figure["data"]
    assert one["z"] == [[0.9, 0.4], [None, None]] and two["z"] == [[0.5], [None]] and one["zmid"] == 0.5
    assert [t.split("<")[0] for t in figure["layout"]["xaxis"]["ticktext"]] == ["2", "10 to 12"]
    hidden = board_of(tiers=(replace(TIERS[0], shown=False, why_not="no"), TIERS[1]), lengths=rows)
    assert len(checked(cost.lengths(hidden, NoOptions(), "light").figure)["data"]) == 1


def test_the_sweep_shows_the_floor_and_the_chosen_rate() -> None:
    rows = [{"rate": r, "efficacy": e, "specificity": 1 - e, "flips": None} for r, e in ((1e-4, 0.5), (1e-5, 0.1))]
    fur = from_wire(Unlearning, {"sweep": rows, "rate": 1e-5, "floor": 0.9, "sentence": "Said."}, {})
    drawing = cost.sweep(board_of(fur=fur), NoOptions(), "dark")
    figure = checked(drawing.figure)
    assert drawing.caption == "Said."
    efficacy, specificity = figure["data"]  # flips were not counted
    assert efficacy["x"] == [1e-5, 1e-4] and efficacy["y"] == [0.1, 0.5] and specificity["y"] == [0.9, 0.5]
    floor, chosen = figure["layout"]["shapes"]
    assert floor["y0"] == 0.9 and chosen["x0"] == 1e-5
    assert "1e−5, chosen" in figure["layout"]["xaxis"]["title"]["text"]


@pytest.mark.parametrize("theme", THEMES)
def test_nothing_gives_a_figure_that_says_so(theme: str) -> None:
    nothing = [row("SCM", "importance", None, None, None, passes=None, seconds=None)]
    none, plain, moved = replace(points(), points=()), NoOptions(), bias_figures.ThresholdOptions()
    for figure in (
        leaderboard([], TIERS, True, theme),
        leaderboard(ROWS, [], True, theme),
        truth(none, "SCM", "NLDD", theme),
        truth(points(), "FUR", "NLDD", theme),
        distributions(none, ["SCM"], theme),
        distributions(points(), ["FUR"], theme),
        bias(nothing, points(), theme),
        bias_figures.kappa_map(board_of(), points(), moved, theme).figure,
        bias_figures.kappa_map(board_of(kappa=Kappa(("SCM", "NLDD"))), points(), moved, theme).figure,
        cost.cost(board_of(nothing), plain, theme).figure,
        cost.lengths(board_of(), plain, theme).figure,
        cost.sweep(board_of(), plain, theme).figure,
    ):
        assert figure["data"] == [] and len(words(checked(figure))) > 10
    checked(leaderboard(nothing, TIERS, True, theme))
