"""What the measures are worth: the leaderboard by tier.

Values below 0.5 are drawn below 0.5. Tiers stand side by side rather than in colours, because colour means the label on
this page (:mod:`components.faithfulness.style`). What each measure calls faithful is in
:mod:`components.faithfulness.bias_figures`; the figures that have a point for each item are in
:mod:`components.faithfulness.point_figures`, length and cost in :mod:`components.faithfulness.cost_figures`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from analysis.answer import plain_of
from analysis.faithfulness.answers.board import Area, Board, BoardRow, TierRow
from components.faithfulness.controls import of_tiers
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
from components.kit.figure import BAND, Figure, figure
from components.kit.figure_card import blank
from components.kit.labels import escaped
from components.kit.style import titled, wrapped
from components.kit.theme import REMAINDER, template
from components.kit.view import Drawing, view

PUBLISHED = "published: other models, other items"
ONE = "one label only"
FEW = 40
"""Below this many items an interval by resampling is too narrow; with 20 of each label it is about ±0.18 around 0.5."""
_GAP = 0.03


@dataclass(frozen=True)
class LeaderboardOptions:
    """The tiers that have a panel, and whether published values have one too."""

    tiers: tuple[str, ...]
    published: bool = False


@view("faithfulness/leaderboard", Board, options=LeaderboardOptions)
def leaderboard(board: Board, options: LeaderboardOptions, theme: str) -> Drawing:
    """AUROC of every measure with its 95 % interval, a panel for each tier, on the band of shuffled labels.

    A tier that is withheld says why instead of showing values. With ``published``, a last panel has the paper's values
    as hollow markers. A point's customdata is (measure, tier).
    """
    tiers = [row for row in board.tiers if row.tier in options.tiers]
    caption = (
        "Dots: AUROC with its 95 % interval; beside it the value and the share of tied pairs. Grey: the same scores "
        "under shuffled labels. The line at 0.5 is chance; what lies below it is drawn below it."
    )
    few = [t.title for t in tiers if t.items < FEW]
    if few:
        caption += f" {', '.join(few)}: with fewer than {FEW} items the grey band says more than the interval does."
    picture = _leaderboard(board.rows, tiers, options.published, theme)
    shown = [t.tier for t in tiers if t.shown]
    areas = {(row.measure, tier): area_of(row, tier) for row in board.rows for tier in shown}
    return Drawing(
        picture,
        f"{caption} {board.published_note}" if options.published else caption,
        study_facts(board) | {"rows": _rows(board.rows, shown)},
        control=of_tiers(board, shown),
        numbers={f"{measure}, tier {tier}": area[0] for (measure, tier), area in areas.items() if area is not None},
    )


def _rows(rows: Sequence[BoardRow], tiers: Sequence[str]) -> list[dict[str, Any]]:
    """The numbers of these tiers only: those of a withheld one leave the page no other way either."""
    return [
        {"measure": row.measure}
        | {"auroc": {tier: plain_of(area) for tier, area in row.auroc.items() if tier in tiers}}
        | {"called": {tier: share for tier, share in row.called.items() if tier in tiers}}
        for row in rows
    ]


def _leaderboard(rows: Sequence[BoardRow], tiers: Sequence[TierRow], published: bool, theme: str) -> Figure:
    if not rows or not tiers:
        return blank(520, "nothing scored yet")
    lines = by_family(rows)
    extra = [r for r in rows if published and (r.published.step or r.published.chain)]
    columns: list[TierRow | None] = [*tiers, *([None] if extra else [])]
    count, wide, data = len(columns), 112 // max(len(columns), 3), []
    layout, notes = panels(count, _GAP), []
    shapes = family_lines(lines)
    seen: set[str] = set()
    for c, tier in enumerate(columns):
        axis = f"x{c + 1}" if c else "x"
        left, right = layout[f"xaxis{c + 1 if c else ''}"]["domain"]
        if tier is None:
            words = _head(PUBLISHED, "arXiv 2605.25052; 4B to 70B", wide)
            traces = _published(lines, theme)
        else:
            words = _head(tier.title, _sizes(tier), wide)
            traces = _tier(lines, tier.tier, theme) if tier.shown else []
            if not tier.shown:
                why = wrapped(tier.why_not or "not shown", 30)
                plain = {"bgcolor": template(theme)["layout"]["hoverlabel"]["bgcolor"], "borderpad": 6}
                notes.append(note(why, (left + right) / 2, 0.5, "center", "middle", 14, None) | plain)
        for trace in traces:
            first = trace["mode"] != "text" and trace["name"] not in seen
            trace |= {"xaxis": axis, "legendgroup": trace["name"], "showlegend": first}
            seen.add(trace["name"])
        data += traces
        notes.append(note(words, left, 1.0, "left", "bottom", 13, None))
        shapes.append(
            {"type": "line", "xref": axis, "yref": "paper", "x0": 0.5, "x1": 0.5, "y0": 0, "y1": 1, "layer": "below"}
            | {"line": {"color": ink(theme), "width": 1.5}}
        )
        layout[f"xaxis{c + 1 if c else ''}"] |= titled("AUROC · ties" if tier is not None else "AUROC") | {
            "range": [-0.03, 1.34],
            "tickvals": [0, 0.25, 0.5, 0.75, 1],
            "ticktext": ["0", "", "0.5", "", "1"],
            "zeroline": False,
        }
    deepest = max(str(n["text"]).count("<br>") for n in notes if n["y"] == 1.0)
    return figure(
        data,
        theme,
        **layout,
        yaxis=family_axis(lines),
        shapes=shapes,
        annotations=notes,
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": -0.1, "yanchor": "top"},
        margin={"l": 56, "r": 8, "t": 24 + 18 * deepest, "b": 84},
        hovermode="closest",
        uirevision="leaderboard",
    )


def _tier(lines: Sequence[tuple[str, BoardRow | None]], tier: str, theme: str) -> list[dict[str, Any]]:
    cells = [(i, r, area_of(r, tier)) for i, (_, r) in enumerate(lines) if r is not None]
    ranked = [(i, r, a[0], a[1]) for i, r, a in cells if a is not None]
    x: list[float | None] = []
    y: list[int | None] = []
    for i, _, _, a in ranked:
        if a.permuted and None not in a.permuted:
            x, y = [*x, *a.permuted, None], [*y, i, i, None]
    data: list[dict[str, Any]] = [
        {"type": "scatter", "mode": "lines", "name": "shuffled labels, 95 %", "x": x, "y": y, "hoverinfo": "skip"}
        | {"line": {"color": BAND, "width": 13}}
    ]
    blue = label_colour(True, theme)
    for name, colour, symbol, part in (
        ("measure, 95 % interval", blue, "circle", [c for c in ranked if not free(c[1])]),
        ("free baseline", REMAINDER, "square", [c for c in ranked if free(c[1])]),
    ):
        bars = {"type": "data", "symmetric": False, "thickness": 2, "width": 4} | {
            "array": [_minus(a.high, value) for _, _, value, a in part],
            "arrayminus": [_minus(value, a.low) for _, _, value, a in part],
        }
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": [value for _, _, value, _ in part],
                "error_x": bars,
            }
            | {"y": [i for i, *_ in part], "customdata": [[r.measure, tier] for _, r, *_ in part]}
            | {"marker": {"color": colour, "symbol": symbol, "size": 9}, "text": [_hover(r, a) for _, r, _, a in part]}
            | {"hovertemplate": "%{text}<extra></extra>"}
        )
    # Ties stand beside the value: an area made of them is no ranking.
    words = [(i, f"{value:.2f}" + (f" · {a.ties:.0%}" if (a.ties or 0) >= 0.005 else "")) for i, _, value, a in ranked]
    words += [(i, ONE if r.auroc.get(tier) else "not run") for i, r, a in cells if a is None]
    data.append(
        {"type": "scatter", "mode": "text", "name": "value", "showlegend": False, "hoverinfo": "skip"}
        | {
            "x": [1.3 if w == ONE else 1.04 for _, w in words],
            "y": [i for i, _ in words],
            "text": [w for _, w in words],
        }
        # The longest words end where the panel does: to their left nothing is drawn.
        | {"textposition": ["middle left" if w == ONE else "middle right" for _, w in words]}
        | {"textfont": {"size": 12}, "cliponaxis": False}
    )
    return [trace for trace in data if trace["x"]]


def _published(lines: Sequence[tuple[str, BoardRow | None]], theme: str) -> list[dict[str, Any]]:
    data = []
    for level, name, symbol, shift in (
        ("chain", "published, whole chains", "circle-open", -0.17),
        ("step", "published, single steps", "triangle-up-open", 0.17),
    ):
        pairs = [(i, r, getattr(r.published, level)) for i, (_, r) in enumerate(lines) if r is not None]
        values = [(i, r, v) for i, r, v in pairs if v]
        margin = {"type": "data", "array": [v[1] for *_, v in values], "thickness": 1.5, "width": 3}
        words = [f"{escaped(r.measure, 40)}<br>{name}: {v[0]:.2f} ± {v[1]:.2f}" for _, r, v in values]
        data.append(
            {"type": "scatter", "mode": "markers", "name": f"{name} (other models, other items)", "error_x": margin}
            | {"x": [v[0] for *_, v in values], "y": [i + shift for i, *_ in values], "text": words}
            | {"customdata": [[r.measure, "published"] for _, r, _ in values]}
            | {"marker": {"symbol": symbol, "size": 9, "color": ink(theme), "line": {"width": 2}}}
            | {"hovertemplate": "%{text}<br>" + PUBLISHED.removeprefix("published: ") + "<extra></extra>"}
        )
    return [trace for trace in data if trace["x"]]


def _hover(row: BoardRow, area: Area) -> str:
    within = "" if area.low is None or area.high is None else f" [{area.low:.2f}, {area.high:.2f}]"
    null = area.permuted or (None, None)
    lines = [f"<b>{escaped(row.measure, 40)}</b>: {area.auroc:.3f}{within}"]
    lines.append(f"{area.n_faithful} faithful, {area.n_unfaithful} unfaithful items")
    lines.append("" if area.ties is None else f"{area.ties:.1%} of pairs tie")
    lines.append("" if None in null else f"shuffled labels: {null[0]:.2f} to {null[1]:.2f}")
    lines.append(wrapped(row.sentence, 56))
    return "<br>".join(line for line in lines if line.strip())


def _minus(a: float | None, b: float | None) -> float:
    return 0.0 if a is None or b is None else max(0.0, a - b)


def _head(title: str, below: str, width: int) -> str:
    return f"<b>{wrapped(title, width)}</b><br>" + f'<span style="font-size:11px">{escaped(below, 60)}</span>'


def _sizes(tier: TierRow) -> str:
    words = [(tier.items, "items"), (tier.problems, "problems"), (tier.seeds, "seeds")]
    return ", ".join(f"{n} {name if n != 1 else name.removesuffix('s')}" for n, name in words if n)


def area_of(row: BoardRow, tier: str) -> tuple[float, Area] | None:
    """A measure's AUROC on a tier and all that is known of it; None where there is none."""
    area = row.auroc.get(tier)
    return None if area is None or area.auroc is None else (area.auroc, area)
