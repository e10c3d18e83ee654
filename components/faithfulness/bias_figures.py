"""What each measure calls faithful at a threshold, and whether measures call the same items so.

Both are drawn at the measures' own thresholds or at moved ones; the browser moves bars and cells while a threshold is
dragged (assets/faithfulness/board.js).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from analysis.faithfulness.agreement import kappa_matrix
from analysis.faithfulness.answers.board import Board, BoardRow, TierScores
from components.faithfulness.board_figures import area_of
from components.faithfulness.controls import of_kappa, of_labels
from components.faithfulness.style import (
    LABELS,
    by_family,
    family_axis,
    family_lines,
    ink,
    label_colour,
    note,
    study_facts,
)
from components.kit.figure import Figure, figure
from components.kit.figure_card import blank
from components.kit.labels import escaped
from components.kit.part import Table
from components.kit.style import ABOVE, colour_bar, hatched, titled
from components.kit.theme import DIVERGING
from components.kit.view import Drawing, view


@dataclass(frozen=True)
class ThresholdOptions:
    """Thresholds that were moved, by measure; the others are the measures' own."""

    thresholds: dict[str, float] = field(default_factory=dict)

    def levels(self, scores: TierScores) -> dict[str, float]:
        """The threshold that holds, for each measure that has one."""
        return {name: self.thresholds.get(name, own) for name, own in scores.thresholds.items()}


DASHED = "Dashed: the share labelled faithful. A measure far from it leans to one answer, whatever the item."
NOT_RANKED = "These items are shown and not ranked. A measure near an end leans to one answer, whatever the item."


@view("faithfulness/bias", Board, TierScores, options=ThresholdOptions)
def bias(board: Board, scores: TierScores, options: ThresholdOptions, theme: str) -> Drawing:
    """The share of a tier's items that each measure calls faithful at its threshold, and the share that is (dashed).

    Measures without a threshold or a score are left out. A bar's customdata is (measure, tier, of how many items).
    """
    levels = options.levels(scores)
    counts = {row.measure: sum(s is not None for s in scores.column(row.measure)) for row in board.rows}
    shares = called_shares(scores, levels)
    caption = DASHED if scores.tier in board.kappa.tiers else NOT_RANKED
    rows = [row for row in board.rows if row.measure in shares]
    counted = {name: count for name, count in counts.items() if name in levels}
    facts = study_facts(board) | {"thresholds": levels, "called": shares, "counted": counted}
    table = tuple((row.measure, levels[row.measure], shares[row.measure], counts[row.measure]) for row in rows)
    return Drawing(
        _bias(rows, scores.tier, levels, shares, counts, theme),
        caption,
        facts,
        parts=(Table("", ("measure", "threshold", "called faithful", "of items"), table),) if table else (),
        control=of_labels([point.label for point in scores.points]),
        numbers={f"called faithful, {row.measure}": shares[row.measure] for row in rows},
    )


def called_shares(scores: TierScores, thresholds: Mapping[str, float]) -> dict[str, float]:
    """The share of measured items whose score reaches the threshold, for each measure that has one."""
    shares = {}
    for name, threshold in thresholds.items():
        known = [s for s in scores.column(name) if s is not None]
        if known:
            shares[name] = sum(s >= threshold for s in known) / len(known)
    return shares


def _bias(
    rows: Sequence[BoardRow],
    tier: str,
    thresholds: Mapping[str, float],
    shares: Mapping[str, float],
    counts: Mapping[str, int],
    theme: str,
) -> Figure:
    if not rows:
        return blank(400, "no measure has a threshold here")
    lines = by_family(rows)
    called = [(i, r, shares[r.measure]) for i, (_, r) in enumerate(lines) if r is not None]
    counts = {r.measure: counts[r.measure] for r in rows}
    most = max(counts.values())
    # A measure that was run on a few items says so: its share is no share of all.
    words = {n: f"  ≥ {float(f'{t:.2g}'):g}".replace("-", "−") for n, t in thresholds.items()}
    words |= {n: f"{words.get(n, '')} (n = {c})" for n, c in counts.items() if 0 < c < most}
    of = {n: f" of {c} items" if c else "" for n, c in counts.items()}
    data = []
    for label, hatch in ((True, ""), (False, "/")):
        parts = [s if label else 1 - s for *_, s in called]
        data.append(
            {"type": "bar", "orientation": "h", "name": f"called {LABELS[label]}", "x": parts}
            | {"y": [i for i, *_ in called], "customdata": [[r.measure, tier, of[r.measure]] for _, r, _ in called]}
            | {"marker": {"color": label_colour(label, theme), "pattern": hatched(hatch)}, "width": 0.72}
            | {"text": [_percent(s) if label else "" for s in parts], "textposition": "none"}
            | {"hovertemplate": "%{customdata[0]}: %{x:.1%}%{customdata[2]}<extra>called " + LABELS[label] + "</extra>"}
        )
    notes = [
        {"xref": "paper", "x": 1.01, "y": i, "text": _percent(s), "showarrow": False, "xanchor": "left"}
        | {"font": {"size": 12, "color": label_colour(True, theme)}}
        for i, _, s in called
    ]
    notes.append(note("faithful", 1.01, 1.0, "left", "bottom", 12, label_colour(True, theme)))
    shapes = family_lines(lines)
    areas = [area[1] for r in rows if (area := area_of(r, tier))]
    sizes = max(areas, key=lambda a: a.n_faithful + a.n_unfaithful, default=None)
    if sizes is not None:
        true = sizes.n_faithful / max(sizes.n_faithful + sizes.n_unfaithful, 1)
        shapes.append(
            {"type": "line", "x0": true, "x1": true, "yref": "paper", "y0": 0, "y1": 1}
            | {"line": {"color": ink(theme), "width": 2, "dash": "dash"}}
        )
        notes.append(note(f"labelled faithful: {true:.0%}", true, 1.0, "center", "bottom", 12, None) | {"xref": "x"})
    return figure(
        data,
        theme,
        barmode="stack",
        xaxis=titled("share of items called faithful") | {"range": [0, 1], "tickformat": ".0%"},
        yaxis=family_axis(lines, words),
        shapes=shapes,
        annotations=notes,
        legend=ABOVE | {"y": -0.12, "yanchor": "top", "traceorder": "normal"},
        margin={"l": 56, "r": 60, "t": 28, "b": 76},
        uirevision="bias",
    )


