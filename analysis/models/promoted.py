"""Which tokens a vector of the residual stream promotes, read off the unembedding: a first look, not an effect.

The effect of steering is what the page measures with a forward pass. Here the vector goes straight to the unembedding,
through the gain of the final norm only; :mod:`analysis.models.readout` says where that norm stands, and where a model
has none.
"""

from __future__ import annotations

import torch
from torch import Tensor

from analysis.models.hooks import place_of
from analysis.models.loaded_model import LoadedModel
from analysis.models.readout import readout
from analysis.models.sites import Site


def final_gain(loaded: LoadedModel) -> Tensor:
    """Gain (hidden,) float32 of the norm whose output enters the unembedding; ones where no norm does."""
    return readout(loaded).gain()


@torch.no_grad()
def straight(loaded: LoadedModel, site: Site, vectors: Tensor) -> Tensor:
    """Logits (M, V) float32 that vectors (M, D) at a site give by the readout alone; (M, 0) where they do not reach it.

    A site before an MLP's projection is taken through it. Raises UserError(field="site").
    """
    place, way = place_of(loaded, site), readout(loaded)
    if not way.readable:
        return torch.zeros(len(vectors), 0)
    stream = vectors.to(way.unembedding.device, way.unembedding.dtype)
    if place.before:
        stream = place.module(stream) - place.module(torch.zeros_like(stream))
    return way.logits(stream)


@torch.no_grad()
def promoted(loaded: LoadedModel, site: Site, vectors: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The tokens that directions (M, D) at a site push up and down most: ids and logits, each (M, count), or
    (M, V) where the vocabulary has fewer tokens than that, (M, 0) where vectors cannot be read as tokens.

    Order: ids up (int32), logits up, ids down, logits down. A site before an MLP's projection is taken through it.
    """
    found: list[tuple[Tensor, ...]] = []
    for part in vectors.split(256):
        logits = straight(loaded, site, part)
        few = min(count, logits.shape[1])
        up, down = logits.topk(few, 1), logits.topk(few, 1, largest=False)
        found.append((up.indices.int(), up.values, down.indices.int(), down.values))
    a, b, c, d = (torch.cat(column) for column in zip(*found, strict=True))
    return a, b, c, d
