"""Figures of regions: their map, what a token is made of, and the course of a fit.

Colours mean one thing: what a region is about (themes blue, single tokens orange, grammar green, the rest grey).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.answer import plain_of
from analysis.mfa.answers.regions import FitMap, Iteration, NewFit, Region, TokenParts
from components.kit.figure import AFTER, BEFORE, Figure, figure
from components.kit.labels import escaped
from components.kit.theme import REMAINDER
from components.kit.view import Drawing, NoOptions, view
from components.mfa.evidence import course_numbers, fit_control, fit_numbers, token_numbers
from components.mfa.region_list import matching

CHARACTERS = {
    "token": ("token", "#E69F00", "square"),
    "grammar": ("grammar", "#009E73", "diamond"),
    "mixed": ("mixed", "#CC79A7", "triangle-up"),
    "small": ("few points", REMAINDER, "x"),
    "theme": ("theme", "#0072B2", "circle"),
}
"""By character: name, colour, symbol; drawn in this order, so that themes lie on top."""


@dataclass(frozen=True)
class MapOptions:
    """``chosen``: the region whose card is open; ``active``: those on the sliders; ``words``: a search that makes the
    regions faint that it does not meet."""

    chosen: int | None = None
    active: tuple[int, ...] = ()
    words: str = ""


MANY = 2_000
"""Regions from which the map is drawn on the graphics card: 8,000 symbols one by one would take seconds."""


@view("steering/map", FitMap, options=MapOptions)
def region_map(fit: FitMap, options: MapOptions, theme: str) -> Drawing:
    """All centroids in the plane: area by size, colour and shape by character. Points carry their region as
    customdata."""
    regions, chosen = fit.regions, options.chosen
    shown = {r.region for r in matching(regions, options.words)}
    by_number = {r.region: r for r in regions}
    data: list[Any] = []
    if chosen in by_number:
        data.append(_edges(by_number[chosen], by_number))
    largest = max((r.size for r in regions), default=1)
    for character, (name, colour, symbol) in CHARACTERS.items():
        rows = [r for r in regions if r.character == character]
        if not rows:
            continue
        opacity = [0.85 if r.region in shown else 0.12 for r in rows]
        data.append(
            {
                "type": "scattergl" if len(regions) > MANY else "scatter",
                "mode": "markers",
                "name": name,
                "x": np.array([r.x for r in rows], np.float32),
                "y": np.array([r.y for r in rows], np.float32),
                "customdata": [r.region for r in rows],
                "text": [f"{r.region}: {escaped(r.label, 60)}<br>{r.size:,} tokens" for r in rows],
                "hovertemplate": "%{text}<extra></extra>",
                "marker": {
                    "color": colour,
                    "symbol": symbol,
                    "size": [5 + 13 * (r.size / largest) ** 0.5 for r in rows],
                    "opacity": opacity,
                    "line": {"width": 0.5, "color": "rgba(128,128,128,0.6)"},
                },
            }
        )
    rings = [n for n in dict.fromkeys([*options.active, chosen]) if n in by_number]
    if rings:
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "showlegend": False,
                "x": [by_number[n].x for n in rings],
                "y": [by_number[n].y for n in rings],
                "customdata": rings,
                "hoverinfo": "skip",
                "marker": {
                    "size": [10 + 13 * (by_number[n].size / largest) ** 0.5 for n in rings],
                    "symbol": "circle-open",
                    "color": "#D55E00",
                    "line": {"width": 3, "color": "#D55E00"},
                },
            }
        )
    names, top = _names([by_number[n] for n in rings], regions)
    hidden = {"showticklabels": False, "showgrid": False, "zeroline": False, "ticks": ""}
    picture = figure(
        data,
        theme,
        xaxis={**hidden, "title": {"text": "t-SNE of the centroids, 1", "font": {"size": 11}, "standoff": 2}},
        yaxis={**hidden, **top, "title": {"text": "t-SNE, 2", "font": {"size": 11}, "standoff": 2}},
        annotations=names,
        legend={
            "orientation": "h",
            "y": 1.0,
            "x": 0,
            "yanchor": "bottom",
            "font": {"size": 12},
            "itemsizing": "constant",
        },
        margin={"l": 24, "r": 6, "t": 30, "b": 26},  # room for the legend before Plotly has measured it
        hovermode="closest",
        uirevision="map",
        clickmode="event",
        modebar={"orientation": "v"},  # beside the points, not over the legend
    )
    return Drawing(picture, fit.facts.caption, plain_of(fit.facts), control=fit_control(fit), numbers=fit_numbers(fit))


def _names(rings: Sequence[Region], regions: Sequence[Region]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The names of ringed regions, each on a line of its own above the cloud, with a line to its ring; and the range of
    the axis that leaves the room."""
    if not rings:
        return [], {}
    low, high = min(r.y for r in regions), max(r.y for r in regions)
    left, right = min(r.x for r in regions), max(r.x for r in regions)
    line = 0.075 * (high - low or 1.0)
    names = [
        {
            "x": r.x,
            "y": r.y,
            "ax": r.x,
            "ay": high + (n + 0.8) * line,
            "axref": "x",
            "ayref": "y",
            "text": escaped(r.label, 34),
            "xanchor": "right" if r.x > (left + right) / 2 else "left",
            "arrowhead": 0,
            "arrowwidth": 1,
            "arrowcolor": "#D55E00",
            "standoff": 6,
            "font": {"size": 12},
        }
        # The lower a region lies, the lower its name, so that lines do not cross names.
        for n, r in enumerate(sorted(rings, key=lambda r: -r.y))
    ]
    return names, {"range": [low - line, high + (len(names) + 0.6) * line]}


