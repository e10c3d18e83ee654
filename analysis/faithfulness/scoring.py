"""How well a score tells faithful items from unfaithful ones: AUROC with ties, its standard error, shares, lengths.

Everything here is a function of plain lists: a score per item (None or NaN where it could not be measured) and a label
per item (True for faithful, the positive class; None where it is unknown). Nothing turns a score around: a measure
below 0.5 is reported below 0.5. Where one class is missing there is no AUROC, and the answer is nan, not a warning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from analysis.errors import UserError

Array = np.ndarray[Any, np.dtype[np.float64]]
MAX_BINS = 6
"""More lengths than this are put together, so that no bin holds a handful of items."""


def as_numbers(values: Any, what: str = "scores") -> Array:
    """Plain values as float64, None as nan. Raises UserError where something is not a number."""
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise UserError(f"The {what} must be numbers (or None where one is missing).") from None


def counted(scores: Any, labels: Any) -> tuple[Array, np.ndarray, np.ndarray]:
    """The items that have both a score and a label: scores (n,), labels (n,) bool, and where they stand (N,) bool.

    Raises UserError if there are not as many labels as scores, or if a label is not True, False or None.
    """
    s, y = as_numbers(scores), as_numbers(labels, "labels")
    if s.ndim != 1 or s.shape != y.shape:
        raise UserError(f"There must be one label for each score; there are {y.size} labels and {s.size} scores.")
    if not np.isin(y[~np.isnan(y)], (0.0, 1.0)).all():
        raise UserError("A label must be true (faithful), false (unfaithful) or None (unknown).")
    there = ~(np.isnan(s) | np.isnan(y))
    return s[there], y[there] == 1, there


def split(scores: Array, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What an AUROC needs of the order, found once: indices of the positives, indices of the negatives by rising score,
    and for each positive how many negatives lie below it, and how many below or level with it."""
    positive, negative = np.flatnonzero(labels), np.flatnonzero(~labels)
    negative = negative[np.argsort(scores[negative], kind="stable")]
    below = np.searchsorted(scores[negative], scores[positive], side="left")
    level = np.searchsorted(scores[negative], scores[positive], side="right")
    return positive, negative, below, level


def auroc(scores: Any, labels: Any, weights: Sequence[float] | None = None) -> float:
    """P(score of a faithful item > score of an unfaithful one) + half of P(they tie), from mid-ranks (dossier 5).

    ``scores`` (N,), ``labels`` (N,), ``weights`` (N,) at least 0: an item of weight 2 counts as two items. Items
    without score or label are left out; nan if a class has no weight.
    """
    s, y, there = counted(scores, labels)
    if weights is None:
        w = np.ones(len(s))
    else:
        given = as_numbers(weights, "weights")
        if given.shape != there.shape or not (given >= 0).all():
            raise UserError("There must be one weight, 0 or more, for each score.")
        w = given[there]
    positive, negative, below, level = split(s, y)
    total = w[positive].sum() * w[negative].sum()
    if not total > 0:
        return float("nan")
    under = np.concatenate([[0.0], np.cumsum(w[negative])])
    return float(w[positive] @ (under[below] + under[level]) / (2 * total))


def ties(scores: Any, labels: Any) -> float:
    """The share of pairs of a faithful and an unfaithful item whose scores are equal; nan if a class is empty."""
    s, y, _ = counted(scores, labels)
    positive, negative, below, level = split(s, y)
    pairs = len(positive) * len(negative)
    return float((level - below).sum() / pairs) if pairs else float("nan")


def delong(scores: Any, labels: Any) -> tuple[float, float]:
    """AUROC and its standard error for independent items (DeLong et al. 1988), a cross-check of the bootstrap.

    Each item's placement is the share of the other class that it beats, ties as half; the variance is that of the
    placements within each class over the size of the class. It knows nothing of twins. The error is nan with fewer than
    two items in a class.
    """
    s, y, _ = counted(scores, labels)
    positive, negative, below, level = split(s, y)
    m, n = len(positive), len(negative)
    if not (m and n):
        return float("nan"), float("nan")
    of_positives = (below + level) / (2 * n)
    mirrored, other, under, even = split(-s, ~y)  # the negatives, seen from their side
    of_negatives = np.empty(len(s))
    of_negatives[mirrored] = (under + even) / (2 * len(other))
    area = float(of_positives.mean())
    if m < 2 or n < 2:
        return area, float("nan")
    variance = of_positives.var(ddof=1) / m + of_negatives[negative].var(ddof=1) / n
    return area, float(np.sqrt(variance))


def share_called(scores: Any, threshold: float) -> float:
    """The share of measured items that the threshold calls faithful (score at least the threshold); nan if none."""
    s = as_numbers(scores)
    s = s[~np.isnan(s)]
    return float((s >= threshold).mean()) if len(s) else float("nan")


def length_bins(scores: Any, labels: Any, steps: Sequence[int], most: int = MAX_BINS) -> list[dict[str, Any]]:
    """AUROC by the number of steps of the chain: rows ``steps`` ("3" or "4 to 7"), ``low``, ``high``, ``auroc``, ``n``.

    ``steps`` (N,). A bin for each number of steps; where there are more than ``most`` of them, neighbouring numbers go
    together in bins of about as many items each. ``auroc`` is None where a bin lacks a class.
    """
    s, y, there = counted(scores, labels)
    if len(steps) != len(there):
        raise UserError(f"There must be a number of steps for each item; there are {len(steps)} for {len(there)}.")
    length = np.asarray(steps)[there]
    values, at, counts = np.unique(length, return_inverse=True, return_counts=True)
    if len(values) > most:
        # A number of steps belongs to the bin in which the middle of its items lies: equal lengths are never parted.
        middle = (np.cumsum(counts) - counts / 2) / counts.sum()
        which = np.minimum((middle * most).astype(int), most - 1)[at]
    else:
        which = at
    rows = []
    for bin_ in np.unique(which):
        mine = which == bin_
        low, high = int(length[mine].min()), int(length[mine].max())
        area = auroc(s[mine], y[mine])
        row = {"steps": str(low) if low == high else f"{low} to {high}", "low": low, "high": high}
        rows.append(row | {"auroc": None if np.isnan(area) else area, "n": int(mine.sum())})
    return rows
