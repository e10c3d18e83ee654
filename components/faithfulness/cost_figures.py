"""How measures compare beside their AUROC: length of the chain, passes and seconds, rates of unlearning.

Symbols and colours are those of :mod:`components.faithfulness.style`; costs are on logarithmic axes, because they lie
between nothing and many minutes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from analysis.answer import plain_of
from analysis.faithfulness.answers.board import Board, BoardRow, LengthArea, Unlearning
from components.faithfulness.controls import of_lengths, of_unlearning
from components.faithfulness.style import (
    by_family,
    family_axis,
    family_lines,
    free,
    ink,
    label_colour,
    note,
    study_facts,
)
from components.kit.beside import panels
from components.kit.figure import Figure, figure
from components.kit.figure_card import blank
from components.kit.labels import escaped
from components.kit.style import ABOVE, colour_bar, dashed_line, titled
from components.kit.theme import CATEGORIES, DIVERGING, REMAINDER
from components.kit.view import Drawing, NoOptions, view

_GAP = 0.04
LEAST = 1e-3
"""Seconds below which a cost is drawn as none: it would stretch a logarithmic axis over five decades."""
COSTS = (
    "Each measure alone, one pass for each context that it asks for. On the board they are read together, where what "
    "they share is computed once."
)
UNTIMED = "Measures are timed one by one for the bundled study only; what this study cost is said above."
LENGTHS = "Half is chance. Few chains of a length make a wide interval: n stands below each column."
NO_SWEEP = "FUR changes the weights for every item, so it is measured only on request: see Studies."


@view("faithfulness/cost", Board)
def cost(board: Board, options: NoOptions, theme: str) -> Drawing:
    """Passes and seconds per item of every measure, each on a logarithmic axis; what costs nothing says so. A point's
    customdata is its measure."""
    timed = any(row.passes is not None for row in board.rows)
    rows = [{"measure": row.measure, "passes": row.passes, "seconds": row.seconds} for row in board.rows]
    facts = study_facts(board) | {"rows": rows, "cost": plain_of(board.cost)}
    return Drawing(
        _cost(board.rows, theme),
        COSTS if timed else UNTIMED,
        facts,
        numbers={f"passes, {row.measure}": row.passes for row in board.rows if row.passes is not None}
        | {f"seconds, {row.measure}": row.seconds for row in board.rows if row.seconds is not None},
    )


def _cost(rows: Sequence[BoardRow], theme: str) -> Figure:
    lines = by_family([r for r in rows if r.passes is not None or r.seconds is not None])
    if not lines:
        return blank(400, "no costs were recorded")
    data, notes, layout = [], [], panels(2, _GAP)
    passes = [(i, r, float(r.passes)) for i, (_, r) in enumerate(lines) if r and r.passes is not None]
    seconds = [(i, r, float(r.seconds)) for i, (_, r) in enumerate(lines) if r and r.seconds is not None]
    for column, (values, least, title, form) in enumerate(
        ((passes, 0.0, "passes per item", ".3~g"), (seconds, LEAST, "seconds per item", ".2~g"))
    ):
        axis = f"x{column + 1}" if column else "x"
        costly = [v for v in values if v[2] > 0 and v[2] >= least]
        data.append(
            {"type": "scatter", "mode": "markers+text", "x": [v for *_, v in costly], "y": [i for i, *_ in costly]}
            | {
                "name": title,
                "showlegend": False,
                "xaxis": axis,
                "customdata": [r.measure for _, r, _ in costly],
            }
            | {"text": [_short(v) for *_, v in costly], "textposition": "middle right", "textfont": {"size": 11.5}}
            | {
                "marker": {
                    "size": 10,
                    "color": [REMAINDER if free(r) else label_colour(True, theme) for _, r, _ in costly],
                    "symbol": ["square" if free(r) else "circle" for _, r, _ in costly],
                },
                "cliponaxis": False,
                "hovertemplate": "%{customdata}: %{x:" + form + "} " + title.split(" per")[0] + "<extra></extra>",
            }
        )
        low, high = _decades([v for *_, v in costly])
        left = layout[f"xaxis{column + 1 if column else ''}"]["domain"][0]
        notes += [
            note("none", left + 0.006, i, "left", "middle", 11, REMAINDER) | {"yref": "y"}
            for i, _, v in values
            if not v > 0 or v < least
        ]
        wide = {"type": "log", "range": [low, high + 0.25], "dtick": 1, "zeroline": False}
        layout[f"xaxis{column + 1 if column else ''}"] |= titled(f"{title}, logarithmic") | wide
    return figure(
        data,
        theme,
        **layout,
        yaxis=family_axis(lines),
        shapes=family_lines(lines),
        annotations=notes,
        margin={"l": 56, "r": 28, "t": 12, "b": 48},
        hovermode="closest",
        uirevision="cost",
    )


@view("faithfulness/lengths", Board)
def lengths(board: Board, options: NoOptions, theme: str) -> Drawing:
    """AUROC of every measure by the number of steps, numbers in the cells, a panel for each tier that is shown."""
    rows = [row for row in board.lengths if not board.withheld(row.tier)]
    return Drawing(
        _lengths(rows, theme),
        LENGTHS if rows else "",
        study_facts(board) | {"rows": plain_of(rows)},
        control=of_lengths(rows),
        numbers={f"{r.measure}, {r.steps} steps, tier {r.tier}": r.auroc for r in rows if r.auroc is not None},
    )


def _lengths(rows: Sequence[LengthArea], theme: str) -> Figure:
    tiers = list(dict.fromkeys(r.tier for r in rows))
    names = list(dict.fromkeys(r.measure for r in rows))
    if not any(r.auroc is not None for r in rows):
        return blank(400, "no chains of different lengths")
    bins = {t: sorted({r.steps for r in rows if r.tier == t}, key=_first) for t in tiers}
    layout, data, notes = {}, [], []
    total, start = sum(len(b) for b in bins.values()), 0.0
    for i, t in enumerate(tiers):
        number = str(i + 1) if i else ""
        mine = {(r.measure, r.steps): r for r in rows if r.tier == t}
        cells = [[mine.get((name, b)) for b in bins[t]] for name in names]
        z = [[c and c.auroc for c in row] for row in cells]
        sizes = [max(c.n if c else 0 for c in column) for column in zip(*cells, strict=True)]
        data.append(
            {"type": "heatmap", "x": list(range(len(bins[t]))), "y": list(range(len(names))), "z": z, "xgap": 2}
            | {"ygap": 2, "colorscale": DIVERGING, "zmin": 0, "zmid": 0.5, "zmax": 1, "xaxis": f"x{number}"}
            | {
                "text": [[_cell(c, n) for c, n in zip(row, sizes, strict=True)] for row in cells],
                "texttemplate": "%{text}",
            }
            | {
                "customdata": [
                    [f"{escaped(n, 40)}, {b} steps, {c.n if c else 0} items" for b, c in zip(bins[t], row, strict=True)]
                    for n, row in zip(names, cells, strict=True)
                ]
            }
            | {"hovertemplate": "%{customdata}<br>AUROC %{z:.3f}<extra></extra>", "hoverongaps": False}
            | {"showscale": i == 0, "colorbar": colour_bar("AUROC")}
        )
        width = (1 - _GAP * (len(tiers) - 1)) * len(bins[t]) / total
        layout[f"xaxis{number}"] = titled("steps of the chain") | {
            "domain": [round(start, 4), round(min(1.0, start + width), 4)],
            "tickvals": list(range(len(bins[t]))),
            "ticktext": [f"{b}<br>n = {n}" for b, n in zip(bins[t], sizes, strict=True)],
            "showgrid": False,
            "zeroline": False,
        }
        notes.append(note(f"<b>tier {escaped(t, 20)}</b>", start, 1.0, "left", "bottom", 13, None))
        start += width + _GAP
    ticks = {"tickvals": list(range(len(names))), "ticktext": [escaped(n, 40) for n in names], "ticksuffix": " "}
    return figure(
        data,
        theme,
        **layout,
        yaxis=ticks | {"range": [len(names) - 0.5, -0.5], "showgrid": False, "zeroline": False},
        annotations=notes,
        margin={"l": 56, "r": 8, "t": 28, "b": 60},
        uirevision="lengths",
    )


def _cell(cell: LengthArea | None, most: int) -> str:
    """An AUROC, and on how few items it rests where that is fewer than the column's."""
    if cell is None or cell.auroc is None:
        return ""
    return f"{cell.auroc:.2f}" + (f" (n = {cell.n})" if cell.n < most else "")


