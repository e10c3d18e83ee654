"""Answers about a predicted token: what writes it, what it falls by, and from where one head writes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from analysis.answer import Incidental
from analysis.qk.answers.prompt import NextTokens
from analysis.spoken import duration


@dataclass(frozen=True)
class Target:
    """What was asked: after token ``query``, the token ``token`` over the token ``against`` (-1: the mean of all), and
    how they are shown. ``likely``: what the model predicts there."""

    query: int
    token: int
    against: int
    label: str
    other: str
    likely: NextTokens

    @property
    def words(self) -> str:
        """For a sentence: “␣John” over “␣Mary”."""
        return f"“{self.label}” over " + (f"“{self.other}”" if self.against >= 0 else "the mean of all")


@dataclass(frozen=True)
class Split:
    """A logit difference ``total`` and what is in it beside heads and MLPs: ``embedding`` (with the positions),
    ``constant`` (biases) and ``remainder``, the total less all parts.

    ``chance_heads`` and ``chance_mlps``: what the largest head, and the largest MLP, writes in size towards a token
    drawn at random, the 95 % point of ``draws`` draws. ``note``: what to know of the model's logits, or empty.
    """

    total: float
    embedding: float
    constant: float
    remainder: float
    chance_heads: float
    chance_mlps: float
    draws: int
    note: str


@dataclass(frozen=True)
class TokenHeads:
    """Every head and MLP for one predicted token (``target``) and, if one was given, one ``key`` (else -1).

    (L, H) float32, NaN where there is no such head: ``writes``, the direct part of the logit difference; ``attention``
    to the key; ``weighted``, its share of the lengths of what is written; ``from_key``, the part of ``writes`` that
    comes from it. ``mlps`` (L,): direct parts. With what ``split`` names they sum to its total. ``refused``: why this
    model's logits cannot be split; then there is no ``split``, and ``attention`` alone has numbers.
    """

    target: Target
    key: int
    split: Split | None
    refused: str
    writes: np.ndarray
    mlps: np.ndarray
    attention: np.ndarray
    weighted: np.ndarray
    from_key: np.ndarray


@dataclass(frozen=True)
class TokenAblation:
    """By how much a logit difference ``total`` falls, and the prediction moves, without one head or one MLP.

    ``heads`` (L, H) and ``mlps`` (L,): falls in nats; ``heads_kl`` and ``mlps_kl``: divergence from the plain
    prediction, nats over the vocabulary; float32, NaN where there is none. ``baseline``: what stood in its place.
    ``estimated``: falls to first order, without divergences, and nothing was taken out.
    """

    target: Target
    baseline: str
    estimated: bool
    total: float
    heads: np.ndarray
    mlps: np.ndarray
    heads_kl: np.ndarray
    mlps_kl: np.ndarray


@dataclass(frozen=True)
class TokenPatch(TokenAblation):
    """The same with one part made as in another prompt, whose difference is ``other_total``.

    ``what`` of it was taken from there, as of :data:`analysis.models.patches.What`, at token ``at`` (-1: all).
    ``differ``: where the prompts differ, and ``others``: the tokens that stand there in the other one.
    """

    other_total: float
    what: str
    at: int
    differ: tuple[int, ...]
    others: tuple[str, ...]


@dataclass(frozen=True)
class TokenPath(TokenAblation):
    """The same where the change of each part reaches only the ``side`` of one later head, by the straight way; parts of
    its block and of later ones have none. ``other_total``: the difference in the other prompt, None without one."""

    layer: int
    head: int
    side: str
    other_total: float | None


@dataclass(frozen=True)
class HeadSources:
    """What one head writes towards a token, by source token (T,) float32: ``attention``, ``weighted`` (its share of the
    lengths of what is written), ``writes`` (of the logit difference). ``head_writes``: the head's part, measured by
    what it handed to its output projection; ``error``: its difference to the sum of ``writes``."""

    target: Target
    head_writes: float
    error: float
    attention: np.ndarray
    weighted: np.ndarray
    writes: np.ndarray


@dataclass(frozen=True)
class RunCost:
    """What a run takes here, about, before it is begun: ``seconds`` and ``bytes`` beside the model. ``refused``: why it
    is not begun, or empty. ``tokens`` that it is about."""

    tokens: int
    seconds: Annotated[float, Incidental()]
    bytes: Annotated[int, Incidental()]
    refused: Annotated[str, Incidental()] = ""

    @property
    def words(self) -> str:
        """For the screen: why not, or "about 40 s, 180 MB"."""
        return self.refused or f"about {duration(self.seconds)}, {max(1, round(self.bytes / 1e6)):,} MB"
