"""Answers that bring two methods together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class InSubspace:
    """How far a row moves where query and keys change only inside the subspace of the feature ``name``, of ``rank``:
    ``moved``; and in ``draws`` random subspaces of that rank the mean, the 5 % and the 95 % point."""

    name: str
    rank: int
    moved: float
    random: tuple[float, float, float]
    draws: int


@dataclass(frozen=True)
class WhyMoved:
    """Why one query's attention in a head moved under a set-up.

    ``whole``, ``by_query``, ``by_keys``: the share of its attention that lies elsewhere (total variation), and would
    with its query's change or its keys' change alone; ``random``: the same three of each random direction at the
    set-up's KL. ``subspaces``: the same inside the fitted features of this head. ``parts`` (T, 3) float32: what the
    logit of each key gains over the mean of those that are seen, from the query's side, the key's, and both at once,
    nats; NaN where the query does not see. ``error``: of their sum. ``key``: the token whose attention changes most, by
    ``change``. ``labels`` of the tokens.
    """

    labels: tuple[str, ...]
    whole: float
    by_query: float
    by_keys: float
    random: tuple[tuple[float, float, float], ...]
    subspaces: tuple[InSubspace, ...]
    key: int
    change: float
    error: float
    parts: np.ndarray


@dataclass(frozen=True)
class LensKept:
    """A trained lens that was opened: its ``name`` on the shelf, and a ``sentence`` on what it is worth."""

    name: str
    sentence: str


@dataclass(frozen=True)
class LensFacts:
    """A trained lens of the model: ``name``, ``kind`` ("tuned", "jacobian"), the file it is from, and what was measured
    of it when it was opened."""

    name: str
    kind: str
    origin: str
    said: str


@dataclass(frozen=True)
class LensList:
    """All trained lenses of the model, the newest first."""

    lenses: tuple[LensFacts, ...]
