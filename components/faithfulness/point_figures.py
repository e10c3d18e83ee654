"""Every item as a point: importance against truth, and the scores of each measure by label.

What a point is (its item) travels as customdata, so that a click opens the item and one item can be ringed in every
panel. Symbols and colours are those of :mod:`components.faithfulness.style`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.faithfulness.answers.board import Board, ScorePoint, TierScores
from components.faithfulness.controls import of_measure, of_tiers
from components.faithfulness.style import LABELS, free, ink, marker, note, ring, study_facts
from components.kit.figure import Figure, figure
from components.kit.figure_card import blank
from components.kit.labels import escaped
from components.kit.style import ABOVE, titled, wrapped
from components.kit.theme import REMAINDER
from components.kit.view import Drawing, view

FEW_POINTS = 10
"""A rank correlation of fewer items is often large by chance: of five, one order in fifteen gives 0.8 or more."""
_Point = tuple[ScorePoint, float, float | None]
"""An item, its score, and its importance."""


@dataclass(frozen=True)
class TruthOptions:
    """The measure, the one that stands for importance, and the item that is ringed, "" for none."""

    measure: str
    importance: str
    item: str = ""


@view("faithfulness/importance and truth", TierScores, Board, options=TruthOptions)
def importance_truth(scores: TierScores, board: Board, options: TruthOptions, theme: str) -> Drawing:
    """Each item's score by one measure against its importance; colour and symbol say whether it is true.

    A measure that sees nothing but importance makes one diagonal of both colours. A point's customdata is its item; the
    measure's threshold is dashed.
    """
    measure, by = options.measure, options.importance
    columns = zip(scores.points, scores.column(measure), scores.column(by), strict=True)
    points = [(point, score, x) for point, score, x in columns if score is not None and x is not None]
    threshold = scores.thresholds.get(measure)
    area = board.area(measure, scores.tier)
    caption = _truth_caption(points, options, area, threshold)
    numbers = {"items": float(len(points))} | ({} if area is None else {"AUROC": area})
    follows = _follows(points)
    return Drawing(
        _truth(points, options, threshold, theme),
        caption,
        study_facts(board),
        control=of_measure(board, measure, scores.tier),
        numbers=numbers if follows is None else numbers | {"rank correlation with importance": follows},
        hint="Click a point to open its item." if points else "",
    )


def _follows(points: Sequence[tuple[ScorePoint, float, float]]) -> float | None:
    """The rank correlation of the scores with importance."""
    return rank_correlation(np.array([x for *_, x in points]), np.array([score for _, score, _ in points]))


def _truth(
    points: Sequence[tuple[ScorePoint, float, float]], options: TruthOptions, threshold: float | None, theme: str
) -> Figure:
    if not points:
        return blank(400, "no item has both scores")
    data = [
        _cloud(mine, [x for *_, x in mine], label, theme, options.measure)
        | {"marker": marker(label, theme, 9), "opacity": 0.85}
        for label in LABELS
        if (mine := [p for p in points if p[0].label is label])
    ]
    rings = [p for p in points if p[0].item == options.item]
    if rings:
        data.append(ring([x for *_, x in rings], [score for _, score, _ in rings], theme))
    dashed = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "line": {"color": REMAINDER, "dash": "dash"}}
    return figure(
        data,
        theme,
        xaxis=titled(f"importance: {escaped(options.importance, 40)}") | {"zeroline": False},
        yaxis=titled(escaped(options.measure, 40)) | {"zeroline": False},
        shapes=[] if threshold is None else [dashed | {"y0": threshold, "y1": threshold}],
        legend=ABOVE | {"itemsizing": "constant"},
        hovermode="closest",
        uirevision="truth",
    )


def _truth_caption(
    points: Sequence[tuple[ScorePoint, float, float]],
    options: TruthOptions,
    area: float | None,
    threshold: float | None,
) -> str:
    """How closely the score follows importance, and how well it tells the label."""
    measure, by = options.measure, options.importance
    words = "Dashed: the threshold. " if points and threshold is not None else ""
    follows = _follows(points)
    if measure == by:
        words += f"{measure} against itself: the diagonal that every copy of importance would make. "
    elif follows is not None:
        rank = f"{follows:+.2f}".replace("-", "−")
        words += f"Rank correlation of {measure} with {by}: {rank} over {len(points)} items"
        words += ". " if len(points) >= FEW_POINTS else ", too few to tell it from chance. "
    if area is not None:
        words += f"AUROC of {measure} for the label: {area:.2f}. "
    return words.strip()


def rank_correlation(x: np.ndarray, y: np.ndarray) -> float | None:
    """Spearman's correlation of two lists (N,) with mid-ranks; None where one of them is constant or too short."""
    if len(x) < 3:
        return None
    a, b = _ranks(x), _ranks(y)
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    return None if size == 0 else float(a @ b) / size


def _ranks(values: np.ndarray) -> np.ndarray:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[place], float)


@dataclass(frozen=True)
class DistributionOptions:
    """Whether free baselines have panels too, and the item that is ringed, "" for none."""

    free: bool = False
    item: str = ""


