"""Answers about changing the board inside the model: one edit, the table of many, and the stories.

Squares are numbers from 0 to 63, classes 0 empty, 1 just moved, 2 to move.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from analysis.answer import Absent


@dataclass(frozen=True)
class RepairRow:
    """After block ``layer``: how many of the ``edited`` squares are read as the ``target``, and how many of the
    ``others`` are the ``same`` as without the edit."""

    layer: int
    target: int
    edited: int
    same: int
    others: int


@dataclass(frozen=True)
class PositionEdit:
    """Everything that follows from one edit.

    ``scale`` of the vector added, in units of a length (``unit``, for each block of the model: a tenth of the stream's
    median length there, or 1), after the blocks ``layers``. Legal squares and side to move on the real board and on the
    edited one. Errors against the legal moves of the edited board: ``null`` without the edit, ``errors_after`` with it,
    which are ``false_positives`` (over 1 %, not legal) and ``false_negatives``. ``before`` and ``after`` (64,)
    probabilities of the next move; ``beliefs`` and ``clean`` (L, 64, 3) probabilities of the classes by the TPR probe
    after each block, with and without the edit; ``crosstalk`` (64,) predicted change of each square's target-minus-
    source logit. All float32.
    """

    scale: float
    unit: tuple[float, ...]
    layers: tuple[int, ...]
    legal_before: tuple[int, ...]
    legal_after: tuple[int, ...]
    side_before: str
    side_after: str
    null: int
    errors_after: int
    false_positives: tuple[int, ...]
    false_negatives: tuple[int, ...]
    repair: tuple[RepairRow, ...]
    before: np.ndarray
    after: np.ndarray
    beliefs: np.ndarray
    clean: np.ndarray
    crosstalk: np.ndarray


@dataclass(frozen=True)
class TrialRow:
    """A method at one way to choose its scale (``choice``), over ``cases``: ``mean`` errors a case with the 95 %
    bootstrap interval from ``low`` to ``high``; ``null`` without an edit; share of ``exact`` boards; ``top_n`` and
    ``null_top_n``, errors of the N most likely moves; the mean ``scale``; ``own``, mean errors of the unedited model
    against the board as it is, None in tables that were measured before it was."""

    method: str
    title: str
    choice: str
    mean: float
    low: float
    high: float
    null: float
    null_top_n: float
    exact: float
    top_n: float
    scale: float
    cases: int
    own: Annotated[float | None, Absent()] = None


@dataclass(frozen=True)
class TrialSettings:
    """What was drawn, and the blocks after which it was edited."""

    cases: int
    squares: int
    seed: int
    labels: str
    layers: tuple[int, ...]


@dataclass(frozen=True)
class TrialTable:
    """Many edits by all methods. ``perfect``: mean errors of a perfect player that ignores the edit; ``lengths``: of
    one unit of the scale in the stream, after each block that was edited; None in tables that were made before they
    were kept."""

    rows: tuple[TrialRow, ...]
    perfect: float
    caption: str
    settings: TrialSettings
    lengths: Annotated[tuple[float, ...] | None, Absent()] = None


@dataclass(frozen=True)
class Story:
    """A position worth showing: the game, the ``ply`` under the cursor, (square, target class) ``edits``, what the page
    is set to, and what is to be seen in words. ``squares``: those that it speaks of, to be marked on the boards;
    ``criterion``: how it was found, empty in stories of an earlier version, whose ``text`` ends with it; ``scale`` of
    its edit, in tenths of the stream."""

    moves: tuple[int, ...]
    ply: int
    text: str
    edits: tuple[tuple[int, int], ...]
    labels: str
    tab: str
    layer: int
    squares: tuple[int, ...] = ()
    criterion: str = ""
    scale: Annotated[float | None, Absent()] = None
