"""The figures of neurons: a weight vector over the vocabulary, and where in the model to look.

Colours mean one thing on the whole page: the neuron (or before) is blue, its channel (or after) orange, what is being
looked at vermilion, and what random vectors do is grey. Every number that has a null stands in the same figure as it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.answer import plain_of
from analysis.rotate.answers.channels import NeuronChannels
from analysis.rotate.answers.neurons import KnownNull, LayerMap, LayerShare, NeuronsKnown, VectorCard
from components.kit.beside import FLOOR, level_box, panel_title, panels
from components.kit.figure import AFTER, BEFORE, Figure, figure
from components.kit.figure_card import blank
from components.kit.labels import escaped
from components.kit.style import ABOVE, MARK, dashed_line, numbers, shaped
from components.kit.theme import CATEGORIES, REMAINDER
from components.kit.view import Drawing, NoOptions, view
from components.rotate.channel_figures import OpenChannel
from components.rotate.evidence import (
    band_control,
    channel_numbers,
    layer_numbers,
    null_control,
    shares_control,
    shares_numbers,
    vector_numbers,
)

_BOTTOM = -0.3
"""Where the logarithmic axis of counts begins: a bin without tokens lies below it."""


@dataclass(frozen=True)
class OpenVector:
    """The block and kind of vector that are open, if any."""

    layer: int | None = None
    vector: str | None = None


@view("neurons/histogram", VectorCard)
def vector_histogram(card: VectorCard, options: NoOptions, theme: str) -> Drawing:
    """A weight vector over the vocabulary."""
    return Drawing(
        token_histogram(card.edges, card.counts, None, theme),
        _moments(card),
        _facts(card, None),
        control=band_control(card.band),
        numbers=vector_numbers(card),
    )


@view("neurons/channel-histogram", VectorCard, NeuronChannels, options=OpenChannel)
def channel_histogram(card: VectorCard, answer: NeuronChannels, options: OpenChannel, theme: str) -> Drawing:
    """A weight vector over the vocabulary, and one of its channels over it."""
    number = options.channel or 1
    figure = token_histogram(answer.edges, answer.counts[0], answer.counts[number], theme, f"channel {number}")
    tail = tail_words(number, answer.channels[number - 1].kurtosis, answer.null.kurtosis)
    channel = {f"{name} of the channel": value for name, value in channel_numbers(answer.channels[number - 1]).items()}
    return Drawing(
        figure,
        _moments(card) + tail,
        _facts(card, number),
        control=null_control(answer.null, "kurtosis", "own_z"),
        numbers=vector_numbers(card) | channel,
    )


def _moments(card: VectorCard) -> str:
    return f"{card.sentence} Dashed: a normal distribution."


def _facts(card: VectorCard, channel: int | None) -> dict[str, Any]:
    return {"channel": channel, "kurtosis": card.kurtosis, "norm": card.norm}


def tail_words(channel: int, kurtosis: float, null: Sequence[float]) -> str:
    """A channel's kurtosis beside those of random vectors' channels (``null``: low end, median, high end)."""
    low, _, high = null
    text = f" Channel {channel} has kurtosis {kurtosis:.1f}; "
    if kurtosis <= high:
        return f"{text}channels of random vectors reach {low:.0f} to {high:.0f}, so a tail alone says nothing."
    return f"{text}9 in 10 channels of random vectors have {low:.0f} to {high:.0f}: this tail is heavier."


def token_histogram(
    edges: np.ndarray, neuron: np.ndarray, channel: np.ndarray | None, theme: str, name: str = "channel"
) -> Figure:
    """How many tokens have which z-score, on a logarithmic axis: the neuron, and a channel of it where there is one.

    ``edges`` (B+1,), counts (B,). The dashed line is what as many numbers from a normal distribution would give.
    """
    limits = np.asarray(edges, np.float64)
    counts = shaped(neuron, (len(limits) - 1,), "neuron")
    middle, width = (limits[1:] + limits[:-1]) / 2, np.diff(limits)
    data: list[Any] = [
        {
            "type": "bar",
            "name": "the neuron",
            "x": numbers(middle),
            "y": counts.astype(int).tolist(),
            "width": numbers(width),
            "marker": {"color": BEFORE, "line": {"width": 0}},
            "opacity": 0.7,
            "hovertemplate": "the neuron<br>z %{x:.2f}<br>%{y} tokens<extra></extra>",
        }
    ]
    if channel is not None:
        data.append(_outline(middle, shaped(channel, (len(middle),), "channel"), escaped(name, 40)))
    below = np.array([0.5 * (1 + math.erf(v / math.sqrt(2))) for v in limits])
    normal = counts.sum() * np.diff(below)
    data.append(
        {
            "type": "scatter",
            "mode": "lines",
            "name": "normal",
            "x": numbers(middle),
            "y": [round(v, 3) if v >= 0.4 else None for v in normal.tolist()],
            "line": {"color": REMAINDER, "dash": "dash", "width": 2},
            "hoverinfo": "skip",
        }
    )
    return figure(
        data,
        theme,
        bargap=0,
        xaxis={"title": {"text": "z-score of the token"}, "range": [float(limits[0]), float(limits[-1])]},
        yaxis={
            "type": "log",
            "title": {"text": "tokens"},
            "range": [_BOTTOM, math.log10(max(10.0, counts.max())) + 0.2],
            "dtick": 1,
        },
        legend=ABOVE,
        margin={"l": 56, "r": 8, "t": 8, "b": 44},
        uirevision="histogram",
    )


def _outline(x: np.ndarray, counts: np.ndarray, name: str) -> dict[str, Any]:
    # A second set of bars would hide the first or mix its colour with it; a line that dips below the axis between
    # bins shows both.
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": numbers(x),
        "y": numbers(np.maximum(counts, 0.3), 1),
        "text": [str(int(v)) for v in counts],
        "line": {"color": AFTER, "width": 2, "shape": "hvh"},
        "hovertemplate": f"{name}<br>" + "z %{x:.2f}<br>%{text} tokens<extra></extra>",
    }


@view("neurons/layers", LayerMap, options=OpenVector)
def layer_map(answer: LayerMap, options: OpenVector, theme: str) -> Drawing:
    """Kurtosis of all neurons by layer, a panel for each vector: median, 95 % and the highest, on the band of random
    vectors; the open layer is marked. A point's customdata is (layer, vector)."""
    layers, vectors, band = answer.layers, answer.vectors, answer.band
    shape = (len(layers), len(vectors))
    data, layout = [], panels(len(vectors), 0.05)
    for column, vector in enumerate(vectors):
        for name, numbers_of, colour, symbol in (
            ("median", answer.median, BEFORE, "circle"),
            ("95 %", answer.upper, AFTER, "square"),
            ("highest neuron", answer.top, MARK, "triangle-up"),
        ):
            values = shaped(numbers_of, shape, name)[:, column]
            data.append(
                {
                    "type": "scatter",
                    "mode": "lines+markers",
                    "name": name,
                    "legendgroup": name,
                    "showlegend": column == 0,
                    "x": list(layers),
                    "y": numbers(np.maximum(values, FLOOR)),
                    "text": [f"{v:.2f}" for v in values.tolist()],
                    "customdata": [[int(layer), vector] for layer in layers],
                    "xaxis": f"x{column + 1}" if column else "x",
                    "line": {"color": colour, "width": 1.5},
                    "marker": {"color": colour, "symbol": symbol, "size": 6},
                    "hovertemplate": f"{escaped(vector)}, layer %{{x}}<br>{name}: %{{text}}<extra></extra>",
                }
            )
    shapes: list[Any] = [
        level_box("y", max(band.low, FLOOR), max(band.high, FLOOR)) | {"xref": "paper", "x0": 0, "x1": 1}
    ]
    if options.layer is not None and options.vector in vectors:
        axis = vectors.index(options.vector)
        shapes.append(
            {"type": "line", "xref": f"x{axis + 1}" if axis else "x", "yref": "paper"}
            | {
                "x0": options.layer,
                "x1": options.layer,
                "y0": 0,
                "y1": 1,
                "line": {"color": REMAINDER, "width": 2, "dash": "dot"},
            }
        )
    for name in layout:
        layout[name] |= {"title": {"text": "layer"}, "zeroline": False}
    picture = figure(
        data,
        theme,
        **layout,
        yaxis={"type": "log", "title": {"text": "excess kurtosis"}, "dtick": 1},
        shapes=shapes,
        annotations=[panel_title(escaped(v), i, len(vectors), 0.05) for i, v in enumerate(vectors)],
        legend=ABOVE | {"y": 1.09},
        margin={"l": 56, "r": 8, "t": 44, "b": 44},
        hovermode="closest",
        uirevision="layers",
    )
    return Drawing(
        picture,
        f"{answer.sentence} Dotted: the open neuron.",
        plain_of({"band": band, "layers": layers}),
        control=band_control(band),
        numbers=layer_numbers(answer, options.layer, options.vector),
        hint="Click a point to go to its layer and vector.",
    )


