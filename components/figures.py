"""The figures of the attention page, from plain numbers. One function a figure; each returns a plotly figure dict.

Colours mean the same everywhere: a feature keeps its colour, what is unexplained is grey, before is blue and after is
orange, the null and the random controls are a grey band.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from components.labels import escaped, numbered
from components.png import CIVIDIS, png_uri
from components.theme import CATEGORIES, DIVERGING, REMAINDER, SEQUENTIAL, template

BEFORE, AFTER, BAND = "#0072B2", "#E69F00", "rgba(138,143,152,0.35)"
Figure = dict[str, Any]


def _figure(data: list[Any], theme: str, **layout: Any) -> Figure:
    return {"data": data, "layout": {"template": template(theme), **layout}}


def head_grid(
    scores: np.ndarray,
    name: str,
    theme: str,
    chosen: tuple[int, int] | None,
    thumbnails: np.ndarray | None = None,
    ranked: bool = False,
    signed: bool = False,
) -> Figure:
    """All heads in one picture: a score per cell, or a thumbnail of each head's attention, by place or by rank.

    ``scores`` (L, H) with NaN for layers without attention; ``thumbnails`` uint8 (L, H, s, s). In rank order, cells run
    from the highest score, left to right and then down. Each cell's customdata is (layer, head).
    """
    layers, heads = scores.shape
    where = np.stack(np.meshgrid(np.arange(layers), np.arange(heads)), -1)  # (H, L, 2): heads down, layers across
    values, thumbs = scores.T, None if thumbnails is None else thumbnails.transpose(1, 0, 2, 3)
    if ranked:
        order = np.argsort(np.where(np.isnan(values), -np.inf, values), axis=None)[::-1]
        where = where.reshape(-1, 2)[order].reshape(where.shape)
        values = values.ravel()[order].reshape(values.shape)
        thumbs = None if thumbs is None else thumbs.reshape(-1, *thumbs.shape[2:])[order].reshape(thumbs.shape)
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
    return _figure([trace], theme, xaxis=x_axis, yaxis=y_axis, images=images, shapes=shapes, uirevision="heads")


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
    return _figure(
        data,
        theme,
        barmode="relative",
        shapes=shapes,
        bargap=0.25,
        xaxis={"type": "category", "title": {"text": "key token"}, "tickangle": -50, "showgrid": False},
        yaxis={"title": {"text": unit}, "zeroline": True},
        legend={"orientation": "h", "y": 1.12, "x": 0},
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
            },
        },
    ]
    for trace in data:
        trace["hovertemplate"] = "%{x}<br>attention %{y:.3f}<extra>" + trace["name"] + "</extra>"
    return _figure(
        data,
        theme,
        barmode="group",
        xaxis={"type": "category", "title": {"text": "key token"}, "tickangle": -40},
        yaxis={"title": {"text": "attention of this head"}, "rangemode": "tozero"},
        legend={"orientation": "h", "y": 1.14, "x": 0},
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
    return _figure(
        data,
        theme,
        barmode="group",
        yaxis={"autorange": "reversed", "type": "category"},
        xaxis={"title": {"text": "probability of the next token"}, "rangemode": "tozero"},
        legend={"orientation": "h", "y": 1.14, "x": 0},
    )


def spectrum(facts: dict[str, Any], theme: str, limit: int = 32) -> Figure:
    """Singular values with the band of relabelled data (5 to 95 %), and the rank in use."""
    values = facts["singular_values"][:limit]
    index = list(range(1, len(values) + 1))
    data: list[Any] = []
    if facts["null_band"] is not None:
        low, middle, high = (row[:limit] for row in facts["null_band"])
        data += [
            {
                "type": "scatter",
                "x": index,
                "y": high,
                "mode": "lines",
                "line": {"width": 0},
                "showlegend": False,
                "hoverinfo": "skip",
                "name": "null 95 %",
            },
            {
                "type": "scatter",
                "x": index,
                "y": low,
                "mode": "lines",
                "line": {"width": 0},
                "fill": "tonexty",
                "fillcolor": BAND,
                "name": f"shuffled labels, 5 to 95 % ({facts['permutations']} relabellings)",
                "hoverinfo": "skip",
            },
            {
                "type": "scatter",
                "x": index,
                "y": middle,
                "mode": "lines",
                "name": "shuffled labels, median",
                "line": {"color": REMAINDER, "dash": "dot", "width": 1.5},
            },
        ]
    data.append(
        {
            "type": "scatter",
            "x": index,
            "y": values,
            "mode": "lines+markers",
            "name": "this contrast",
            "line": {"color": CATEGORIES[0], "width": 2},
            "marker": {"size": 6},
            "hovertemplate": "singular value %{x}: %{y:.2f}<extra></extra>",
        }
    )
    rank = facts["rank"]
    shapes = [
        {
            "type": "line",
            "x0": rank + 0.5,
            "x1": rank + 0.5,
            "yref": "paper",
            "y0": 0,
            "y1": 1,
            "line": {"color": "#D55E00", "dash": "dash", "width": 1.5},
        }
    ]
    notes = [
        {
            "text": f"rank {rank}",
            "x": rank + 0.5,
            "yref": "paper",
            "y": 1,
            "showarrow": False,
            "xanchor": "left",
            "font": {"color": "#D55E00"},
        }
    ]
    return _figure(
        data,
        theme,
        shapes=shapes,
        annotations=notes,
        xaxis={"title": {"text": "index"}},
        yaxis={"title": {"text": "singular value (raw logit)"}, "rangemode": "tozero"},
        legend={"orientation": "h", "y": 1.2, "x": 0},
    )


def direction_bars(facts: dict[str, Any], theme: str, limit: int = 32) -> Figure:
    """What each singular pair adds to the trace, the mean logit gap; pairs outside the rank are pale."""
    values = np.array(facts["direction_trace"][:limit])
    inside = [CATEGORIES[0] if i < facts["rank"] else "rgba(138,143,152,0.6)" for i in range(len(values))]
    share = 100 * values / facts["trace"] if facts["trace"] else values * 0
    data = [
        {
            "type": "bar",
            "x": list(range(1, len(values) + 1)),
            "y": values,
            "marker": {"color": inside},
            "customdata": share,
            "name": "s u·v",
            "hovertemplate": "pair %{x}: %{y:.2f} of the raw logit gap (%{customdata:.1f} %)<extra></extra>",
        }
    ]
    return _figure(
        data,
        theme,
        xaxis={"title": {"text": "singular pair"}},
        yaxis={"title": {"text": "share of the mean gap (raw logit)"}},
    )


def swaps_by_rank(table: dict[str, Any], theme: str) -> Figure:
    """Held-out swaps: attention on the original and on the target as the rank grows, beside random subspaces."""
    rows = table["rows"]
    ranked = [r for r in rows if r["rank"]]
    x, all_x = [r["rank"] for r in ranked], [r["rank"] for r in rows]
    data: list[Any] = [
        {
            "type": "scatter",
            "x": x,
            "y": [r["random_target_max"] for r in ranked],
            "mode": "lines",
            "line": {"width": 0},
            "showlegend": False,
            "hoverinfo": "skip",
            "name": "random target, highest",
        },
        {
            "type": "scatter",
            "x": x,
            "y": [r["random_target_min"] for r in ranked],
            "mode": "lines",
            "line": {"width": 0},
            "fill": "tonexty",
            "fillcolor": BAND,
            "name": f"target, {table['random_bases']} random subspaces",
            "hoverinfo": "skip",
        },
        {
            "type": "scatter",
            "x": x,
            "y": [r["random_orig"] for r in ranked],
            "mode": "lines",
            "name": "original, random subspaces",
            "line": {"color": BEFORE, "dash": "dot", "width": 1.5},
        },
        {
            "type": "scatter",
            "x": all_x,
            "y": [r["orig"] for r in rows],
            "mode": "lines+markers",
            "name": "original key",
            "line": {"color": BEFORE, "width": 2},
        },
        {
            "type": "scatter",
            "x": all_x,
            "y": [r["target"] for r in rows],
            "mode": "lines+markers",
            "name": "target key",
            "line": {"color": AFTER, "width": 2},
        },
    ]
    rule = table["rule_rank"]
    shapes = [
        {
            "type": "line",
            "x0": rule,
            "x1": rule,
            "yref": "paper",
            "y0": 0,
            "y1": 1,
            "line": {"color": "#D55E00", "dash": "dash", "width": 1.5},
        }
    ]
    return _figure(
        data,
        theme,
        shapes=shapes,
        xaxis={"title": {"text": "rank of the swapped subspace"}, "rangemode": "tozero"},
        yaxis={"title": {"text": "mean attention"}, "rangemode": "tozero"},
        legend={"orientation": "h", "y": 1.25, "x": 0},
    )
