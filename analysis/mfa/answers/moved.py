"""Answers on attention under steering: how far every head's pattern moves, and one row of one head without and with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class MovedHeads:
    """How far a set-up moves every head's pattern on a text, as total variation (0 to 1), (L, H) float32, NaN where a
    layer has no softmax attention: ``mean`` over the queries but the first, ``worst`` of one, at ``query``.

    ``null`` (L, H): the mean of the means of random directions at the set-up's KL, and ``null_high`` the largest of
    them; ``null_worst``: the largest worst. ``kls``: KL of the next token after the text, the set-up's first, then that
    of each random direction, with whether it is the set-up's (``met``). ``labels`` of the tokens; ``acts``: blocks
    behind which, or in whose MLP, the set-up acts. ``same``: no bit of the attention differs.
    """

    labels: tuple[str, ...]
    acts: tuple[int, ...]
    kls: tuple[float, ...]
    met: tuple[int, ...]
    same: bool
    mean: np.ndarray
    worst: np.ndarray
    query: np.ndarray
    null: np.ndarray
    null_high: np.ndarray
    null_worst: np.ndarray


@dataclass(frozen=True)
class SteeredRow:
    """One query's attention in one head: ``base`` and ``steered`` (T,), and each of random directions at the set-up's
    KL, ``random`` (draws, T). ``moved``: total variation of the two, ``random_moved`` of each random direction;
    ``labels`` of the tokens;
    ``sentence``: where the attention went, for the reader."""

    sentence: str
    labels: tuple[str, ...]
    moved: float
    random_moved: tuple[float, ...]
    base: np.ndarray
    steered: np.ndarray
    random: np.ndarray
