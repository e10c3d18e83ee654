"""The parts of the blocks above a steer that can be held, and how an effect is shared out among them.

What a part does depends on what else is free: MLPs answer to what heads have carried. Held alone or free alone the
parts therefore do not sum to the effect; a mean over all orders of setting them free does.
"""

from __future__ import annotations

from itertools import combinations
from math import factorial

import numpy as np

PARTS = ("patterns", "values", "MLPs")
SETS = tuple(frozenset(some) for n in range(len(PARTS) + 1) for some in combinations(PARTS, n))
"""All sets of parts, the empty one first and the full one last."""


def shares_of(effects: np.ndarray) -> np.ndarray:
    """How an effect is shared out among the parts: (..., 4), for patterns, values, MLPs, and what goes past them all.

    ``effects`` (..., 8): the effect with each of SETS free, in their order. Each part gets the mean of what it adds
    over all orders in which the parts are set free (Shapley), so that the four sum to the effect with all free.
    """
    places = {some: n for n, some in enumerate(SETS)}
    total = len(PARTS)
    columns = []
    for part in PARTS:
        share = np.zeros(effects.shape[:-1])
        for some in SETS:
            if part not in some:
                weight = factorial(len(some)) * factorial(total - len(some) - 1) / factorial(total)
                share = share + weight * (effects[..., places[some | {part}]] - effects[..., places[some]])
        columns.append(share)
    return np.stack([*columns, effects[..., 0].astype(float)], -1)
