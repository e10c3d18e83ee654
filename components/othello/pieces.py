"""The figures of what a probe is made of: binding, plane of the fillers, roles, Gram matrix, gaps, neighbours, rank.

One function a figure; each returns a plotly figure dict, and `views` says what of an answer it draws. Traces of squares
carry ``meta`` "squares" and the square's number as customdata, and each such figure ends with an empty trace ``meta``
"lit", into which the browser (assets/othello.js) puts the point of the square that is pointed at on a board.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from analysis.tpr.answers.reading import CurvePoint, NeighbourRow
from components.kit.figure import AFTER, BEFORE, Figure, figure
from components.kit.labels import escaped
from components.kit.style import ABOVE, MARK, colour_bar, hatched, numbers, shaped, titled, wrapped
from components.kit.theme import DIVERGING, REMAINDER
from components.othello.board import NAMES
from components.othello.style import CLASS_COLOURS, CLASS_SYMBOLS, CLASSES

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


def binding_heatmap(binding: Any, theme: str) -> Figure:
    """The binding matrix B(h) (r, f) of one residual vector, role coordinates down, on a scale centred on 0."""
    b = shaped(binding, (None, None), "binding")
    top = float(np.abs(b).max()) or 1.0
    trace = {"type": "heatmap", "z": numbers(b), "zmin": -top, "zmax": top, "colorscale": DIVERGING, "xgap": 2}
    hover = {"hovertemplate": "role coordinate %{y}, filler coordinate %{x}<br>%{z:.3f}<extra></extra>"}
    return figure(
        [trace | hover | {"colorbar": colour_bar("B(h)")}],
        theme,
        xaxis=titled("filler coordinate") | {"dtick": 1, "showgrid": False, "zeroline": False},
        yaxis=titled("role coordinate") | {"autorange": "reversed", "showgrid": False, "zeroline": False},
    )


def sectors(fillers: Any) -> list[tuple[int, float, float]]:
    """Regions of the plane by the class c with the greatest v · F_c, for fillers (3, 2): (class, from, to) in radians.

    They are cones at the origin, so the angles say all: two where one class wins nowhere, three otherwise; none if the
    fillers are equal. ``to`` is greater than ``from`` by at most π.
    """
    f = shaped(fillers, (3, 2), "fillers")
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
    regions = []
    for start, stop in zip(around, [*around[1:], *(e + 2 * np.pi for e in around[:1])], strict=True):
        middle = (start + stop) / 2
        regions.append((int((f @ [np.cos(middle), np.sin(middle)]).argmax()), start, stop))
    return regions


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
    v, f = shaped(unbound, (64, 2), "unbound"), shaped(fillers, (3, 2), "fillers")
    true = np.asarray(truth).astype(int)
    dots, factor = v @ f.T, _stretch(v, f)
    stars = f * factor
    reach = 1.12 * max(float(np.abs(v).max()), float(np.abs(stars).max()), 1e-9)
    data: list[Any] = []
    notes = []
    for c, start, stop in sectors(f):
        at = np.linspace(start, stop, 48)
        x, y = ([0.0, *(numbers(9 * reach * g(at)).tolist()), 0.0] for g in (np.cos, np.sin))
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
    words = [
        f"{escaped(names[s])}: {CLASSES[true[s]]}<br>"
        + "<br>".join(f"{CLASSES[c]} v·F = {dots[s, c]:.2f}" for c in range(3))
        for s in range(64)
    ]
    for c, name in enumerate(CLASSES):
        rows = np.flatnonzero(true == c)
        marker = {"symbol": CLASS_SYMBOLS[c], "color": CLASS_COLOURS[c], "size": 9, "line": {"width": 1.5}}
        data.append(_squares(rows, v[rows], [words[s] for s in rows]) | {"name": f"truly {name}", "marker": marker})
    wrong = np.flatnonzero(dots.argmax(1) != true)
    cross = {"symbol": "x-thin", "size": 11, "line": {"width": 2.5, "color": MARK}}
    data.append(
        {"type": "scatter", "mode": "markers", "name": "read wrongly", "x": numbers(v[wrong, 0]), "marker": cross}
        | {"y": numbers(v[wrong, 1]), "hoverinfo": "skip", "meta": "wrong", "showlegend": bool(len(wrong))}
    )
    rim = {"width": 1.5, "color": "#59636e"}
    data.append(
        {"type": "scatter", "mode": "markers", "x": numbers(stars[:, 0]), "y": numbers(stars[:, 1])}
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
        xaxis=titled("first filler coordinate") | span | {"constrain": "domain"},
        yaxis=titled("second filler coordinate") | span | {"scaleanchor": "x", "constrain": "domain"},
        legend=ABOVE,
        hovermode="closest",
    )


def _inwards(x: float, reach: float) -> dict[str, Any]:
    return {"xanchor": "right" if x > 0.6 * reach else "left" if x < -0.6 * reach else "center"}


def _squares(squares: Any, points: np.ndarray, words: list[str]) -> dict[str, Any]:
    """A trace of squares: customdata is the square, hovertext what is said of it. Lists, which the browser looks up."""
    axes = dict(zip("xyz", numbers(points).T.tolist(), strict=False))
    kind = "scatter3d" if points.shape[1] == 3 else "scatter"
    return {"type": kind, "mode": "markers", **axes, "customdata": [int(s) for s in squares], "hovertext": words} | {
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
        path = numbers(np.stack(ends, 1).reshape(-1, p.shape[1]))
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
    titles = [titled(f"{word} {axis}") for word in ("first", "second", "third")]
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
    g = shaped(cosines, (64, 64), "cosines")
    trace = {"type": "heatmap", "z": numbers(g, 3), "x": list(NAMES), "y": list(NAMES), "zmin": -1, "zmax": 1}
    hover = {"hovertemplate": "%{y} and %{x}: cosine %{z:.2f}<extra></extra>", "colorscale": DIVERGING}
    axis = {"type": "category", "tickvals": list(NAMES[::8]), "showgrid": False, "zeroline": False}
    return figure(
        [trace | hover | {"colorbar": colour_bar("cosine")}],
        theme,
        xaxis=titled("square") | axis | {"constrain": "domain"},
        yaxis=titled("square") | axis | {"autorange": "reversed", "scaleanchor": "x", "constrain": "domain"},
    )


def gap_heatmaps(maps: Sequence[tuple[str, Any]], theme: str) -> Figure:
    """Mean cosine of two squares by row gap (down) and column gap (across), a map (8, 8) per title, NaN left bare.

    All share one scale centred on 0, whose end is the largest value of any of them.
    """
    grids = [shaped(m, (8, 8), "a gap map") for _, m in maps]
    finite = np.concatenate([g[np.isfinite(g)] for g in grids]) if grids else np.zeros(0)
    top = float(np.abs(finite).max()) if finite.size and np.abs(finite).max() > 0 else 1.0
    data, notes, layout = [], [], {}
    width, space = 1 / max(len(grids), 1), 0.022
    for i, ((title, _), grid) in enumerate(zip(maps, grids, strict=True)):
        tail, left = "" if i == 0 else str(i + 1), i * width + space
        data.append(
            {"type": "heatmap", "z": numbers(grid), "coloraxis": "coloraxis", "xaxis": f"x{tail}", "yaxis": f"y{tail}"}
            | {"hovertemplate": "%{y} rows, %{x} columns apart: %{z:.3f}<extra></extra>", "xgap": 1, "ygap": 1}
        )
        axis = {"dtick": 1, "showgrid": False, "zeroline": False, "ticks": "", "constrain": "domain"}
        across = {"domain": [left, (i + 1) * width - space], "anchor": f"y{tail}"}
        down = {"autorange": "reversed", "scaleanchor": f"x{tail}", "anchor": f"x{tail}"}
        layout[f"xaxis{tail}"] = titled("column gap") | axis | across
        layout[f"yaxis{tail}"] = titled("row gap" if i == 0 else "") | axis | down
        notes.append(
            {"text": wrapped(title, 28), "x": (left + (i + 1) * width - space) / 2, "y": 1.02, "xref": "paper"}
            | {"yref": "paper", "yanchor": "bottom", "xanchor": "center", "showarrow": False, "font": {"size": 11.5}}
        )
    scale = {"colorscale": DIVERGING, "cmin": -top, "cmax": top, "colorbar": colour_bar("mean cosine")}
    return figure(data, theme, annotations=notes, coloraxis=scale, margin={"l": 48, "r": 8, "t": 60, "b": 44}, **layout)


def neighbour_bars(rows: Sequence[NeighbourRow], theme: str) -> Figure:
    """What the nearest points of a square are to it: a bar per row, with a share for each of RELATIONS."""
    titles = [wrapped(r.title, 26) for r in rows]
    hatches = ("", "/", "\\", "x", "")
    colours = (BEFORE, "#56B4E9", "#009E73", "#CC79A7", REMAINDER)
    data = []
    for (key, name), colour, hatch in zip(RELATIONS.items(), colours, hatches, strict=True):
        shares = numbers([getattr(r, key) for r in rows])
        marker = {"color": colour, "pattern": hatched(hatch)}
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
        xaxis=titled("share of the nearest points") | {"range": [0, 1], "tickformat": ".0%"},
        yaxis={"type": "category", "autorange": "reversed", "ticksuffix": " ", "tickfont": {"size": 11.5}},
        legend=ABOVE | {"traceorder": "normal"},
    )


def rank_curve(rows: Sequence[CurvePoint], theme: str, main: str = "TPR, 52 × 2") -> Figure:
    """Accuracy against parameters, a curve for each of RANK_KINDS. The row called ``main`` gets a ring and its name."""
    data: list[Any] = []
    for kind, (title, colour, symbol) in RANK_KINDS.items():
        mine = sorted((r for r in rows if r.kind == kind), key=lambda r: r.parameters)
        if not mine:
            continue
        dash = {"svd": "dot", "low-rank": "dash"}.get(kind, "solid")
        data.append(
            {"type": "scatter", "mode": "lines+markers", "name": title, "x": [r.parameters for r in mine]}
            | {"y": [round(r.accuracy, 5) for r in mine], "text": [escaped(r.name, 40) for r in mine]}
            | {"line": {"color": colour, "dash": dash}, "marker": {"symbol": symbol, "size": 9}}
            | {"hovertemplate": "%{text}<br>%{x:,} parameters<br>%{y:.2%} of squares right<extra></extra>"}
        )
    notes = []
    for r in (r for r in rows if r.name == main):
        ring = {"symbol": "circle-open", "size": 18, "color": MARK, "line": {"width": 3}}
        data.append(
            {"type": "scatter", "mode": "markers", "x": [r.parameters], "y": [round(r.accuracy, 5)]}
            | {"marker": ring, "hoverinfo": "skip", "showlegend": False, "name": escaped(main, 40), "meta": "main"}
        )
        # A logarithmic axis takes its notes in powers of ten.
        place = {"x": float(np.log10(r.parameters)), "y": r.accuracy, "ax": 0, "ay": 34}
        notes.append(place | {"text": escaped(main, 40), "showarrow": True, "arrowhead": 0})
    return figure(
        data,
        theme,
        annotations=notes,
        xaxis=titled("parameters of the probe") | {"type": "log", "tickformat": ",d", "dtick": "D2"},
        yaxis=titled("squares read rightly") | {"tickformat": ".1%"},
        legend=ABOVE,
        hovermode="closest",
    )
