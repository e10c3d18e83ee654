"""Answers about heads over many texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from analysis.answer import Incidental


@dataclass(frozen=True)
class CorpusHeads:
    """Scores of every head as of :func:`analysis.models.head_scores.head_scores`, means over texts.

    ``names`` (S,) of the scores; ``values`` and ``errors`` (S, L, H) float32: mean over texts and its standard error,
    NaN in layers without attention; ``uniform`` (S, L) float32: the same of a head that gives all tokens it sees alike.
    ``texts`` were read, each cut to ``length`` tokens; ``counts`` (S,): in how many of them a score is defined at all.
    """

    names: tuple[str, ...]
    texts: int
    length: int
    counts: tuple[int, ...]
    values: np.ndarray
    errors: np.ndarray
    uniform: np.ndarray


@dataclass(frozen=True)
class CorpusCost:
    """What the scores over texts cost: ``seconds``, about, for ``tokens``; ``kept``: they are there already."""

    seconds: Annotated[float, Incidental()]
    tokens: int
    kept: bool
