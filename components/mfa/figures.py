"""The figures of the Steering page, from plain numbers: the map of regions, next tokens, prices, two segments.

Colours mean one thing: what a region is about (themes blue, single tokens orange, grammar green, the rest grey), and,
where two texts are compared, unsteered is blue and steered orange as on the other pages.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from components.kit.figure import AFTER, BEFORE, Figure, figure
from components.kit.labels import escaped
from components.kit.theme import REMAINDER

CHARACTERS = {
    "token": ("token", "#E69F00", "square"),
    "grammar": ("grammar", "#009E73", "diamond"),
    "mixed": ("mixed", "#CC79A7", "triangle-up"),
    "small": ("few points", REMAINDER, "x"),
    "theme": ("theme", "#0072B2", "circle"),
}
"""By character: name, colour, symbol; drawn in this order, so that themes lie on top."""
CONTROL = "#009E73"


def region_map(
    regions: list[dict[str, Any]], theme: str, chosen: int | None, active: list[int], shown: set[int] | None
) -> Figure:
    """All centroids in the plane: area by size, colour and shape by character; the rest faint if ``shown`` is given.

    Each region is a dict with region, label, character, size, x, y, near. Points carry their region as customdata.
    """
    by_number = {r["region"]: r for r in regions}
    data: list[Any] = []
    if chosen in by_number:
        data.append(_edges(by_number[chosen], by_number))
    largest = max((r["size"] for r in regions), default=1)
    for character, (name, colour, symbol) in CHARACTERS.items():
        rows = [r for r in regions if r["character"] == character]
        if not rows:
            continue
        opacity = [0.85 if shown is None or r["region"] in shown else 0.12 for r in rows]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": np.array([r["x"] for r in rows], np.float32),
                "y": np.array([r["y"] for r in rows], np.float32),
                "customdata": [r["region"] for r in rows],
                "text": [f"{r['region']}: {escaped(r['label'], 60)}<br>{r['size']:,} tokens" for r in rows],
                "hovertemplate": "%{text}<extra></extra>",
                "marker": {
                    "color": colour,
                    "symbol": symbol,
                    "size": [5 + 13 * (r["size"] / largest) ** 0.5 for r in rows],
                    "opacity": opacity,
                    "line": {"width": 0.5, "color": "rgba(128,128,128,0.6)"},
                },
            }
        )
    places = [r["x"] for r in regions] or [0.0]
    middle = (min(places) + max(places)) / 2
    rings = [n for n in dict.fromkeys([*active, chosen]) if n in by_number]
    if rings:
        data.append(
            {
                "type": "scatter",
                "mode": "markers+text",
                "showlegend": False,
                "x": [by_number[n]["x"] for n in rings],
                "y": [by_number[n]["y"] for n in rings],
                "customdata": rings,
                "text": [escaped(by_number[n]["label"], 34) for n in rings],
                "textposition": ["top left" if by_number[n]["x"] > middle else "top right" for n in rings],
                "hoverinfo": "skip",
                "marker": {
                    "size": [10 + 13 * (by_number[n]["size"] / largest) ** 0.5 for n in rings],
                    "symbol": "circle-open",
                    "color": "#D55E00",
                    "line": {"width": 3, "color": "#D55E00"},
                },
            }
        )
    hidden = {"showticklabels": False, "showgrid": False, "zeroline": False, "ticks": ""}
    return figure(
        data,
        theme,
        xaxis={**hidden, "title": {"text": "t-SNE of the centroids, 1", "font": {"size": 11}, "standoff": 2}},
        yaxis={**hidden, "title": {"text": "t-SNE, 2", "font": {"size": 11}, "standoff": 2}},
        legend={
            "orientation": "h",
            "y": 1.0,
            "x": 0,
            "yanchor": "bottom",
            "font": {"size": 12},
            "itemsizing": "constant",
        },
        margin={"l": 24, "r": 6, "t": 6, "b": 26},
        hovermode="closest",
        uirevision="map",
        clickmode="event",
    )


def _edges(region: dict[str, Any], by_number: dict[int, dict[str, Any]]) -> dict[str, Any]:
    x: list[Any] = []
    y: list[Any] = []
    for other in region["near"]:
        if other in by_number:
            x += [region["x"], by_number[other]["x"], None]
            y += [region["y"], by_number[other]["y"], None]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": y,
        "showlegend": False,
        "hoverinfo": "skip",
        "line": {"color": "#D55E00", "width": 1.5, "dash": "dot"},
    }


def price_per_token(written: dict[str, Any], theme: str) -> Figure:
    """KL to the unsteered model at each written token, for the steered text and its control."""
    data = []
    for key, name, colour in (("steered", "steered", AFTER), ("control", "control", CONTROL)):
        part = written.get(key)
        if not part or not part["kl"]:
            continue
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": name,
                "x": list(range(1, len(part["kl"]) + 1)),
                "y": np.array(part["kl"], np.float32),
                "text": [escaped(t, 30) for t in part["labels"]],
                "line": {"color": colour, "width": 2},
                "marker": {"size": 5},
                "hovertemplate": "token %{x}: %{text}<br>KL %{y:.3f} nats<extra></extra>",
            }
        )
    return figure(
        data,
        theme,
        xaxis={"title": {"text": "written token"}},
        yaxis={"title": {"text": "KL (unsteered ‖ steered), nats"}, "rangemode": "tozero"},
        legend={"orientation": "h", "y": 1.02, "x": 0, "yanchor": "bottom"},
    )


def region_presence(written: dict[str, Any], theme: str) -> Figure:
    """Mean responsibility of the steered regions at the block of the fit, over the written tokens, base and steered."""
    presence = written["presence"]
    data = [
        {
            "type": "bar",
            "name": name,
            "x": [escaped(label, 30) for label in presence["labels"]],
            "y": np.array(presence[key], np.float32),
            "marker": {"color": colour},
            "hovertemplate": "%{x}<br>" + name + " %{y:.3f}<extra></extra>",
        }
        for key, name, colour in (("base", "unsteered text", BEFORE), ("steered", "steered text", AFTER))
    ]
    return figure(
        data,
        theme,
        barmode="group",
        yaxis={"title": {"text": "mean responsibility"}, "rangemode": "tozero"},
        legend={"orientation": "h", "y": 1.02, "x": 0, "yanchor": "bottom"},
    )


def controls_bars(rows: list[dict[str, Any]], theme: str) -> Figure:
    """KL of the set-up beside its controls, each of equal norm, at the last position of the prompt."""
    return figure(
        [
            {
                "type": "bar",
                "orientation": "h",
                "x": np.array([r["kl"] for r in rows], np.float32),
                "y": [escaped(r["name"], 40) for r in rows],
                "marker": {"color": [AFTER if r["own"] else REMAINDER for r in rows]},
                "text": [f"{r['kl']:.3f}" for r in rows],
                "textposition": "auto",
                "hovertemplate": "%{y}<br>KL %{x:.4f} nats<extra></extra>",
            }
        ],
        theme,
        yaxis={"autorange": "reversed", "type": "category", "ticksuffix": " "},
        xaxis={"title": {"text": "KL (unsteered ‖ steered), nats"}, "rangemode": "tozero"},
        margin={"l": 150, "r": 8, "t": 8, "b": 44},
    )


def token_parts(parts: dict[str, Any], theme: str, chosen: int | None = None) -> Figure:
    """Norms of centroid, local offset and rest for every token of a text."""
    labels = [f"{i} {escaped(t, 14)}" for i, t in enumerate(parts["labels"])]
    data = [
        {
            "type": "bar",
            "name": name,
            "x": labels,
            "y": np.array(parts[key], np.float32),
            "marker": {"color": colour},
            "customdata": [escaped(r, 50) for r in parts["region_labels"]],
            "hovertemplate": "%{x}<br>%{customdata}<br>" + name + " %{y:.1f}<extra></extra>",
        }
        for key, name, colour in (
            ("centroid", "centroid minus mean", BEFORE),
            ("local", "local offset", AFTER),
            ("rest", "rest", REMAINDER),
        )
    ]
    shapes = []
    if chosen is not None and 0 <= chosen < len(labels):
        shapes = [
            {
                "type": "rect",
                "x0": chosen - 0.5,
                "x1": chosen + 0.5,
                "yref": "paper",
                "y0": 0,
                "y1": 1,
                "line": {"color": "#D55E00", "width": 2},
            }
        ]
    return figure(
        data,
        theme,
        barmode="group",
        shapes=shapes,
        xaxis={"type": "category", "title": {"text": "token"}, "tickangle": -45},
        yaxis={"title": {"text": "norm (activation units)"}, "rangemode": "tozero"},
        legend={"orientation": "h", "y": 1.02, "x": 0, "yanchor": "bottom"},
    )


def two_segments(path: dict[str, Any], theme: str) -> Figure:
    """The paper's picture of one token: mean to centroid to local point, and the activation itself."""
    x, y = path["x"], path["y"]
    names = ["mean of all", "centroid", "centroid + local offset", "activation"]
    data = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": x[0:2],
            "y": y[0:2],
            "name": "centroid",
            "line": {"color": BEFORE, "width": 4},
            "hoverinfo": "skip",
        },
        {
            "type": "scatter",
            "mode": "lines",
            "x": x[1:3],
            "y": y[1:3],
            "name": "local offset",
            "line": {"color": AFTER, "width": 4},
            "hoverinfo": "skip",
        },
        {
            "type": "scatter",
            "mode": "lines",
            "x": x[2:4],
            "y": y[2:4],
            "name": "rest",
            "line": {"color": REMAINDER, "width": 2, "dash": "dot"},
            "hoverinfo": "skip",
        },
        {
            "type": "scatter",
            "mode": "markers+text",
            "x": x,
            "y": y,
            "text": names,
            "textposition": ["bottom center", "top center", "top center", "bottom center"],
            "showlegend": False,
            "marker": {"size": 9, "color": "#D55E00"},
            "hovertemplate": "%{text}<extra></extra>",
        },
    ]
    wide = 0.2 * max(max(x) - min(x), max(y) - min(y), 1e-6)
    return figure(
        data,
        theme,
        xaxis={"title": {"text": "plane through the points, first axis"}, "range": [min(x) - wide, max(x) + wide]},
        yaxis={"title": {"text": "second axis"}, "scaleanchor": "x"},
        legend={"orientation": "h", "y": 1.02, "x": 0, "yanchor": "bottom"},
    )


def fit_curve(history: list[dict[str, Any]], theme: str) -> Figure:
    """Log-likelihood per activation over the iterations, on the data fitted and on held-out documents."""
    data = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": name,
            "x": [h["iteration"] for h in history],
            "y": [h.get(key) for h in history],
            "line": {"color": colour},
        }
        for key, name, colour in (("train", "fitted", BEFORE), ("held_out", "held out", AFTER))
    ]
    return figure(
        data,
        theme,
        xaxis={"title": {"text": "iteration"}, "rangemode": "tozero"},
        yaxis={"title": {"text": "log-likelihood, nats per activation"}},
        legend={"orientation": "h", "y": 1.02, "x": 0, "yanchor": "bottom"},
    )
