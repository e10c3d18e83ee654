"""The figures of the MLP features page, from plain numbers: a fit's curve, a feature's neurons, a text, what is shared.

Colours mean one thing: raised is blue and lowered orange (as the two ends of the signed scale), the features of this
method are vermilion where they stand among others, and what is a null is grey. Every number that has a null stands in
the same figure as that null.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from components.kit.figure import AFTER, BEFORE, Figure, figure
from components.kit.figure_card import blank
from components.kit.labels import escaped, numbered
from components.kit.style import ABOVE, colour_bar, numbers
from components.kit.theme import DIVERGING, REMAINDER, SEQUENTIAL

MARK = "#D55E00"
METHODS = {
    "SNMF": ("SNMF features", MARK, "circle"),
    "DiffMean (supervised)": ("DiffMean, which knows the labels", "#009E73", "diamond-open"),
    "single neurons": ("single neurons", "#0072B2", "square"),
    "SVD": ("SVD", "#CC79A7", "triangle-up"),
    "random sparse": ("null: random sparse directions", REMAINDER, "x"),
    "shuffled neurons": ("null: the same weights on other neurons", REMAINDER, "circle-open"),
}
"""By method of the detection table: name in the legend, colour, symbol; in the order in which they stand."""


def explained_curve(curve: dict[str, Any], theme: str) -> Figure:
    """Explained share of the squared length over the iterations, the iteration that was kept marked by a star.

    ``curve``: "iteration" and "explained" of equal length, "best" the iteration kept (None: not known yet).
    """
    steps, explained = list(curve.get("iteration") or []), list(curve.get("explained") or [])
    data: list[Any] = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "explained",
            "x": steps,
            "y": numbers(explained, 5),
            "line": {"color": BEFORE, "width": 2},
            "hovertemplate": "iteration %{x}<br>explained %{y:.2%}<extra></extra>",
        }
    ]
    best = curve.get("best")
    if steps and best is not None:
        at = min(range(len(steps)), key=lambda i: abs(steps[i] - best))
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": f"kept: iteration {best}",
                "x": [steps[at]],
                "y": numbers([explained[at]], 5),
                "marker": {"symbol": "star", "size": 15, "color": MARK},
                "hovertemplate": "the pair that is kept<br>iteration %{x}<br>explained %{y:.2%}<extra></extra>",
            }
        )
    return figure(
        data,
        theme,
        xaxis={"title": {"text": "iteration"}, "rangemode": "tozero"},
        yaxis={"title": {"text": "share of squared length explained"}, "tickformat": ".0%"},
        legend=ABOVE,
        uirevision="curve",
    )


def neuron_bars(neurons: Sequence[dict[str, Any]], theme: str, unit: str = "neuron") -> Figure:
    """The neurons that a feature keeps, by size, each with its signed weight. Rows: "neuron", "weight"."""
    rows = list(neurons)
    weights = [float(r["weight"]) for r in rows]
    return figure(
        [
            {
                "type": "bar",
                "x": [str(r["neuron"]) for r in rows],
                "y": numbers(weights),
                "customdata": [r["neuron"] for r in rows],
                "marker": {"color": [BEFORE if w >= 0 else AFTER for w in weights]},
                "hovertemplate": unit + " %{x}<br>weight %{y:+.4f}<extra></extra>",
            }
        ],
        theme,
        xaxis={"type": "category", "title": {"text": unit}, "tickangle": -60, "showgrid": False},
        yaxis={"title": {"text": "weight"}, "zeroline": True},
        margin={"l": 56, "r": 8, "t": 8, "b": 56},
        bargap=0.25,
        uirevision="neurons",
    )


def reading_map(
    labels: Sequence[str], features: Sequence[dict[str, Any]], activations: np.ndarray, theme: str
) -> Figure:
    """A text as tokens across and features down. ``activations`` (T, F) >= 0; a cell's customdata is its feature.

    Each row is drawn as shares of that row's largest value, because features have sizes of their own; the number under
    the pointer is the activation itself.
    """
    values = np.asarray(activations, np.float64).reshape(len(labels), len(features)).T
    top = np.maximum(values.max(1, keepdims=True, initial=0.0), 1e-12)
    ticks = numbered(labels)
    names = [f"{f['feature']} {escaped(str(f['label']), 30)}" for f in features]
    return figure(
        [
            {
                "type": "heatmap",
                "z": numbers(values / top),
                "x": ticks,
                "y": names,
                "customdata": [[f["feature"]] * len(labels) for f in features],
                "text": [[f"{v:.3g}" for v in row] for row in values.tolist()],
                "hovertemplate": "%{x}<br>%{y}<br>activation %{text}, %{z:.0%} of the most in its row<extra></extra>",
                "colorscale": SEQUENTIAL,
                "zmin": 0,
                "zmax": 1,
                "xgap": 1,
                "ygap": 1,
                "colorbar": colour_bar("share of the row's largest") | {"tickformat": ".0%"},
            }
        ],
        theme,
        xaxis={"type": "category", "tickangle": -50, "showgrid": False, "title": {"text": "token"}},
        yaxis={"type": "category", "autorange": "reversed", "showgrid": False, "ticksuffix": " "},
        margin={"l": 220, "r": 8, "t": 8, "b": 80},
        uirevision="reading",
    )


def shared_matrix(features: Sequence[dict[str, Any]], shared: np.ndarray, theme: str) -> Figure:
    """How many neurons each two features share, and on the diagonal how many each keeps. ``shared`` (F, F)."""
    counts = np.asarray(shared, np.int64)
    names = [f"{f['feature']} {escaped(str(f['label']), 18)}" for f in features]
    off = counts[~np.eye(len(counts), dtype=bool)]
    top = max(1, int(off.max(initial=0)))
    # The diagonal is the size of a feature, not an overlap, so it is left out of the scale and out of the colours.
    z = np.where(np.eye(len(counts), dtype=bool), np.nan, counts.astype(np.float64))
    return figure(
        [
            {
                "type": "heatmap",
                "z": z,
                "x": names,
                "y": names,
                "colorscale": SEQUENTIAL,
                "zmin": 0,
                "zmax": top,
                "xgap": 2,
                "ygap": 2,
                "hovertemplate": "%{y}<br>%{x}<br>%{z} neurons shared<extra></extra>",
                "colorbar": colour_bar("neurons shared"),
            }
        ],
        theme,
        annotations=[
            {
                "x": names[j],
                "y": names[i],
                "text": str(int(counts[i, j])),
                "showarrow": False,
                "font": {"size": 13} if i == j else {"size": 13, "color": _ink(counts[i, j] / top)},
            }
            for i in range(len(counts))
            for j in range(len(counts))
        ],
        xaxis={"type": "category", "tickangle": -35, "showgrid": False},
        yaxis={"type": "category", "autorange": "reversed", "showgrid": False, "ticksuffix": " "},
        margin={"l": 160, "r": 8, "t": 8, "b": 110},
        uirevision="shared",
    )


def part_effects(effects: dict[str, Any], values: np.ndarray, theme: str) -> Figure:
    """What each part of some features does to the logits of their tokens: parts down, tokens across, signed.

    ``effects``: "rows", "columns" (tokens) and "ids"; ``values`` (rows, columns). A cell's customdata is its token id.
    """
    found = np.asarray(values, np.float64)
    top = max(1e-9, float(np.abs(found).max(initial=0.0)))
    columns = [f"{escaped(t, 14)}{chr(0x200B) * i}" for i, t in enumerate(effects["columns"])]
    rows = [escaped(str(r), 30) for r in effects["rows"]]
    return figure(
        [
            {
                "type": "heatmap",
                "z": numbers(found),
                "x": columns,
                "y": rows,
                "customdata": [list(effects["ids"])] * len(rows),
                "colorscale": DIVERGING,
                "zmin": -top,
                "zmax": top,
                "xgap": 2,
                "ygap": 2,
                "hovertemplate": "%{y}<br>%{x}<br>logit %{z:+.3f}<extra></extra>",
                "colorbar": colour_bar("change of the logit"),
            }
        ],
        theme,
        annotations=[
            {
                "x": columns[j],
                "y": rows[i],
                "text": f"{round(found[i, j], 1) + 0.0:+.1f}",
                "showarrow": False,
                "font": {"size": 11, "color": "#ffffff" if abs(found[i, j]) > 0.6 * top else "#14181d"},
            }
            for i in range(len(rows))
            for j in range(len(columns))
        ]
        if len(columns) <= 16
        else [],
        xaxis={"type": "category", "tickangle": -40, "showgrid": False},
        yaxis={"type": "category", "autorange": "reversed", "showgrid": False, "ticksuffix": " "},
        margin={"l": 200, "r": 8, "t": 8, "b": 80},
        uirevision="effects",
    )


def detection_dots(rows: Sequence[dict[str, Any]], measure: str, theme: str) -> Figure:
    """Every method at every layer with its 95 % interval. ``measure``: "auc" or "score" (ln of the ratio of means).

    The line is where a direction that knows nothing stands: 0.5 for the AUC, 0 for the score.
    """
    layers = sorted({int(r["layer"]) for r in rows})
    if not layers:
        return blank(340, "not measured for this model")
    present = [m for m in METHODS if any(r["method"] == m for r in rows)]
    data = []
    for i, method in enumerate(present):
        name, colour, symbol = METHODS[method]
        mine = sorted(
            (r for r in rows if r["method"] == method and r.get(measure) is not None), key=lambda r: r["layer"]
        )
        value = np.array([r[measure] for r in mine], np.float64)
        step = 0.13 * (i - (len(present) - 1) / 2)
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": [layers.index(int(r["layer"])) + step for r in mine],
                "y": numbers(value),
                "text": [f"layer {r['layer']}" for r in mine],
                "error_y": {
                    "type": "data",
                    "symmetric": False,
                    "array": numbers([_bound(r, measure, "high") - r[measure] for r in mine]),
                    "arrayminus": numbers([r[measure] - _bound(r, measure, "low") for r in mine]),
                    "thickness": 1.5,
                    "width": 3,
                },
                "marker": {"color": colour, "symbol": symbol, "size": 9},
                "hovertemplate": "%{text}<br>" + name + " %{y:.3f}<extra></extra>",
            }
        )
    level = 0.5 if measure == "auc" else 0.0
    return figure(
        data,
        theme,
        xaxis={
            "tickvals": list(range(len(layers))),
            "ticktext": [str(n) for n in layers],
            "title": {"text": "layer"},
            "showgrid": False,
            "zeroline": False,
            "range": [-0.6, len(layers) - 0.4],
        },
        yaxis={"title": {"text": "AUC on held-out passages" if measure == "auc" else "ln(mean on theme / elsewhere)"}},
        shapes=[
            {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": level, "y1": level}
            | {"line": {"dash": "dash", "width": 1.5, "color": REMAINDER}}
        ],
        legend=ABOVE | {"font": {"size": 11.5}, "yref": "container", "y": 1, "yanchor": "top"},
        margin={"l": 56, "r": 8, "t": 76, "b": 44},
        uirevision=f"detection-{measure}",
    )


def _bound(row: dict[str, Any], measure: str, side: str) -> float:
    found = row.get(f"{measure}_{side}")
    return float(row[measure] if found is None else found)


def _ink(share: float) -> str:
    # Cividis is dark below and light above.
    return "#14181d" if share > 0.55 else "#ffffff"
