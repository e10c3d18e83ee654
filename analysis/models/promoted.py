"""Which tokens a vector of the residual stream promotes, read off the unembedding: a first look, not an effect.

The effect of steering is what the page measures with a forward pass. Here the vector goes straight to the unembedding,
through the gain of the final norm only.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from analysis.models.hooks import place_of
from analysis.models.loader import LoadedModel
from analysis.models.sites import Site


@torch.no_grad()
def final_gain(loaded: LoadedModel) -> Tensor:
    """Gain (hidden,) of the norm before the unembedding, measured and not read, since some norms store gain minus one.

    For x with entries +-1 and mean 0 a norm gives +-gain plus a bias, which the difference to -x removes.
    """
    hidden = loaded.facts.hidden
    norms = [m for m in loaded.model.base_model.children() if "norm" in type(m).__name__.lower()]
    if not norms:
        return torch.ones(hidden)
    norm: nn.Module = norms[-1]
    weight = next(norm.parameters(), None)
    like = weight if weight is not None else torch.zeros(1)
    sign = torch.ones(hidden, device=like.device, dtype=like.dtype)
    sign[1::2] = -1
    gain: Tensor = (norm(sign[None]) - norm(-sign[None]))[0] / 2 * sign
    return gain.float().cpu()


@torch.no_grad()
def promoted(loaded: LoadedModel, site: Site, vectors: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The tokens that directions (M, D) at a site push up and down most: ids and logits, each (M, count), or
    (M, V) where the vocabulary has fewer tokens than that.

    Order: ids up (int32), logits up, ids down, logits down. A site before an MLP's projection is taken through it.
    """
    place = place_of(loaded, site)
    output: nn.Module = loaded.model.get_output_embeddings()
    unembedding: Tensor = output.weight  # type: ignore[assignment]
    gain = final_gain(loaded)
    found: list[tuple[Tensor, ...]] = []
    for part in vectors.split(256):
        stream = part.to(unembedding.device, unembedding.dtype)
        if place.before:
            stream = place.module(stream) - place.module(torch.zeros_like(stream))
        logits = ((stream.float() * gain.to(stream.device)).to(unembedding.dtype) @ unembedding.T).float().cpu()
        few = min(count, logits.shape[1])
        up, down = logits.topk(few, 1), logits.topk(few, 1, largest=False)
        found.append((up.indices.int(), up.values, down.indices.int(), down.values))
    a, b, c, d = (torch.cat(column) for column in zip(*found, strict=True))
    return a, b, c, d
