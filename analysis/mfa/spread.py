"""The passes of a fit over its activations, on shards of them: k-means, the E-step, and the score of those held out.

Each is a sum, so it is added up where the activations are and merged in the order of the shards. Shards begin with
whole batches: a pass then gives the numbers of a pass over all, but for the order of additions in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from analysis.activations.rows import StoreRows
from analysis.engine.spread import Bench, Spread
from analysis.mfa.em import Statistics, Worst, expect
from analysis.mfa.kmeans import Clusters, assigned
from analysis.mfa.parameters import Parameters
from analysis.mfa.stream import Stream
from analysis.mfa.training import total_score
from analysis.progress import Check, no_check

K = TypeVar("K")
P = TypeVar("P")


@dataclass(frozen=True)
class Units:
    """How activations are shifted (D,) float64 and divided, and in batches of what ``size`` they are taken."""

    center: np.ndarray
    scale: float
    size: int


@dataclass(frozen=True)
class Mixture:
    """Parameters of a mixture in these units, and what an E-step is to do: ``top`` as in :func:`expect`, and how many
    of the ``worst`` points are wanted."""

    units: Units
    weights: np.ndarray
    means: np.ndarray
    loadings: np.ndarray
    noise: np.ndarray
    top: int | None
    worst: int

    @classmethod
    def of(cls, parameters: Parameters, units: Units, top: int | None = None, worst: int = 0) -> Mixture:
        """From the parameters of the estimator."""
        p = parameters
        arrays = p.weights.numpy(), p.means.numpy(), p.loadings.numpy(), p.noise.numpy()
        return cls(units, *arrays, top, worst)

    @property
    def parameters(self) -> Parameters:
        """As the estimator has them."""
        found: Parameters = _tensors(Parameters, self)
        return found


@dataclass(frozen=True)
class Means:
    """Centroids (K, D) in these units."""

    units: Units
    centroids: np.ndarray


@dataclass(frozen=True)
class Sums:
    """:class:`Statistics` as arrays, and the worst points with their scores and owners."""

    count: np.ndarray
    cross: np.ndarray
    second: np.ndarray
    square: np.ndarray
    rows: float
    score: float
    points: np.ndarray | None
    scores: np.ndarray | None
    owners: np.ndarray | None


@dataclass(frozen=True)
class Score:
    """A sum of log-densities in nats, and over how many points."""

    total: float
    rows: int


@dataclass(frozen=True)
class Assigned:
    """:class:`Clusters` as arrays."""

    sums: np.ndarray
    counts: np.ndarray
    inertia: float
    far: np.ndarray
    distance: np.ndarray


def e_step(bench: Bench, common: Mixture, shard: StoreRows) -> Sums:
    """The sums of the E-step over a shard."""
    worst = Worst(common.worst)
    found = expect(common.parameters, _batches(bench, common.units, shard), top=common.top, worst=worst)
    arrays = found.count.numpy(), found.cross.numpy(), found.second.numpy(), found.square.numpy()
    points, scores, owners = (None if t is None else t.numpy() for t in worst.kept())
    return Sums(*arrays, found.rows, found.score, points, scores, owners)


def held_score(bench: Bench, common: Mixture, shard: StoreRows) -> Score:
    """The log-density of a shard."""
    return Score(*total_score(common.parameters, _batches(bench, common.units, shard)))


def nearest_means(bench: Bench, common: Means, shard: StoreRows) -> Assigned:
    """A pass of k-means over a shard."""
    found = assigned(_batches(bench, common.units, shard), _tensor(common.centroids))
    return Assigned(found.sums.numpy(), found.counts.numpy(), found.inertia, found.far.numpy(), found.distance.numpy())


@dataclass(frozen=True)
class Shards:
    """The activations of a fit as shards: those to fit and those held out. ``check``: called while parts are waited
    for."""

    spread: Spread
    kept: StoreRows
    held: StoreRows
    check: Check = no_check

    def passes(self, center: Tensor, scale: float, size: int) -> tuple[Passes, Passes]:
        """Passes over both, in these units and batches."""
        units = Units(center.double().numpy(), scale, size)
        hands = self.spread.hands
        return tuple(Passes(self, units, rows.shards(size, hands)) for rows in (self.kept, self.held))  # type: ignore[return-value]


@dataclass(frozen=True)
class Passes:
    """Passes over some shards, merged: what :func:`expect`, :func:`mean_score` and :func:`lloyd` take in the place of
    batches."""

    over: Shards
    units: Units
    shards: Sequence[StoreRows]

    def expect(self, parameters: Parameters, top: int | None, worst: Worst | None) -> Statistics:
        """The sums of an E-step."""
        room = 0 if worst is None else worst.room
        whole = Statistics.like(parameters)
        for part in self._parts(e_step, Mixture.of(parameters, self.units, top, room)):
            whole = whole.plus(_tensors(Statistics, part))
            if worst is not None and part.points is not None:
                assert part.scores is not None and part.owners is not None
                worst.take(_tensor(part.points), _tensor(part.scores), _tensor(part.owners))
        return whole

    def score(self, parameters: Parameters) -> tuple[float, int]:
        """The sum of log-densities, and over how many points."""
        parts = list(self._parts(held_score, Mixture.of(parameters, self.units)))
        return sum(part.total for part in parts), sum(part.rows for part in parts)

    def assigned(self, centroids: Tensor) -> Clusters:
        """A pass of k-means."""
        whole = Clusters.empty(centroids)
        for part in self._parts(nearest_means, Means(self.units, centroids.numpy())):
            whole = whole.plus(_tensors(Clusters, part))
        return whole

    def _parts(self, function: Callable[[Bench, K, StoreRows], P], common: K) -> Iterator[P]:
        return self.over.spread(function, common, self.shards, check=self.over.check)


def _batches(bench: Bench, units: Units, shard: StoreRows) -> Iterator[Tensor]:
    points = shard.points(bench.memory)
    for n, batch in enumerate(Stream.of(points, units.size, 0).standardised(_tensor(units.center), units.scale)):
        bench.check()
        yield batch
        bench.progress(min(1.0, (n + 1) * units.size / len(points)))


def _tensors(kind: Any, held: Any) -> Any:
    """An instance of that class from the arrays and numbers of the same names."""
    given = {field.name: getattr(held, field.name) for field in fields(kind)}
    return kind(**{n: _tensor(v) if isinstance(v, np.ndarray) else v for n, v in given.items()})


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.require(array, requirements="W"))
