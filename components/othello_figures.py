"""The figures of the Othello page, from plain numbers. One function a figure; each returns a plotly figure dict.

Colours mean the same everywhere: empty is grey, the side that just moved blue, the side to move orange; before is blue
and after orange as on the other pages. Whatever a colour says, a symbol, a hatch or a name says too. Traces of squares
carry ``meta`` "squares" and the square's number as customdata, and each such figure ends with an empty trace ``meta``
"lit", into which the browser (assets/othello.js) puts the point of the square that is pointed at on a board.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from components.board import NAMES
from components.figures import AFTER, BEFORE, Figure, figure
from components.labels import escaped
from components.theme import CATEGORIES, DIVERGING, REMAINDER

MARK = "#D55E00"
THRESHOLD = 0.01
CLASSES = ("empty", "just moved", "to move")
CLASS_COLOURS = (REMAINDER, BEFORE, AFTER)
CLASS_SYMBOLS = ("circle-open", "circle", "square")
ROW_HUES = ("#0072B2", "#56B4E9", "#009E73", "#8A9A2B", "#E69F00", "#D55E00", "#CC79A7", "#7B4FA3")
RELATIONS = {
    "neighbour": "neighbour",
    "row": "same row",
    "column": "same column",
    "diagonal": "same diagonal",
    "unrelated": "unrelated",
}
RANK_KINDS = {
    "linear": ("linear", "#D55E00", "star"),
    "tpr": ("TPR, roles × 2", BEFORE, "circle"),
    "trilinear": ("trilinear", "#CC79A7", "diamond"),
    "low-rank": ("low rank, trained", AFTER, "square"),
    "svd": ("SVD of the linear probe", REMAINDER, "x"),
}
ABOVE = {"orientation": "h", "y": 1.02, "x": 0, "yanchor": "bottom"}


def _title(text: str) -> dict[str, Any]:
    return {"title": {"text": text}}


def _bar(text: str) -> dict[str, Any]:
    return {"title": {"text": text, "side": "right"}, "thickness": 12, "outlinewidth": 0}


def _numbers(values: Any, digits: int = 4) -> np.ndarray:
    # Rounded doubles are a third of the text of single precision ones, and no eye sees the difference.
    return np.round(np.asarray(values, dtype=np.float64), digits)


def _wrapped(text: str, width: int) -> str:
    return "<br>".join(escaped(line, 60) for line in textwrap.wrap(text, width)) or " "


def _hatch(shape: Any) -> dict[str, Any]:
    # "overlay" draws the lines over the bar's colour; the default leaves nothing but the lines.
    return {"shape": shape, "fillmode": "overlay", "fgcolor": "#ffffff", "fgopacity": 0.8, "size": 6}


def _shape(values: Any, shape: tuple[int | None, ...], what: str) -> np.ndarray:
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != len(shape) or any(n is not None and n != m for n, m in zip(shape, found.shape, strict=True)):
        raise ValueError(f"{what} must have the shape {shape}, not {found.shape}")
    return found


def _line(axis: str, at: float, text: str = "") -> tuple[dict[str, Any], dict[str, Any]]:
    """A dashed line at a value of one axis across the plot, and the note beside it."""
    other = "y" if axis == "x" else "x"
    shape = {f"{axis}0": at, f"{axis}1": at, f"{other}0": 0, f"{other}1": 1, f"{other}ref": "paper", "type": "line"}
    note = {axis: at, other: 1, f"{other}ref": "paper", "text": text, "showarrow": False, "font": {"size": 11}}
    side = {"yanchor": "bottom", "xanchor": "right"} if axis == "y" else {"xanchor": "left", "yanchor": "top"}
    return shape | {"line": {"dash": "dash", "width": 1.5, "color": REMAINDER}}, note | side


# ---- play ----


def move_bars(shares: Any, legal: Sequence[int], theme: str, n: int = 12) -> Figure:
    """The ``n`` most likely next moves of ``shares`` (64,), a probability per square; illegal ones hatched."""
    p, open_squares = _shape(shares, (64,), "shares"), set(legal)
    order = [int(s) for s in np.argsort(-p, kind="stable")[:n]]
    data = []
    for name, colour, hatch, rows in (
        ("legal", BEFORE, "", [s for s in order if s in open_squares]),
        ("illegal", MARK, "/", [s for s in order if s not in open_squares]),
    ):
        marker = {"color": colour, "pattern": _hatch(hatch)}
        data.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": name,
                "marker": marker,
                "customdata": rows,
                "x": _numbers(p[rows]),
            }
            | {"y": [NAMES[s] for s in rows], "hovertemplate": "%{y}: %{x:.2%}<extra>" + name + "</extra>"}
        )
    shape, _ = _line("x", THRESHOLD)
    categories = {"categoryorder": "array", "categoryarray": [NAMES[s] for s in order], "autorange": "reversed"}
    return figure(
        data,
        theme,
        barmode="overlay",
        bargap=0.25,
        shapes=[shape],
        xaxis=_title("probability of the next move") | {"rangemode": "tozero", "tickformat": ".0%"},
        yaxis=_title("square") | {"type": "category", "ticksuffix": " "} | categories,
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
    p, q = _shape(before, (64,), "before"), _shape(after, (64,), "after")
    top = np.argsort(-np.maximum(p, q), kind="stable")[:n]
    order = [int(s) for s in top if max(p[s], q[s]) > 0]
    was, now = set(legal_before), set(legal_after)
    ticks = [NAMES[s] + (" +" if s in now - was else " −" if s in was - now else "") for s in order]
    data = []
    for name, values, legal, colour in (("without the edit", p, was, BEFORE), ("with the edit", q, now, AFTER)):
        hatch = ["" if s in legal else "/" for s in order]
        said = ["legal" if s in legal else "illegal" for s in order]
        marker = {"color": colour, "pattern": _hatch(hatch)}
        data.append(
            {
                "type": "bar",
                "name": name,
                "x": ticks,
                "y": _numbers(values[order]),
                "marker": marker,
                "customdata": said,
            }
            | {"hovertemplate": "%{x}: %{y:.2%}, %{customdata}<extra>" + name + "</extra>"}
        )
    shape, _ = _line("y", THRESHOLD)
    return figure(
        data,
        theme,
        barmode="group",
        bargap=0.25,
        shapes=[shape],
        xaxis=_title("square (+ became legal, − no longer legal)") | {"type": "category", "tickangle": -45},
        yaxis=_title("probability of the next move") | {"rangemode": "tozero", "tickformat": ".0%"},
        legend=ABOVE,
    )


# ---- the model ----


def legality_by_ply(
    illegal: Sequence[float], positions: Sequence[int], theme: str, reference: Sequence[float] | None = None
) -> Figure:
    """Share of illegal first choices after each ply (entry 0: ply 1), of so many positions; dashed: over all of them.

    ``reference``: the same shares of something to compare with, such as an untrained model.
    """
    y, count = _shape(illegal, (None,), "illegal"), _shape(positions, (len(illegal),), "positions")
    x = list(range(1, len(y) + 1))
    said = [f"{round(s * c):,} of {int(c):,}" for s, c in zip(y, count, strict=True)]
    data: list[Any] = [
        {"type": "bar", "name": "this model", "x": x, "y": _numbers(y, 6), "customdata": said}
        | {"marker": {"color": BEFORE}, "hovertemplate": "ply %{x}: %{y:.2%}<br>%{customdata}<extra></extra>"}
    ]
    if reference is not None:
        data.append(
            {"type": "scatter", "mode": "lines", "name": "reference", "x": x, "y": _numbers(reference, 6)}
            | {"line": {"color": AFTER, "dash": "dot"}, "hovertemplate": "ply %{x}: %{y:.2%}<extra>reference</extra>"}
        )
    share = float((y * count).sum() / max(count.sum(), 1))
    shape, _ = _line("y", share)
    return figure(
        data,
        theme,
        shapes=[shape],
        showlegend=reference is not None,
        xaxis=_title(f"after ply (dashed: {share:.2%} over all plies)"),
        yaxis=_title("share of illegal first choices") | {"rangemode": "tozero", "tickformat": ".1%"},
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
        xaxis=_title("games seen") | {"rangemode": "tozero"},
        yaxis=_title("loss above the floor, nats per move") | {"type": "log", "dtick": "D2", "tickformat": "~g"},
        yaxis2=_title("share of illegal first choices") | right,
        margin={"l": 56, "r": 60, "t": 12, "b": 48},
        legend=ABOVE,
    )


def accuracy_by_layer(
    accuracy: Mapping[str, Sequence[float | None]],
    constant: float | None,
    random_network: Mapping[str, Any] | None,
    theme: str,
) -> Figure:
    """Share of squares read rightly after each block, a line per probe; None leaves a gap.

    ``constant``: the baseline that never looks, dashed. ``random_network``: the same probes on an untrained network, by
    kind, at the block ``"layer"``.
    """
    symbols = ("circle", "square", "diamond", "triangle-up", "x", "star")
    dashes = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
    data: list[Any] = []
    for i, (name, values) in enumerate(accuracy.items()):
        line = {"color": CATEGORIES[i % 6], "dash": dashes[i % 6], "width": 2}
        shown = [None if v is None else round(float(v), 5) for v in values]
        data.append(
            {"type": "scatter", "mode": "lines+markers", "name": escaped(name, 40), "x": list(range(len(shown)))}
            | {"y": shown, "line": line, "marker": {"symbol": symbols[i % 6], "size": 8}}
            | {"hovertemplate": "block %{x}: %{y:.2%}<extra>" + escaped(name, 40) + "</extra>"}
        )
    kinds = {"linear": ("linear", "circle-open"), "tpr": ("TPR", "square-open")}
    for kind, (name, symbol) in kinds.items():
        if random_network and kind in random_network:
            data.append(
                {"type": "scatter", "mode": "markers", "name": f"untrained network, {name}"}
                | {"x": [int(random_network["layer"])], "y": [round(float(random_network[kind]), 5)]}
                | {"marker": {"symbol": symbol, "size": 11, "color": REMAINDER, "line": {"width": 2}}}
                | {"hovertemplate": "block %{x}: %{y:.2%}<extra>untrained network, " + name + "</extra>"}
            )
    layout: dict[str, Any] = {}
    if constant is not None:
        shape, note = _line("y", constant, f"most common class: {constant:.1%}")
        layout = {"shapes": [shape], "annotations": [note]}
    known = [v for t in data for v in t["y"] if v is not None] + ([constant] if constant is not None else [])
    low = min(known, default=0.0)
    return figure(
        data,
        theme,
        xaxis=_title("after block") | {"dtick": 1},
        yaxis=_title("squares read rightly") | {"tickformat": ".0%", "range": [low - 0.04 * (1 - low) - 0.005, 1.005]},
        legend=ABOVE,
        **layout,
    )


# ---- binding ----


def binding_heatmap(binding: Any, theme: str) -> Figure:
    """The binding matrix B(h) (r, f) of one residual vector, role coordinates down, on a scale centred on 0."""
    b = _shape(binding, (None, None), "binding")
    top = float(np.abs(b).max()) or 1.0
    trace = {"type": "heatmap", "z": _numbers(b), "zmin": -top, "zmax": top, "colorscale": DIVERGING, "xgap": 2}
    hover = {"hovertemplate": "role coordinate %{y}, filler coordinate %{x}<br>%{z:.3f}<extra></extra>"}
    return figure(
        [trace | hover | {"colorbar": _bar("B(h)")}],
        theme,
        xaxis=_title("filler coordinate") | {"dtick": 1, "showgrid": False, "zeroline": False},
        yaxis=_title("role coordinate") | {"autorange": "reversed", "showgrid": False, "zeroline": False},
    )


def sectors(fillers: Any) -> list[tuple[int, float, float]]:
    """Regions of the plane by the class c with the greatest v · F_c, for fillers (3, 2): (class, from, to) in radians.

    They are cones at the origin, so the angles say all: two where one class wins nowhere, three otherwise; none if the
    fillers are equal. ``to`` is greater than ``from`` by at most π.
    """
    f = _shape(fillers, (3, 2), "fillers")
    edges = set()
    for a, b in ((0, 1), (0, 2), (1, 2)):
        between, third = f[a] - f[b], 3 - a - b
        if not between.any():
            continue
        for turn in (0.5 * np.pi, -0.5 * np.pi):
            angle = float(np.arctan2(between[1], between[0]) + turn)
            ray = np.array([np.cos(angle), np.sin(angle)])
            if ray @ f[a] >= ray @ f[third] - 1e-12:
                edges.add(round(angle % (2 * np.pi), 12))
    around = sorted(edges)
    found = []
    for start, stop in zip(around, [*around[1:], *(e + 2 * np.pi for e in around[:1])], strict=True):
        middle = (start + stop) / 2
        found.append((int((f @ [np.cos(middle), np.sin(middle)]).argmax()), start, stop))
    return found


def _stretch(vectors: np.ndarray, fillers: np.ndarray) -> float:
    """How much longer than they are the stars are drawn: 1, or a round number if they would be lost in the middle."""
    longest = float(np.linalg.norm(fillers, axis=1).max())
    ratio = float(np.median(np.linalg.norm(vectors, axis=1))) / longest if longest > 0 else 1.0
    if not 0 < ratio < np.inf or 0.5 <= ratio <= 2:
        return 1.0
    return float(f"{ratio:.0e}")


def filler_plane(unbound: Any, fillers: Any, truth: Any, names: Sequence[str], theme: str) -> Figure:
    """The 64 unbound vectors v_s (64, 2) with the three colour stars (3, 2) and the exact regions of argmax v · F_c.

    ``truth`` (64,): the true classes, drawn as symbol and colour; a cross lies on squares in a wrong region. Stars may
    be drawn longer than they are, which moves no boundary; the legend then says how much. Raises ValueError for
    fillers of another dimension than 2.
    """
    v, f = _shape(unbound, (64, 2), "unbound"), _shape(fillers, (3, 2), "fillers")
    true = np.asarray(truth).astype(int)
    dots, factor = v @ f.T, _stretch(v, f)
    stars = f * factor
    reach = 1.12 * max(float(np.abs(v).max()), float(np.abs(stars).max()), 1e-9)
    data: list[Any] = []
    notes = []
    for c, start, stop in sectors(f):
        at = np.linspace(start, stop, 48)
        x, y = ([0.0, *(_numbers(9 * reach * g(at)).tolist()), 0.0] for g in (np.cos, np.sin))
        tint = ("rgba(138,143,152,0.13)", "rgba(0,114,178,0.13)", "rgba(230,159,0,0.13)")[c]
        data.append(
            {"type": "scatter", "mode": "lines", "x": x, "y": y, "fill": "toself", "fillcolor": tint, "meta": "region"}
            | {"line": {"color": REMAINDER, "width": 1}, "hoverinfo": "skip", "showlegend": False, "name": CLASSES[c]}
        )
        # The region's name, at the edge of the picture in the direction of its middle.
        ray = np.array([np.cos((start + stop) / 2), np.sin((start + stop) / 2)])
        x0, y0 = (0.93 * reach * ray / np.abs(ray).max()).tolist()
        notes.append(
            {"x": x0, "y": y0, "text": f"reads {CLASSES[c]}", "showarrow": False, "font": {"size": 12}}
            | _inwards(x0, reach)
        )
    said = [
        f"{escaped(names[s])}: {CLASSES[true[s]]}<br>"
        + "<br>".join(f"{CLASSES[c]} v·F = {dots[s, c]:.2f}" for c in range(3))
        for s in range(64)
    ]
    for c, name in enumerate(CLASSES):
        rows = np.flatnonzero(true == c)
        marker = {"symbol": CLASS_SYMBOLS[c], "color": CLASS_COLOURS[c], "size": 9, "line": {"width": 1.5}}
        data.append(_squares(rows, v[rows], [said[s] for s in rows]) | {"name": f"truly {name}", "marker": marker})
    wrong = np.flatnonzero(dots.argmax(1) != true)
    cross = {"symbol": "x-thin", "size": 11, "line": {"width": 2.5, "color": MARK}}
    data.append(
        {"type": "scatter", "mode": "markers", "name": "read wrongly", "x": _numbers(v[wrong, 0]), "marker": cross}
        | {"y": _numbers(v[wrong, 1]), "hoverinfo": "skip", "meta": "wrong", "showlegend": bool(len(wrong))}
    )
    rim = {"width": 1.5, "color": "#59636e"}
    data.append(
        {"type": "scatter", "mode": "markers", "x": _numbers(stars[:, 0]), "y": _numbers(stars[:, 1])}
        | {"name": "colours F" if factor == 1 else f"colours F, {factor:g} times as long", "text": list(CLASSES)}
        | {"marker": {"symbol": "star", "size": 19, "color": list(CLASS_COLOURS), "line": rim}, "meta": "stars"}
        | {"hovertemplate": "filler of %{text}<extra></extra>"}
    )
    data.append(_lit(2))
    span = {"range": [-reach, reach], "zeroline": True}
    return figure(
        data,
        theme,
        annotations=notes,
        xaxis=_title("first filler coordinate") | span | {"constrain": "domain"},
        yaxis=_title("second filler coordinate") | span | {"scaleanchor": "x", "constrain": "domain"},
        legend=ABOVE,
        hovermode="closest",
    )


def _inwards(x: float, reach: float) -> dict[str, Any]:
    return {"xanchor": "right" if x > 0.6 * reach else "left" if x < -0.6 * reach else "center"}


def _squares(squares: Any, points: np.ndarray, said: list[str]) -> dict[str, Any]:
    """A trace of squares: customdata is the square, hovertext what is said of it. Lists, which the browser looks up."""
    axes = dict(zip("xyz", _numbers(points).T.tolist(), strict=False))
    kind = "scatter3d" if points.shape[1] == 3 else "scatter"
    return {"type": kind, "mode": "markers", **axes, "customdata": [int(s) for s in squares], "hovertext": said} | {
        "hovertemplate": "%{hovertext}<extra></extra>",
        "meta": "squares",
    }


def _lit(dimensions: int) -> dict[str, Any]:
    """The empty trace for the square that is pointed at."""
    marker = {"symbol": "circle-open", "size": 17, "color": "#CC79A7", "line": {"width": 4, "color": "#CC79A7"}}
    kind = "scatter3d" if dimensions == 3 else "scatter"
    empty: dict[str, Any] = {axis: [] for axis in "xyz"[:dimensions]}
    return {"type": kind, "mode": "markers", **empty, "meta": "lit"} | {
        "marker": marker,
        "hoverinfo": "skip",
        "showlegend": False,
        "name": "pointed at",
    }


# ---- roles and fillers ----


def square_colour(square: int) -> str:
    """Hue by row, shade by column, dark at column 1 and light at column 8; as hexadecimal."""
    row, column = divmod(square, 8)
    base = np.array([int(ROW_HUES[row][i : i + 2], 16) for i in (1, 3, 5)], float)
    mixed = base * (0.7 + 0.1 * column) if column < 3 else base + (255 - base) * 0.1 * (column - 3)
    return "#" + "".join(f"{round(float(c)):02x}" for c in mixed)


def _ink(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#101214" if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else "#ffffff"


def role_scatter(points: Any, squares: Sequence[int], theme: str, lines: bool = True, axis: str = "axis") -> Figure:
    """Embeddings of squares in the plane or in space: ``points`` (n, 2) or (n, 3), row i being square ``squares[i]``.

    Hue by row and shade by column; every square has its name. ``lines``: thin grey ones between neighbours on a row or
    a column of the board. Raises ValueError for other shapes.
    """
    p, order = np.asarray(points, dtype=np.float64), [int(s) for s in squares]
    if p.ndim != 2 or p.shape[1] not in (2, 3) or len(p) != len(order):
        raise ValueError(f"points must be ({len(order)}, 2) or ({len(order)}, 3), not {p.shape}")
    flat = p.shape[1] == 2
    at = {s: i for i, s in enumerate(order)}
    data: list[Any] = []
    if lines:
        pairs = [(s, t) for s in order for t in ((s + 1) if s % 8 < 7 else -1, s + 8) if t in at]
        gap = np.full((len(pairs), p.shape[1]), np.nan)
        ends = [p[[at[s] for s, _ in pairs]], p[[at[t] for _, t in pairs]], gap]
        path = _numbers(np.stack(ends, 1).reshape(-1, p.shape[1]))
        data.append(
            {"type": "scatter" if flat else "scatter3d", "mode": "lines", **dict(zip("xyz", path.T, strict=False))}
            | {"line": {"color": "rgba(128,128,128,0.45)", "width": 1 if flat else 2}, "hoverinfo": "skip"}
            | {"name": "neighbours on the board", "meta": "lines"}
        )
    for row in range(8):
        mine = [s for s in order if s // 8 == row]
        if not mine:
            continue
        colours, names = [square_colour(s) for s in mine], [NAMES[s] for s in mine]
        trace = _squares(mine, p[[at[s] for s in mine]], names) | {"name": f"row {'ABCDEFGH'[row]}", "text": names}
        font = {"size": 9, "color": [_ink(c) for c in colours]} if flat else {"size": 9}
        marker = {"color": colours, "size": 19 if flat else 6, "line": {"width": 0.5, "color": "#59636e"}}
        place = "middle center" if flat else "top center"
        data.append(trace | {"mode": "markers+text", "marker": marker, "textfont": font, "textposition": place})
    data.append(_lit(p.shape[1]))
    titles = [_title(f"{word} {axis}") for word in ("first", "second", "third")]
    legend = {"title": {"text": "dark: column 1<br>light: column 8", "font": {"size": 11}}, "font": {"size": 11}}
    if flat:
        bare = {"showticklabels": False, "zeroline": False}
        layout: dict[str, Any] = {
            "xaxis": titles[0] | bare,
            "yaxis": titles[1] | bare | {"scaleanchor": "x", "constrain": "domain"},
        }
    else:
        bare = {"showticklabels": False}
        scene = {a: t | bare for a, t in zip(("xaxis", "yaxis", "zaxis"), titles, strict=True)}
        layout = {"scene": scene | {"aspectmode": "data"}, "margin": {"l": 0, "r": 0, "t": 0, "b": 0}}
    return figure(data, theme, legend=legend, hovermode="closest", uirevision="roles", **layout)


def gram_heatmap(cosines: Any, theme: str) -> Figure:
    """The 64 x 64 cosines between square embeddings in the order A1 to H8; every eighth square is named."""
    g = _shape(cosines, (64, 64), "cosines")
    trace = {"type": "heatmap", "z": _numbers(g, 3), "x": list(NAMES), "y": list(NAMES), "zmin": -1, "zmax": 1}
    hover = {"hovertemplate": "%{y} and %{x}: cosine %{z:.2f}<extra></extra>", "colorscale": DIVERGING}
    axis = {"type": "category", "tickvals": list(NAMES[::8]), "showgrid": False, "zeroline": False}
    return figure(
        [trace | hover | {"colorbar": _bar("cosine")}],
        theme,
        xaxis=_title("square") | axis | {"constrain": "domain"},
        yaxis=_title("square") | axis | {"autorange": "reversed", "scaleanchor": "x", "constrain": "domain"},
    )


def gap_heatmaps(maps: Sequence[tuple[str, Any]], theme: str) -> Figure:
    """Mean cosine of two squares by row gap (down) and column gap (across), a map (8, 8) per title, NaN left bare.

    All share one scale centred on 0, whose end is the largest value of any of them.
    """
    grids = [_shape(m, (8, 8), "a gap map") for _, m in maps]
    finite = np.concatenate([g[np.isfinite(g)] for g in grids]) if grids else np.zeros(0)
    top = float(np.abs(finite).max()) if finite.size and np.abs(finite).max() > 0 else 1.0
    data, notes, layout = [], [], {}
    width, space = 1 / max(len(grids), 1), 0.022
    for i, ((title, _), grid) in enumerate(zip(maps, grids, strict=True)):
        tail, left = "" if i == 0 else str(i + 1), i * width + space
        data.append(
            {"type": "heatmap", "z": _numbers(grid), "coloraxis": "coloraxis", "xaxis": f"x{tail}", "yaxis": f"y{tail}"}
            | {"hovertemplate": "%{y} rows, %{x} columns apart: %{z:.3f}<extra></extra>", "xgap": 1, "ygap": 1}
        )
        axis = {"dtick": 1, "showgrid": False, "zeroline": False, "ticks": "", "constrain": "domain"}
        across = {"domain": [left, (i + 1) * width - space], "anchor": f"y{tail}"}
        down = {"autorange": "reversed", "scaleanchor": f"x{tail}", "anchor": f"x{tail}"}
        layout[f"xaxis{tail}"] = _title("column gap") | axis | across
        layout[f"yaxis{tail}"] = _title("row gap" if i == 0 else "") | axis | down
        notes.append(
            {"text": _wrapped(title, 28), "x": (left + (i + 1) * width - space) / 2, "y": 1.02, "xref": "paper"}
            | {"yref": "paper", "yanchor": "bottom", "xanchor": "center", "showarrow": False, "font": {"size": 11.5}}
        )
    scale = {"colorscale": DIVERGING, "cmin": -top, "cmax": top, "colorbar": _bar("mean cosine")}
    return figure(data, theme, annotations=notes, coloraxis=scale, margin={"l": 48, "r": 8, "t": 60, "b": 44}, **layout)


def neighbour_bars(rows: Sequence[Mapping[str, Any]], theme: str) -> Figure:
    """What the nearest points of a square are to it: a bar per row (``title`` and a share for each of RELATIONS)."""
    titles = [_wrapped(str(r["title"]), 26) for r in rows]
    hatches = ("", "/", "\\", "x", "")
    colours = (BEFORE, "#56B4E9", "#009E73", "#CC79A7", REMAINDER)
    data = []
    for (key, name), colour, hatch in zip(RELATIONS.items(), colours, hatches, strict=True):
        shares = _numbers([r[key] for r in rows])
        marker = {"color": colour, "pattern": _hatch(hatch)}
        data.append(
            {"type": "bar", "orientation": "h", "name": name, "y": titles, "x": shares, "marker": marker}
            | {"text": [f"{s:.0%}" if key == "neighbour" else "" for s in shares], "textposition": "inside"}
            | {"insidetextanchor": "start", "hovertemplate": "%{x:.1%}<extra>" + name + "</extra>"}
        )
    return figure(
        data,
        theme,
        barmode="stack",
        bargap=0.3,
        xaxis=_title("share of the nearest points") | {"range": [0, 1], "tickformat": ".0%"},
        yaxis={"type": "category", "autorange": "reversed", "ticksuffix": " ", "tickfont": {"size": 11.5}},
        legend=ABOVE | {"traceorder": "normal"},
    )


# ---- directions ----


def rank_curve(rows: Sequence[Mapping[str, Any]], theme: str, main: str = "TPR, 52 × 2") -> Figure:
    """Accuracy against parameters: rows of ``kind`` (of RANK_KINDS), ``name``, ``parameters``, ``accuracy``.

    The row called ``main`` gets a ring and its name.
    """
    data: list[Any] = []
    for kind, (title, colour, symbol) in RANK_KINDS.items():
        mine = sorted((r for r in rows if r["kind"] == kind), key=lambda r: r["parameters"])
        if not mine:
            continue
        dash = {"svd": "dot", "low-rank": "dash"}.get(kind, "solid")
        data.append(
            {"type": "scatter", "mode": "lines+markers", "name": title, "x": [int(r["parameters"]) for r in mine]}
            | {"y": [round(float(r["accuracy"]), 5) for r in mine], "text": [escaped(r["name"], 40) for r in mine]}
            | {"line": {"color": colour, "dash": dash}, "marker": {"symbol": symbol, "size": 9}}
            | {"hovertemplate": "%{text}<br>%{x:,} parameters<br>%{y:.2%} of squares right<extra></extra>"}
        )
    notes = []
    for r in (r for r in rows if r["name"] == main):
        ring = {"symbol": "circle-open", "size": 18, "color": MARK, "line": {"width": 3}}
        data.append(
            {"type": "scatter", "mode": "markers", "x": [int(r["parameters"])], "y": [round(float(r["accuracy"]), 5)]}
            | {"marker": ring, "hoverinfo": "skip", "showlegend": False, "name": escaped(main, 40), "meta": "main"}
        )
        # A logarithmic axis takes its notes in powers of ten.
        place = {"x": float(np.log10(r["parameters"])), "y": float(r["accuracy"]), "ax": 0, "ay": 34}
        notes.append(place | {"text": escaped(main, 40), "showarrow": True, "arrowhead": 0})
    return figure(
        data,
        theme,
        annotations=notes,
        xaxis=_title("parameters of the probe") | {"type": "log", "tickformat": ",d", "dtick": "D2"},
        yaxis=_title("squares read rightly") | {"tickformat": ".1%"},
        legend=ABOVE,
        hovermode="closest",
    )


# ---- edits ----


def edit_errors(rows: Sequence[Mapping[str, Any]], theme: str) -> Figure:
    """Mean errors per edited case with their 95 % interval, by method and by how the scale was chosen.

    ``rows``: ``title``, ``choice``, ``mean``, ``low``, ``high``, ``null`` (the same without an edit, drawn as a tick).
    """
    titles = list(dict.fromkeys(str(r["title"]) for r in rows))
    choices = list(dict.fromkeys(str(r.get("choice", "")) for r in rows))
    looks = (("circle", BEFORE), ("square-open", AFTER), ("diamond", "#009E73"))
    data: list[Any] = []
    for i, choice in enumerate(choices):
        mine = [r for r in rows if str(r.get("choice", "")) == choice]
        mean, low, high = (_numbers([r[k] for r in mine], 3) for k in ("mean", "low", "high"))
        bars = {"type": "data", "symmetric": False, "array": high - mean, "arrayminus": mean - low, "thickness": 2}
        symbol, colour = looks[i % 3]
        shift = 0.26 * (i - (len(choices) - 1) / 2)
        said = [f"{escaped(str(r['title']), 60)}<br>{r['low']:.2f} to {r['high']:.2f}" for r in mine]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": f"scale {escaped(choice, 40)}" if choice else "with the edit",
            }
            | {"x": mean, "y": [round(titles.index(str(r["title"])) + shift, 3) for r in mine], "error_x": bars}
            | {"marker": {"symbol": symbol, "color": colour, "size": 10, "line": {"width": 2}}, "text": said}
            | {"hovertemplate": "%{text}<br>mean %{x:.2f} errors<extra></extra>"}
        )
    nulls = [next(r["null"] for r in rows if r["title"] == t) for t in titles]
    tick = {"symbol": "line-ns", "size": 22, "line": {"width": 2.5, "color": REMAINDER}}
    data.append(
        {"type": "scatter", "mode": "markers", "name": "without an edit", "x": _numbers(nulls, 3), "marker": tick}
        | {"y": list(range(len(titles))), "hovertemplate": "without an edit: %{x:.2f}<extra></extra>", "meta": "null"}
    )
    ticks = {"tickvals": list(range(len(titles))), "ticktext": [_wrapped(t, 26) for t in titles], "ticksuffix": " "}
    return figure(
        data,
        theme,
        xaxis=_title("errors per case (false positives + false negatives)") | {"rangemode": "tozero"},
        yaxis=ticks | {"range": [len(titles) - 0.5, -0.5], "zeroline": False, "tickfont": {"size": 11.5}},
        legend=ABOVE,
    )


def repair_curve(rows: Sequence[Mapping[str, Any]], theme: str) -> Figure:
    """After each block, the share of edited squares read as the target and of the others read as without the edit.

    ``rows``: ``layer``, ``target`` of ``edited``, ``same`` of ``others``.
    """
    data = []
    for name, part, whole, colour, dash, symbol in (
        ("edited squares read as the target", "target", "edited", AFTER, "solid", "circle"),
        ("other squares read as before", "same", "others", BEFORE, "dash", "square"),
    ):
        said = [f"{r[part]} of {r[whole]}" for r in rows]
        data.append(
            {"type": "scatter", "mode": "lines+markers", "name": name, "x": [int(r["layer"]) for r in rows]}
            | {"y": _numbers([r[part] / max(r[whole], 1) for r in rows]), "customdata": said}
            | {"line": {"color": colour, "dash": dash}, "marker": {"symbol": symbol, "size": 8}}
            | {"hovertemplate": "block %{x}: %{customdata}<extra>" + name + "</extra>"}
        )
    return figure(
        data,
        theme,
        xaxis=_title("after block") | {"dtick": 1},
        yaxis=_title("share of squares") | {"range": [-0.03, 1.05], "tickformat": ".0%"},
        legend=ABOVE,
    )