def _percent(share: float) -> str:
    """Halves go up, as in the browser, which moves these bars."""
    return f"{math.floor(100 * share + 0.5)}%"


@view("faithfulness/agreement", Board, TierScores, options=ThresholdOptions)
def kappa_map(board: Board, scores: TierScores, options: ThresholdOptions, theme: str) -> Drawing:
    """Cohen's kappa of every pair of measures on a tier, numbers in the cells, 0 (chance) in the middle of the scale.
    Measures that were run on fewer items than others say so."""
    names = [name for name in board.kappa.measures if name in scores.thresholds]
    table = np.array([scores.column(name) for name in names], float).reshape(len(names), len(scores.points))
    levels = options.levels(scores)
    there = np.isfinite(table)
    calls = np.where(there, table >= np.array([levels[name] for name in names])[:, None], np.nan)
    most = max((sum(s is not None for s in scores.column(name)) for name in scores.thresholds), default=0)
    caption = f"Cohen's kappa of what is called faithful at these thresholds, on up to {len(scores.points)} items"
    few = any(count < most for count in there.sum(1))
    caption += "; a measure with n beside its name was run on that many." if few else "."
    values = kappa_matrix(calls) if table.size else np.zeros((0, 0))
    picture = _kappa_map(names, values, there.astype(int) @ there.T.astype(int), theme)
    facts = study_facts(board) | {"thresholds": levels}
    if picture["data"]:
        facts["kappa"] = {"measures": names, "below_the_diagonal": picture["data"][0]["z"]}
    pairs = _pairs(names, values)
    return Drawing(picture, caption, facts, control=of_kappa(pairs) if pairs else None, numbers=pairs)


def _pairs(names: Sequence[str], kappa: np.ndarray) -> dict[str, float]:
    """Kappa of every pair that has one, each pair once."""
    cells = {(i, j): float(kappa[i, j]) for i in range(len(names)) for j in range(i)}
    return {f"{names[i]} and {names[j]}": value for (i, j), value in cells.items() if math.isfinite(value)}


def _kappa_map(names: Sequence[str], kappa: np.ndarray, counts: np.ndarray, theme: str) -> Figure:
    """``kappa`` (M, M), nan where a pair has none; ``counts`` (M, M) of the items that both were run on."""
    if len(names) < 2 or not kappa.size:
        return blank(400, "no pair of measures was compared here")
    values = [[None if math.isnan(v) else float(v) for v in row] for row in kappa]
    # Each pair once: below the diagonal. The cells' names are their places on the axes, because Dash drops the
    # customdata of heatmap cells from clickData (it keeps that of scatter points).
    down, across = names[1:], names[:-1]
    z = [[values[i + 1][j] if j <= i else None for j in range(len(across))] for i in range(len(down))]
    words = [["" if v is None else _kappa(v) for v in row] for row in z]
    most = int(counts.diagonal().max())
    labels = [
        escaped(n, 40) + (f" (n = {c})" if c < most else "") for n, c in zip(names, counts.diagonal(), strict=True)
    ]
    on = [[f"<br>on {counts[i + 1, j]} items" for j in range(len(across))] for i in range(len(down))]
    trace = {
        "type": "heatmap",
        "x": list(range(len(across))),
        "y": list(range(len(down))),
        "z": z,
        "text": words,
        "texttemplate": "%{text}",
        "textfont": {"size": 12},
        "customdata": [
            [[escaped(a, 40), escaped(b, 40), n] for b, n in zip(across, row, strict=True)]
            for a, row in zip(down, on, strict=True)
        ],
        "hovertemplate": "%{customdata[0]}<br>%{customdata[1]}<br>kappa %{z:.3f}%{customdata[2]}<extra></extra>",
        "hoverongaps": False,
        "colorscale": DIVERGING,
        "zmin": -1,
        "zmid": 0,
        "zmax": 1,
        "xgap": 1,
        "ygap": 1,
        "colorbar": colour_bar("Cohen's kappa"),
    }
    axis = {"showgrid": False, "zeroline": False, "tickmode": "array", "ticklen": 0}
    empty = any(v is None for i, row in enumerate(z) for v in row[: i + 1])
    said = "0: as often alike as by chance" + ("<br>empty: both call every chain alike, or share none" if empty else "")
    return figure(
        [trace],
        theme,
        xaxis=axis | {"tickvals": list(range(len(across))), "ticktext": labels[:-1], "tickangle": -35},
        yaxis=axis
        | {"tickvals": list(range(len(down))), "ticktext": labels[1:], "ticksuffix": " "}
        | {"range": [len(down) - 0.5, -0.5]},
        annotations=[note(said, 0.98, 0.98, "right", "top", 13, None)],
        margin={"l": 56, "r": 8, "t": 12, "b": 60},
        uirevision="kappa",
    )


def _kappa(value: float) -> str:
    """Two digits without the nought before the point: cells are narrow."""
    digits = f"{abs(value):.2f}"
    sign = "−" if value < 0 and float(digits) else ""
    return sign + (digits if digits.startswith("1") else digits[1:])
