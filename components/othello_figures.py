"""The figures of the Othello page, from plain numbers. One function a figure; each returns a plotly figure dict.

What is a finding is blue, what is a control is grey, an illegal move is hatched; squares are coloured by their row and
shaded by their column, so that a sheet of squares can be followed by eye.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from components.board import NAMES
from components.figures import AFTER, BEFORE, figure
from components.theme import CATEGORIES, DIVERGING, REMAINDER, SEQUENTIAL

Figure = dict[str, Any]
COLOURS = ("empty", "just moved (theirs)", "to move (mine)")
CLASS_COLOURS = (REMAINDER, CATEGORIES[4], CATEGORIES[0])
CLASS_SYMBOLS = ("square-open", "circle", "diamond")
CENTRE = (27, 28, 35, 36)


def move_bars(shares: Any, legal: Sequence[int], theme: str, n: int = 14) -> Figure:
    """The most likely next moves with the 1 % line; illegal ones are hatched and named so."""
    p = np.asarray(shares, dtype=float)
    order = [s for s in np.argsort(-p)[:n] if p[s] >= 0.001] or [int(p.argmax())]
    open_squares = set(legal)
    good = [s in open_squares for s in order]
    bars = {
        "type": "bar",
        "orientation": "h",
        "y": [f"{NAMES[s]}" if ok else f"{NAMES[s]} illegal" for s, ok in zip(order, good, strict=True)],
        "x": np.array([p[s] for s in order], dtype=np.float32),
        "marker": {
            "color": [BEFORE if ok else REMAINDER for ok in good],
            "pattern": {"shape": ["" if ok else "/" for ok in good]},
        },
        "hovertemplate": "%{y}: %{x:.2%}<extra></extra>",
    }
    return figure(
        [bars],
        theme,
        xaxis={"title": {"text": "probability of the next move"}, "tickformat": ".0%", "rangemode": "tozero"},
        yaxis={"autorange": "reversed", "type": "category", "automargin": True},
        shapes=[_line(x=0.01)],
        bargap=0.25,
    )


def before_after_bars(
    before: Any, after: Any, legal_before: Sequence[int], legal_after: Sequence[int], theme: str
) -> Figure:
    """Probabilities before and after an edit, of every square that matters to either."""
    a, b = np.asarray(before, dtype=float), np.asarray(after, dtype=float)
    wanted = [s for s in range(64) if max(a[s], b[s]) >= 0.01 or s in legal_before or s in legal_after]
    wanted.sort(key=lambda s: -max(a[s], b[s]))
    was, now = set(legal_before), set(legal_after)
    marks = {(True, True): "", (False, True): " +", (True, False): " −", (False, False): " ✕"}
    names = [NAMES[s] + marks[(s in was, s in now)] for s in wanted]
    rows = [(a, "before", BEFORE), (b, "after the edit", AFTER)]
    data = [
        {
            "type": "bar",
            "name": title,
            "x": names,
            "y": np.array([v[s] for s in wanted], dtype=np.float32),
            "marker": {"color": colour},
            "hovertemplate": "%{x}: %{y:.2%} " + title + "<extra></extra>",
        }
        for v, title, colour in rows
    ]
    return figure(
        data,
        theme,
        barmode="group",
        legend={"orientation": "h", "y": 1.12},
        xaxis={"title": {"text": "move (+ becomes legal, − ceases to be, ✕ legal on neither)"}, "type": "category"},
        yaxis={"title": {"text": "probability"}, "tickformat": ".0%"},
        shapes=[_line(y=0.01)],
    )


def legality_by_ply(illegal: Sequence[float], positions: Sequence[int], theme: str) -> Figure:
    """Share of illegal first choices after each ply."""
    trace = {
        "type": "scatter",
        "mode": "lines+markers",
        "x": np.arange(1, len(illegal) + 1),
        "y": np.asarray(illegal, dtype=np.float32),
        "customdata": np.asarray(positions),
        "line": {"color": BEFORE},
        "hovertemplate": "after ply %{x}: %{y:.2%} illegal of %{customdata}<extra></extra>",
    }
    return figure(
        [trace],
        theme,
        xaxis={"title": {"text": "ply"}},
        yaxis={"title": {"text": "illegal first choices"}, "tickformat": ".1%", "rangemode": "tozero"},
    )


def training_curve(games: Sequence[int], above: Sequence[float], illegal: Sequence[float], theme: str) -> Figure:
    """Loss above the floor and illegal share by games seen, both on a logarithmic scale."""
    rows = [
        ("loss above the floor (nats)", above, CATEGORIES[0], "solid", "%{y:.3f} nats"),
        ("illegal first choices (share)", illegal, CATEGORIES[4], "dot", "%{y:.2%}"),
    ]
    data = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": title,
            "x": np.asarray(games, dtype=np.float64) / 1e6,
            "y": np.asarray(values, dtype=np.float32),
            "line": {"color": colour, "dash": dash},
            "hovertemplate": "%{x:.2f} million games: " + hover + "<extra></extra>",
        }
        for title, values, colour, dash, hover in rows
    ]
    return figure(
        data,
        theme,
        legend={"orientation": "h", "y": 1.14},
        xaxis={"title": {"text": "million games"}},
        yaxis={"title": {"text": "nats, or share"}, "type": "log"},
    )


def accuracy_by_layer(
    accuracy: dict[str, list[float | None]], constant: float | None, random_network: dict[str, Any] | None, theme: str
) -> Figure:
    """Share of squares read rightly after each block, one line a probe, with the two controls."""
    symbols = ("circle", "square", "diamond", "triangle-up", "x", "star")
    data: list[Any] = []
    for i, (title, values) in enumerate(accuracy.items()):
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": title,
                "x": list(range(len(values))),
                "y": values,
                "line": {"color": CATEGORIES[i % len(CATEGORIES)]},
                "marker": {"symbol": symbols[i % len(symbols)], "size": 8},
                "hovertemplate": title + ", block %{x}: %{y:.2%}<extra></extra>",
            }
        )
    if random_network:
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": "linear, untrained network",
                "x": [random_network["layer"]],
                "y": [random_network["linear"]],
                "marker": {"color": REMAINDER, "size": 11, "symbol": "cross"},
                "hovertemplate": "untrained network: %{y:.2%}<extra></extra>",
            }
        )
    shapes = [] if constant is None else [_line(y=constant)]
    return figure(
        data,
        theme,
        legend={"orientation": "h", "y": 1.2},
        xaxis={"title": {"text": "block"}, "dtick": 1},
        yaxis={"title": {"text": "squares read rightly"}, "tickformat": ".0%"},
        shapes=shapes,
    )


def binding_heatmap(binding: Any, theme: str) -> Figure:
    """B (r, f) as numbers: role coordinates across, filler coordinates down."""
    b = np.asarray(binding, dtype=np.float32).T
    top = float(np.abs(b).max()) or 1.0
    trace = {
        "type": "heatmap",
        "z": b,
        "colorscale": DIVERGING,
        "zmin": -top,
        "zmax": top,
        "colorbar": {"title": {"text": "entry of B", "side": "right"}, "thickness": 12, "outlinewidth": 0},
        "hovertemplate": "role coordinate %{x}, filler coordinate %{y}: %{z:.2f}<extra></extra>",
    }
    return figure(
        [trace],
        theme,
        xaxis={"title": {"text": "role coordinate"}, "showgrid": False},
        yaxis={"title": {"text": "filler coordinate"}, "dtick": 1, "showgrid": False},
    )


def filler_plane(unbound: Any, fillers: Any, truth: Any, names: Sequence[str], theme: str) -> Figure:
    """The unbound vectors with the stars of the three colours and the exact boundaries between their regions.

    ``unbound`` (64, f), ``fillers`` (3, f), ``truth`` (64,). For more than two filler coordinates the first two
    principal axes are drawn, and no boundaries.
    """
    v, f, y = np.asarray(unbound, float), np.asarray(fillers, float), np.asarray(truth)
    logits = v @ f.T
    flat = v.shape[1] == 2
    if not flat:
        axes = np.linalg.svd(np.vstack([v, f]) - v.mean(0), full_matrices=False)[2][:2]
        v, f = v @ axes.T, f @ axes.T
    reach = 1.1 * max(float(np.abs(v).max()), 1e-9)
    star = 0.5 * reach / max(float(np.linalg.norm(f, axis=1).max()), 1e-9)
    data: list[Any] = boundaries(f, 1.5 * reach) if flat else []
    for c in range(3):
        rows = np.flatnonzero(y == c)
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": COLOURS[c],
                "meta": "squares",
                "x": v[rows, 0].astype(np.float32),
                "y": v[rows, 1].astype(np.float32),
                "customdata": [int(s) for s in rows],
                "hovertext": [_dots(names[int(s)], logits[s]) for s in rows],
                "hovertemplate": "%{hovertext}<extra></extra>",
                "marker": {
                    "color": CLASS_COLOURS[c],
                    "symbol": CLASS_SYMBOLS[c],
                    "size": 9,
                    "line": {"width": 1.5, "color": CLASS_COLOURS[c]},
                },
            }
        )
    data.append(
        {
            "type": "scatter",
            "mode": "markers+text",
            "name": "fillers",
            "showlegend": False,
            "x": (star * f[:, 0]).astype(np.float32),
            "y": (star * f[:, 1]).astype(np.float32),
            "text": ["empty", "theirs", "mine"],
            "textposition": "top center",
            "hovertemplate": "filler %{text}, its length scaled to fit<extra></extra>",
            "marker": {
                "symbol": "star",
                "size": 19,
                "color": list(CLASS_COLOURS),
                "line": {"width": 1.5, "color": "#8a8f98"},
            },
        }
    )
    data.append(
        {
            "type": "scatter",
            "mode": "markers+text",
            "meta": "lit",
            "showlegend": False,
            "x": [],
            "y": [],
            "text": [],
            "textposition": "bottom center",
            "hoverinfo": "skip",
            "marker": {"symbol": "circle-open", "size": 20, "color": "#cc79a7", "line": {"width": 3}},
        }
    )
    axis = {"range": [-reach, reach], "zeroline": True}
    title = "unbound vector v = Bᵀ R, coordinate {}" if flat else "principal axis {}"
    return figure(
        data,
        theme,
        legend={"orientation": "h", "y": 1.1},
        xaxis={**axis, "title": {"text": title.format(1)}},
        yaxis={**axis, "title": {"text": title.format(2)}},
    )


def _dots(name: str, logits: Any) -> str:
    return f"{name}: empty {logits[0]:.1f}, theirs {logits[1]:.1f}, mine {logits[2]:.1f}"


def boundaries(fillers: Any, reach: float) -> list[Any]:
    """Rays from the origin on which two colours tie and the third does not win: the exact borders."""
    f = np.asarray(fillers, dtype=float)
    lines = []
    for a, b in ((0, 1), (0, 2), (1, 2)):
        c = 3 - a - b
        across = f[a] - f[b]
        if np.linalg.norm(across) < 1e-12:
            continue
        along = np.array([-across[1], across[0]]) / np.linalg.norm(across)
        for ray in (along, -along):
            if ray @ f[a] >= ray @ f[c]:
                lines.append(
                    {
                        "type": "scatter",
                        "mode": "lines",
                        "showlegend": False,
                        "x": [0.0, float(reach * ray[0])],
                        "y": [0.0, float(reach * ray[1])],
                        "line": {"color": "#8a8f98", "width": 1.5, "dash": "dash"},
                        "hoverinfo": "skip",
                    }
                )
    return lines


def role_scatter(points: Any, squares: Sequence[int], theme: str) -> Figure:
    """Points of squares in two axes: hue by row, size by column, lines between neighbours on the board."""
    p = np.asarray(points, dtype=np.float32)
    at = {s: i for i, s in enumerate(squares)}
    xs: list[float | None] = []
    ys: list[float | None] = []
    for s, i in at.items():
        for t in (s + 1 if s % 8 < 7 else -1, s + 8):
            if t in at:
                j = at[t]
                xs += [float(p[i, 0]), float(p[j, 0]), None]
                ys += [float(p[i, 1]), float(p[j, 1]), None]
    grid = {
        "type": "scatter",
        "mode": "lines",
        "x": xs,
        "y": ys,
        "line": {"color": "rgba(138,143,152,0.35)", "width": 1},
        "hoverinfo": "skip",
        "showlegend": False,
    }
    dots = {
        "type": "scatter",
        "mode": "markers+text",
        "x": p[:, 0],
        "y": p[:, 1],
        "text": [NAMES[s] for s in squares],
        "textposition": "top center",
        "textfont": {"size": 10},
        "customdata": list(squares),
        "hovertemplate": "%{text}<extra></extra>",
        "showlegend": False,
        "marker": {
            "color": [s // 8 for s in squares],
            "colorscale": SEQUENTIAL,
            "cmin": 0,
            "cmax": 7,
            "size": [7 + s % 8 for s in squares],
            "line": {"width": 1, "color": "#8a8f98"},
            "colorbar": {
                "title": {"text": "row", "side": "right"},
                "thickness": 12,
                "outlinewidth": 0,
                "tickvals": list(range(8)),
                "ticktext": list("ABCDEFGH"),
            },
        },
    }
    return figure(
        [grid, dots],
        theme,
        xaxis={"title": {"text": "axis 1 (size of a point: its column)"}},
        yaxis={"title": {"text": "axis 2"}, "scaleanchor": "x"},
    )


def gram_heatmap(values: Any, theme: str) -> Figure:
    """(64, 64) cosines."""
    g = np.asarray(values, dtype=np.float32)
    ticks = {"tickvals": list(range(0, 64, 8)), "ticktext": [NAMES[s] for s in range(0, 64, 8)], "showgrid": False}
    trace = {
        "type": "heatmap",
        "z": g,
        "x": list(range(64)),
        "y": list(range(64)),
        "colorscale": DIVERGING,
        "zmin": -1,
        "zmax": 1,
        "colorbar": {"title": {"text": "cosine", "side": "right"}, "thickness": 12, "outlinewidth": 0},
        "hovertemplate": "squares %{y} and %{x}: %{z:.2f}<extra></extra>",
    }
    return figure(
        [trace],
        theme,
        xaxis={**ticks, "title": {"text": "square"}},
        yaxis={**ticks, "title": {"text": "square"}, "autorange": "reversed", "scaleanchor": "x"},
    )


def gap_heatmaps(maps: Sequence[tuple[str, Any]], theme: str) -> Figure:
    """Several 8 x 8 gap maps side by side on one scale centred on zero, each with its title."""
    arrays = [np.asarray(m, dtype=np.float32) for _, m in maps]
    top = max((float(np.nanmax(np.abs(m))) for m in arrays if np.isfinite(m).any()), default=1.0) or 1.0
    n = max(1, len(maps))
    data, layout, notes = [], {}, []
    for i, ((title, _), m) in enumerate(zip(maps, arrays, strict=True)):
        suffix = "" if i == 0 else str(i + 1)
        left, right = i / n + 0.025, (i + 1) / n - 0.025
        data.append(
            {
                "type": "heatmap",
                "z": m,
                "xaxis": f"x{suffix}",
                "yaxis": f"y{suffix}",
                "colorscale": DIVERGING,
                "zmin": -top,
                "zmax": top,
                "showscale": i == n - 1,
                "colorbar": {"title": {"text": "mean cosine", "side": "right"}, "thickness": 12, "outlinewidth": 0},
                "hovertemplate": "row gap %{y}, column gap %{x}: %{z:.2f}<extra></extra>",
            }
        )
        axis = {"dtick": 1, "showgrid": False, "zeroline": False}
        layout[f"xaxis{suffix}"] = {**axis, "domain": [left, right], "title": {"text": "column gap"}}
        layout[f"yaxis{suffix}"] = {
            **axis,
            "autorange": "reversed",
            "anchor": f"x{suffix}",
            "title": {"text": "row gap" if i == 0 else ""},
        }
        notes.append(
            {
                "text": _wrapped(title),
                "x": (left + right) / 2,
                "y": 1.02,
                "xref": "paper",
                "yref": "paper",
                "yanchor": "bottom",
                "showarrow": False,
                "font": {"size": 12},
            }
        )
    return figure(data, theme, annotations=notes, margin={"l": 46, "r": 16, "t": 62, "b": 44}, **layout)


def _wrapped(text: str, width: int = 30) -> str:
    lines: list[str] = []
    for word in text.split():
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += " " + word
        else:
            lines.append(word)
    return "<br>".join(lines)


def neighbour_bars(groups: Sequence[dict[str, Any]], theme: str) -> Figure:
    """Shares of what the nearest points are, one bar a group; ``neighbour``, ``row``, ``column``, ``diagonal``."""
    names = (
        ("neighbour", "true neighbour", CATEGORIES[0]),
        ("row", "same row", CATEGORIES[1]),
        ("column", "same column", CATEGORIES[2]),
        ("diagonal", "same diagonal", CATEGORIES[3]),
        ("unrelated", "unrelated", "#c3c8ce"),
    )
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "name": title,
            "y": [_wrapped(g["title"], 26) for g in groups],
            "x": [g[key] for g in groups],
            "marker": {"color": colour},
            "hovertemplate": "%{y}: %{x:.1%} " + title + "<extra></extra>",
        }
        for key, title, colour in names
    ]
    return figure(
        data,
        theme,
        barmode="stack",
        legend={"orientation": "h", "y": 1.12},
        xaxis={"title": {"text": "share of the nearest points"}, "tickformat": ".0%", "range": [0, 1]},
        yaxis={"autorange": "reversed", "automargin": True},
    )


def rank_curve(rows: Sequence[dict[str, Any]], theme: str) -> Figure:
    """Accuracy against parameters, one line a kind of probe."""
    kinds = (
        ("tpr", "TPR by roles", CATEGORIES[0], "circle"),
        ("svd", "SVD of the linear probe", CATEGORIES[4], "x"),
        ("low-rank", "low rank, trained", CATEGORIES[2], "square"),
        ("trilinear", "trilinear", CATEGORIES[3], "diamond"),
        ("linear", "linear", REMAINDER, "star"),
    )
    data = []
    for kind, title, colour, symbol in kinds:
        mine = sorted((r for r in rows if r["kind"] == kind), key=lambda r: r["parameters"])
        if mine:
            data.append(
                {
                    "type": "scatter",
                    "mode": "lines+markers",
                    "name": title,
                    "x": [r["parameters"] for r in mine],
                    "y": [r["accuracy"] for r in mine],
                    "text": [r["name"] for r in mine],
                    "line": {"color": colour},
                    "marker": {"symbol": symbol, "size": 9},
                    "hovertemplate": "%{text}: %{x:,} parameters, %{y:.2%}<extra></extra>",
                }
            )
    return figure(
        data,
        theme,
        legend={"orientation": "h", "y": 1.14},
        xaxis={"title": {"text": "parameters"}, "rangemode": "tozero"},
        yaxis={"title": {"text": "squares read rightly"}, "tickformat": ".1%"},
    )


def edit_errors(rows: Sequence[dict[str, Any]], theme: str) -> Figure:
    """Mean errors with 95 % intervals by method, fixed and best scale, and the null as a line."""
    data = []
    for choice, symbol, colour in (("fixed", "circle", CATEGORIES[0]), ("best", "diamond-open", CATEGORIES[1])):
        mine = [r for r in rows if r["choice"].startswith(choice)]
        if mine:
            data.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": "scale fixed on other cases" if choice == "fixed" else "best scale for each case",
                    "x": [r["mean"] for r in mine],
                    "y": [_wrapped(r["title"], 24) for r in mine],
                    "error_x": {
                        "type": "data",
                        "symmetric": False,
                        "array": [r["high"] - r["mean"] for r in mine],
                        "arrayminus": [r["mean"] - r["low"] for r in mine],
                    },
                    "marker": {"symbol": symbol, "size": 10, "color": colour},
                    "hovertemplate": "%{y}: %{x:.2f} errors<extra></extra>",
                }
            )
    null = rows[0]["null"] if rows else None
    return figure(
        data,
        theme,
        legend={"orientation": "h", "y": 1.14},
        xaxis={"title": {"text": "errors per case (dashed: without the edit)"}, "rangemode": "tozero"},
        yaxis={"autorange": "reversed", "automargin": True, "type": "category"},
        shapes=[] if null is None else [_line(x=null)],
    )


def _line(x: float | None = None, y: float | None = None) -> dict[str, Any]:
    """A dashed line over the whole plot at one value."""
    place = {"x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "paper"} if x is not None else {
        "y0": y, "y1": y, "x0": 0, "x1": 1, "xref": "paper"
    }  # fmt: skip
    return {"type": "line", **place, "line": {"dash": "dash", "width": 1.5, "color": "#8a8f98"}}
