"""The figures of a neuron's channels, from plain numbers: descent, what they share, what falls without one.

Colours are those of :mod:`components.rotate.neuron_figures`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from components.kit.beside import FLOOR, level_box, panel_title, panels
from components.kit.figure import AFTER, BEFORE, Figure, figure
from components.kit.labels import escaped
from components.kit.style import ABOVE, MARK, colour_bar, dashed_line, numbers
from components.kit.theme import DIVERGING, REMAINDER

ARMS = {
    "channel": "this channel",
    "random direction": "null: random direction",
    "logit lens": "logit-lens tokens",
    "svd": "SVD of the layer",
    "whole neuron": "the whole neuron",
}
"""What the arms of an ablation are called, in the order in which they stand."""


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
    data, layout = [], panels(3, 0.09, own=True)
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
            shapes.append(level_box(f"y{suffix}", max(low, floor), max(high, floor)) | across)
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
        annotations=[panel_title(t, i, 3, 0.09) for i, t in enumerate(("loss", "excess kurtosis", "cosine"))],
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
