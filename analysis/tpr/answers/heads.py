"""Answers about the heads of an OthelloGPT: where they usually look, what goes wrong without one, and what an edit does
to their looks.

Squares are numbers from 0 to 63, moves are counted from 0, classes are 0 empty, 1 just moved, 2 to move. Arrays are
float32, but for ``truth``, which is uint8; (L, H) is by block and head.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class UsualAttention:
    """Attention from the move of one ply in ``games`` random games: ``mean`` and ``high`` (the 95 % point over the
    games), (L, H, T) by block, head and the move looked at."""

    games: int
    mean: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class OtherHead:
    """What another head, drawn at random, does in the same place when it is taken out: as in :class:`HeadRemoval`."""

    block: int
    head: int
    illegal: float
    wrong: int
    kl: float


@dataclass(frozen=True)
class HeadRemoval:
    """One position without one head at all moves. ``baseline``: what stood in its place; ``games``: over how many games
    its mean was taken (0: over this one, or none).

    ``layer``: the block after which the board is read, which is not before the head's. Probability on illegal moves
    and squares read wrongly, before and after; ``kl``: divergence of the next move from the plain prediction, in nats
    over the 60 squares. ``others``: heads drawn at random, the first of which has ``other_next`` and ``other_belief``.
    ``next_*`` (64,) probabilities of the next move; ``belief_*`` (64, 3) of the classes; ``truth`` (64,).
    """

    block: int
    head: int
    baseline: str
    games: int
    layer: int
    legal: tuple[int, ...]
    illegal_before: float
    illegal_after: float
    wrong_before: int
    wrong_after: int
    kl: float
    others: tuple[OtherHead, ...]
    next_before: np.ndarray
    next_after: np.ndarray
    other_next: np.ndarray
    belief_before: np.ndarray
    belief_after: np.ndarray
    other_belief: np.ndarray
    truth: np.ndarray


@dataclass(frozen=True)
class HeadsOfEdit:
    """How an edit of the last position changes what heads read from the moves at the edited squares.

    ``scale`` and ``blocks`` of the edit; ``squares``: the edited ones that have a move, ``unplayed``: those that have
    none, at which no head can look. (L, H), summed over ``squares``: attention ``before`` and ``after``; ``share``
    before and after: of the lengths of what the head writes. Controls: ``random`` (R, L, H) and ``random_share``, the
    same after random edits of the same length; ``wrong`` (W, L, H): attention after the same edit, of that length, on
    other squares (none without TPR probes, or without such a disc elsewhere); ``elsewhere`` (L, H): the mean size of
    the change over the moves at all other squares.
    """

    scale: float
    blocks: tuple[int, ...]
    squares: tuple[int, ...]
    unplayed: tuple[int, ...]
    before: np.ndarray
    after: np.ndarray
    share_before: np.ndarray
    share_after: np.ndarray
    random: np.ndarray
    random_share: np.ndarray
    wrong: np.ndarray
    elsewhere: np.ndarray
