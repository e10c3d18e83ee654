"""The figures of how the model plays and follows edits: moves, legality, training, accuracy, errors by method.

One function a figure; each returns a plotly figure dict, and `views` says what of an answer it draws. Before is blue
and after orange as on the other pages, and whatever a colour says, a symbol, a hatch or a name says too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from analysis.tpr.answers.edit import TrialRow
from analysis.tpr.answers.model import RandomNetwork
from components.kit.figure import AFTER, BEFORE, Figure, figure
from components.kit.labels import escaped
from components.kit.style import ABOVE, MARK, THRESHOLD, dashed_line, hatched, numbers, shaped, titled, wrapped
from components.kit.theme import CATEGORIES, REMAINDER
from components.othello.board import NAMES


def move_bars(shares: Any, legal: Sequence[int], theme: str, n: int = 12) -> Figure:
    """The ``n`` most likely next moves of ``shares`` (64,), a probability per square; illegal ones hatched."""
    p, open_squares = shaped(shares, (64,), "shares"), set(legal)
    order = [int(s) for s in np.argsort(-p, kind="stable")[:n]]
    data = []
    for name, colour, hatch, rows in (
        ("legal", BEFORE, "", [s for s in order if s in open_squares]),
        ("illegal", MARK, "/", [s for s in order if s not in open_squares]),
    ):
        marker = {"color": colour, "pattern": hatched(hatch)}
        data.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": name,
                "marker": marker,
                "customdata": rows,
                "x": numbers(p[rows]),
            }
            | {"y": [NAMES[s] for s in rows], "hovertemplate": "%{y}: %{x:.2%}<extra>" + name + "</extra>"}
        )
    shape, _ = dashed_line("x", THRESHOLD)
    categories = {"categoryorder": "array", "categoryarray": [NAMES[s] for s in order], "autorange": "reversed"}
    return figure(
        data,
        theme,
        barmode="overlay",
        bargap=0.25,
        shapes=[shape],
        xaxis=titled("probability of the next move") | {"rangemode": "tozero", "tickformat": ".0%"},
        yaxis=titled("square") | {"type": "category", "ticksuffix": " "} | categories,
        legend=ABOVE,
        uirevision="moves",
    )


def before_after_bars(
    before: Any, after: Any, legal_before: Sequence[int], legal_after: Sequence[int], theme: str, n: int = 16
) -> Figure:
    """Next-move probabilities (64,) without and with an edit, largest first.

    A bar is hatched where the move is illegal on the board it belongs to; + marks a square that became legal by the
    edit, − one that ceased to be.
    """
    p, q = shaped(before, (64,), "before"), shaped(after, (64,), "after")
    top = np.argsort(-np.maximum(p, q), kind="stable")[:n]
    order = [int(s) for s in top if max(p[s], q[s]) > 0]
    was, now = set(legal_before), set(legal_after)
    ticks = [NAMES[s] + (" +" if s in now - was else " −" if s in was - now else "") for s in order]
    data = []
    for name, values, legal, colour in (("without the edit", p, was, BEFORE), ("with the edit", q, now, AFTER)):
        hatch = ["" if s in legal else "/" for s in order]
        words = ["legal" if s in legal else "illegal" for s in order]
        marker = {"color": colour, "pattern": hatched(hatch)}
        data.append(
            {
                "type": "bar",
                "name": name,
                "x": ticks,
                "y": numbers(values[order]),
                "marker": marker,
                "customdata": words,
            }
            | {"hovertemplate": "%{x}: %{y:.2%}, %{customdata}<extra>" + name + "</extra>"}
        )
    shape, _ = dashed_line("y", THRESHOLD)
    return figure(
        data,
        theme,
        barmode="group",
        bargap=0.25,
        shapes=[shape],
        xaxis=titled("square (+ became legal, − no longer legal)") | {"type": "category", "tickangle": -45},
        yaxis=titled("probability of the next move") | {"rangemode": "tozero", "tickformat": ".0%"},
        legend=ABOVE,
    )


def legality_by_ply(
    illegal: Sequence[float], positions: Sequence[int], theme: str, reference: Sequence[float] | None = None
) -> Figure:
    """Share of illegal first choices after each ply (entry 0: ply 1), of so many positions; dashed: over all of them.

    ``reference``: the same shares of something to compare with, such as an untrained model.
    """
    y, count = shaped(illegal, (None,), "illegal"), shaped(positions, (len(illegal),), "positions")
    x = list(range(1, len(y) + 1))
    words = [f"{round(s * c):,} of {int(c):,}" for s, c in zip(y, count, strict=True)]
    data: list[Any] = [
        {"type": "bar", "name": "this model", "x": x, "y": numbers(y, 6), "customdata": words}
        | {"marker": {"color": BEFORE}, "hovertemplate": "ply %{x}: %{y:.2%}<br>%{customdata}<extra></extra>"}
    ]
    if reference is not None:
        data.append(
            {"type": "scatter", "mode": "lines", "name": "reference", "x": x, "y": numbers(reference, 6)}
            | {"line": {"color": AFTER, "dash": "dot"}, "hovertemplate": "ply %{x}: %{y:.2%}<extra>reference</extra>"}
        )
    share = float((y * count).sum() / max(count.sum(), 1))
    shape, _ = dashed_line("y", share)
    return figure(
        data,
        theme,
        shapes=[shape],
        showlegend=reference is not None,
        xaxis=titled(f"after ply (dashed: {share:.2%} over all plies)"),
        yaxis=titled("share of illegal first choices") | {"rangemode": "tozero", "tickformat": ".1%"},
        legend=ABOVE,
    )


def training_curve(games: Sequence[int], above: Sequence[float], illegal: Sequence[float], theme: str) -> Figure:
    """Loss above the floor of random play (nats per move, left) and illegal share (right) against games seen."""
    data = []
    for name, values, colour, dash, symbol, axis, form in (
        ("loss above the floor", above, BEFORE, "solid", "circle", "y", ".4f"),
        ("illegal first choices", illegal, AFTER, "dash", "square", "y2", ".2%"),
    ):
        # A logarithmic axis has no place for 0 and less: a gap in the line, and the true value under the pointer.
        shown = [v if v > 0 else None for v in values]
        data.append(
            {"type": "scatter", "mode": "lines+markers", "name": name, "x": list(games), "y": shown, "yaxis": axis}
            | {"line": {"color": colour, "dash": dash}, "marker": {"symbol": symbol, "size": 5}}
            | {"hovertemplate": "%{x:,} games: %{y:" + form + "}<extra>" + name + "</extra>"}
        )
    right = {"overlaying": "y", "side": "right", "type": "log", "dtick": "D2", "tickformat": "~%", "showgrid": False}
    return figure(
        data,
        theme,
        xaxis=titled("games seen") | {"rangemode": "tozero"},
        yaxis=titled("loss above the floor, nats per move") | {"type": "log", "dtick": "D2", "tickformat": "~g"},
        yaxis2=titled("share of illegal first choices") | right,
        margin={"l": 56, "r": 60, "t": 12, "b": 48},
        legend=ABOVE,
    )


ORDER = ("linear", "TPR, 52 × 2", "TPR, 64 × 2", "trilinear, 8 × 8 × 2", "low rank 80, trained")
"""Probes as they are drawn. A kept answer has its names in another order, and colours go by the place."""


def _place(name: str) -> tuple[int, str]:
    return (ORDER.index(name) if name in ORDER else len(ORDER), name)


def accuracy_by_layer(
    accuracy: Mapping[str, Sequence[float | None]],
    constant: float | None,
    random_network: RandomNetwork | None,
    theme: str,
) -> Figure:
    """Share of squares read rightly after each block, a line per probe; None leaves a gap.

    ``constant``: the baseline that never looks, dashed. ``random_network``: the same probes on an untrained network.
    """
    symbols = ("circle", "square", "diamond", "triangle-up", "x", "star")
    dashes = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
    data: list[Any] = []
    for i, name in enumerate(sorted(accuracy, key=_place)):
        values = accuracy[name]
        line = {"color": CATEGORIES[i % 6], "dash": dashes[i % 6], "width": 2}
        shown = [None if v is None else round(float(v), 5) for v in values]
        data.append(
            {"type": "scatter", "mode": "lines+markers", "name": escaped(name, 40), "x": list(range(len(shown)))}
            | {"y": shown, "line": line, "marker": {"symbol": symbols[i % 6], "size": 8}}
            | {"hovertemplate": "block %{x}: %{y:.2%}<extra>" + escaped(name, 40) + "</extra>"}
        )
    if random_network is not None:
        shares = (("linear", "circle-open", random_network.linear), ("TPR", "square-open", random_network.tpr))
        for name, symbol, share in shares:
            data.append(
                {"type": "scatter", "mode": "markers", "name": f"untrained network, {name}"}
                | {"x": [random_network.layer], "y": [round(share, 5)]}
                | {"marker": {"symbol": symbol, "size": 11, "color": REMAINDER, "line": {"width": 2}}}
                | {"hovertemplate": "block %{x}: %{y:.2%}<extra>untrained network, " + name + "</extra>"}
            )
    layout: dict[str, Any] = {}
    if constant is not None:
        shape, note = dashed_line("y", constant, f"most common class: {constant:.1%}")
        layout = {"shapes": [shape], "annotations": [note]}
    known = [v for t in data for v in t["y"] if v is not None] + ([constant] if constant is not None else [])
    low = min(known, default=0.0)
    return figure(
        data,
        theme,
        xaxis=titled("after block") | {"dtick": 1},
        yaxis=titled("squares read rightly") | {"tickformat": ".0%", "range": [low - 0.04 * (1 - low) - 0.005, 1.005]},
        legend=ABOVE,
        **layout,
    )


def edit_errors(rows: Sequence[TrialRow], theme: str) -> Figure:
    """Mean errors per edited case with their 95 % interval, by method and by how the scale was chosen; the same without
    an edit is drawn as a tick."""
    titles = list(dict.fromkeys(r.title for r in rows))
    choices = list(dict.fromkeys(r.choice for r in rows))
    looks = (("circle", BEFORE), ("square-open", AFTER), ("diamond", "#009E73"))
    data: list[Any] = []
    for i, choice in enumerate(choices):
        mine = [r for r in rows if r.choice == choice]
        mean, low, high = (numbers(part, 3) for part in zip(*((r.mean, r.low, r.high) for r in mine), strict=True))
        bars = {"type": "data", "symmetric": False, "array": high - mean, "arrayminus": mean - low, "thickness": 2}
        symbol, colour = looks[i % 3]
        shift = 0.26 * (i - (len(choices) - 1) / 2)
        words = [f"{escaped(r.title, 60)}<br>{r.low:.2f} to {r.high:.2f}" for r in mine]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": f"scale {escaped(choice, 40)}" if choice else "with the edit",
            }
            | {"x": mean, "y": [round(titles.index(r.title) + shift, 3) for r in mine], "error_x": bars}
            | {"marker": {"symbol": symbol, "color": colour, "size": 10, "line": {"width": 2}}, "text": words}
            | {"hovertemplate": "%{text}<br>mean %{x:.2f} errors<extra></extra>"}
        )
    nulls = [next(r.null for r in rows if r.title == t) for t in titles]
    tick = {"symbol": "line-ns", "size": 22, "line": {"width": 2.5, "color": REMAINDER}}
    data.append(
        {"type": "scatter", "mode": "markers", "name": "without an edit", "x": numbers(nulls, 3), "marker": tick}
        | {"y": list(range(len(titles))), "hovertemplate": "without an edit: %{x:.2f}<extra></extra>", "meta": "null"}
    )
    ticks = {"tickvals": list(range(len(titles))), "ticktext": [wrapped(t, 26) for t in titles], "ticksuffix": " "}
    return figure(
        data,
        theme,
        xaxis=titled("errors per case (false positives + false negatives)") | {"rangemode": "tozero"},
        yaxis=ticks | {"range": [len(titles) - 0.5, -0.5], "zeroline": False, "tickfont": {"size": 11.5}},
        legend=ABOVE,
    )