@view("faithfulness/distributions", TierScores, Board, options=DistributionOptions)
def distributions(scores: TierScores, board: Board, options: DistributionOptions, theme: str) -> Drawing:
    """Every score of a tier as a point, a panel for each measure with a lane for each label, and the threshold dashed.

    Panels have scales of their own: not all scores are shares. A point's customdata is its item, so that one click can
    ring it everywhere.
    """
    names = [row.measure for row in board.rows if options.free or not free(row)]
    counts = [("faithful", True), ("unfaithful", False), ("without a label", None)]
    sizes = [(sum(p.label is label for p in scores.points), name) for name, label in counts]
    words = ", ".join(f"{n} {name}" for n, name in sizes if n)
    caption = (
        f"{words[:1].upper()}{words[1:]}. Dashed: the threshold. Every panel has a scale of its own; a point's place "
        "across its lane means nothing."
    )
    return Drawing(
        _panels(scores, names, options.item, theme),
        caption,
        study_facts(board),
        control=of_tiers(board, (scores.tier,)),
        numbers={f"items, {name}": float(n) for n, name in sizes if n},
        hint="Click a point to open its item; it is ringed in every panel." if scores.points else "",
    )


def _panels(scores: TierScores, measures: Sequence[str], chosen: str, theme: str) -> Figure:
    columns = {m: scores.column(m) for m in measures}
    shown = [m for m, column in columns.items() if any(s is not None for s in column)]
    if not shown:
        return blank(400, f"no scores in tier {escaped(scores.tier, 20)}")
    importance = scores.column(scores.importance)
    across = min(len(shown), 5)
    down = -(-len(shown) // across)
    labels = [label for label in LABELS if any(p.label is label for p in scores.points)]
    width, height = (1 - 0.055 * (across - 1)) / across, (1 - 0.12 * (down - 1)) / down
    data, layout, notes, shapes = [], {}, [], []
    for i, name in enumerate(shown):
        number = str(i + 1) if i else ""
        left, top = (i % across) * (width + 0.055), 1 - (i // across) * (height + 0.12)
        for lane, label in enumerate(labels):
            mine: list[_Point] = [
                (point, score, x)
                for point, score, x in zip(scores.points, columns[name], importance, strict=True)
                if point.label is label and score is not None
            ]
            places = [lane + 0.62 * (_spread(k) - 0.5) for k in range(len(mine))]
            data.append(
                _cloud(mine, places, label, theme, name)
                | {"xaxis": f"x{number}", "yaxis": f"y{number}", "legendgroup": str(label), "showlegend": i == 0}
                | {"marker": marker(label, theme, 6), "opacity": 0.75}
            )
            data += [
                ring([x], [score], theme) | {"xaxis": f"x{number}", "yaxis": f"y{number}"}
                for (point, score, _), x in zip(mine, places, strict=True)
                if point.item == chosen
            ]
        threshold = scores.thresholds.get(name)
        if threshold is not None:
            shapes.append(
                {"type": "line", "xref": f"x{number} domain", "x0": 0, "x1": 1, "yref": f"y{number}"}
                | {"y0": threshold, "y1": threshold, "line": {"color": ink(theme), "dash": "dash", "width": 1.2}}
            )
        layout[f"xaxis{number}"] = {
            "domain": [round(left, 4), round(min(1.0, left + width), 4)],
            "anchor": f"y{number}",
            "range": [-0.6, len(labels) - 0.4],
            "tickvals": list(range(len(labels))),
            "ticktext": [LABELS[label] for label in labels],
            "showgrid": False,
            "zeroline": False,
        }
        layout[f"yaxis{number}"] = {
            "domain": [round(max(0.0, top - height), 4), round(top, 4)],
            "anchor": f"x{number}",
            "zeroline": False,
            "nticks": 5,
        }
        notes.append(note(escaped(name, 32), left, top, "left", "bottom", 13, None) | {"yshift": 5})
    return figure(
        data,
        theme,
        **layout,
        shapes=shapes,
        annotations=notes,
        showlegend=False,
        margin={"l": 44, "r": 8, "t": 28, "b": 32},
        hovermode="closest",
        uirevision="distributions" + scores.tier,
    )


def _cloud(
    points: Sequence[_Point], x: Sequence[float], label: bool | None, theme: str, measure: str
) -> dict[str, Any]:
    words = [
        wrapped(point.text, 56) + f"<br>{LABELS[label]}, {escaped(point.regime, 20)}"
        f"<br>{escaped(measure, 40)}: {score:.3f}" + ("" if importance is None else f"<br>importance: {importance:.3f}")
        for point, score, importance in points
    ]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": LABELS[label],
        "x": list(x),
        "y": [score for _, score, _ in points],
        "text": words,
        "customdata": [point.item for point, *_ in points],
        "hovertemplate": "%{text}<extra></extra>",
    }


def _spread(k: int) -> float:
    # Multiples of the golden ratio: neighbours lie apart, and the same items always lie at the same places.
    return (0.5 + k * 0.6180339887498949) % 1.0
