"""What belongs to each region: one pass over the activations, then sums and rankings within regions.

The pass keeps a few numbers of each activation (its region, responsibility, density, local factors), never the
activation itself, so that a fit on a stream larger than memory can be surveyed as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from analysis.mfa.lean import density_of
from analysis.mfa.parameters import Parameters
from analysis.progress import Progress, silent

CONTEXTS, ENDS = 8, 4


@dataclass
class Survey:
    """Members and samples of K regions over N activations.

    ``region`` (N,): the most responsible one. ``size``, ``mass`` (K,): members, and summed responsibilities.
    ``contexts``: by name ("likelihood", "responsibility", "random") rows (K, n), -1 where a region has fewer.
    ``spread`` (K, R): standard deviation of each factor's posterior mean among members; ``low``, ``high`` (K, R, m):
    rows of the members furthest out; ``turned``: the same three with the loadings in another rotation, if one was
    given. ``fvu_centroid``, ``fvu_local``: variance left by the centroid, and by centroid and local offset. ``norms``:
    mean norms of centroid minus mean, local offset, rest.
    """

    region: Tensor
    size: Tensor
    mass: Tensor
    contexts: dict[str, Tensor]
    spread: Tensor
    low: Tensor
    high: Tensor
    turned: tuple[Tensor, Tensor, Tensor] | None
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
    turned: Parameters | None = None,
    progress: Progress = silent,
) -> Survey:
    """Survey all activations (batches (M, D) float32) with a mixture and the data's mean (D,).

    ``turned``: the same mixture with other loadings of the same span, whose factors are wanted too. ``rows``: how many
    there are, if that is known; ``progress`` is told the share of them after each batch.
    """
    density = density_of(parameters, mean)
    other = None if turned is None else density_of(turned, mean)
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
        more = z.new_zeros(len(z), 0) if other is None else other.posterior(x, region)
        kept.append((region.int(), share, own, z.half(), more.half()))
        done += len(x)
        progress(done / rows if rows else None)
    region, share, own, z, more = (torch.cat(column) for column in zip(*kept, strict=True))
    both = [z.float()] if other is None else [z.float(), more.float()]
    return _ranked(parameters, region.long(), share, own, both, mass, left, norms / max(done, 1), seed)


def _offsets(parameters: Parameters, region: Tensor, z: Tensor) -> Tensor:
    found = z.new_zeros(len(z), parameters.width)
    for k in region.unique().tolist():
        rows = (region == k).nonzero()[:, 0]
        found[rows] = z[rows] @ parameters.loadings[k].T
    return found


def _ranked(
    parameters: Parameters, region: Tensor, share: Tensor, own: Tensor, z: list[Tensor], mass: Tensor, left: Tensor,
    norms: Tensor, seed: int,
) -> Survey:  # fmt: skip
    count = parameters.components
    size = torch.bincount(region, minlength=count)
    bounds = [0, *size.cumsum(0).tolist()]
    order = torch.argsort(region, stable=True)
    contexts = {n: torch.full((count, CONTEXTS), -1) for n in ("likelihood", "responsibility", "random")}
    draw = torch.rand(len(region), generator=torch.Generator().manual_seed(seed))
    for k in range(count):
        rows = order[bounds[k] : bounds[k + 1]]
        if not len(rows):
            continue
        for name, value in (("likelihood", own), ("responsibility", share), ("random", draw)):
            best = rows[value[rows].topk(min(CONTEXTS, len(rows))).indices]
            contexts[name][k, : len(best)] = best
    axes = [_ends(one, order, bounds) for one in z]
    total = float(left[0].clamp(min=1e-30))
    away, local, rest = norms.tolist()
    return Survey(
        region, size, mass, contexts, *axes[0], axes[1] if len(axes) > 1 else None, float(left[1]) / total,
        float(left[2]) / total, (away, local, rest),
    )  # fmt: skip


def _ends(z: Tensor, order: Tensor, bounds: list[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Spread (K, R) of the factors (N, R) within regions, and the rows (K, R, m) at their low and high ends."""
    count, factors = len(bounds) - 1, z.shape[1]
    spread = torch.zeros(count, factors)
    low, high = (torch.full((count, factors, ENDS), -1) for _ in range(2))
    for k in range(count):
        rows = order[bounds[k] : bounds[k + 1]]
        if not len(rows):
            continue
        mine = z[rows]
        spread[k] = mine.std(0, correction=0)
        taken = min(ENDS, len(rows) // 2)
        ranks = mine.argsort(0)
        if taken:
            low[k, :, :taken] = rows[ranks[:taken]].T
            high[k, :, :taken] = rows[ranks[-taken:].flip(0)].T
    return spread, low, high