@view("neurons/shares", NeuronsKnown)
def shares_by_layer(known: NeuronsKnown, options: NoOptions, theme: str) -> Drawing:
    """Channels beyond the null, by layer."""
    words = shares_words(known.shares, known.null)
    return Drawing(
        shares_beyond(known.shares, theme),
        words,
        {"rows": plain_of(known.shares)},
        control=shares_control(known),
        numbers=shares_numbers(known),
    )


def shares_words(rows: Sequence[LayerShare], null: KnownNull | None) -> str:
    """What the shares say, the early layers as plainly as the late ones."""
    if not rows or null is None:
        return "Shares are measured for the default model only."
    above, below = sum(r.low > 0.05 for r in rows), sum(r.high < 0.05 for r in rows)
    fewer = f"in {below} it lies below, where there are fewer than by chance; " if below else ""
    return (
        f"{min(r.neurons for r in rows)} random neurons of each layer and vector, with 95 % intervals over neurons; "
        f"the null: {null.vectors} random vectors with {null.rounds} channels each. In {above} of {len(rows)} places "
        f"the whole interval lies above 5 %; {fewer}the others are not told apart from chance. Crosses: random "
        "mixtures of a late layer's own vectors, a stricter null."
    )


def shares_beyond(rows: Sequence[LayerShare], theme: str) -> Figure:
    """Share of channels beyond the null's 95th percentile among random neurons of each layer, with 95 % intervals.

    The dashed line is what random vectors give by definition; crosses stand where it was measured for vectors drawn to
    be like the layer's own.
    """
    vectors = list(dict.fromkeys(r.vector for r in rows))
    if not vectors:
        return blank(380, "not measured for this model")
    data = []
    for i, vector in enumerate(vectors):
        mine = sorted((r for r in rows if r.vector == vector), key=lambda r: r.layer)
        value = np.array([r.beyond for r in mine], np.float64)
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": escaped(vector),
                "x": [r.layer + 0.16 * (i - (len(vectors) - 1) / 2) for r in mine],
                "y": numbers(value),
                "customdata": [[r.layer, vector] for r in mine],
                "text": [f"layer {r.layer}, {r.neurons} neurons" for r in mine],
                "error_y": {
                    "type": "data",
                    "symmetric": False,
                    "array": numbers([r.high - r.beyond for r in mine]),
                    "arrayminus": numbers([r.beyond - r.low for r in mine]),
                    "thickness": 1.5,
                    "width": 3,
                },
                "line": {"width": 1, "color": CATEGORIES[i]},
                "marker": {"size": 8, "color": CATEGORIES[i], "symbol": ("circle", "square", "diamond")[i % 3]},
                "hovertemplate": escaped(vector) + ", %{text}<br>%{y:.0%} of their channels<extra></extra>",
            }
        )
    like = [r for r in rows if r.like_layer is not None]
    if like:
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": "null: mixtures of the layer's own down vectors",
                "x": [r.layer for r in like],
                "y": numbers([r.like_layer for r in like]),
                "customdata": [[r.layer, r.vector] for r in like],
                "marker": {"size": 11, "color": REMAINDER, "symbol": "x"},
                "hovertemplate": "random mixtures, layer %{x}<br>%{y:.0%} of their channels<extra></extra>",
            }
        )
    line, note = dashed_line("y", 0.05, "random vectors, 5 %")
    return figure(
        data,
        theme,
        xaxis={"title": {"text": "layer"}, "zeroline": False},
        yaxis={"title": {"text": "channels beyond the null"}, "tickformat": ".0%", "rangemode": "tozero"},
        shapes=[line],
        annotations=[note | {"x": 0, "xref": "paper", "xanchor": "left"}],
        legend=ABOVE,
        margin={"l": 56, "r": 8, "t": 8, "b": 44},
        hovermode="closest",
        uirevision="shares",
    )
