"""Channels and kurtosis by shards: the batches of a search, and the blocks of a layer map, on the nodes of a cluster.

A node has the model, so a projection is never sent; vectors are, since a null's are drawn by who asks. On one machine
the batches are gone through where the search is (:class:`~analysis.rotate.channels.VocabularyChannels`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analysis.engine.spread import Bench, Spread
from analysis.progress import Check, Progress
from analysis.rotate.channels import Batches, VocabularyChannels
from analysis.rotate.moments import projected_moments
from analysis.rotate.vectors import NeuronVectors


@dataclass(frozen=True)
class Search:
    """How channels are looked for under the projection of a ``layer``: the estimator's ``settings``, the tokens'
    ``weights`` (V,), and how many vectors there are in ``total``."""

    layer: int
    settings: dict[str, Any]
    total: int
    weights: np.ndarray


@dataclass(frozen=True)
class Rows:
    """Weight vectors (n, d), the ``first`` of them by its place among all."""

    first: int
    vectors: np.ndarray


@dataclass(frozen=True)
class Channels:
    """The estimator's attributes by name, with a row for each vector."""

    arrays: dict[str, np.ndarray]


@dataclass(frozen=True)
class Block:
    """A block and, of each kind of vector, the ``rows`` of the neurons that are measured."""

    layer: int
    rows: dict[str, np.ndarray]


@dataclass(frozen=True)
class Moments:
    """Excess kurtosis and skewness by kind of vector, float32, in the order of the rows."""

    kurtosis: dict[str, np.ndarray]
    skewness: dict[str, np.ndarray]


@dataclass(frozen=True)
class Nothing:
    """What all shards share: nothing but the model."""


def channels_of_rows(bench: Bench, search: Search, rows: Rows) -> Channels:
    """The channels of some vectors, as a shard of a search."""
    U = _vectors(bench).projection(search.layer)
    W, weights = (torch.from_numpy(np.array(a)).to(U) for a in (rows.vectors, search.weights))
    here = range(rows.first, rows.first + len(W))

    def told(share: float | None, text: str = "", **facts: Any) -> None:
        bench.check()  # the share is that of all vectors, of which these are some
        bench.progress(None if share is None else (share * search.total - here.start) / len(here), text)

    part = VocabularyChannels(**search.settings).batch(W, U, weights, here, search.total, told)
    return Channels({name: _array(value) for name, value in part.items() if name != "traces_"})


def moments_of_block(bench: Bench, _nothing: Nothing, block: Block) -> Moments:
    """Kurtosis and skewness of a block's neurons, as a shard of a layer map."""
    vectors = _vectors(bench)
    U = vectors.projection(block.layer)
    both: dict[str, tuple[Tensor, Tensor]] = {}
    for n, (kind, rows) in enumerate(block.rows.items()):
        bench.progress(n / len(block.rows), f"kurtosis of block {block.layer}")
        weights = vectors.vectors(block.layer, kind)
        both[kind] = projected_moments(weights[torch.from_numpy(np.array(rows)).to(weights.device)], U)
    return Moments(*({kind: pair[n].numpy() for kind, pair in both.items()} for n in range(2)))


def batches_over(spread: Spread | None, layer: int, check: Check) -> Batches | None:
    """How a search goes through its batches: on the nodes of a cluster, or None: where it is itself. ``check`` is
    called while nodes are waited for, and may raise."""
    if spread is None or spread.hands == 1:
        return None

    def over(
        search: VocabularyChannels, W: Tensor, weights: Tensor, rows: Sequence[range], progress: Progress
    ) -> Iterator[dict[str, Any]]:
        common = Search(layer, search.get_params(), len(W), _array(weights))
        shards = [Rows(part.start, _array(W[part.start : part.stop])) for part in rows]
        for part in spread(channels_of_rows, common, shards, progress=progress, check=check):
            yield {name: torch.from_numpy(np.array(value)).to(W.device) for name, value in part.arrays.items()}

    return over


def _vectors(bench: Bench) -> NeuronVectors:
    key = ("neuron vectors", bench.loaded.facts.fingerprint)
    vectors: NeuronVectors | None = bench.memory.get(key)
    if vectors is None or vectors.loaded is not bench.loaded:
        vectors = NeuronVectors(bench.loaded)
        bench.memory.put(key, vectors, 1)
    return vectors


def _array(values: Tensor) -> np.ndarray:
    values = values.detach().cpu()
    return (values.float() if values.dtype == torch.bfloat16 else values).numpy()