@view("faithfulness/unlearning", Board)
def sweep(board: Board, options: NoOptions, theme: str) -> Drawing:
    """Unlearning at each learning rate: efficacy, specificity with its floor (dashed), and answers that change."""
    facts = study_facts(board) | {"fur": plain_of(board.fur)}
    return Drawing(
        _sweep(board.fur, theme),
        board.fur.sentence if board.fur else NO_SWEEP,
        facts,
        control=of_unlearning(board.fur),
        numbers={} if board.fur is None or board.fur.efficacy is None else {"efficacy": board.fur.efficacy},
    )


def _sweep(fur: Unlearning | None, theme: str) -> Figure:
    if not fur or not fur.sweep:
        return blank(320, "unlearning was not run")
    rows = sorted(fur.sweep, key=lambda r: r.rate)
    data: list[Any] = []
    for values, name, colour, dash, symbol in (
        ([r.efficacy for r in rows], "efficacy: the step is forgotten", CATEGORIES[2], "solid", "circle"),
        ([r.specificity for r in rows], "specificity: other answers stay", CATEGORIES[3], "dash", "diamond"),
        ([r.flips for r in rows], "answers that change", REMAINDER, "dot", "square"),
    ):
        if all(v is None for v in values):
            continue
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": name,
                "x": [r.rate for r in rows],
                "y": values,
            }
            | {"line": {"color": colour, "dash": dash, "width": 2}, "marker": {"symbol": symbol, "size": 9}}
            | {"hovertemplate": "rate %{x:.3~g}<br>%{y:.3f}<extra>" + name + "</extra>"}
        )
    shapes, notes, chosen = [], [], ""
    if fur.floor is not None:
        shape, words = dashed_line("y", fur.floor, f"floor of specificity: {fur.floor:.2f}")
        shapes, notes = [shape], [words | {"x": 1, "xref": "paper"}]
    if fur.rate is not None:
        at = fur.rate
        shapes.append(
            {"type": "line", "x0": at, "x1": at, "yref": "paper", "y0": 0, "y1": 1}
            | {"line": {"color": ink(theme), "width": 1.5, "dash": "dot"}}
        )
        chosen = f" (dotted: {_rate(at)}, chosen)"
    return figure(
        data,
        theme,
        xaxis=titled("learning rate, logarithmic" + chosen)
        | {"type": "log", "tickvals": [r.rate for r in rows], "minor": {"showgrid": False}}
        | {"ticktext": [_rate(r.rate) for r in rows]},
        yaxis=titled("share") | {"range": [-0.04, 1.06]},
        shapes=shapes,
        annotations=notes,
        legend=ABOVE,
        uirevision="sweep",
    )


def _rate(value: float) -> str:
    return f"{value:.3g}".replace("e-0", "e−")


def _decades(values: Sequence[float]) -> tuple[float, float]:
    """Ends of a logarithmic axis (powers of ten) around the values, with room for them to be dots."""
    if not values:
        return 0.0, 1.0
    return math.log10(min(values)) - 0.35, math.log10(max(values)) + 0.15


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 99.5 else f"{value:.2g}"


def _first(bin_: str) -> float:
    return float(bin_.split(" ")[0])
