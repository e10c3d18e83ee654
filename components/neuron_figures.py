"""The figures of the Neurons page, from plain numbers: a vector over the vocabulary, layers, the descent, what channels
have in common, what falls without one.

Colours mean one thing: the neuron (or before) is blue, its channel (or after) orange, what is being looked at
vermilion, and what random vectors do is grey. Every number that has a null stands in the same figure as that null.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from components.figure_card import blank
from components.figures import AFTER, BAND, BEFORE, Figure, figure
from components.labels import escaped
from components.othello_style import ABOVE, MARK, colour_bar, dashed_line, numbers, shaped
from components.theme import CATEGORIES, DIVERGING, REMAINDER

FLOOR = 0.02
"""Where kurtosis is drawn on a logarithmic axis, no value stands lower; the pointer shows the number itself."""
_BOTTOM = -0.3
"""Where the logarithmic axis of counts begins: a bin without tokens lies below it."""
ARMS = {
    "channel": "this channel",
    "random direction": "null: random direction",
    "logit lens": "logit-lens tokens",
    "svd": "SVD of the layer",
    "whole neuron": "the whole neuron",
}
"""What the arms of an ablation are called, in the order in which they stand."""


def token_histogram(
    edges: Sequence[float], neuron: Sequence[int], channel: Sequence[int] | None, theme: str, name: str = "channel"
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
            "name": "normal distribution",
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


def layer_map(
    layers: Sequence[int],
    vectors: Sequence[str],
    arrays: dict[str, np.ndarray],
    band: dict[str, float],
    chosen: tuple[int, str] | None,
    theme: str,
) -> Figure:
    """Kurtosis of all neurons by layer, a panel for each vector: median, 95 % and the highest, on the band of random
    vectors. ``arrays``: "median", "upper", "top", each (L, V). A point's customdata is (layer, vector)."""
    shape = (len(layers), len(vectors))
    data, layout = [], _panels(len(vectors), 0.05)
    for column, vector in enumerate(vectors):
        for key, name, colour, symbol in (
            ("median", "median", BEFORE, "circle"),
            ("upper", "95 %", AFTER, "square"),
            ("top", "highest neuron", MARK, "triangle-up"),
        ):
            values = shaped(arrays[key], shape, key)[:, column]
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
        _band("y", max(band["low"], FLOOR), max(band["high"], FLOOR)) | {"xref": "paper", "x0": 0, "x1": 1}
    ]
    if chosen is not None and chosen[1] in vectors:
        axis = list(vectors).index(chosen[1])
        shapes.append(
            {"type": "line", "xref": f"x{axis + 1}" if axis else "x", "yref": "paper", "x0": chosen[0], "x1": chosen[0]}
            | {"y0": 0, "y1": 1, "line": {"color": REMAINDER, "width": 2, "dash": "dot"}}
        )
    for name in layout:
        layout[name] |= {"title": {"text": "layer"}, "zeroline": False}
    return figure(
        data,
        theme,
        **layout,
        yaxis={"type": "log", "title": {"text": "excess kurtosis"}, "dtick": 1},
        shapes=shapes,
        annotations=[_panel_title(escaped(v), i, len(vectors), 0.05) for i, v in enumerate(vectors)],
        legend=ABOVE | {"y": 1.09},
        margin={"l": 56, "r": 8, "t": 44, "b": 44},
        hovermode="closest",
        uirevision="layers",
    )


