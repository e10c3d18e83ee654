"""Answers about two prompts, one of which lends its activations to the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.qk.answers.token import RunCost, Target


@dataclass(frozen=True)
class TokenPairs:
    """Tokens of this prompt (``labels``) and of the other one (``others``) up to where each is asked, which of them are
    paired by slot, and what one patch of all pairs takes (``cost``)."""

    labels: tuple[str, ...]
    others: tuple[str, ...]
    pairs: tuple[tuple[int, int], ...]
    cost: RunCost


@dataclass(frozen=True)
class PatchedSites:
    """By how much a logit difference falls, and the prediction moves, with a ``site`` of one block at one token as in
    another prompt. ``total`` here, ``other_total`` there.

    (L, P) float32, NaN where a block has no such site, for P ``pairs`` (token of ``labels``, token of ``others``):
    ``falls`` in nats, and ``kl``, divergence from the plain prediction, nats over the vocabulary. ``whole`` and
    ``whole_kl`` (L,): the same with all pairs at once. Of the first ``same`` tokens both prompts are alike; what stands
    there is equal in both, so it was not run and is 0.
    """

    target: Target
    site: str
    total: float
    other_total: float
    labels: tuple[str, ...]
    others: tuple[str, ...]
    pairs: tuple[tuple[int, int], ...]
    same: int
    falls: np.ndarray
    kl: np.ndarray
    whole: np.ndarray
    whole_kl: np.ndarray
