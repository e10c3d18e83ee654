"""Answers on vocabulary channels: those of one weight vector beside random vectors', and what falls without one.

``own_z`` is the mean z-score of the neuron itself on the tokens of its channel: what random vectors do not have.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np

from analysis.answer import Incidental
from analysis.rotate.answers.neurons import Quantiles, Token, TokenScore


@dataclass(frozen=True)
class ChannelToken(TokenScore):
    """A token of a channel: its z-score there, and in the neuron itself (``own``)."""

    own: float


@dataclass(frozen=True)
class Attractor:
    """Tokens of a channel on which a share of random vectors land too."""

    share: float
    sentence: str


@dataclass(frozen=True)
class Channel:
    """One channel. ``kurtosis`` and ``skewness`` with the round's token weights, ``unweighted`` kurtosis without them
    (None in answers that were kept before it was measured); ``percentile`` of its own z among the null's channels of
    the same round, ``p``: share of random vectors whose best channel has as much, ``beyond`` if at most 0.05;
    ``pole``: 1 or -1, the end of the neuron's scale at which its tokens stand; ``masked``: tokens weighted down after
    it; ``evaluations`` of the loss."""

    number: int
    kurtosis: float
    skewness: float
    cosine: float
    loss: float
    own_z: float
    percentile: float
    p: float
    beyond: bool
    attractor: Attractor | None
    pole: int
    masked: int
    evaluations: int
    tokens: tuple[ChannelToken, ...]
    sentence: str
    unweighted: float | None = None


@dataclass(frozen=True)
class NullBands:
    """What the channels of random ``vectors``, found by the same ``manner``, reach: of own z the best of each vector,
    of the others all channels."""

    own_z: Quantiles
    cosine: Quantiles
    loss: Quantiles
    kurtosis: Quantiles
    vectors: int
    manner: str


@dataclass(frozen=True)
class NeuronChannels:
    """The channels of one weight vector. ``nothing``: none is beyond the null; ``left_out``: tokens far out in the
    neuron that had no part in the search; ``source``: made beforehand or computed here; ``settings`` of the search.

    ``edges`` (B+1,) float32 and ``counts`` (C+1, B) int32: histograms of z-scores, the neuron first; ``cosines``
    (C+1, C+1) float32 between neuron and channels; ``reconstruction`` (C, 3) float32: cosine and explained share of
    squared length of the neuron rebuilt from the first channels, and that share for unrelated vectors at the same
    cosines; ``trace`` (S, 5) float32: channel from 1, step, loss, kurtosis, cosine.
    """

    channels: tuple[Channel, ...]
    nothing: bool
    verdict: str
    null: NullBands
    recipe: str
    source: str
    seconds: Annotated[float, Incidental()]
    settings: dict[str, Any]
    edges: np.ndarray
    counts: np.ndarray
    cosines: np.ndarray
    reconstruction: np.ndarray
    trace: np.ndarray
    left_out: tuple[TokenScore, ...] = ()


@dataclass(frozen=True)
class DescentPart:
    """The descent to one channel so far, while it runs: a value for each step."""

    channel: int
    step: tuple[int, ...]
    loss: tuple[float, ...]
    kurtosis: tuple[float, ...]
    cosine: tuple[float, ...]


@dataclass(frozen=True)
class TokenLogit(Token):
    """The logit of a token, less the mean over the vocabulary, with the channel and without."""

    before: float
    after: float


@dataclass(frozen=True)
class SentenceActivation:
    """The neuron's activation (its size) in a sentence, given by its tokens, with the channel and without; ``own``:
    it ends with a token of the channel."""

    labels: tuple[str, ...]
    before: float
    after: float
    own: bool


@dataclass(frozen=True)
class Arm:
    """What falls on own and other tokens or sentences without the channel or a control, and the difference (score),
    in the unit of the ablation; intervals are of 95 %."""

    name: str
    own: float
    other: float
    score: float
    own_interval: tuple[float, float]
    other_interval: tuple[float, float]


@dataclass(frozen=True)
class Ablation:
    """What falls without one channel. ``kind`` "output": of a vector that is written, "input": of one that is read.

    ``labels`` and ``activation`` of the neuron at each position of a text; ``shown``: positions that are looked at,
    the most active first. ``tokens`` (output) or ``sentences`` (input) before and after. ``arms``: the channel, then
    the controls; ``whole``: without the whole neuron. ``unit`` of the drops. ``text``: the context that was taken where
    none was typed; ``tokens_own``: the channel's pole.
    """

    kind: Literal["output", "input"]
    labels: tuple[str, ...]
    activation: tuple[float, ...]
    shown: tuple[int, ...]
    tokens: tuple[TokenLogit, ...]
    sentences: tuple[SentenceActivation, ...]
    arms: tuple[Arm, ...]
    whole: Arm
    unit: str
    sentence: str
    text: str = ""
    tokens_own: int = 1
