"""Answers about whole games: how well the model plays one and reads its board, ply by ply, and how well it usually
does.

Position t of an array is after ply t + 1. Float32; NaN where nothing is measured.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RUN = 3
"""Plies in a row that make a lost board."""
LEAST = 4
"""Squares that are read wrongly at least, for a model that hardly ever errs does not lose the board by one."""


@dataclass(frozen=True)
class GameCourse:
    """One game: ``illegal`` (T,) probability on illegal moves, NaN where no move is left; ``first`` (T,) 1 where the
    most likely move is illegal; ``wrong`` (T,) squares that the ``probe`` reads wrongly after block ``layer``."""

    probe: str
    layer: int
    illegal: np.ndarray
    first: np.ndarray
    wrong: np.ndarray


@dataclass(frozen=True)
class UsualCourse:
    """The same of ``games`` random games: ``illegal`` (3, 59) and ``wrong`` (L, 3, 59), the 5 %, 50 % and 95 % points
    over the games; ``lost`` (L,): the share of them in which the model loses the board at some ply, by the rule of
    :func:`lost_runs`."""

    games: int
    probe: str
    illegal: np.ndarray
    wrong: np.ndarray
    lost: np.ndarray


def lost_runs(wrong: np.ndarray, high: np.ndarray) -> tuple[tuple[int, int], ...]:
    """Where the model has lost the board, (first ply, last ply) counted from 1: at least :data:`RUN` plies in a row
    with at least :data:`LEAST` squares read wrongly, and more than ``high``, the 95 % point of random games at that
    ply."""
    runs, start = [], None
    lost = [bool(w > h and w >= LEAST) for w, h in zip(wrong, high, strict=False)]
    for ply, now in enumerate([*lost, False], 1):
        if now and start is None:
            start = ply
        elif not now and start is not None:
            if ply - start >= RUN:
                runs.append((start, ply - 1))
            start = None
    return tuple(runs)
