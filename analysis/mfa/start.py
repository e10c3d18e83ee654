"""Where expectation-maximisation begins: centroids, their shapes, and a look at what seeding got wrong.

EM finds the nearest optimum, so the start decides which one. What can be repaired cheaply is repaired on a sample,
before any round over all points. Points are expected centred and of unit mean variance.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from analysis.errors import UserError
from analysis.mfa.kmeans import Elsewhere, lloyd, seeded
from analysis.mfa.parameters import Noise, Parameters
from analysis.mfa.rearrange import rearranged
from analysis.mfa.shape import shaped
from analysis.mfa.stream import Stream

Start = Literal["kmeans", "points"]

SEEDING_ROWS = 20_000
ROWS_PER_COMPONENT, SAMPLE_ELEMENTS = 256, 2**27  # of the sample that shapes the components; half a GB in float32


def begin(
    stream: Stream,
    components: int,
    factors: int,
    *,
    noise: Noise = "shared",
    start: Start = "kmeans",
    generator: torch.Generator,
    rows: int,
    over: Elsewhere | None = None,
) -> Parameters:
    """A start for a mixture of ``components`` with ``factors`` each, from a stream of ``rows`` points to fit.

    ``start``: "kmeans", with regions exchanged where that helps (:mod:`analysis.mfa.rearrange`), or "points", centroids
    that are points drawn at random. ``over``: makes the passes of k-means in the place of the stream. Deterministic
    given the generator.
    Raises UserError if there are too few distinct points.
    """
    room = max(SEEDING_ROWS, min(ROWS_PER_COMPONENT * components, rows))
    sample = stream.sample(max(min(room, SAMPLE_ELEMENTS // _width(stream)), 8 * components))
    if sample.shape[0] < components:
        raise too_few(components, sample.shape[0])
    order = torch.randperm(sample.shape[0], generator=generator)[: max(SEEDING_ROWS, 8 * components)]
    pool = sample[order.to(sample.device)]
    if start == "points":
        return shaped(sample, pool[_distinct(pool, components)], factors, noise, generator)
    centroids = lloyd(over or stream, seeded(pool, components, generator))
    return rearranged(shaped(sample, centroids, factors, noise, generator), pool, generator)


def too_few(components: int, points: int) -> UserError:
    """More components than points."""
    return UserError(
        f"There are more regions than activations: {components} regions, {points} activations to fit. "
        "Ask for fewer regions or give more activations.",
        "n_components",
    )


def _distinct(pool: Tensor, components: int) -> Tensor:
    """The first K rows (in random order already) that differ from each other, as far as there are that many."""
    _, inverse = torch.unique(pool, dim=0, return_inverse=True)
    first = torch.full((int(inverse.max()) + 1,), pool.shape[0], device=pool.device)
    first.scatter_reduce_(0, inverse, torch.arange(pool.shape[0], device=pool.device), "amin")
    first = first.sort().values
    return torch.cat([first, torch.arange(pool.shape[0], device=pool.device)])[:components]


def _width(stream: Stream) -> int:
    return int(next(iter(stream.batches())).shape[1])
