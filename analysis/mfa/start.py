"""Where expectation-maximisation begins: centroids from k-means, loadings and noise from the points around each.

EM finds the nearest optimum, so the start decides which one. Seeding happens on a sample in few dimensions, where it
can be tried several times; the passes that follow use all points in full width. The loadings of a component are the
principal axes of its points, shortened as in probabilistic PCA by the variance that is noise. Points are expected
centred and of unit mean variance.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from analysis.errors import UserError
from analysis.mfa.parameters import Noise, Parameters
from analysis.mfa.stream import Stream

Start = Literal["kmeans", "points"]

SEEDING_ROWS, SEEDING_WIDTH = 20_000, 128
RESTARTS, SEEDING_PASSES, PASSES = 3, 20, 10
ROWS_PER_COMPONENT, SAMPLE_ELEMENTS = 256, 2**27  # of the sample that shapes the components; half a GB in float32
SETTLED = 1e-4  # relative fall of the inertia that ends the passes
EXACT_WIDTH, EXTRA_AXES, SUBSPACE_PASSES = 128, 6, 6
NOISE_PRIOR = 10.0  # points with which the pooled noise joins a component's own
UNKNOWN_LENGTH = 0.1  # of columns that the points do not determine, in standard deviations of the noise
LEAST_NOISE = 1e-4


def begin(
    stream: Stream,
    components: int,
    factors: int,
    *,
    noise: Noise = "shared",
    start: Start = "kmeans",
    generator: torch.Generator,
    rows: int,
) -> Parameters:
    """A start for a mixture of ``components`` with ``factors`` each, from a stream of ``rows`` points to fit.

    ``start``: "kmeans" or "points", centroids that are points drawn at random. Deterministic given the generator.
    Raises UserError if there are too few distinct points.
    """
    room = max(SEEDING_ROWS, min(ROWS_PER_COMPONENT * components, rows))
    sample = stream.sample(max(min(room, SAMPLE_ELEMENTS // _width(stream)), 8 * components))
    if sample.shape[0] < components:
        raise too_few(components, sample.shape[0])
    order = torch.randperm(sample.shape[0], generator=generator)[: max(SEEDING_ROWS, 8 * components)]
    pool = sample[order.to(sample.device)]
    if start == "points":
        centroids = pool[_distinct(pool, components)]
    else:
        centroids = lloyd(stream, seeded(pool, components, generator))
    return shaped(sample, centroids, factors, noise, generator)


def too_few(components: int, points: int) -> UserError:
    """More components than points."""
    return UserError(
        f"There are more regions than activations: {components} regions, {points} activations to fit. "
        "Ask for fewer regions or give more activations.",
        "n_components",
    )


def seeded(pool: Tensor, components: int, generator: torch.Generator, restarts: int = RESTARTS) -> Tensor:
    """Centroids (K, D) of a pool (P, D): k-means++ and Lloyd's passes in few dimensions; lowest inertia of several."""
    sketch = pool @ _axes(pool, SEEDING_WIDTH, generator) if pool.shape[1] > SEEDING_WIDTH else pool
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


def lloyd(stream: Stream, centroids: Tensor, passes: int = PASSES) -> Tensor:
    """Centroids (K, D) after passes of k-means over the whole stream; an empty one moves to a farthest point."""
    inertia = math.inf
    for _ in range(passes):
        sums, counts = torch.zeros_like(centroids, dtype=torch.float64), centroids.new_zeros(len(centroids))
        total, far = 0.0, (centroids[:0], centroids[:0, 0])
        for points in stream:
            owner, distance = nearest(points, centroids)
            sums += torch.zeros_like(centroids).index_add_(0, owner, points)
            counts += owner.bincount(minlength=len(centroids))
            total += float(distance.sum(dtype=torch.float64))
            worst = distance.topk(min(len(centroids), distance.shape[0])).indices
            joined = torch.cat([far[0], points[worst]]), torch.cat([far[1], distance[worst]])
            keep = joined[1].topk(min(len(centroids), joined[1].shape[0])).indices
            far = joined[0][keep], joined[1][keep]
        empty = (counts == 0).nonzero()[:, 0]
        centroids = (sums / counts.clamp_min(1)[:, None]).to(centroids)
        centroids[empty] = far[0][: empty.shape[0]]
        before, inertia = inertia, total
        if not empty.shape[0] and before - inertia <= SETTLED * inertia:
            break
    return centroids


