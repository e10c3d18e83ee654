"""What belongs to each region: one pass over the activations, then sums and rankings within regions.

The pass keeps a few numbers of each activation (its region, responsibility, density, local factors), never the
activation itself, so that a fit on a stream larger than memory can be surveyed as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from analysis.mfa.density import Density
from analysis.mfa.parameters import Parameters
from analysis.progress import Progress, silent

CONTEXTS, ENDS = 8, 4


@dataclass
class Survey:
    """Members and samples of K regions over N activations.

    ``region`` (N,): the most responsible one. ``size``, ``mass`` (K,): members, and summed responsibilities.
    ``contexts``: by name ("likelihood", "responsibility", "random") rows (K, n), -1 where a region has fewer.
    ``spread`` (K, R): standard deviation of each factor's posterior mean among members; ``low``, ``high`` (K, R, m):
    rows of the members furthest out. ``fvu_centroid``, ``fvu_local``: variance left by the centroid, and by centroid
    and local offset. ``norms``: mean norms of centroid minus mean, local offset, rest.
    """

    region: Tensor
    size: Tensor
    mass: Tensor
    contexts: dict[str, Tensor]
    spread: Tensor
    low: Tensor
    high: Tensor
    fvu_centroid: float
    fvu_local: float
    norms: tuple[float, float, float]


def survey(
    parameters: Parameters,
    mean: Tensor,
    batches: Iterable[Tensor],
    *,
    seed: int = 0,
    rows: int | None = None,
    progress: Progress = silent,
) -> Survey:
    """Survey all activations (batches (M, D) float32) with a mixture and the data's mean (D,).

    ``rows``: how many there are, if that is known; ``progress`` is told the share of them after each batch.
    """
    density = Density(parameters, mean)
    kept: list[tuple[Tensor, ...]] = []
    mass = torch.zeros(parameters.components, dtype=torch.float64)
    left = torch.zeros(3, dtype=torch.float64)
    norms = torch.zeros(3, dtype=torch.float64)
    log_weights = parameters.weights.log()
    done = 0
    for x in batches:
        joint = density.log_joint(x)
        shares = joint.softmax(1)
        share, region = shares.max(1)
        mass += shares.sum(0, dtype=torch.float64)
        z = density.posterior(x, region)
        own = joint.gather(1, region[:, None])[:, 0] - log_weights[region]
        local = _offsets(parameters, region, z)
        centroid = parameters.means[region]
        rest = x - centroid - local
        parts = (centroid - mean, local, rest)
        norms += torch.stack([p.norm(dim=1).sum(dtype=torch.float64) for p in parts])
        left += torch.stack([p.square().sum(dtype=torch.float64) for p in (x - mean, x - centroid, rest)])
        kept.append((region.int(), share, own, z.half()))
        done += len(x)
        progress(done / rows if rows else None)
    region, share, own, z = (torch.cat(column) for column in zip(*kept, strict=True))
    return _ranked(parameters, region.long(), share, own, z.float(), mass, left, norms / max(done, 1), seed)


def _offsets(parameters: Parameters, region: Tensor, z: Tensor) -> Tensor:
    found = z.new_zeros(len(z), parameters.width)
    for k in region.unique().tolist():
        rows = (region == k).nonzero()[:, 0]
        found[rows] = z[rows] @ parameters.loadings[k].T
    return found


def _ranked(
    parameters: Parameters, region: Tensor, share: Tensor, own: Tensor, z: Tensor, mass: Tensor, left: Tensor,
    norms: Tensor, seed: int,
) -> Survey:  # fmt: skip
    count, factors = parameters.components, parameters.factors
    size = torch.bincount(region, minlength=count)
    bounds = [0, *size.cumsum(0).tolist()]
    order = torch.argsort(region, stable=True)
    contexts = {n: torch.full((count, CONTEXTS), -1) for n in ("likelihood", "responsibility", "random")}
    low, high = (torch.full((count, factors, ENDS), -1) for _ in range(2))
    spread = torch.zeros(count, factors)
    draw = torch.rand(len(region), generator=torch.Generator().manual_seed(seed))
    for k in range(count):
        rows = order[bounds[k] : bounds[k + 1]]
        if not len(rows):
            continue
        for name, value in (("likelihood", own), ("responsibility", share), ("random", draw)):
            best = rows[value[rows].topk(min(CONTEXTS, len(rows))).indices]
            contexts[name][k, : len(best)] = best
        mine = z[rows]
        spread[k] = mine.std(0, correction=0)
        taken = min(ENDS, len(rows) // 2)
        ranks = mine.argsort(0)
        for j in range(factors if taken else 0):
            low[k, j, :taken] = rows[ranks[:taken, j]]
            high[k, j, :taken] = rows[ranks[-taken:, j].flip(0)]
    total = float(left[0].clamp(min=1e-30))
    away, local, rest = norms.tolist()
    return Survey(
        region, size, mass, contexts, spread, low, high, float(left[1]) / total, float(left[2]) / total,
        (away, local, rest),
    )  # fmt: skip
