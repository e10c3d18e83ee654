"""Maps and matrices of subspaces: queries and keys on principal axes, and how far features coincide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.qk.answers.evidence import SubspaceTest
from analysis.qk.answers.features import SubspaceOverlap
from analysis.qk.answers.prompt import MapPlaces, Reading
from components.kit.figure import Figure, figure
from components.kit.labels import escaped
from components.kit.theme import CATEGORIES, SEQUENTIAL
from components.kit.view import Drawing, NoOptions, view
from components.qk.controls import trial_control, trial_numbers
from components.qk.evidence_card import place_name

MOST_VALUES = 12
"""Values of a feature that are told apart by colour."""

# Colour and shape both tell the kinds apart, so neither has to be seen alone.
KINDS = {
    "query": ("query", "x", CATEGORIES[4]),
    "positive": ("matching key", "circle", CATEGORIES[0]),
    "negative": ("other key", "circle-open", "#8a8f98"),
}


@dataclass(frozen=True)
class MapOptions:
    """Which head was tested; 2-D or ``deep``; coloured by the feature's value, where there are at most twelve; which
    token of the prompt was ``asked`` about."""

    layer: int
    head: int
    deep: bool = False
    by_label: bool = False
    asked: int | None = None


@view("attention/map", SubspaceTest, options=MapOptions)
def trial_map(test: SubspaceTest, options: MapOptions, theme: str) -> Drawing:
    """Queries and keys of the examples in the subspace."""
    return _drawing(test, options, theme, [])


@view("attention/map with the prompt", SubspaceTest, Reading, MapPlaces, options=MapOptions)
def prompt_map(test: SubspaceTest, reading: Reading, places: MapPlaces, options: MapOptions, theme: str) -> Drawing:
    """The same with a query of the prompt and the keys that it sees."""
    labels = [f"{p} {reading.labels[p]}" for p in places.positions]
    keys = places.positions[1:]
    asked = 1 + keys.index(options.asked) if options.asked in keys else 0
    return _drawing(test, options, theme, _own_points(places.places, labels, asked, options.deep))


def _drawing(test: SubspaceTest, options: MapOptions, theme: str, own: list[Any]) -> Drawing:
    where = place_name(options.layer, options.head)
    axes = (
        "the one direction of the query and key bases"
        if test.axes.shape[1] == 1
        else ("coordinates in the query and key bases, on common principal axes")
    )
    caption = f"{where}: {axes}. {test.basis}"
    if options.by_label and len(set(test.map.labels)) > MOST_VALUES:
        caption += " More than twelve values: coloured by kind instead."
    facts = {"examples": test.examples, "tested_on": test.basis}
    return Drawing(
        _map(test, options, theme, own), caption, facts, control=trial_control(test), numbers=trial_numbers(test)
    )


def _map(test: SubspaceTest, options: MapOptions, theme: str, own: list[Any]) -> Figure:
    """Queries (crosses) and keys (circles) on the common principal axes, 2-D or 3-D (the paper's Figures 6 and 8)."""
    points, labels, kinds, deep = test.points, test.map.labels, test.map.kinds, options.deep
    values = sorted(set(labels))
    coloured = options.by_label and len(values) <= MOST_VALUES
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
    data += own
    titles = [f"axis {i + 1} ({share:.0%} of the variance)" for i, share in enumerate(test.map.explained)]
    if test.axes.shape[1] == 1:
        return _line(data, titles[0], theme)
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


def _line(data: list[Any], title: str, theme: str) -> Figure:
    """A map of one dimension: one row for each kind of point, so that they do not cover each other."""
    rows = [trace["name"] for trace in data if len(trace["x"])]
    flat = [{name: v for name, v in trace.items() if name not in ("y", "z")} for trace in data]
    for trace in flat:
        trace |= {"type": "scatter", "y": [trace["name"]] * len(trace["x"])}
    return figure(
        flat,
        theme,
        xaxis={"title": {"text": title}},
        yaxis={"type": "category", "categoryorder": "array", "categoryarray": rows[::-1], "automargin": True},
        showlegend=False,
        uirevision="map",
        margin={"l": 56, "r": 16, "t": 24, "b": 48},
    )


def _own_points(places: np.ndarray, labels: list[str], asked: int, deep: bool) -> list[Any]:
    """Traces of the prompt's query, at ``places`` (m, 3) first, and its keys; ``asked``: which of them, 0 for none."""
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


@view("attention/overlap", SubspaceOverlap)
def overlap_matrices(overlap: SubspaceOverlap, options: NoOptions, theme: str) -> Drawing:
    """How far features coincide on a head, on either side, and how strongly they meet."""
    panels = [
        ("queries", np.array(overlap.query)),
        ("keys", np.array(overlap.key)),
        ("UᵀV", np.array(overlap.interaction)),
    ]
    text = (
        "Queries and keys: mean cosine of the principal angles, 1 the same subspace, 0 orthogonal. UᵀV: how strongly "
        "queries in the row's subspace meet keys in the column's. "
    )
    if len(overlap.names) == 1:
        text += "Fit a second feature to compare."
    pairs = [(a, b) for b in range(len(overlap.names)) for a in range(b)]
    numbers = {f"{title} {a + 1} and {b + 1}": float(matrix[a, b]) for a, b in pairs for title, matrix in panels}
    return Drawing(matrices(panels, overlap.names, theme), text, numbers=numbers)


def matrices(panels: list[tuple[str, np.ndarray]], names: Sequence[str], theme: str) -> Figure:
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
                "colorscale": SEQUENTIAL,
                "zmin": 0,
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