def nearest(points: Tensor, centroids: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest centroid of each point, (N,) int64, and its squared distance (N,)."""
    found = [(centroids.square().sum(1) - 2 * part @ centroids.T).min(1) for part in points.split(4096)]
    distance = torch.cat([f.values for f in found]) + points.square().sum(1)
    return torch.cat([f.indices for f in found]), distance.clamp_min(0)


def shaped(sample: Tensor, centroids: Tensor, factors: int, noise: Noise, generator: torch.Generator) -> Parameters:
    """Parameters around centroids (K, D), from the points of a sample (M, D) that are nearest to each.

    Loading j of a component is sqrt(lambda_j - sigma^2) u_j, of the eigenvectors of its covariance and the mean
    sigma^2 of the remaining eigenvalues (the maximum of probabilistic PCA). Columns that its points do not determine
    get a random direction and a small length, since a column of zeros would stay one under EM.
    """
    components, width = centroids.shape
    owner, _ = nearest(sample, centroids)
    order, sizes = owner.argsort(stable=True), owner.bincount(minlength=components).tolist()
    own = sample.new_zeros(components, width)  # variances that the loadings leave over
    loadings = sample.new_zeros(components, width, factors)
    first = 0
    for k, size in enumerate(sizes):
        points = sample[order[first : first + size]] - centroids[k]
        first += size
        variance = points.square().sum(0) / max(size, 1)
        lengths, axes = _principal(points, factors, generator)
        rest = (float(variance.sum()) - float(lengths.sum())) / max(width - factors, 1)
        column = axes * (lengths - rest).clamp_min(0).sqrt()
        loadings[k, :, : column.shape[1]] = column
        own[k] = (variance - column.square().sum(1)).clamp_min(0)
    counts = torch.tensor(sizes, device=sample.device).to(sample)
    pooled = (counts @ own) / counts.sum()
    pooled = pooled.clamp_min(LEAST_NOISE)
    blended = (counts[:, None] * own + NOISE_PRIOR * pooled) / (counts[:, None] + NOISE_PRIOR)
    random = torch.randn(loadings.shape, generator=generator, dtype=torch.float64).to(loadings)
    random *= UNKNOWN_LENGTH * pooled.mean().sqrt() / math.sqrt(width)
    loadings = torch.where(loadings.square().sum(1, keepdim=True) > 0, loadings, random)
    weights = (counts + 1) / (counts + 1).sum()
    spread = pooled if noise == "shared" else blended.clamp_min(LEAST_NOISE)
    return Parameters(weights, centroids.clone(), loadings, spread)


def _principal(points: Tensor, factors: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Largest variances (q,) and axes (D, q) of points (n, D) about zero, q <= factors and < n."""
    size, width = points.shape
    count = min(factors, size - 1, width)
    if count <= 0:
        return points.new_zeros(0), points.new_zeros(width, 0)
    if min(size, width) > EXACT_WIDTH:
        basis = _axes(points, count + EXTRA_AXES, generator, SUBSPACE_PASSES)
        values, vectors = torch.linalg.eigh((points @ basis).T @ (points @ basis) / size)
        vectors = basis @ vectors
    elif size < width:  # the n x n products have the same eigenvalues
        values, vectors = torch.linalg.eigh(points @ points.T / size)
        vectors = (points.T @ vectors) / (values * size).clamp_min(1e-12).sqrt()
    else:
        values, vectors = torch.linalg.eigh(points.T @ points / size)
    return values[-count:].flip(0).clamp_min(0), vectors[:, -count:].flip(1)


def _axes(points: Tensor, count: int, generator: torch.Generator, passes: int = 1) -> Tensor:
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


def _distinct(pool: Tensor, components: int) -> Tensor:
    """The first K rows (in random order already) that differ from each other, as far as there are that many."""
    _, inverse = torch.unique(pool, dim=0, return_inverse=True)
    first = torch.full((int(inverse.max()) + 1,), pool.shape[0], device=pool.device)
    first.scatter_reduce_(0, inverse, torch.arange(pool.shape[0], device=pool.device), "amin")
    first = first.sort().values
    return torch.cat([first, torch.arange(pool.shape[0], device=pool.device)])[:components]


def _width(stream: Stream) -> int:
    return int(next(iter(stream.batches())).shape[1])
