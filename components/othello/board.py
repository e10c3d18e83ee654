"""Othello boards as plain data, and the container into which the browser draws them.

A page shows a dozen boards of 64 squares; as Dash components they would be a thousand elements for its renderer to walk
at every change. So React gets one empty element per board and the squares are drawn by `assets/frame/board.js` from
the data made here, which is checked here and says each square in words as well, for a screen reader and the tooltip.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
from dash import html

NAMES = tuple("ABCDEFGH"[s // 8] + str(s % 8 + 1) for s in range(64))
CENTRE = (27, 28, 35, 36)
COLOURS = ("empty", "black", "white")


class BoardData(TypedDict):
    """What the browser draws on one board, as :func:`board_data` checks and makes it."""

    discs: list[int]
    shades: list[float] | None
    heat: list[float | None] | None
    kind: str
    max: float
    legend: str
    legal: list[int]
    wrong: list[int]
    last: int | None
    selected: list[int]
    texts: list[str] | None
    labels: list[str]


Boards = dict[str, BoardData]
"""Boards by the ids of their containers."""


def board(name: str, label: str, playable: bool = False, queue: str = "", edits: str = "") -> Any:
    """The container of a board.

    ``queue``: the queue of presses (assets/frame/presses.js) that is told of pressed squares, if it is playable;
    ``edits``: the one that is told of squares pressed with the right button or with Shift and Enter, if that shall mean
    something else.
    """
    extra = {"data-queue": queue, **({"data-edits": edits} if edits else {})} if playable else {}
    kind = "attune-board attune-board-playable" if playable else "attune-board"
    return html.Div(id=name, className=kind, role="group", **{"aria-label": label, **extra})


def board_data(
    discs: Sequence[int],
    shades: Sequence[float] | None = None,
    heat: Sequence[float] | None = None,
    heat_kind: str = "sequential",
    heat_max: float = 1.0,
    legend: str = "",
    legal: Sequence[int] = (),
    wrong: Sequence[int] = (),
    last: int | None = None,
    selected: Sequence[int] = (),
    texts: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
) -> BoardData:
    """What one board shows.

    ``discs``: 64 of 0 none, 1 black, 2 white. ``shades``: opacity of each disc in 0..1. ``heat``: a number on each
    square, drawn on a scale from 0 (or minus ``heat_max``, for ``"diverging"``) to ``heat_max``; NaN leaves a square
    bare. ``legal``, ``wrong``, ``selected``, ``last``: marked squares. ``texts``: up to six characters on a square.
    ``labels``: each square in words. Raises ValueError for a wrong length or number.
    """
    _length(discs, "discs")
    if any(d not in (0, 1, 2) for d in discs):
        raise ValueError("discs are 0, 1 or 2")
    if heat_kind not in ("sequential", "diverging"):
        raise ValueError("heat is sequential or diverging")
    for group in (legal, wrong, selected, () if last is None else (last,)):
        if any(not 0 <= int(s) < 64 for s in group):
            raise ValueError("squares run from 0 to 63")
    for rows, what in ((shades, "shades"), (heat, "heat"), (texts, "texts"), (labels, "labels")):
        if rows is not None:
            _length(rows, what)
    values = None if heat is None else [None if not np.isfinite(v) else round(float(v), 4) for v in heat]
    return {
        "discs": [int(d) for d in discs],
        "shades": None if shades is None else [round(min(1.0, max(0.0, float(v))), 3) for v in shades],
        "heat": values,
        "kind": heat_kind,
        "max": max(1e-9, float(heat_max)),
        "legend": legend,
        "legal": [int(s) for s in legal],
        "wrong": [int(s) for s in wrong],
        "last": None if last is None else int(last),
        "selected": [int(s) for s in selected],
        "texts": list(texts) if texts is not None else None,
        "labels": list(labels) if labels is not None else [f"{NAMES[s]}, {COLOURS[d]}" for s, d in enumerate(discs)],
    }


def _length(rows: Sequence[Any], what: str) -> None:
    if len(rows) != 64:
        raise ValueError(f"{what} must have 64 entries, not {len(rows)}")


def by_square(shares: Any) -> np.ndarray:
    """Probabilities (64,) by square, from those or from (61,) by token: 0 padding, then the squares off the centre."""
    p = np.asarray(shares, dtype=float)
    if p.shape == (61,):
        board_shares = np.zeros(64)
        board_shares[[s for s in range(64) if s not in CENTRE]] = p[1:]
        return board_shares
    if p.shape != (64,):
        raise ValueError(f"probabilities must be (64,) by square or (61,) by token, not {p.shape}")
    return p


def belief_board(probabilities: Any, truth: Any, just_moved: int) -> BoardData:
    """The board that a probe reads: probabilities (64, 3) of empty, just moved, to move; ``just_moved`` is 1 or 2.

    Opacity is the probability of the class read, where that is a disc; wrong squares get a cross.
    """
    p, true = np.asarray(probabilities, dtype=float), np.asarray(truth)
    if p.shape != (64, 3) or true.shape != (64,):
        raise ValueError(f"probabilities must be (64, 3) and truth (64,), not {p.shape} and {true.shape}")
    if just_moved not in (1, 2):
        raise ValueError("the side that just moved is 1 black or 2 white")
    colour = (0, just_moved, 3 - just_moved)
    read = p.argmax(-1)
    labels = []
    for s in range(64):
        shares = ", ".join(f"{COLOURS[colour[c]]} {p[s, c]:.0%}" for c in np.argsort(-p[s]))
        words = f"{NAMES[s]}: read as {COLOURS[colour[read[s]]]} ({shares})"
        labels.append(words if read[s] == true[s] else f"{words}; wrong, it is {COLOURS[colour[int(true[s])]]}")
    return board_data(
        discs=[colour[c] for c in read],
        shades=[float(p[s, read[s]]) for s in range(64)],
        wrong=[s for s in range(64) if read[s] != true[s]],
        labels=labels,
    )


def next_move_board(shares: Any, legal: Sequence[int], discs: Sequence[int], last: int | None) -> BoardData:
    """Probability of each next move as heat and number, legal squares outlined, the discs in place."""
    p = by_square(shares)
    open_squares = set(legal)
    heat = [float(p[s]) if not discs[s] else float("nan") for s in range(64)]
    labels = [
        f"{NAMES[s]}: {p[s]:.1%}, {'legal' if s in open_squares else COLOURS[discs[s]] if discs[s] else 'illegal'}"
        for s in range(64)
    ]
    texts = [f"{100 * p[s]:.0f}" if p[s] >= 0.005 and not discs[s] else "" for s in range(64)]
    return board_data(
        discs=discs,
        shades=[0.55 if d else 0.0 for d in discs],
        heat=heat,
        heat_max=max(0.05, float(p.max())),
        legend="probability in %",
        legal=legal,
        last=last,
        texts=texts,
        labels=labels,
    )


def difference_board(
    before: Any, after: Any, legal_before: Sequence[int], legal_after: Sequence[int], top: float | None = None
) -> BoardData:
    """Change of the next-move probabilities; squares legal on the edited board are outlined. ``top``: the end of the
    scale, where boards share one; else the largest change."""
    change = by_square(after) - by_square(before)
    became, ceased = set(legal_after) - set(legal_before), set(legal_before) - set(legal_after)
    labels = []
    for s in range(64):
        text = f"{NAMES[s]}: {change[s]:+.1%}"
        text += "; became legal" if s in became else "; is no longer legal" if s in ceased else ""
        labels.append(text)
    return board_data(
        discs=[0] * 64,
        heat=change.tolist(),
        heat_kind="diverging",
        heat_max=max(0.02, float(np.abs(change).max()) if top is None else top),
        legend="change in points",
        legal=legal_after,
        texts=[f"{100 * c:+.0f}" if abs(c) >= 0.005 else "" for c in change],
        labels=labels,
    )


def value_board(values: Any, diverging: bool, title: str) -> BoardData:
    """Any number per square."""
    v = np.asarray(values, dtype=float)
    top = float(np.nanmax(np.abs(v))) if np.isfinite(v).any() else 1.0
    return board_data(
        discs=[0] * 64,
        heat=v.tolist(),
        heat_kind="diverging" if diverging else "sequential",
        heat_max=top or 1.0,
        legend=title,
        texts=[f"{x:.1f}" if np.isfinite(x) and abs(x) >= 0.05 * (top or 1) else "" for x in v],
        labels=[f"{NAMES[s]}: {v[s]:.2f} {title}" for s in range(64)],
    )


def cosine_board(values: Any, name: str) -> BoardData:
    """Cosines from -1 to 1, one per square."""
    v = np.asarray(values, dtype=float)
    return board_data(
        discs=[0] * 64,
        heat=v.tolist(),
        heat_kind="diverging",
        heat_max=1.0,
        legend="cosine",
        texts=[f"{round(x, 2) + 0.0:.2f}".replace("0.", ".") if np.isfinite(x) else "" for x in v],
        labels=[f"{NAMES[s]}: cosine {v[s]:.3f}" for s in range(64)],
    )
