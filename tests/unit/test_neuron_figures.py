"""Figures and cards of the Neurons page, against what they were given."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import dash_bootstrap_components as dbc
import numpy as np
import pytest
from dash import dcc, html
from plotly.graph_objects import Figure
from plotly.utils import PlotlyJSONEncoder

from components.kit.beside import FLOOR
from components.kit.figure import AFTER
from components.kit.theme import REMAINDER
from components.rotate import cards as channel_cards
from components.rotate import channel_figures, neuron_figures
from pages.frame.drawn import tree

HOSTILE = "<b>x</b>&<script>"


def checked(figure: dict[str, Any]) -> dict[str, Any]:
    """The figure as the browser gets it, refused if it has a property that plotly does not know."""
    parsed: dict[str, Any] = json.loads(json.dumps(figure, cls=PlotlyJSONEncoder))
    Figure(parsed)
    return parsed


def texts(component: Any) -> str:
    return json.dumps(component, cls=PlotlyJSONEncoder, ensure_ascii=False)


def attributes(component: Any, name: str) -> list[str]:
    found = [getattr(c, name, None) for c in component._traverse()]
    return [str(v) for v in found if v is not None]


# Figures


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_histogram_shows_the_counts_beside_as_many_normal_numbers(theme: str) -> None:
    rng = np.random.default_rng(0)
    edges = np.linspace(-6, 6, 49)
    neuron = np.histogram(rng.standard_normal(40_000), edges)[0]
    channel = np.zeros(48, int)
    channel[[3, 40]] = 1, 20
    figure = checked(neuron_figures.token_histogram(edges, neuron, channel, theme, HOSTILE))
    bars, outline, normal = figure["data"]
    raw = neuron_figures.token_histogram(edges, neuron, channel, theme, HOSTILE)["data"]
    assert bars["type"] == "bar" and raw[0]["y"] == neuron.tolist()
    assert [int(t) for t in raw[1]["text"]] == channel.tolist() and raw[1]["line"]["color"] == AFTER
    bottom = 10 ** figure["layout"]["yaxis"]["range"][0]
    assert all((v > bottom) == (n > 0) for v, n in zip(raw[1]["y"], channel, strict=True))  # no tokens: below the axis
    drawn = np.array([np.nan if v is None else v for v in raw[2]["y"]])
    seen = np.isfinite(drawn) & (drawn > 200)
    np.testing.assert_allclose(drawn[seen], neuron[seen], rtol=0.2)  # the curve is on the scale of the counts
    assert normal["name"] == "normal distribution" and "<script" not in json.dumps(figure)
    assert outline["line"]["shape"] == "hvh"
    assert len(neuron_figures.token_histogram(edges, neuron, None, theme)["data"]) == 2


@pytest.mark.parametrize("vectors", [("gate", "up", "down"), ("in", "down")])
def test_the_layer_map_has_a_panel_for_each_vector_and_one_band(vectors: tuple[str, ...]) -> None:
    shape = (4, len(vectors))
    arrays = {"median": np.full(shape, -0.1), "upper": np.full(shape, 2.0), "top": np.full(shape, 30.0)}
    arrays["median"][2, 1] = 0.7
    band = {"low": 0.1, "median": 0.2, "high": 0.4}
    figure = checked(neuron_figures.layer_map([0, 1, 2, 5], vectors, arrays, band, (5, "down"), "dark"))
    raw = neuron_figures.layer_map([0, 1, 2, 5], vectors, arrays, band, (5, "down"), "dark")
    assert len(raw["data"]) == 3 * len(vectors) and sum(t["showlegend"] for t in raw["data"]) == 3
    medians = [t for t in raw["data"] if t["name"] == "median"]
    assert np.asarray(medians[0]["y"]).tolist() == [FLOOR] * 4 and medians[0]["text"][0] == "-0.10"  # drawn, said truly
    assert np.asarray(medians[1]["y"])[2] == 0.7 and medians[1]["customdata"][2] == [2, vectors[1]]
    box, line = figure["layout"]["shapes"]
    assert (box["y0"], box["y1"]) == (0.1, 0.4) and line["x0"] == line["x1"] == 5
    assert line["xref"] == f"x{len(vectors)}"  # the panel of "down"
    ends = [figure["layout"][f"xaxis{i + 1 if i else ''}"]["domain"] for i in range(len(vectors))]
    assert all(a[1] < b[0] for a, b in pairwise(ends)) and ends[-1][1] == pytest.approx(1.0)
    with pytest.raises(ValueError, match="shape"):
        neuron_figures.layer_map([0, 1], vectors, arrays, band, None, "light")


def test_shares_stand_with_their_intervals_and_the_line_of_chance() -> None:
    rows = [
        {"layer": 27, "vector": "down", "beyond": 0.3, "low": 0.2, "high": 0.45, "neurons": 24, "like_layer": 0.12},
        {"layer": 0, "vector": "down", "beyond": 0.04, "low": 0.0, "high": 0.1, "neurons": 24},
        {"layer": 0, "vector": "gate", "beyond": 0.06, "low": 0.0, "high": 0.1, "neurons": 24, "like_layer": None},
    ]
    figure = neuron_figures.shares_beyond(rows, "light")
    down, gate, like = figure["data"]
    np.testing.assert_allclose(down["y"], [0.04, 0.3])  # by layer, whatever the order of the rows
    np.testing.assert_allclose(down["y"] + down["error_y"]["array"], [0.1, 0.45])
    np.testing.assert_allclose(down["y"] - down["error_y"]["arrayminus"], [0.0, 0.2])
    assert gate["customdata"] == [[0, "gate"]] and like["x"] == [27] and like["marker"]["color"] == REMAINDER
    assert figure["layout"]["shapes"][0]["y0"] == 0.05
    checked(figure)
    assert "not measured" in texts(neuron_figures.shares_beyond([], "dark"))


NULL = {
    "loss": [-0.9, -0.6, -0.3],
    "kurtosis": [3.0, 20.0, 50.0],
    "cosine": [0.55, 0.65, 0.85],
    "own_z": [1.9, 2.4, 3.1],
}
TRACE = [[c, s, -0.1 * s * c, 2.0**s, 1 - s / 10] for c in (1, 2) for s in range(5)]


def test_the_descent_is_drawn_by_channel_on_the_band_of_the_null() -> None:
    raw = channel_figures.descent(TRACE, 2, NULL, "light")
    assert len(raw["data"]) == 6
    loss = [t for t in raw["data"] if t["yaxis"] == "y"]
    wide = {t["name"]: t["line"]["width"] for t in loss}
    assert wide["channel 2"] > wide["channel 1"] and loss[-1]["name"] == "channel 2"  # the chosen one lies on top
    np.testing.assert_allclose(loss[-1]["y"], [row[2] for row in TRACE if row[0] == 2])
    boxes = {s["yref"]: (s["y0"], s["y1"]) for s in raw["layout"]["shapes"] if s["type"] == "rect"}
    assert boxes == {"y": (-0.9, -0.3), "y2": (3.0, 50.0), "y3": (0.55, 0.85)}
    assert raw["layout"]["xaxis3"]["anchor"] == "y3" and raw["layout"]["yaxis2"]["type"] == "log"
    checked(raw)
    alone = channel_figures.descent(TRACE, None, None, "dark")
    assert alone["layout"]["shapes"] == [] and len(checked(alone)["data"]) == 6
    assert checked(channel_figures.descent([], 1, NULL, "dark"))["data"] == []


def test_of_many_channels_the_last_and_the_chosen_are_drawn() -> None:
    trace = [[c, 0, 0.0, 1.0, 1.0] for c in range(1, 31)]
    names = {t["name"] for t in channel_figures.descent(trace, 2, None, "light", limit=4)["data"]}
    assert names == {"channel 2", "channel 27", "channel 28", "channel 29", "channel 30"}


def test_cosines_and_what_they_rebuild() -> None:
    cosines = np.array([[1, 0.8, -0.004], [0.8, 1, 0.3], [-0.004, 0.3, 1]])
    figure = channel_figures.cosine_map(cosines, "dark")
    said = [a["text"] for a in figure["layout"]["annotations"]]
    assert said == ["1.00", "0.80", "0.00", "0.80", "1.00", "0.30", "0.00", "0.30", "1.00"]  # and no -0.00
    assert figure["data"][0]["x"] == ["neuron", "1", "2"]
    checked(figure)
    assert checked(channel_figures.cosine_map(np.eye(21), "light"))["layout"]["annotations"] == []
    parts = np.array([[0.8, 0.64, 0.64], [0.9, 0.81, 0.85]])
    lines = channel_figures.rebuilding(parts, "light")["data"]
    np.testing.assert_allclose([t["y"] for t in lines], parts.T)
    assert lines[2]["name"].startswith("null") and lines[2]["line"]["color"] == REMAINDER
    assert len(checked(channel_figures.rebuilding(parts[:, :2], "dark"))["data"]) == 2


def arm(name: str, own: float, other: float) -> dict[str, Any]:
    near = {"own_interval": [own - 0.2, own + 0.1], "other_interval": [other - 0.3, other + 0.4]}
    return {"name": name, "own": own, "other": other, "score": own - other, **near}


ARMS = [arm("whole neuron", 2.0, 1.5), arm("random direction", 0.3, 0.2), arm("channel", 1.0, 0.1)]


def test_arms_stand_in_one_order_with_their_intervals() -> None:
    figure = channel_figures.ablation_arms(ARMS, "logits", "light")
    own, other = figure["data"]
    assert own["text"] == ["this channel", "null: random direction", "the whole neuron"]
    np.testing.assert_allclose(own["x"], [1.0, 0.3, 2.0])
    np.testing.assert_allclose(own["x"] - own["error_x"]["arrayminus"], [0.8, 0.1, 1.8])
    np.testing.assert_allclose(other["x"] + other["error_x"]["array"], [0.5, 0.6, 1.9])
    checked(figure)
    table = channel_cards.arms_table(ARMS)
    rows = [texts(r) for r in table.children[1].children]
    assert "+1.000" in rows[0] and "+0.900" in rows[0] and "null: random" in rows[1] and "whole" in rows[2]
    assert [r.className for r in table.children[1].children] == ["nrn-own", "", ""]


def test_before_and_after_keep_equal_tokens_apart_and_hollow_what_is_not_the_channels() -> None:
    rows = [
        {"label": HOSTILE, "before": 1.0, "after": 0.5, "own": True, "id": 7},
        {"label": HOSTILE, "before": 0.2, "after": 0.3, "own": False, "id": None},
    ]
    figure = channel_figures.before_after(rows, "logit", "dark")
    joints, before, after = figure["data"]
    assert len(set(before["y"])) == 2 and joints["x"] == [1.0, 0.5, None, 0.2, 0.3, None]
    assert before["customdata"] == [7, None] and np.asarray(after["x"]).tolist() == [0.5, 0.3]
    assert before["marker"]["color"][1] != before["marker"]["color"][0]
    assert "<script" not in json.dumps(checked(figure))
    checked(channel_figures.before_after([], "logit", "light"))


# Cards


def channel(number: int, **more: Any) -> dict[str, Any]:
    rows = [
        {"id": 100 * number + i, "token": HOSTILE if i == 0 else f"t{i}", "z": 20.0 - i, "own": 8.0 - i}
        for i in range(20)
    ]
    return {
        "number": number, "kurtosis": 40.0, "skewness": 3.0, "cosine": 0.7, "loss": -1.0, "own_z": 5.0,
        "percentile": 99.5, "p": 0.005, "beyond": True, "attractor": None, "pole": 1, "masked": 30, "evaluations": 60,
        "tokens": rows, "sentence": "The neuron itself favours these.", **more,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("beyond", "attractor", "badges"),
    [
        (True, None, ["beyond the null"]),
        (False, None, ["like a random vector"]),
        (True, {"share": 0.1, "sentence": "Also 10 %."}, ["beyond the null", "attractor"]),
        (False, {"share": 0.1, "sentence": "Also 10 %."}, ["like a random vector", "attractor"]),
    ],
)
def test_a_card_says_how_its_channel_stands(beyond: bool, attractor: Any, badges: list[str]) -> None:
    row = channel(3, beyond=beyond, attractor=attractor, p=0.0001)
    card = channel_cards.channel_card(row, NULL, True)
    said = texts(card)
    assert [text for text, _ in channel_cards.standing(row)] == badges and all(b in said for b in badges)
    assert ("Also 10 %." in said) == (attractor is not None) and "below 0.001" in said
    assert "attune-chosen" in card.className and "3 to 50" in said and "0.55 to 0.85" in said  # the null's ranges
    ids = attributes(card, "data-token-id")
    assert ids == [str(300 + i) for i in range(20)] == attributes(card, "data-nrn-skip")
    assert attributes(card, "data-nrn-channel") == attributes(card, "data-nrn-ablate") == ["3"]
    marks = [c for c in card._traverse() if "attune-tok" in (getattr(c, "className", None) or "")]
    assert len(marks) == 20 and all(m.tabIndex == "0" for m in marks)


@pytest.mark.parametrize("own", [-3.0, 0.0, 2.4, 3.1, 40.0])
def test_own_z_lies_on_the_scale_where_its_null_does(own: float) -> None:
    scale = channel_cards.own_scale(own, NULL)
    band, middle, point = scale.children[0].children
    at = [float(part.style["left"][:-1]) for part in (band, middle, point)]
    right = at[0] + float(band.style["width"][:-1])
    assert all(0 <= v <= 100 for v in (*at, right)) and at[0] < at[1] < right
    assert (at[2] >= right - 0.11) == (own >= 3.1) and (at[2] <= at[0] + 0.11) == (own <= 1.9)


def test_a_bar_never_leaves_its_box_and_follows_the_sign() -> None:
    row = channel(1)
    row["tokens"][5] |= {"z": 3.0, "own": -9.0}
    row["tokens"][6] |= {"z": 3.0, "own": 90.0}
    widths = [
        s["width"]
        for c in channel_cards.channel_card(row, NULL, False)._traverse()
        if (s := getattr(c, "style", None)) and "width" in s
    ]
    shares = [float(w[:-1]) for w in widths]
    assert min(shares) == 0.0 and max(shares) == 100.0


ROWS = ((27, 3, 9.0, 5.0, 1, "but yet"), (24, 8, 40.0, 2.0, 0, "xyz"), (29, 1, 1.0, 9.0, 1, "but"))
READY = [
    {"layer": layer, "vector": "down", "neuron": n, "kurtosis": k, "own_z": z, "percentile": 90.0, "beyond": b,
     "channels": 5, "nothing": b == 0, "top": [HOSTILE, " a"], "words": f"{layer} down {n} {w}"}
    for layer, n, k, z, b, w in ROWS
]  # fmt: skip


def test_neurons_are_ordered_searched_and_opened_by_their_place() -> None:
    def of(order: str) -> list[int]:
        return [r["neuron"] for r in channel_cards.ordered(READY, order)]

    assert (of("beyond"), of("kurtosis"), of("layer")) == ([1, 3, 8], [8, 3, 1], [8, 3, 1])
    assert [r["neuron"] for r in channel_cards.matching(READY, " BUT yet")] == [3]
    assert len(channel_cards.matching(READY, None)) == 3
    rows = channel_cards.neuron_rows(READY, {"layer": 24, "vector": "down", "neuron": 8})
    places = [r.to_plotly_json()["props"]["data-nrn-open"] for r in rows]
    assert places == ["27:down:3", "24:down:8", "29:down:1"]
    assert [r.to_plotly_json()["props"]["aria-current"] for r in rows] == ["false", "true", "false"]
    assert "nothing" in texts(rows[1]) and "1 of 5" in texts(rows[0])
    assert "1 more" in texts(channel_cards.neuron_rows(READY, None, limit=2)[-1])
    assert "matches" in texts(channel_cards.neuron_rows([], None))
    found = [
        {
            "layer": 27,
            "vector": "up",
            "neuron": 3,
            "channel": 2,
            "token": "x",
            "z": 4.0,
            "percentile": 10.0,
            "beyond": False,
            "top": [],
        }
    ]
    row = channel_cards.found_rows(found)[0]
    assert row.to_plotly_json()["props"]["data-nrn-open"] == "27:up:3:2" and "like random" in texts(row)


def test_nothing_is_said_where_it_is_seen() -> None:
    left = [{"id": 5, "token": "except", "z": 5.0}]
    full, bare = (
        channel_cards.banner("One channel.", False, left, "Null."),
        channel_cards.banner("Nothing in it.", True, [], "Null."),
    )
    assert "nrn-nothing" not in full.className and "nrn-nothing" in bare.className
    assert attributes(full, "data-token-id") == ["5"] and attributes(bare, "data-token-id") == []


def test_small_lists() -> None:
    chosen = channel_cards.channel_choice([channel(1), channel(2, beyond=False)], 2)
    assert ["attune-chosen" in b.className for b in chosen] == [False, True] and "like random" in texts(chosen[1])
    chips = channel_cards.chips([{"id": 4, "token": HOSTILE}])
    assert attributes(html.Div(chips), "data-nrn-keep") == ["4"] and "none" in texts(channel_cards.chips([]))
    null = {
        "attractors": [
            {"share": 0.02, "tokens": [{"id": 1, "token": "a"}]},
            {"share": 0.2, "tokens": [{"id": 2, "token": "b"}]},
        ]
    }
    assert attributes(channel_cards.attractor_table(null), "data-token-id") == ["2", "1"]
    assert "None" in texts(channel_cards.attractor_table(None))
    strip = channel_cards.activation_strip(["a", HOSTILE, "c"], [0.0, -2.0, 1.0], [1])
    assert [s.style["--shade"] for s in strip] == ["0.000", "1.000", "0.500"] and "nrn-used" in strip[1].className
    ends = channel_cards.ends([{"id": 1, "token": "x", "z": 4.0}], [{"id": 2, "token": "y", "z": -8.0}])
    assert attributes(ends, "data-token-id") == ["1", "2"] and "50%" in texts(ends) and "-8.0" in texts(ends)


# Trees


def test_a_tree_is_the_component_with_its_text_as_text() -> None:
    part = html.Div(
        [html.Span(HOSTILE, className="a", title="b", **{"data-token-id": "3"}), None, "tail", 4],
        style={"--shade": "0.5"},
    )
    assert tree(part) == {
        "t": "div",
        "s": {"--shade": "0.5"},
        "c": [{"t": "span", "a": {"class": "a", "title": "b", "data-token-id": "3"}, "c": HOSTILE}, "tail", "4"],
    }
    assert tree(html.Div()) == {"t": "div"} and tree([]) == [] and tree("x") == "x"
    assert tree(dbc.Alert("Say.", color="warning"))["a"]["class"] == "alert alert-warning attune-alert"


@pytest.mark.parametrize(
    "bad", [html.Div(id="x"), html.Script("x"), html.A("x", href="y"), dcc.Store(id="s"), html.Div(html.Iframe())]
)
def test_what_could_do_more_than_show_is_no_tree(bad: Any) -> None:
    with pytest.raises(ValueError, match="drawn"):
        tree(bad)


def test_all_that_is_drawn_can_be_drawn() -> None:
    cards = channel_cards.channel_cards([channel(1), channel(2, attractor={"share": 0.1, "sentence": "s"})], NULL, 1)
    for part in (
        cards,
        channel_cards.neuron_rows(READY, None),
        channel_cards.arms_table(ARMS),
        channel_cards.attractor_table(None),
    ):
        assert json.dumps(tree(part))