def _edges(region: Region, by_number: dict[int, Region]) -> dict[str, Any]:
    x: list[float | None] = []
    y: list[float | None] = []
    for other in region.near:
        if other in by_number:
            x += [region.x, by_number[other].x, None]
            y += [region.y, by_number[other].y, None]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": y,
        "showlegend": False,
        "hoverinfo": "skip",
        "line": {"color": "#D55E00", "width": 1.5, "dash": "dot"},
    }


@dataclass(frozen=True)
class TokenOptions:
    """``token``: the position of the token that is looked at."""

    token: int = 0


@view("steering/token-parts", TokenParts, options=TokenOptions)
def token_parts(parts: TokenParts, options: TokenOptions, theme: str) -> Drawing:
    """Norms of centroid, local offset and rest for every token of a text."""
    chosen = options.token
    labels = [f"{i} {escaped(t, 14)}" for i, t in enumerate(parts.labels)]
    data = [
        {
            "type": "bar",
            "name": name,
            "x": labels,
            "y": np.array(norms, np.float32),
            "marker": {"color": colour},
            "customdata": [escaped(r, 50) for r in parts.region_labels],
            "hovertemplate": "%{x}<br>%{customdata}<br>" + name + " %{y:.1f}<extra></extra>",
        }
        for norms, name, colour in (
            (parts.centroid, "centroid minus mean", BEFORE),
            (parts.local, "local offset", AFTER),
            (parts.rest, "rest", REMAINDER),
        )
    ]
    shapes = []
    if 0 <= chosen < len(labels):
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
    picture = figure(
        data,
        theme,
        barmode="group",
        shapes=shapes,
        xaxis={"type": "category", "title": {"text": "token"}, "tickangle": -45},
        yaxis={"title": {"text": "norm (activation units)"}, "rangemode": "tozero"},
        legend={"orientation": "h", "y": 1.02, "x": 0, "yanchor": "bottom"},
    )
    return Drawing(
        picture,
        "x = mean + (centroid − mean) + local offset + rest, exactly; norms of the three parts.",
        {"label": parts.labels[chosen]},
        numbers=token_numbers(parts, chosen),
        hint="Click a bar to choose its token.",
    )


@view("steering/segments", TokenParts, options=TokenOptions)
def two_segments(parts: TokenParts, options: TokenOptions, theme: str) -> Drawing:
    """The paper's picture of one token: mean to centroid to local point, and the activation itself."""
    x, y = parts.path_x[options.token], parts.path_y[options.token]
    names = ["mean of all", "centroid", "centroid + local offset", "activation"]
    lines = {
        "centroid": {"color": BEFORE, "width": 4},
        "local offset": {"color": AFTER, "width": 4},
        "rest": {"color": REMAINDER, "width": 2, "dash": "dot"},
    }
    data = [
        *(
            {
                "type": "scatter",
                "mode": "lines",
                "x": x[i : i + 2],
                "y": y[i : i + 2],
                "name": name,
                "line": line,
                "hoverinfo": "skip",
            }
            for i, (name, line) in enumerate(lines.items())
        ),
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
    picture = figure(
        data,
        theme,
        xaxis={"title": {"text": "plane through the points, first axis"}, "range": [min(x) - wide, max(x) + wide]},
        yaxis={"title": {"text": "second axis"}, "scaleanchor": "x"},
        legend={"orientation": "h", "y": 1.02, "x": 0, "yanchor": "bottom"},
    )
    label = parts.labels[options.token]
    caption = f"Token {options.token}, “{label}”: the plane that holds its points best."
    return Drawing(picture, caption, {"label": label}, numbers=token_numbers(parts, options.token))


@view("steering/fit", NewFit)
def new_fit(fit: NewFit, options: NoOptions, theme: str) -> Drawing:
    """The course of a fit that was made; of a mixture that others trained, how likely the activations are under it."""
    if fit.probe is not None:
        return Drawing(likelihood_bars(*fit.probe, theme), fit.sentence, fit.settings, numbers=course_numbers(fit))
    return Drawing(fit_curve(fit.history, theme), fit.sentence, fit.settings, numbers=course_numbers(fit))


def likelihood_bars(mixture: float, gaussian: float, theme: str) -> Figure:
    """Log-likelihood of activations under a mixture that was opened, beside one diagonal Gaussian of their own."""
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": [gaussian, mixture],
        "y": ["one Gaussian", "the mixture"],
        "text": [f"{gaussian:,.0f}", f"{mixture:,.0f}"],
        "marker": {"color": [BEFORE, AFTER]},
    }
    return figure(
        [bars],
        theme,
        xaxis={"title": {"text": "log-likelihood, nats per activation"}},
        margin={"l": 96},
    )


def fit_curve(history: Sequence[Iteration], theme: str) -> Figure:
    """Log-likelihood per activation over the iterations, on the data fitted and on held-out documents."""
    data = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": name,
            "x": [row.iteration for row in history],
            "y": values,
            "line": {"color": colour},
        }
        for values, name, colour in (
            ([row.train for row in history], "fitted", BEFORE),
            ([row.held_out for row in history], "held out", AFTER),
        )
    ]
    return figure(
        data,
        theme,
        xaxis={"title": {"text": "iteration"}, "rangemode": "tozero"},
        yaxis={"title": {"text": "log-likelihood, nats per activation"}},
        legend={"orientation": "h", "y": 1.02, "x": 0, "yanchor": "bottom"},
    )
