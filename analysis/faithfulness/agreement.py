"""Whether two measures call the same chains faithful: Cohen's kappa, pair by pair, all pairs at once.

Two measures that call nearly everything the same way agree often by chance alone; kappa takes that away. It is 0 for
independent calls, 1 for equal ones, and undefined (nan) where both measures call every chain alike.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from analysis.errors import UserError
from analysis.faithfulness.scoring import Array, as_numbers


def kappa(a: Any, b: Any) -> float:
    """Cohen's kappa of two lists of calls (N,), True for faithful; None where one is missing leaves the pair out."""
    if len(a) != len(b):
        raise UserError(f"Both measures must have a call for each item; there are {len(a)} and {len(b)}.")
    return float(kappa_matrix([a, b])[0, 1])


def kappa_matrix(calls: Any) -> Array:
    """Kappa between all measures, (M, M) float64, from calls (M, N) of True, False or None.

    Each pair uses the items that both have called. nan where there is none, or where both call all of them alike.
    """
    table = np.atleast_2d(as_numbers(calls, "calls"))
    if not np.isin(table[~np.isnan(table)], (0.0, 1.0)).all():
        raise UserError("A call must be true (faithful), false (unfaithful) or None (not measured).")
    there = (~np.isnan(table)).astype(np.float64)
    yes = (table == 1).astype(np.float64)
    no = (table == 0).astype(np.float64)
    both = there @ there.T
    same = yes @ yes.T + no @ no.T
    mine, theirs = yes @ there.T, there @ yes.T
    nothing = both == 0
    n = np.where(nothing, 1.0, both)
    by_chance = (mine * theirs + (both - mine) * (both - theirs)) / n**2
    undefined = nothing | (by_chance >= 1.0)
    found = (same / n - by_chance) / np.where(undefined, 1.0, 1.0 - by_chance)
    return np.where(undefined, np.nan, found)
