"""K-means: seeding tried several times on a sample in few dimensions, then passes over all points in full width.

An empty cluster moves to a farthest point instead of copying another, so that no two centroids start as one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from analysis.mfa.stream import Stream

SEEDING_WIDTH = 128
RESTARTS, SEEDING_PASSES, PASSES = 3, 20, 10
SETTLED = 1e-4  # relative fall of the inertia that ends the passes


def seeded(pool: Tensor, components: int, generator: torch.Generator, restarts: int = RESTARTS) -> Tensor:
    """Centroids (K, D) of a pool (P, D): k-means++ and Lloyd's passes in few dimensions; lowest inertia of several."""
    sketch = pool @ leading_axes(pool, SEEDING_WIDTH, generator) if pool.shape[1] > SEEDING_WIDTH else pool
    best, least = None, math.inf
    for _ in range(restarts):
        centroids = sketch[_plus_plus(sketch, components, generator)]
        inertia = math.inf
        for _ in range(SEEDING_PASSES):
            owner, distance = nearest(sketch, centroids)
            before, inertia = inertia, float(distance.sum(dtype=torch.float64))
            centroids = _means(sketch, owner, distance, components)
            if before - inertia <= SETTLED * inertia:
                break
        if inertia < least:
            best, least = nearest(sketch, centroids), inertia
    assert best is not None
    return _means(pool, *best, components)


@dataclass(frozen=True)
class Clusters:
    """A pass over points: ``sums`` (K, D) float64 and ``counts`` (K,) of those nearest to each centroid, the
    ``inertia``, and the farthest points ``far`` (M, D) with their squared ``distance`` (M,), at most K."""

    sums: Tensor
    counts: Tensor
    inertia: float
    far: Tensor
    distance: Tensor

    @classmethod
    def empty(cls, centroids: Tensor) -> Clusters:
        """A pass over no points."""
        sums = torch.zeros_like(centroids, dtype=torch.float64)
        return cls(sums, centroids.new_zeros(len(centroids)), 0.0, centroids[:0], centroids[:0, 0])

    def plus(self, other: Clusters) -> Clusters:
        """A pass over the points of both."""
        far, distance = torch.cat([self.far, other.far]), torch.cat([self.distance, other.distance])
        keep = distance.topk(min(len(self.counts), len(distance))).indices
        sums, counts = self.sums + other.sums, self.counts + other.counts
        return Clusters(sums, counts, self.inertia + other.inertia, far[keep], distance[keep])


class Elsewhere(Protocol):
    """Points that are not here."""

    def assigned(self, centroids: Tensor) -> Clusters:
        """As :func:`assigned`."""
        ...


def assigned(batches: Iterable[Tensor], centroids: Tensor) -> Clusters:
    """A pass of k-means over points."""
    sums, counts = torch.zeros_like(centroids, dtype=torch.float64), centroids.new_zeros(len(centroids))
    total, far = 0.0, (centroids[:0], centroids[:0, 0])
    for points in batches:
        owner, distance = nearest(points, centroids)
        sums += torch.zeros_like(centroids).index_add_(0, owner, points)
        counts += owner.bincount(minlength=len(centroids))
        total += float(distance.sum(dtype=torch.float64))
        worst = distance.topk(min(len(centroids), distance.shape[0])).indices
        joined = torch.cat([far[0], points[worst]]), torch.cat([far[1], distance[worst]])
        keep = joined[1].topk(min(len(centroids), joined[1].shape[0])).indices
        far = joined[0][keep], joined[1][keep]
    return Clusters(sums, counts, total, *far)


def lloyd(stream: Stream | Elsewhere, centroids: Tensor, passes: int = PASSES) -> Tensor:
    """Centroids (K, D) after passes of k-means over the whole stream; an empty one moves to a farthest point."""
    inertia = math.inf
    for _ in range(passes):
        found = assigned(stream, centroids) if isinstance(stream, Stream) else stream.assigned(centroids)
        empty = (found.counts == 0).nonzero()[:, 0]
        centroids = (found.sums / found.counts.clamp_min(1)[:, None]).to(centroids)
        centroids[empty] = found.far[: empty.shape[0]]
        before, inertia = inertia, found.inertia
        if not empty.shape[0] and before - inertia <= SETTLED * inertia:
            break
    return centroids


def nearest(points: Tensor, centroids: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest centroid of each point, (N,) int64, and its squared distance (N,)."""
    found = [(centroids.square().sum(1) - 2 * part @ centroids.T).min(1) for part in points.split(4096)]
    distance = torch.cat([f.values for f in found]) + points.square().sum(1)
    return torch.cat([f.indices for f in found]), distance.clamp_min(0)


def leading_axes(points: Tensor, count: int, generator: torch.Generator, passes: int = 1) -> Tensor:
    """An orthonormal basis (D, count) near the leading axes of points, by subspace iteration from a random one."""
    basis = torch.randn(points.shape[1], count, generator=generator, dtype=torch.float64).to(points)
    for _ in range(passes):
        basis = torch.linalg.qr(points.T @ (points @ basis)).Q
    return basis


def _plus_plus(points: Tensor, components: int, generator: torch.Generator) -> Tensor:
    """Rows (K,) for the first centroids: each drawn with probability as its squared distance to those before.

    Of a few draws the one that lowers the inertia most is taken (greedy k-means++).
    """
    tries = 2 + int(math.log(components))
    norms = points.square().sum(1)
    chosen = [int(torch.randint(points.shape[0], (), generator=generator))]
    closest = (norms - 2 * points @ points[chosen[0]] + norms[chosen[0]]).clamp_min(0)
    for _ in range(1, components):
        closest[chosen[-1]] = 0
        reach = closest.double().cumsum(0)
        marks = torch.rand(tries, generator=generator, dtype=torch.float64).to(reach) * reach[-1]
        drawn = torch.searchsorted(reach, marks).clamp_max(points.shape[0] - 1)
        after = (norms[:, None] - 2 * points @ points[drawn].T + norms[drawn]).clamp_min(0)
        after = torch.minimum(after, closest[:, None])
        best = int(after.sum(0).argmin())
        chosen.append(int(drawn[best]))
        closest = after[:, best].contiguous()
    return torch.tensor(chosen, device=points.device)


def _means(points: Tensor, owner: Tensor, distance: Tensor, components: int) -> Tensor:
    """Means (K, D) of the points of each owner; the farthest points in the place of empty ones."""
    counts = owner.bincount(minlength=components)
    means = points.new_zeros(components, points.shape[1]).index_add_(0, owner, points)
    means /= counts.clamp_min(1)[:, None]
    empty = (counts == 0).nonzero()[:, 0]
    means[empty] = points[distance.topk(empty.shape[0]).indices]
    return means
