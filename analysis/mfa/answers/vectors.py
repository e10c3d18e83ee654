"""Answers on steering vectors of others: what was opened, which there are, and files of one's own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class CosineToRegion:
    """The cosine of a vector with a region's offset from the mean activation."""

    region: int
    label: str
    cosine: float


@dataclass(frozen=True)
class VectorFacts:
    """Vectors under a ``name``, from the file ``origin``, which names the model ``hint`` ("" for none): their
    ``blocks`` and ``norms``; ``compared``: the block of the vector whose ``near`` regions are given, -1 for none."""

    name: str
    origin: str
    hint: str
    blocks: tuple[int, ...]
    norms: tuple[float, ...]
    compared: int
    near: tuple[CosineToRegion, ...]


@dataclass(frozen=True)
class VectorList:
    """The steering vectors of a model, newest first."""

    vectors: tuple[VectorFacts, ...]


@dataclass(frozen=True)
class VectorsKept:
    """The name under which vectors were kept, and a sentence."""

    name: str
    sentence: str


@dataclass(frozen=True)
class VectorsFile:
    """A file of vectors: its ``name``, the ``blocks`` in it, and its bytes."""

    name: str
    blocks: tuple[int, ...]
    file: np.ndarray
