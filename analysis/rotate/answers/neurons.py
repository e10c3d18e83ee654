"""Answers on the neurons of a model: what is known of them, one weight vector, the layer map, a search by token.

Kurtosis is excess kurtosis of a vector's values over the vocabulary; a z-score is in standard deviations of these.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from analysis.answer import Absent

Quantiles = tuple[float, float, float]
"""5 %, 50 % and 95 % of a figure of random vectors."""


@dataclass(frozen=True)
class Band:
    """5 %, 50 % and 95 % of the kurtosis of random vectors."""

    low: float
    median: float
    high: float


@dataclass(frozen=True)
class Token:
    """A token of the vocabulary, and how it is shown."""

    id: int
    token: str


@dataclass(frozen=True)
class TokenScore(Token):
    """A token and its z-score in a vector."""

    z: float


@dataclass(frozen=True)
class Place:
    """A weight vector: block, kind of vector (gate, up, down or in), number of the neuron."""

    layer: int
    vector: str
    neuron: int


@dataclass(frozen=True)
class TokenGroup:
    """Tokens on which random vectors land again and again, and the ``share`` of vectors that do."""

    tokens: tuple[Token, ...]
    share: float


@dataclass(frozen=True)
class KnownNull:
    """The channels of random vectors that neurons are held against: how many ``vectors`` with how many channels each
    (``rounds``), their best own z, and groups of tokens that recur; ``narrow``: whether it serves for a first verdict
    only."""

    vectors: int
    rounds: int
    sentence: str
    own_z: Quantiles
    attractors: tuple[TokenGroup, ...]
    narrow: Annotated[bool | None, Absent()] = None


@dataclass(frozen=True)
class ReadyNeuron(Place):
    """A neuron whose channels were made beforehand. ``own_z`` and ``percentile`` of its best channel; ``beyond``: how
    many of its ``channels`` are beyond the null, ``nothing`` if none; ``top``: tokens of the best; ``words``: what a
    search looks in, in lower case."""

    kurtosis: float
    own_z: float
    percentile: float
    beyond: int
    channels: int
    nothing: bool
    top: tuple[str, ...]
    words: str


@dataclass(frozen=True)
class LayerShare:
    """The share of channels beyond the null's 95th percentile among some ``neurons`` of one block and kind of vector,
    ``low`` and ``high`` its 95 % interval over neurons. ``something``: share of neurons with a channel beyond the null;
    ``null``: the share that random vectors have; ``like_layer``: that of random mixtures of the block's own vectors."""

    layer: int
    vector: str
    neurons: int
    channels: int
    beyond: float
    low: float
    high: float
    something: float
    null: float
    like_layer: Annotated[float | None, Absent()] = None


@dataclass(frozen=True)
class NeuronsKnown:
    """What is known of a model's neurons. ``layer_numbers``: blocks whose MLP can be read; ``start``: the neuron to
    begin with; ``why_not`` and ``estimate`` say what measuring would give and cost where nothing was ``measured``."""

    layers: int
    layer_numbers: tuple[int, ...]
    neurons: int
    vectors: tuple[str, ...]
    hidden: int
    vocabulary: int
    projection: str
    measured: bool
    why_not: str
    estimate: str
    null: KnownNull | None
    start: Place
    bundled: tuple[ReadyNeuron, ...]
    shares: tuple[LayerShare, ...]
    caption: str


@dataclass(frozen=True)
class LayerMap:
    """Kurtosis of all neurons by block and kind of vector: ``median``, 95 % (``upper``) and highest (``top``), each
    (layers, vectors) float32, beside the band of random vectors."""

    vectors: tuple[str, ...]
    layers: tuple[int, ...]
    band: Band
    sentence: str
    median: np.ndarray
    upper: np.ndarray
    top: np.ndarray


@dataclass(frozen=True)
class Measurement:
    """A model's neurons were measured and written to the data folder."""

    sentence: str


@dataclass(frozen=True)
class VectorCard:
    """A weight vector over the vocabulary. ``in_layer``: percent of its block's vectors of lower kurtosis, and
    ``band``: both None without measurements; ``high`` and ``low``: tokens of both ends, the farthest first. ``edges``
    (B+1,) float32 and ``counts`` (B,) int32: a histogram of all z-scores."""

    kurtosis: float
    skewness: float
    norm: float
    in_layer: float | None
    band: Band | None
    high: tuple[TokenScore, ...]
    low: tuple[TokenScore, ...]
    sentence: str
    edges: np.ndarray
    counts: np.ndarray


@dataclass(frozen=True)
class ChannelMatch(Place):
    """A channel made beforehand that holds a token: ``z`` of the token in it, ``percentile`` and ``p`` of its own z
    among random vectors, ``cosine`` with the neuron, ``top``: its first tokens."""

    channel: int
    z: float
    percentile: float
    p: float
    own_z: float
    cosine: float
    token: str
    id: int
    beyond: bool
    top: tuple[str, ...]


@dataclass(frozen=True)
class ChannelSearch:
    """Channels with a typed token, those beyond the null first."""

    rows: tuple[ChannelMatch, ...]
    sentence: str
