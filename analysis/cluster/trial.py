"""A sum that takes its time, by which a cluster shows that it computes what one machine does.

It has what the shards of a fit have: an end within, progress, a memory that lasts, a sentence for the reader, a fault.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

import numpy as np

from analysis.engine.spread import Bench
from analysis.errors import UserError


@dataclass(frozen=True)
class Trial:
    """``weights`` (D,): by which each number is multiplied. ``pause``: seconds for each row."""

    weights: np.ndarray
    pause: float = 0.0


@dataclass(frozen=True)
class Rows:
    """Numbers from ``first`` to before ``stop``. ``refuse``: a sentence that is raised in their place; ``fail``: an
    error."""

    first: int
    stop: int
    refuse: str = ""
    fail: bool = False


@dataclass(frozen=True)
class Sums:
    """``total`` (D,) of the weighted numbers. ``process``: where they were added; ``before``: how often it had had
    these rows; ``model``: the fingerprint of the model of the work."""

    total: np.ndarray
    process: int
    before: int
    model: str


def add_rows(bench: Bench, common: Trial, shard: Rows) -> Sums:
    """The sum over the rows of the square root of their number times the weights."""
    total = np.zeros(len(common.weights))
    if shard.refuse:
        raise UserError(shard.refuse, "rows")
    if shard.fail:
        raise ZeroDivisionError("this trial fails on purpose")
    for n in range(shard.first, shard.stop):
        bench.check()
        time.sleep(common.pause)
        total += np.sqrt(n) * common.weights
        bench.progress((n + 1 - shard.first) / (shard.stop - shard.first), f"row {n}")
    key = ("trial", shard.first, shard.stop)
    before = bench.memory.get(key) or 0
    bench.memory.put(key, before + 1, 64)
    return Sums(total, os.getpid(), before, "" if bench.model is None else bench.model.facts.fingerprint)