def shares_beyond(rows: Sequence[dict[str, Any]], theme: str) -> Figure:
    """Share of channels beyond the null's 95th percentile among random neurons of each layer, with 95 % intervals.

    Rows: "layer", "vector", "beyond", "low", "high", "neurons", and "like_layer" (the same share among vectors drawn to
    be like the layer's own) where it was measured. The dashed line is what random vectors give by definition.
    """
    vectors = list(dict.fromkeys(r["vector"] for r in rows))
    if not vectors:
        return blank(380, "not measured for this model")
    data = []
    for i, vector in enumerate(vectors):
        mine = sorted((r for r in rows if r["vector"] == vector), key=lambda r: r["layer"])
        value = np.array([r["beyond"] for r in mine], np.float64)
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": escaped(vector),
                "x": [r["layer"] + 0.16 * (i - (len(vectors) - 1) / 2) for r in mine],
                "y": numbers(value),
                "customdata": [[r["layer"], vector] for r in mine],
                "text": [f"layer {r['layer']}, {r['neurons']} neurons" for r in mine],
                "error_y": {
                    "type": "data",
                    "symmetric": False,
                    "array": numbers([r["high"] - r["beyond"] for r in mine]),
                    "arrayminus": numbers([r["beyond"] - r["low"] for r in mine]),
                    "thickness": 1.5,
                    "width": 3,
                },
                "line": {"width": 1, "color": CATEGORIES[i]},
                "marker": {"size": 8, "color": CATEGORIES[i], "symbol": ("circle", "square", "diamond")[i % 3]},
                "hovertemplate": escaped(vector) + ", %{text}<br>%{y:.0%} of their channels<extra></extra>",
            }
        )
    like = [r for r in rows if r.get("like_layer") is not None]
    if like:
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": "null: mixtures of the layer's own down vectors",
                "x": [r["layer"] for r in like],
                "y": numbers([r["like_layer"] for r in like]),
                "customdata": [[r["layer"], r["vector"]] for r in like],
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


def descent(
    trace: Sequence[Sequence[float]], chosen: int | None, null: dict[str, Any] | None, theme: str, limit: int = 12
) -> Figure:
    """Loss, kurtosis and cosine against the step, a line for each channel, the chosen one vermilion.

    ``trace``: rows of channel (from 1), step, loss, kurtosis, cosine. ``null``: under those names 5 %, 50 % and 95 % of
    where the best channels of random vectors end. Of more than ``limit`` channels, the chosen and the last are drawn.
    """
    table = np.asarray(trace, np.float64).reshape(-1, 5)
    channels = sorted(set(table[:, 0].astype(int).tolist()))
    shown = [c for c in channels if c in channels[-limit:] or c == chosen]
    data, layout = [], _panels(3, 0.09, own=True)
    shapes: list[Any] = []
    for column, (key, name) in enumerate((("loss", "loss"), ("kurtosis", "excess kurtosis"), ("cosine", "cosine"))):
        suffix = str(column + 1) if column else ""
        for channel in sorted(shown, key=lambda c: c == chosen):
            mine = table[table[:, 0] == channel]
            values = mine[:, column + 2]
            here = channel == chosen
            data.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "name": f"channel {channel}",
                    "showlegend": False,
                    "x": mine[:, 1].astype(int).tolist(),
                    "y": numbers(np.maximum(values, FLOOR) if key == "kurtosis" else values),
                    "xaxis": f"x{suffix}",
                    "yaxis": f"y{suffix}",
                    "opacity": 1.0 if here else 0.75,
                    "line": {"color": MARK if here else _blue(theme), "width": 3 if here else 1.5},
                    "hovertemplate": f"channel {channel}, step %{{x}}<br>{name} %{{y:.3f}}<extra></extra>",
                }
            )
        low, middle, high = (null or {}).get(key) or (None, None, None)
        if low is not None and middle is not None and high is not None:
            floor = FLOOR if key == "kurtosis" else -math.inf
            across = {"xref": f"x{suffix} domain", "x0": 0, "x1": 1}
            shapes.append(_band(f"y{suffix}", max(low, floor), max(high, floor)) | across)
            at = max(middle, floor)
            shapes.append(
                {"type": "line", "yref": f"y{suffix}", "y0": at, "y1": at, **across}
                | {"line": {"color": REMAINDER, "dash": "dash", "width": 1.5}}
            )
        layout[f"xaxis{suffix}"] |= {"title": {"text": "step"}, "rangemode": "tozero"}
        drawn = np.maximum(table[:, column + 2], FLOOR)
        # Whole powers of ten alone would leave a narrow range without a number.
        wide = len(drawn) > 0 and drawn.max() > 30 * drawn.min()
        scale = {"type": "log", **({"dtick": 1} if wide else {})} if key == "kurtosis" else {"type": "linear"}
        layout[f"yaxis{suffix}"] = {"anchor": f"x{suffix}", **scale}
    return figure(
        data,
        theme,
        **layout,
        shapes=shapes,
        annotations=[_panel_title(t, i, 3, 0.09) for i, t in enumerate(("loss", "excess kurtosis", "cosine"))],
        margin={"l": 44, "r": 8, "t": 28, "b": 44},
        hovermode="closest",
        uirevision="descent",
    )


