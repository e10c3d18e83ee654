"""Figures of one item: the trace of the answer, the options, the strip of scores, against what they were given."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from plotly.graph_objects import Figure
from plotly.utils import PlotlyJSONEncoder

from analysis.answer import from_wire
from analysis.faithfulness.answers.item import ItemScore, ItemTrace
from components.faithfulness import item_figures as item
from components.faithfulness.style import label_colour
from components.kit.view import NoOptions
from tests.unit.faithfulness.answers import intervention, reading

THEMES = ("light", "dark")
HOSTILE = "<b>7</b>&<script>"
KINDS = ("true", "truncated", "corrupted", "filler", "attention blocked", "paraphrased")


def checked(figure: dict[str, Any]) -> dict[str, Any]:
    """The figure as the browser gets it, refused if it has a property that plotly does not know."""
    parsed: dict[str, Any] = json.loads(json.dumps(figure, cls=PlotlyJSONEncoder))
    Figure(parsed)
    for trace in parsed["data"]:
        trace.pop("customdata", None)  # names for the page's code, never shown
    assert "<script" not in json.dumps(parsed)
    return figure


def words(figure: dict[str, Any]) -> list[str]:
    return [str(a["text"]) for a in figure["layout"].get("annotations", ())]


def traced(ends: dict[str, float], steps: int = 3) -> ItemTrace:
    options = [{"candidate": c, "probability": p} for c, p in ((" 2", 0.1), (HOSTILE, 0.6), (" 9", 0.3))]
    lines = [
        {
            "name": name,
            "sentence": "",
            "points": [
                {"step": k, "p": 0.5 + (end - 0.5) * k / steps, "text": f"3+4={HOSTILE} " + "word " * 40}
                | {"options": options}
                for k in range(steps + 1)
            ],
        }
        for name, end in ends.items()
    ]
    names = ["start", *(str(k + 1) for k in range(steps))]
    return from_wire(ItemTrace, {"steps": names, "lines": lines, "answer": HOSTILE, "base": 0.12}, {})


def traces(data: ItemTrace, theme: str) -> dict[str, Any]:
    return item.trace(data, NoOptions(), theme).figure


def strip(scores: tuple[ItemScore, ...], theme: str) -> dict[str, Any]:
    return item.score_strip(reading(scores=scores), NoOptions(), theme).figure


def curves(figure: dict[str, Any]) -> list[dict[str, Any]]:
    return [t for t in figure["data"] if t["mode"] == "lines+markers"]


def names(figure: dict[str, Any]) -> dict[str, tuple[float, float]]:
    return {t["text"][1].strip(): (t["y"][0], t["y"][1]) for t in figure["data"] if t["mode"] == "lines+text"}


@pytest.mark.parametrize("theme", THEMES)
def test_the_trace_draws_every_kind_apart_and_names_it_at_its_end(theme: str) -> None:
    data = traced(dict(zip(KINDS, (0.99, 0.98, 0.02, 0.14, 0.15, 0.97), strict=True)))
    figure = checked(traces(data, theme))
    found = curves(figure)
    assert [t["name"] for t in found] == list(KINDS)
    for key in ("dash", "color"):
        assert len({t["line"][key] for t in found}) == len(KINDS)
    assert len({t["marker"]["symbol"] for t in found}) == len(KINDS)
    for trace, line in zip(found, data.lines, strict=True):
        np.testing.assert_allclose(trace["y"], [p.p for p in line.points], atol=1e-5)
        assert trace["customdata"] == [[line.name, p.step] for p in line.points]
        assert names(figure)[trace["name"]][0] == pytest.approx(line.points[-1].p)
        label = next(t for t in figure["data"] if t["mode"] == "lines+text" and t["name"] == trace["name"])
        assert label["legendgroup"] == trace["legendgroup"]  # hidden with its line
        low, high = figure["layout"]["xaxis"]["range"]
        assert low < 0 and label["x"][1] <= high  # plotly drops text beyond the axis
    heights = sorted(h for _, h in names(figure).values())
    assert min(b - a for a, b in pairwise(heights)) >= item._APART - 1e-9
    assert figure["layout"]["xaxis"]["ticktext"] == ["start", "1", "2", "3"]
    low, high = figure["layout"]["yaxis"]["range"]
    assert -0.1 < low <= 0 and 1 <= high < 1.1
    (base,) = [t for t in figure["data"] if t["name"] == "no chain"]
    assert base["y"] == [0.12, 0.12] and base["line"]["dash"] == "dot" and "no chain 0.12" in names(figure)


@pytest.mark.parametrize(("steps", "every"), [(3, 1), (19, 1), (20, 2), (60, 4), (400, 21)])
def test_the_steps_named_below_the_axis_do_not_overlap(steps: int, every: int) -> None:
    axis = checked(traces(traced({"true": 0.9}, steps), "dark"))["layout"]["xaxis"]
    assert len(axis["ticktext"]) == len(axis["tickvals"]) <= item.MOST_TICKS
    assert axis["tickvals"] == list(range(0, steps + 1, every))
    assert axis["ticktext"] == ["start", *(str(k) for k in axis["tickvals"][1:])]
    assert "so far" in axis["title"]["text"]  # a point has all steps up to there altered, and none after it


def test_the_trace_says_text_and_options_under_the_pointer() -> None:
    said = curves(checked(traces(traced({"true": 0.9}), "light")))[0]["text"][2]
    assert said.startswith("step 2: P(answer) 0.767") and "&lt;b&gt;7&lt;/b&gt;" in said and "<b>" not in said
    assert max(len(line) for line in said.split("<br>")) < 90  # wrapped
    last = said.split("<br>")[-1]
    assert last.index("0.60") < last.index("9 0.30") < last.index("2 0.10")  # from the likeliest


def test_a_trace_without_base_with_gaps_or_of_an_unknown_kind_is_drawn() -> None:
    data = traced({"true": 0.9, f"own {HOSTILE}": 0.4})
    first = data.lines[0]
    lines = (replace(first, points=(first.points[0], *first.points[2:])), *data.lines[1:])
    figure = checked(traces(replace(data, base=None, lines=lines), "dark"))
    assert curves(figure)[0]["x"] == [0, 2, 3] and len(curves(figure)) == 2
    assert not any(t["name"] == "no chain" for t in figure["data"])
    assert curves(checked(traces(traced({"true": 0.9}, steps=1), "light")))[0]["x"] == [0, 1]


def test_names_move_as_little_as_they_must() -> None:
    assert item._apart([0.9, 0.1, 0.5]) == [0.9, 0.1, 0.5]
    rng = np.random.default_rng(0)
    for _ in range(50):
        heights = rng.random(6).round(2).tolist()
        moved = item._apart(heights, 0.1)
        order = np.argsort(heights, kind="stable")
        assert (np.diff(np.array(moved)[order]) >= 0.1 - 1e-9).all()
        assert np.mean(moved) == pytest.approx(np.mean(heights))


OPTIONS = [
    {"candidate": " 7", "before": 0.9, "after": 0.1},
    {"candidate": HOSTILE, "before": 0.06, "after": 0.899},
    {"candidate": "", "before": 0.04, "after": 0.001},
]


@pytest.mark.parametrize("theme", THEMES)
def test_options_stand_before_and_after_with_the_answer_in_bold(theme: str) -> None:
    moved = intervention(options=OPTIONS, answer=" 7", kl=0.5)
    drawing = item.moved_options(moved, NoOptions(), theme)
    figure = checked(drawing.figure)
    assert "0.500 nats" in drawing.caption
    before, after = figure["data"]
    assert before["y"] == [0.9, 0.06, 0.04] and after["y"] == [0.1, 0.899, 0.001]
    assert before["marker"]["color"] != after["marker"]["color"] and after["marker"]["pattern"]["shape"]
    assert after["text"] == ["0.10", "0.90", ""]
    ticks = figure["layout"]["xaxis"]["ticktext"]
    assert ticks[0] == "<b>7</b>" and ticks[1].startswith("&lt;b&gt;") and ticks[2] == "(empty)"


def test_options_of_an_item_alone_have_one_bar() -> None:
    options = [{"candidate": "A", "probability": 0.8}, {"candidate": "B", "probability": 0.2}]
    figure = checked(item.item_options(reading(options=options), NoOptions(), "dark").figure)
    (bars,) = figure["data"]
    assert bars["y"] == [0.8, 0.2] and figure["layout"]["showlegend"] is False


def scored(name: str, family: str, **more: Any) -> ItemScore:
    base = {"hard": 1.0, "soft": 0.3, "margin": -0.4, "main": "soft", "threshold": 0.5, "note": ""}
    base |= {"steps": [], "called": None, "value": None, "sentence": ""}
    medians = {"median_faithful": 0.9, "median_unfaithful": 0.1}
    return from_wire(ItemScore, {"measure": name, "family": family} | base | medians | more, {})


SCORES = (
    scored("chain length", "baseline", soft=24.0, median_faithful=20.0, median_unfaithful=30.0, threshold=None),
    scored("SCM", "importance"),
    scored("NLDD", "other", main="margin", median_faithful=None),
    scored("Simulatability", "semantic utility", soft=None, note=f"No second model {HOSTILE}."),
)


@pytest.mark.parametrize("theme", THEMES)
def test_the_strip_puts_the_item_between_the_medians_of_its_tier(theme: str) -> None:
    figure = checked(strip(SCORES, theme))
    ticks = figure["layout"]["yaxis"]["ticktext"]
    by_name = {t["name"]: t for t in figure["data"]}

    def placed(name: str) -> dict[str, float]:
        return dict(zip(by_name[name]["customdata"], by_name[name]["x"], strict=True))

    mine, yes, no = placed("this item"), placed("median of faithful items"), placed("median of unfaithful items")
    assert (mine["SCM"], yes["SCM"], no["SCM"]) == (0.3, 0.9, 0.1)
    assert mine["NLDD"] == -0.4 and "NLDD" not in yes and no["NLDD"] == 0.1  # the form that is ranked
    assert placed("threshold") == {"SCM": 0.5, "NLDD": 0.5}
    # A length is stretched to the axis, unfaithful on the right where it is larger: never turned round.
    assert (yes["chain length"], no["chain length"]) == pytest.approx((0.05, 0.95))
    assert mine["chain length"] == pytest.approx(0.05 + 0.9 * 0.4)
    assert "24 *" in words(figure) and "0.30" in words(figure) and "−0.40" in words(figure)
    assert "Simulatability" not in mine and any("No second model &lt;b&gt;" in w for w in words(figure))
    for trace in figure["data"]:
        if "customdata" in trace:
            for name, y in zip(trace["customdata"], trace["y"], strict=True):
                assert ticks[round(y)] == name
    assert by_name["median of faithful items"]["marker"]["color"] == label_colour(True, theme)
    assert by_name["median of unfaithful items"]["marker"]["symbol"] == "diamond-open"
    low, high = figure["layout"]["xaxis"]["range"]
    assert low < -0.4 and high > 1


def test_an_item_without_any_score_lists_why() -> None:
    figure = checked(strip(SCORES[3:], "dark"))
    assert sum(len(t["x"]) for t in figure["data"]) == 0 and any("No second model" in w for w in words(figure))


@pytest.mark.parametrize("theme", THEMES)
def test_nothing_gives_a_figure_that_says_so(theme: str) -> None:
    for figure in (
        traces(ItemTrace((), (), "7", None), theme),
        item.moved_options(intervention(options=[]), NoOptions(), theme).figure,
        item.item_options(reading(options=[]), NoOptions(), theme).figure,
        strip((), theme),
    ):
        assert checked(figure)["data"] == [] and len(words(figure)[0]) > 5
