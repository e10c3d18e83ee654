"""Maps and matrices of subspaces: queries and keys on principal axes, and how far features coincide."""

from __future__ import annotations

from typing import Any

import numpy as np

from components.kit.figure import Figure, figure
from components.kit.labels import escaped
from components.kit.theme import CATEGORIES, DIVERGING, SEQUENTIAL

# Colour and shape both tell the kinds apart, so neither has to be seen alone.
KINDS = {
    "query": ("query", "x", CATEGORIES[4]),
    "positive": ("matching key", "circle", CATEGORIES[0]),
    "negative": ("other key", "circle-open", "#8a8f98"),
}


def subspace_map(
    points: np.ndarray,
    labels: list[str],
    kinds: list[str],
    explained: list[float],
    deep: bool,
    by_label: bool,
    theme: str,
    own: tuple[np.ndarray, list[str], int] | None = None,
) -> Figure:
    """Queries (crosses) and keys (circles) on the common principal axes, 2-D or 3-D (the paper's Figures 6 and 8).

    ``own`` places the reader's prompt on it: coordinates (m, 3) of the query and then its keys, their labels, and which
    of them was asked about (0 for none). ``by_label`` colours by the feature's value where there
    are at most twelve of them.
    """
    values = sorted(set(labels))
    coloured = by_label and len(values) <= 12
    data: list[Any] = []
    for kind, (name, symbol, colour) in KINDS.items():
        for value in values if coloured else [None]:
            at = [i for i, k in enumerate(kinds) if k == kind and (value is None or labels[i] == value)]
            if not at:
                continue
            hue = colour if value is None else _hue(values.index(value), len(values))
            trace: dict[str, Any] = {
                "type": "scatter3d" if deep else "scatter",
                "mode": "markers",
                "name": name if value is None else f"{escaped(value)}, {name}",
                "x": points[at, 0],
                "y": points[at, 1],
                "text": [escaped(labels[i]) for i in at],
                "marker": {"symbol": symbol, "color": hue, "size": (4 if kind == "query" else 3) if deep else 8},
                "hovertemplate": f"{name}: %{{text}}<extra></extra>",
            }
            if deep:
                trace["z"] = points[at, 2]
            data.append(trace)
    data += _own_points(own, deep) if own is not None else []
    titles = [f"axis {i + 1} ({share:.0%} of the variance)" for i, share in enumerate(explained)]
    if deep:
        axes = {f"{n}axis": {"title": {"text": t}} for n, t in zip("xyz", titles, strict=False)}
        return figure(
            data,
            theme,
            scene=axes,
            margin={"l": 0, "r": 0, "t": 0, "b": 0},
            uirevision="map",
            legend={"itemsizing": "constant"},
        )
    return figure(
        data,
        theme,
        xaxis={"title": {"text": titles[0]}},
        yaxis={"title": {"text": titles[1]}},
        legend={"orientation": "h", "y": 1.02, "x": 0, "yanchor": "bottom"},
        uirevision="map",
        margin={"l": 56, "r": 16, "t": 84, "b": 48},
    )


def _own_points(own: tuple[np.ndarray, list[str], int], deep: bool) -> list[Any]:
    places, labels, asked = own
    groups = [
        ("this prompt: keys", [i for i in range(1, len(labels)) if i != asked], "diamond-open", "#56B4E9", 9),
        ("this prompt: the key asked about", [asked] if asked else [], "diamond", "#E69F00", 14),
        ("this prompt: the query", [0], "cross", "#CC79A7", 14),
    ]
    traces = []
    for name, at, symbol, colour, size in groups:
        trace: dict[str, Any] = {
            "type": "scatter3d" if deep else "scatter",
            "mode": "markers",
            "name": name,
            "x": places[at, 0],
            "y": places[at, 1],
            "text": [escaped(labels[i]) for i in at],
            "marker": {
                "symbol": symbol,
                "color": colour,
                "size": size / 2 if deep else size,
                "line": {"width": 1.5, "color": colour if symbol.endswith("open") else "#000000"},
            },
            "hovertemplate": name + ": %{text}<extra></extra>",
        }
        if deep:
            trace["z"] = places[at, 2]
        if at:
            traces.append(trace)
    return traces


def _hue(index: int, count: int) -> str:
    if count <= len(CATEGORIES):
        return CATEGORIES[index]
    # Ordered values (places in a list) get an ordered scale.
    stops = ["#440154", "#414487", "#2a788e", "#22a884", "#7ad151", "#fde725"]
    return stops[round(index * (len(stops) - 1) / max(1, count - 1))]


def matrices(panels: list[tuple[str, np.ndarray]], names: list[str], theme: str, signed: bool = False) -> Figure:
    """Small square matrices of features side by side, numbers printed, one common scale."""
    short = [escaped(f"{i + 1} {n}", 18) for i, n in enumerate(names)]
    top = max(float(np.abs(m).max()) for _, m in panels) or 1.0
    data: list[Any] = []
    layout: dict[str, Any] = {"annotations": [], "margin": {"l": 56, "r": 16, "t": 44, "b": 48}}
    width = 1 / len(panels)
    for i, (title, matrix) in enumerate(panels):
        suffix = "" if i == 0 else str(i + 1)
        data.append(
            {
                "type": "heatmap",
                "z": matrix.astype(np.float32),
                "x": short,
                "y": short,
                "xaxis": f"x{suffix}",
                "yaxis": f"y{suffix}",
                "colorscale": DIVERGING if signed else SEQUENTIAL,
                "zmin": -top if signed else 0,
                "zmax": top,
                "texttemplate": "%{z:.2f}",
                "showscale": i == len(panels) - 1,
                "name": title,
                "colorbar": {"thickness": 12, "outlinewidth": 0},
                "hovertemplate": "%{y} and %{x}: %{z:.3f}<extra>" + title + "</extra>",
                "xgap": 2,
                "ygap": 2,
            }
        )
        left, right = i * width + (0.06 if i else 0), (i + 1) * width - 0.02
        layout[f"xaxis{suffix}"] = {
            "domain": [left, right],
            "anchor": f"y{suffix}",
            "tickangle": -30,
            "showgrid": False,
        }
        layout[f"yaxis{suffix}"] = {
            "anchor": f"x{suffix}",
            "autorange": "reversed",
            "showticklabels": i == 0,
            "showgrid": False,
        }
        layout["annotations"].append(
            {
                "text": title,
                "showarrow": False,
                "xref": "paper",
                "yref": "paper",
                "x": (left + right) / 2,
                "y": 1.08,
                "xanchor": "center",
            }
        )
    return figure(data, theme, **layout)