def cosine_map(cosines: np.ndarray, theme: str) -> Figure:
    """Cosines between the neuron and its channels, (C+1, C+1), the neuron first."""
    found = np.asarray(cosines, np.float64)
    names = ["neuron", *[str(i) for i in range(1, len(found))]]
    few = len(found) <= 9
    return figure(
        [
            {
                "type": "heatmap",
                "z": numbers(found, 3),
                "x": names,
                "y": names,
                "colorscale": DIVERGING,
                "zmin": -1,
                "zmax": 1,
                "xgap": 1,
                "ygap": 1,
                "hovertemplate": "%{y}, %{x}<br>cosine %{z:.3f}<extra></extra>",
                "colorbar": colour_bar("cosine"),
            }
        ],
        theme,
        annotations=[
            {
                "x": names[j],
                "y": names[i],
                "text": f"{round(found[i, j], 2) + 0.0:.2f}",
                "showarrow": False,
                "font": {"size": 12, "color": "#ffffff" if abs(found[i, j]) > 0.6 else "#14181d"},
            }
            for i in range(len(found) if few else 0)
            for j in range(len(found))
        ],
        xaxis={"type": "category", "showgrid": False, "title": {"text": "channel"}},
        yaxis={"type": "category", "autorange": "reversed", "showgrid": False},
        margin={"l": 64, "r": 8, "t": 8, "b": 48},
        uirevision="cosines",
    )


def rebuilding(parts: np.ndarray, theme: str) -> Figure:
    """How much of the neuron its first channels rebuild: (C, 3) cosine, explained share of squared length, and that
    share for unrelated vectors at the same cosines with the neuron (the null); or (C, 2) without the last."""
    found = np.asarray(parts, np.float64)
    steps = list(range(1, len(found) + 1))
    lines = (
        ("cosine", BEFORE, "solid", "circle"),
        ("explained share of squared length", AFTER, "solid", "square"),
        ("null: unrelated vectors at the same cosines", REMAINDER, "dash", "x"),
    )
    data = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": name,
            "x": steps,
            "y": numbers(found[:, i]),
            "line": {"color": colour, "dash": dash, "width": 2},
            "marker": {"symbol": symbol, "size": 8},
            "hovertemplate": "%{x} channels<br>" + name + " %{y:.3f}<extra></extra>",
        }
        for i, (name, colour, dash, symbol) in enumerate(lines[: found.shape[1]])
    ]
    return figure(
        data,
        theme,
        xaxis={"title": {"text": "channels, in the order found"}, "dtick": max(1, len(found) // 10)},
        yaxis={"range": [0, 1.03]},
        legend=ABOVE | {"font": {"size": 12}},
        margin={"l": 48, "r": 8, "t": 8, "b": 48},
        uirevision="rebuilding",
    )


def ablation_arms(arms: Sequence[dict[str, Any]], unit: str, theme: str) -> Figure:
    """What falls on the channel's own tokens (or sentences) and on others, with 95 % intervals, for each arm.

    Rows: "name", "own", "other", "own_interval", "other_interval".
    """
    order = [name for name in ARMS if any(a["name"] == name for a in arms)]
    found = {a["name"]: a for a in arms}
    data = []
    for shift, side, name, colour, symbol in (
        (-0.14, "own", "the channel's own", MARK, "circle"),
        (0.14, "other", "others", BEFORE, "square-open"),
    ):
        rows = [found[n] for n in order]
        value = np.array([r[side] for r in rows], np.float64)
        interval = np.array([r[f"{side}_interval"] for r in rows], np.float64).reshape(-1, 2)
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": numbers(value),
                "y": [i + shift for i in range(len(order))],
                "text": [ARMS[n] for n in order],
                "error_x": {
                    "type": "data",
                    "symmetric": False,
                    "array": numbers(interval[:, 1] - value),
                    "arrayminus": numbers(value - interval[:, 0]),
                    "thickness": 2,
                    "width": 4,
                },
                "marker": {"color": colour, "symbol": symbol, "size": 10},
                "hovertemplate": "%{text}<br>" + name + ": %{x:.3f} " + unit + "<extra></extra>",
            }
        )
    line, _ = dashed_line("x", 0.0)
    return figure(
        data,
        theme,
        xaxis={"title": {"text": f"what falls ({unit})"}, "zeroline": False},
        yaxis={
            "tickvals": list(range(len(order))),
            "ticktext": [ARMS[n] for n in order],
            "range": [len(order) - 0.5, -0.5],
            "showgrid": False,
            "zeroline": False,
            "ticksuffix": " ",
        },
        shapes=[line],
        legend=ABOVE,
        margin={"l": 170, "r": 16, "t": 8, "b": 48},
        hovermode="closest",
        uirevision="arms",
    )


