"""Answers about patches: what of a behaviour comes along when a part of one run is written into another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Moved:
    """A read-out under a patch, over n examples: its mean in the ``clean`` runs and ``patched`` wholly; ``effect``, the
    mean fall of it, and the ``error`` of that mean.

    ``inside`` and ``outside``: shares of that effect under the patch of the subspace alone and of all but it, each with
    the ends of its 95 % interval over examples. ``random`` and ``matched``: the share in random subspaces of the rank,
    mean and the 5 % and 95 % points over the draws; of directions drawn evenly, and from those in which what is written
    into the other half of the examples differs from what was there. None where the whole effect is not two of its
    errors away from nothing, and of rank 0 for the random ones; ``matched`` also of the answer, and where a half has no
    more examples than the rank.
    """

    clean: float
    patched: float
    effect: float
    error: float
    inside: tuple[float, float, float] | None
    outside: tuple[float, float, float] | None
    random: tuple[float, float, float] | None
    matched: tuple[float, float, float] | None


@dataclass(frozen=True)
class PatchedSubspace:
    """What of a head's behaviour its subspace carries, over ``examples``.

    ``side``: what is written, the "query" or the "key"; ``rank`` of the subspace among ``width`` dimensions. ``draws``:
    random subspaces of each kind. ``attention``: what the matching keys get together. ``answer``: the log odds of the
    matching word as the next token in nats, None where the examples have none (``no_answer`` says why);
    ``probability``: its mean in the clean runs. ``left_out``: examples whose query does not see its match. ``rows``
    (n, 4) float32: attention of each example clean, wholly patched, inside, outside.

    ``ranks``: ranks at which the same was tried, and ``by_rank`` (R, 7) float32 the shares of the effect on attention
    there: inside the first so many dimensions, then in random ones (mean, 5 % and 95 % points), and in those from where
    what is written differs, likewise (NaN where there are too few examples). Empty where there is no effect.
    """

    layer: int
    head: int
    side: str
    rank: int
    width: int
    examples: int
    left_out: int
    draws: int
    in_sample: bool
    basis: str
    attention: Moved
    answer: Moved | None
    probability: float | None
    no_answer: str
    rows: np.ndarray
    ranks: tuple[int, ...]
    by_rank: np.ndarray
