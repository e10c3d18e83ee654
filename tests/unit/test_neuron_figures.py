"""Figures and cards of the Neurons page, against what they were given."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import dash_bootstrap_components as dbc
import numpy as np
import pytest
from dash import dcc, html
from plotly.graph_objects import Figure
from plotly.utils import PlotlyJSONEncoder

from analysis.answer import from_wire, to_wire
from analysis.rotate.answers.channels import (
    Ablation,
    Arm,
    Attractor,
    Channel,
    ChannelToken,
    NeuronChannels,
    NullBands,
    TokenLogit,
)
from analysis.rotate.answers.neurons import (
    Band,
    ChannelMatch,
    KnownNull,
    LayerMap,
    LayerShare,
    NeuronsKnown,
    Place,
    ReadyNeuron,
    Token,
    TokenGroup,
    TokenScore,
    VectorCard,
)
from analysis.rotate.answers.sets import ChannelSetCard, SetRow
from analysis.view_ref import QuestionRef, ViewRef
from components.kit.beside import FLOOR
from components.kit.figure import AFTER
from components.kit.theme import REMAINDER
from components.kit.view import VIEWS
from components.rotate import ablation_figures, channel_figures, lists, neuron_figures
from components.rotate import cards as channel_cards
from components.rotate.ablation_figures import Change
from components.rotate.channel_figures import OpenChannel
from components.rotate.neuron_figures import OpenVector
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
    assert normal["name"] == "normal" and "<script" not in json.dumps(figure)
    assert outline["line"]["shape"] == "hvh"
    assert len(neuron_figures.token_histogram(edges, neuron, None, theme)["data"]) == 2


@pytest.mark.parametrize("vectors", [("gate", "up", "down"), ("in", "down")])
def test_the_layer_map_has_a_panel_for_each_vector_and_one_band(vectors: tuple[str, ...]) -> None:
    shape = (4, len(vectors))
    median = np.full(shape, -0.1)
    median[2, 1] = 0.7
    layers = LayerMap(
        vectors, (0, 1, 2, 5), Band(0.1, 0.2, 0.4), "Kurtosis.", median, np.full(shape, 2.0), np.full(shape, 30.0)
    )
    raw = neuron_figures.layer_map(layers, OpenVector(5, "down"), "dark").figure
    figure = checked(raw)
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
        neuron_figures.layer_map(replace(layers, layers=(0, 1)), OpenVector(), "light")


def test_shares_stand_with_their_intervals_and_the_line_of_chance() -> None:
    rows = [
        LayerShare(27, "down", 24, 120, 0.3, 0.2, 0.45, 0.2, 0.05, 0.12),
        LayerShare(0, "down", 24, 120, 0.04, 0.0, 0.1, 0.1, 0.05),
        LayerShare(0, "gate", 24, 120, 0.06, 0.0, 0.1, 0.1, 0.05),
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


NULL = NullBands((1.9, 2.4, 3.1), (0.55, 0.65, 0.85), (-0.9, -0.6, -0.3), (3.0, 20.0, 50.0), 200, "L-BFGS")
TRACE = [[c, s, -0.1 * s * c, 2.0**s, 1 - s / 10] for c in (1, 2) for s in range(5)]


def test_the_descent_is_drawn_by_channel_on_the_band_of_the_null() -> None:
    raw = channel_figures.descent_lines(TRACE, 2, NULL, "light")
    assert len(raw["data"]) == 6
    loss = [t for t in raw["data"] if t["yaxis"] == "y"]
    wide = {t["name"]: t["line"]["width"] for t in loss}
    assert wide["channel 2"] > wide["channel 1"] and loss[-1]["name"] == "channel 2"  # the chosen one lies on top
    np.testing.assert_allclose(loss[-1]["y"], [row[2] for row in TRACE if row[0] == 2])
    boxes = {s["yref"]: (s["y0"], s["y1"]) for s in raw["layout"]["shapes"] if s["type"] == "rect"}
    assert boxes == {"y": (-0.9, -0.3), "y2": (3.0, 50.0), "y3": (0.55, 0.85)}
    assert raw["layout"]["xaxis3"]["anchor"] == "y3" and raw["layout"]["yaxis2"]["type"] == "log"
    checked(raw)
    alone = channel_figures.descent_lines(TRACE, None, None, "dark")
    assert alone["layout"]["shapes"] == [] and len(checked(alone)["data"]) == 6
    assert checked(channel_figures.descent_lines([], 1, NULL, "dark"))["data"] == []


def test_of_many_channels_the_last_and_the_chosen_are_drawn() -> None:
    trace = [[c, 0, 0.0, 1.0, 1.0] for c in range(1, 31)]
    names = {t["name"] for t in channel_figures.descent_lines(trace, 2, None, "light", limit=4)["data"]}
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
    picture = channel_figures.rebuilt_shares(parts, "light")
    lines = picture["data"]
    assert picture["layout"]["xaxis"]["title"]["text"] == "channels, in the order found"
    np.testing.assert_allclose([t["y"] for t in lines], parts.T)
    assert lines[2]["name"].startswith("null") and lines[2]["line"]["color"] == REMAINDER
    assert len(checked(channel_figures.rebuilt_shares(parts[:, :2], "dark"))["data"]) == 2


def arm(name: str, own: float, other: float) -> Arm:
    return Arm(name, own, other, own - other, (own - 0.2, own + 0.1), (other - 0.3, other + 0.4))


ARMS = [arm("whole neuron", 2.0, 1.5), arm("random direction", 0.3, 0.2), arm("channel", 1.0, 0.1)]


def test_arms_stand_in_one_order_with_their_intervals() -> None:
    figure = ablation_figures.arms_figure(ARMS, "logits", "light")
    own, other = figure["data"]
    assert own["text"] == ["this channel", "null: random direction", "the whole neuron"]
    np.testing.assert_allclose(own["x"], [1.0, 0.3, 2.0])
    np.testing.assert_allclose(own["x"] - own["error_x"]["arrayminus"], [0.8, 0.1, 1.8])
    np.testing.assert_allclose(other["x"] + other["error_x"]["array"], [0.5, 0.6, 1.9])
    checked(figure)
    table = ablation_figures.arms_table(ARMS)
    rows = [texts(r) for r in table.children[1].children]
    assert "+1.000" in rows[0] and "+0.900" in rows[0] and "null: random" in rows[1] and "whole" in rows[2]
    assert [r.className for r in table.children[1].children] == ["nrn-own", "", ""]


def test_before_and_after_keep_equal_tokens_apart_and_hollow_what_is_not_the_channels() -> None:
    rows = [
        Change(HOSTILE, 1.0, 0.5, True, 7),
        Change(HOSTILE, 0.2, 0.3, False),
    ]
    figure = ablation_figures.change_lines(rows, "logit", "dark")
    joints, before, after = figure["data"]
    assert len(set(before["y"])) == 2 and joints["x"] == [1.0, 0.5, None, 0.2, 0.3, None]
    assert before["customdata"] == [7, None] and np.asarray(after["x"]).tolist() == [0.5, 0.3]
    assert before["marker"]["color"][1] != before["marker"]["color"][0]
    assert "<script" not in json.dumps(checked(figure))
    checked(ablation_figures.change_lines([], "logit", "light"))


# Views

SETTINGS = {"layer": 3, "neuron": 0, "starts": 2}


def an_answer(kind: type) -> Any:
    """A small answer of each class that the page draws."""
    near = (0.5, 0.6, 0.8)
    if kind is VectorCard:
        return VectorCard(2.0, 0.1, 1.0, None, None, (), (), "Kurtosis 2.", np.linspace(-3, 3, 5), np.arange(4))
    if kind is LayerMap:
        values = np.arange(4.0).reshape(2, 2)
        return LayerMap(("in", "down"), (0, 3), Band(*near), "Kurtosis.", values, values + 1, values + 2)
    if kind is NeuronsKnown:
        shares = (LayerShare(3, "down", 24, 120, 0.3, 0.2, 0.45, 0.2, 0.05),)
        null = KnownNull(200, 5, "Null.", near, ())
        start = Place(3, "down", 0)
        return NeuronsKnown(2, (0, 3), 8, ("in", "down"), 6, 9, "it", True, "", "", null, start, (), shares, "Made.")
    if kind is Ablation:
        token = TokenLogit(7, "but", 1.0, 0.5)
        return Ablation("output", ("a",), (1.0,), (0,), (token,), (), tuple(ARMS[1:]), ARMS[0], "logits", "Falls.")
    if kind is ChannelSetCard:
        row = SetRow(7, 2, 0.8, 4.0, 5.0, 0.02, 1, ("a", "b"), None, None)
        return ChannelSetCard("a file, block 3, down", 3, "down", (row,), 2, "", 0.01, "Two channels.")
    assert kind is NeuronChannels
    counts, cosines, parts = np.ones((3, 4), int), np.eye(3), np.full((2, 3), 0.5)
    arrays = (np.linspace(-3, 3, 5), counts, cosines, parts, np.asarray(TRACE, np.float32))
    return NeuronChannels((channel(1), channel(2)), False, "Two.", NULL, "", "computed here", 1.234, SETTINGS, *arrays)


@pytest.mark.parametrize("name", sorted(name for name in VIEWS if name.startswith("neurons/")))
def test_every_view_draws_again_from_its_json(name: str) -> None:
    view = VIEWS[name]
    answers = [an_answer(kind) for kind in view.answers]
    again = [from_wire(type(a), json.loads(json.dumps(to_wire(a)[0])), to_wire(a)[1]) for a in answers]
    chosen = {OpenChannel: OpenChannel(2), OpenVector: OpenVector(3, "down")}.get(view.options, view.options())
    ref = view.ref([QuestionRef("Any", {})] * len(answers), chosen)
    options = view.options_from(ViewRef.from_dict(json.loads(json.dumps(ref.to_dict()))).options)
    first, second = view.draw(*answers, chosen, "light"), view.draw(*again, options, "light")
    if first.figure is None:
        assert first.parts and first.parts == second.parts
    else:
        assert checked(first.figure) == checked(second.figure or {}) and first.figure["data"]
    assert first.caption == second.caption and first.caption.endswith(".")
    assert first.facts == second.facts == json.loads(json.dumps(first.facts)), "plain data, for an export"


def test_an_export_says_the_facts_of_an_answer() -> None:
    def facts(name: str, options: Any = None) -> dict[str, Any]:
        view = VIEWS[f"neurons/{name}"]
        return view.draw(*map(an_answer, view.answers), options or view.options(), "light").facts

    assert facts("histogram") == {"channel": None, "kurtosis": 2.0, "norm": 1.0}
    assert facts("channel-histogram", OpenChannel(2)) == {"channel": 2, "kurtosis": 2.0, "norm": 1.0}
    assert facts("descent") == SETTINGS | {"source": "computed here", "seconds": 1.23}
    assert facts("cosines") == facts("rebuilding") == SETTINGS
    arms = facts("arms")["arms"]
    assert [a["name"] for a in arms] == ["random direction", "channel", "whole neuron"]
    assert arms[1] | {"own": 1.0, "own_interval": [0.8, 1.1]} == arms[1]
    assert facts("before-after")["rows"] == [{"label": "but", "before": 1.0, "after": 0.5, "own": True, "id": 7}]
    assert facts("layers") == {"band": {"low": 0.5, "median": 0.6, "high": 0.8}, "layers": [0, 3]}
    (share,) = facts("shares")["rows"]
    assert share | {"layer": 3, "vector": "down", "neurons": 24, "beyond": 0.3, "low": 0.2, "high": 0.45} == share


# Cards


def channel(number: int, **more: Any) -> Channel:
    rows = tuple(ChannelToken(100 * number + i, HOSTILE if i == 0 else f"t{i}", 20.0 - i, 8.0 - i) for i in range(20))
    row = Channel(
        number, 40.0, 3.0, 0.7, -1.0, 5.0, 99.5, 0.005, True, None, 1, 30, 60, rows, "The neuron itself favours these."
    )
    return replace(row, **more)


@pytest.mark.parametrize(
    ("beyond", "attractor", "badges"),
    [
        (True, None, ["beyond the null"]),
        (False, None, ["like a random vector"]),
        (True, Attractor(0.1, "Also 10 %."), ["beyond the null", "random vectors land here too (10%)"]),
        (False, Attractor(0.1, "Also 10 %."), ["like a random vector", "random vectors land here too (10%)"]),
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
    assert attributes(card, "data-nrn-channel") == ["3", "3"]  # shown, or shown taken out
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
    low, high = (replace(token, z=3.0, own=own) for token, own in zip(row.tokens[5:7], (-9.0, 90.0), strict=True))
    row = replace(row, tokens=(*row.tokens[:5], low, high, *row.tokens[7:]))
    widths = [
        s["width"]
        for c in channel_cards.channel_card(row, NULL, False)._traverse()
        if (s := getattr(c, "style", None)) and "width" in s
    ]
    shares = [float(w[:-1]) for w in widths]
    assert min(shares) == 0.0 and max(shares) == 100.0


ROWS = ((27, 3, 9.0, 5.0, 1, "but yet"), (24, 8, 40.0, 2.0, 0, "xyz"), (29, 1, 1.0, 9.0, 1, "but"))
READY = [
    ReadyNeuron(layer, "down", n, k, z, 90.0, b, 5, b == 0, (HOSTILE, " a"), f"{layer} down {n} {w}")
    for layer, n, k, z, b, w in ROWS
]


def test_neurons_are_ordered_searched_and_opened_by_their_place() -> None:
    def of(order: str) -> list[int]:
        return [r.neuron for r in lists.in_order(READY, order)]

    assert (of("beyond"), of("kurtosis"), of("layer")) == ([1, 3, 8], [8, 3, 1], [8, 3, 1])
    assert [r.neuron for r in lists.with_words(READY, " BUT yet")] == [3]
    assert len(lists.with_words(READY, None)) == 3
    rows = lists.neuron_rows(READY, Place(24, "down", 8))
    places = [r.to_plotly_json()["props"]["data-nrn-open"] for r in rows]
    assert places == ["27:down:3", "24:down:8", "29:down:1"]
    assert [r.to_plotly_json()["props"]["aria-current"] for r in rows] == ["false", "true", "false"]
    assert "nothing" in texts(rows[1]) and "1 of 5" in texts(rows[0])
    assert "1 more" in texts(lists.neuron_rows(READY, None, limit=2)[-1])
    assert "none has it among the first tokens" in texts(lists.neuron_rows([], None))
    found = [ChannelMatch(27, "up", 3, 2, 4.0, 10.0, 0.9, 1.0, 0.7, "x", 5, False, ())]
    told, row = lists.match_rows(found)  # what “like random” means stands above the rows
    assert "even in a random vector" in texts(told) and len(lists.match_rows([replace(found[0], beyond=True)])) == 1
    assert row.to_plotly_json()["props"]["data-nrn-open"] == "27:up:3:2" and "like random" in texts(row)


def test_nothing_is_said_where_it_is_seen() -> None:
    left = [TokenScore(5, "except", 5.0)]
    full, bare = (
        channel_cards.banner("One channel.", False, left, "Null.", "By L-BFGS."),
        channel_cards.banner("Nothing in it.", True, [], "Null."),
    )
    assert "nrn-nothing" not in full.className and "nrn-nothing" in bare.className
    assert attributes(full, "data-token-id") == ["5"] and attributes(bare, "data-token-id") == []


def test_small_lists() -> None:
    chosen = channel_cards.channel_choice([channel(1), channel(2, beyond=False)], 2)
    assert ["attune-chosen" in b.className for b in chosen] == [False, True] and "like random" in texts(chosen[1])
    chips = lists.chips([Token(4, HOSTILE)])
    assert attributes(html.Div(chips), "data-nrn-keep") == ["4"] and "none" in texts(lists.chips([]))
    groups = [TokenGroup((Token(1, "a"),), 0.02), TokenGroup((Token(2, "b"),), 0.2)]
    assert attributes(lists.attractor_table(groups), "data-token-id") == ["2", "1"]
    assert "None" in texts(lists.attractor_table([]))
    strip = ablation_figures.activation_strip(["a", HOSTILE, "c"], [0.0, -2.0, 1.0], [1])
    assert [s.style["--shade"] for s in strip] == ["0.000", "1.000", "0.500"] and "nrn-used" in strip[1].className
    ends = lists.ends([TokenScore(1, "x", 4.0)], [TokenScore(2, "y", -8.0)])
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
    cards = channel_cards.channel_cards([channel(1), channel(2, attractor=Attractor(0.1, "s"))], NULL, 1)
    for part in (
        cards,
        lists.neuron_rows(READY, None),
        ablation_figures.arms_table(ARMS),
        lists.attractor_table([]),
    ):
        assert json.dumps(tree(part))