def before_after(rows: Sequence[dict[str, Any]], unit: str, theme: str) -> Figure:
    """A line from before to after for each token or sentence. Rows: "label", "before", "after", "own" (bool), and "id"
    of a token where it is one, which becomes the customdata."""
    names = [f"{escaped(str(r['label']), 44)}{chr(0x200B) * i}" for i, r in enumerate(rows)]
    joints: dict[str, list[Any]] = {"x": [], "y": []}
    for name, r in zip(names, rows, strict=True):
        joints["x"] += [round(float(r["before"]), 4), round(float(r["after"]), 4), None]
        joints["y"] += [name, name, None]
    line = {"type": "scatter", "mode": "lines", **joints, "line": {"color": REMAINDER, "width": 2}}
    data: list[Any] = [line | {"hoverinfo": "skip", "showlegend": False}]
    for key, colour, symbol in (("before", BEFORE, "circle"), ("after", AFTER, "square")):
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": key,
                "x": numbers([r[key] for r in rows]),
                "y": names,
                "customdata": [r.get("id") for r in rows],
                "marker": {
                    "color": [colour if r.get("own", True) else "rgba(0,0,0,0)" for r in rows],
                    "line": {"color": colour, "width": 1.5},
                    "symbol": symbol,
                    "size": 8,
                },
                "hovertemplate": "%{y}<br>" + key + " %{x:.3f}<extra></extra>",
            }
        )
    return figure(
        data,
        theme,
        xaxis={"title": {"text": unit}, "side": "bottom"},
        yaxis={"type": "category", "autorange": "reversed", "showgrid": False, "ticksuffix": " ", "dtick": 1}
        | {"tickfont": {"size": 11.5}},
        legend=ABOVE,
        margin={"l": 150, "r": 12, "t": 8, "b": 44},
        hovermode="closest",
        uirevision="before-after",
    )


def _blue(theme: str) -> str:
    # A thin line of the darker blue is hard to see on a dark page.
    return "#56B4E9" if theme == "dark" else BEFORE


def _panels(count: int, gap: float, own: bool = False) -> dict[str, dict[str, Any]]:
    """The x axes of panels side by side, each with a y axis of its own, or all with the first."""
    width = (1 - gap * (count - 1)) / count
    return {
        f"xaxis{i + 1 if i else ''}": {
            "domain": [round(i * (width + gap), 4), round(min(1.0, i * (width + gap) + width), 4)],
            "anchor": f"y{i + 1}" if own and i else "y",
        }
        for i in range(count)
    }


def _panel_title(text: str, column: int, count: int, gap: float) -> dict[str, Any]:
    left = column * ((1 - gap * (count - 1)) / count + gap)
    return {
        "text": text,
        "x": left,
        "y": 1,
        "xref": "paper",
        "yref": "paper",
        "xanchor": "left",
        "yanchor": "bottom",
    } | {
        "showarrow": False,
        "font": {"size": 13},
    }


def _band(axis: str, low: float, high: float) -> dict[str, Any]:
    return {
        "type": "rect",
        "yref": axis,
        "y0": low,
        "y1": high,
        "fillcolor": BAND,
        "line": {"width": 0},
        "layer": "below",
    }
