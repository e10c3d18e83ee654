"""The first line of the leaderboard: whether a measure tells the labels apart, tier by tier, in words.

A measure counts only where its whole interval lies above what shuffled labels give and its lead over answer confidence
above zero, from enough items; without this line a reader has to conclude it from three panels and a table.
"""

from __future__ import annotations

from collections.abc import Sequence

from analysis.faithfulness.answers.board import Area, Board, BoardRow, TierRow
from components.faithfulness.board_table import beats
from components.faithfulness.controls import ALL, CONFIDENCE
from components.faithfulness.style import free

TRUST = "Trust a measure only where it lies above the grey band of shuffled labels and above answer confidence."
CIRCULAR = " Measures that swap values are nearly circular here."


def standing(board: Board) -> list[str]:
    """A sentence for each tier that is shown, and what to trust; empty where nothing is ranked."""
    lines = [line for tier in board.tiers if tier.shown and (line := _tier(board, tier))]
    return [*lines, TRUST] if lines else []


def _tier(board: Board, tier: TierRow) -> str:
    rows = _ranked(board.rows, tier.tier)
    if not rows:
        return ""
    gaps = {gap.a: gap for gap in board.differences if gap.tier == tier.tier}
    above = [(row, area) for row, area in rows if _above(area)]
    good = [(row, area) for row, area in above if beats(gaps.get(row.measure), area)]
    measure, area = max(good or above or rows, key=lambda pair: pair[1].auroc or 0.0)
    within = "" if area.low is None or area.high is None else f" ({area.low:.2f} to {area.high:.2f})"
    best = f"Best: {measure.measure} {area.auroc:.2f}{within}"
    free_one = "" if tier.confidence is None else f"; {CONFIDENCE} alone has {tier.confidence:.2f}"
    if good:
        said = f"{len(good)} of {len(rows)} measures tell the labels apart. {best}{free_one}."
    elif above and tier.confidence is not None:
        said = (
            f"{len(above)} of {len(rows)} measures lie above shuffled labels, but none clearly above {CONFIDENCE}, "
            f"which costs nothing. {best}{free_one}."
        )
    else:
        said = f"None of {len(rows)} measures clearly tells the labels apart. {best}, where 0.5 is chance{free_one}."
    return f"{tier.title}{'' if tier.title.endswith('?') else '.'} {said}{CIRCULAR if tier.tier == '1' else ''}"


def _ranked(rows: Sequence[BoardRow], tier: str) -> list[tuple[BoardRow, Area]]:
    """The measures that cost something and were run on nearly all items of a tier."""
    areas = [(row, area) for row in rows if (area := row.auroc.get(tier)) is not None and area.auroc is not None]
    most = max((area.n_faithful + area.n_unfaithful for _, area in areas), default=0)
    return [(r, a) for r, a in areas if not free(r) and a.n_faithful + a.n_unfaithful >= ALL * most]


def _above(area: Area) -> bool:
    """Whether the whole interval lies above 95 % of what shuffled labels give."""
    high = None if area.permuted is None else area.permuted[1]
    return area.low is not None and high is not None and area.low > high
