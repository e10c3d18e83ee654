"""Answers on sets of channels: those of many neurons of one block, opened from a file of others or found here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class KnownSet:
    """A set on the shelf. ``label`` says what it is; ``others``: it came from a file."""

    name: str
    label: str
    layer: int
    vector: str
    neurons: tuple[int, ...]
    others: bool


@dataclass(frozen=True)
class KnownSets:
    """The sets of a model, the newest first."""

    sets: tuple[KnownSet, ...]


@dataclass(frozen=True)
class SetKept:
    """That a set was opened or found, its name, and what it is in a sentence."""

    name: str
    sentence: str


@dataclass(frozen=True)
class SetRow:
    """One neuron of a set. ``cosine`` and ``kurtosis`` (without token weights): means over its ``channels``; of its
    best channel ``own_z`` and ``tokens``, and ``p``, the share of random vectors with one as good; ``beyond``: how many
    channels are beyond the null (both None without one). Against another set: ``nearest``, the mean over channels of
    the largest cosine with a channel there, and ``shared``, how many of their 20 tokens both have; None where the
    neuron is not in it."""

    neuron: int
    channels: int
    cosine: float
    kurtosis: float
    own_z: float
    p: float | None
    beyond: int | None
    tokens: tuple[str, ...]
    nearest: float | None
    shared: float | None


@dataclass(frozen=True)
class ChannelSetCard:
    """A set of channels, neuron by neuron. ``counted``: how many channels of each neuron were held against the null;
    ``against``: the label of what it is compared with; ``kurtosis_error``: largest relative difference of the file's
    kurtosis from the one computed here, None where the file gives none."""

    label: str
    layer: int
    vector: str
    rows: tuple[SetRow, ...]
    counted: int
    against: str
    kurtosis_error: float | None
    sentence: str


@dataclass(frozen=True)
class WrittenSet:
    """A set as a file of the authors' form: ``content`` in base64, and what stands in ``metadata.json`` beside it."""

    name: str
    content: str
    metadata: dict[str, Any]


@dataclass(frozen=True)
class NumberList:
    """Numbers of a list that somebody brings, and a sentence on them; ``key``: what a long list is kept under."""

    numbers: tuple[int, ...]
    sentence: str
    key: str = ""
