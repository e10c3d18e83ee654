"""The figures of the attention page, from plain numbers. One function a figure; each returns a plotly figure dict.

Colours mean the same everywhere: a feature keeps its colour, what is unexplained is grey, before is blue and after is
orange, the null and the random controls are a grey band.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from components.kit.figure import AFTER, BEFORE, Figure, figure
from components.kit.labels import escaped, numbered
from components.kit.png import CIVIDIS, png_uri
from components.kit.theme import CATEGORIES, DIVERGING, REMAINDER, SEQUENTIAL


def head_grid(
    scores: np.ndarray,
    name: str,
    theme: str,
    chosen: tuple[int, int] | None,
    thumbnails: np.ndarray | None = None,
    ranked: bool = False,
    signed: bool = False,
    order: np.ndarray | None = None,
) -> Figure:
    """All heads in one picture: a score per cell, or a thumbnail of each head's attention, by place or by rank.

    ``scores`` (L, H) with NaN for layers without attention; ``thumbnails`` uint8 (L, H, s, s). In rank order, cells run
    from the highest score, or the highest ``order`` (L, H) if that is given, left to right and then down. Each cell's
    customdata is (layer, head).
    """
    layers, heads = scores.shape
    where = np.stack(np.meshgrid(np.arange(layers), np.arange(heads)), -1)  # (H, L, 2): heads down, layers across
    values, thumbs = scores.T, None if thumbnails is None else thumbnails.transpose(1, 0, 2, 3)
    if ranked:
        by = values if order is None else order.T
        places = np.argsort(np.where(np.isnan(by), -np.inf, by), axis=None)[::-1]
        where = where.reshape(-1, 2)[places].reshape(where.shape)
        values = values.ravel()[places].reshape(values.shape)
        thumbs = None if thumbs is None else thumbs.reshape(-1, *thumbs.shape[2:])[places].reshape(thumbs.shape)
    text = [
        [f"layer {a}, head {b}<br>{escaped(name, 40)}: {v:.3f}" for (a, b), v in zip(line, row, strict=True)]
        for line, row in zip(where.tolist(), values.tolist(), strict=True)
    ]
    top = float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else 1.0
    low = -top if signed else min(0.0, float(np.nanmin(values))) if np.isfinite(values).any() else 0.0
    trace = {
        "type": "heatmap",
        "z": values.astype(np.float32),
        "customdata": where.astype(np.int32).tolist(),
        "text": text,
        "hovertemplate": "%{text}<extra></extra>",
        "colorscale": DIVERGING if signed else SEQUENTIAL,
        "zmin": low,
        "zmax": top if top > low else low + 1,
        "xgap": 1,
        "ygap": 1,
        "colorbar": {
            "title": {"text": escaped(name.split(":")[0], 30), "side": "right"},
            "thickness": 12,
            "outlinewidth": 0,
        },
    }
    images: list[Any] = []
    if thumbs is not None:
        trace |= {"opacity": 0.0, "showscale": False, "xgap": 0, "ygap": 0}
        images = [
            {
                "source": png_uri(_mosaic(thumbs), CIVIDIS),
                "xref": "x",
                "yref": "y",
                "x": -0.5,
                "y": -0.5,
                "sizex": layers,
                "sizey": heads,
                "sizing": "stretch",
                "layer": "below",
                "xanchor": "left",
                "yanchor": "top",
            }
        ]
    shapes = []
    at = np.argwhere((where == np.array(chosen)).all(-1)) if chosen else np.zeros((0, 2), int)
    for row, column in at.tolist():
        shapes.append(
            {
                "type": "rect",
                "x0": column - 0.5,
                "x1": column + 0.5,
                "y0": row - 0.5,
                "y1": row + 0.5,
                "line": {"color": "#D55E00", "width": 3},
            }
        )
    ticks = {"showgrid": False, "zeroline": False, "dtick": max(1, layers // 15)}
    x_axis = {**ticks, "title": {"text": "layer"}, "range": [-0.5, layers - 0.5]}
    y_axis = {
        "showgrid": False,
        "zeroline": False,
        "dtick": max(1, heads // 12),
        "title": {"text": "head"},
        "range": [heads - 0.5, -0.5],
    }
    if ranked:
        x_axis |= {
            "title": {"text": "heads from the highest score (left to right, then down)"},
            "showticklabels": False,
        }
        y_axis |= {"title": {"text": ""}, "showticklabels": False}
    return figure([trace], theme, xaxis=x_axis, yaxis=y_axis, images=images, shapes=shapes, uirevision="heads")


def _mosaic(thumbs: np.ndarray) -> np.ndarray:
    """(H, L, s, s) as one picture with a line of black between cells."""
    heads, layers, size, _ = thumbs.shape
    canvas = np.zeros((heads, size + 1, layers, size + 1), np.uint8)
    canvas[:, :size, :, :size] = thumbs.transpose(0, 2, 1, 3)
    return canvas.reshape(heads * (size + 1), layers * (size + 1))


def attribution_bars(
    parts: np.ndarray, names: list[str], labels: list[str], shown: list[int], key: int, unit: str, theme: str
) -> Figure:
    """The paper's Figure 10: per key token, what each feature adds to its logit, stacked, with the total as a line.

    ``parts`` (T, F + 1) in ``unit``; ``shown`` the positions drawn; NaN (masked) tokens stay empty.
    """
    ticks = [numbered(labels)[i] for i in shown]
    columns = [*names, "unexplained"]
    data: list[Any] = []
    for c, name in enumerate(columns):
        colour = REMAINDER if c == len(names) else CATEGORIES[c % len(CATEGORIES)]
        data.append(
            {
                "type": "bar",
                "name": escaped(name, 40),
                "x": ticks,
                "y": parts[shown, c].astype(np.float32),
                "marker": {"color": colour},
                "hovertemplate": "%{x}<br>%{y:.3f} " + unit + "<extra>" + escaped(name, 40) + "</extra>",
            }
        )
    data.append(
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": "total",
            "x": ticks,
            "y": parts[shown].sum(1).astype(np.float32),
            "line": {"color": "#D55E00", "width": 1.5},
            "marker": {"size": 5},
            "hovertemplate": "%{x}<br>%{y:.3f} " + unit + "<extra>total</extra>",
        }
    )
    shapes = []
    if key in shown:
        at = shown.index(key)
        shapes = [
            {
                "type": "rect",
                "xref": "x",
                "yref": "paper",
                "x0": at - 0.5,
                "x1": at + 0.5,
                "y0": 0,
                "y1": 1,
                "fillcolor": "rgba(213,94,0,0.12)",
                "line": {"width": 0},
                "layer": "below",
            }
        ]
    return figure(
        data,
        theme,
        barmode="relative",
        shapes=shapes,
        bargap=0.25,
        xaxis={"type": "category", "title": {"text": "key token"}, "tickangle": -50, "showgrid": False},
        yaxis={"title": {"text": unit}, "zeroline": True},
        legend={"orientation": "h", "y": 1.02, "x": 0, "yanchor": "bottom"},
        uirevision="bars",
    )


def swap_bars(
    before: np.ndarray, after: np.ndarray, band: np.ndarray, labels: list[str], shown: list[int], theme: str
) -> Figure:
    """Attention before and after a swap, and where random subspaces of the same rank take it (5 to 95 %)."""
    ticks = [numbered(labels)[i] for i in shown]
    middle = band[1, shown]
    data: list[Any] = [
        {"type": "bar", "name": "before", "x": ticks, "y": before[shown], "marker": {"color": BEFORE}},
        {"type": "bar", "name": "after the swap", "x": ticks, "y": after[shown], "marker": {"color": AFTER}},
        {
            "type": "bar",
            "name": "random subspaces: median, 5 to 95 %",
            "x": ticks,
            "y": middle,
            "marker": {"color": REMAINDER},
            "error_y": {
                "type": "data",
                "symmetric": False,
                "array": band[2, shown] - middle,
                "arrayminus": middle - band[0, shown],
                "thickness": 1.5,
                "color": "#a5abb4",
            },
        },
    ]
    for trace in data:
        trace["hovertemplate"] = "%{x}<br>attention %{y:.3f}<extra>" + trace["name"] + "</extra>"
    return figure(
        data,
        theme,
        barmode="group",
        xaxis={"type": "category", "title": {"text": "key token"}, "tickangle": -40},
        yaxis={"title": {"text": "attention of this head"}, "rangemode": "tozero"},
        legend={"orientation": "h", "y": 1.02, "x": 0, "yanchor": "bottom"},
    )


def prediction_bars(compared: dict[str, Any], theme: str) -> Figure:
    """Next-token probabilities of the whole model before and after."""
    ticks = [f"{escaped(t)} " for t in compared["labels"]]
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "name": name,
            "y": ticks,
            "x": compared[field],
            "marker": {"color": colour},
            "hovertemplate": "%{y}<br>%{x:.4f}<extra>" + name + "</extra>",
        }
        for name, field, colour in (("before", "before", BEFORE), ("after the swap", "after", AFTER))
    ]
    return figure(
        data,
        theme,
        barmode="group",
        yaxis={"autorange": "reversed", "type": "category"},
        xaxis={"title": {"text": "probability of the next token"}, "rangemode": "tozero"},
        legend={"orientation": "h", "y": 1.02, "x": 0, "yanchor": "bottom"},
    )
