"""Exact Shapley values of a game with few players, as one matrix product.

Up to eight units of a question make at most 256 coalitions, so nothing is sampled: with the weights of all coalitions
in one matrix, the values of a whole chain of tokens, one game each, are a single product.
"""

from __future__ import annotations

from functools import cache
from math import factorial

import numpy as np

MOST_PLAYERS = 8


@cache
def shapley_weights(players: int) -> np.ndarray:
    """(players, 2^players) float64: values = weights @ worths, column c being the coalition of the set bits of c.

    Player j's value is the mean, over orders of arrival, of what j adds to those before it.
    """
    coalitions = np.arange(2**players)
    member = (coalitions[None, :] >> np.arange(players)[:, None]) & 1 == 1
    size = member.sum(0)
    share = [factorial(s) * factorial(players - s - 1) / factorial(players) for s in range(players)] + [0.0]
    table = np.array(share)
    weights = np.asarray(np.where(member, table[size - 1], -table[size]))
    weights.setflags(write=False)
    return weights


def shapley_values(worths: np.ndarray) -> np.ndarray:
    """Shapley values (players, ...) of games with worths (2^players, ...), coalitions counted as set bits.

    Raises ValueError if the number of worths is no power of two.
    """
    players = len(worths).bit_length() - 1
    if len(worths) != 2**players:
        raise ValueError(f"a game has 2^players worths, not {len(worths)}")
    # What the empty coalition is worth belongs to nobody; taken off first, a game that nobody moves has values of 0
    # and not of rounding errors.
    return np.asarray(np.tensordot(shapley_weights(players), worths - worths[:1], 1))
