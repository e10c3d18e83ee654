"""The payload-retrieval task that the toy head is trained on, and what can be asked of it.

A row is a context of tokens, each the sum of two latents and a payload, and one query that names the latents of one
of them. The maps from latents to embeddings decide what the head can know, so they are drawn once, held together in
``ToyEmbedding`` and kept with the trained weights: rebuilding them later from the seed is how the closed form and the
interaction matrix come out wrong without a sign (dossier section 5). Every draw takes its own generator, so that the
global random state is neither read nor changed, and a seed gives the same rows in any order of calls.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor

from analysis.errors import UserError
from analysis.qk.toy_settings import ToySettings

Factor = Literal["z1", "z2", "both"]
Stream = Literal["embedding", "weights", "training", "validation", "report"]


class ToyEmbedding(NamedTuple):
    """The fixed maps of a run, float32: context side ``a1`` (d_model, n1) and ``a2`` (d_model, n2), query side ``b1``
    and ``b2`` of the same shapes, and ``payload`` (classes, d_model), the vectors e(y)."""

    a1: Tensor
    a2: Tensor
    b1: Tensor
    b2: Tensor
    payload: Tensor


class ToyBatch(NamedTuple):
    """Rows of the task. ``context`` (n, C, d_model), ``query`` (n, d_model), ``z1`` (n, C, n1) and ``z2`` (n, C, n2)
    float32; ``place`` (n,) the token that the query names and ``label`` (n,) its payload, int64."""

    context: Tensor
    query: Tensor
    z1: Tensor
    z2: Tensor
    place: Tensor
    label: Tensor


class ContrastBatch(NamedTuple):
    """Embeddings of contrast triples, each (n, d_model) float32."""

    query: Tensor
    positive: Tensor
    negative: Tensor


def generator_for(seed: int, stream: Stream) -> torch.Generator:
    """A generator of its own for one purpose of a run, so that no purpose shifts the draws of another."""
    place = get_args(Stream).index(stream)
    state = int(np.random.SeedSequence([seed, place]).generate_state(1, np.uint64)[0])
    return torch.Generator().manual_seed(state >> 1)


def draw_embedding(settings: ToySettings, generator: torch.Generator) -> ToyEmbedding:
    """Normal maps scaled as in dossier 2.1: 1/sqrt(n1), 1/sqrt(n2), and 1/sqrt(d_model) for the payloads."""

    def normal(rows: int, columns: int, width: int) -> Tensor:
        return torch.randn(rows, columns, generator=generator) / math.sqrt(width)

    n1, n2, wide = settings.n1, settings.n2, settings.d_model
    a1, a2 = normal(wide, n1, n1), normal(wide, n2, n2)
    b1, b2 = normal(wide, n1, n1), normal(wide, n2, n2)
    return ToyEmbedding(a1, a2, b1, b2, normal(settings.classes, wide, wide))


def draw_latents(settings: ToySettings, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Independent latents of ``shape``, float32: uniform signs, or standard normal for the Gaussian task."""
    if settings.task == "gaussian":
        return torch.randn(shape, generator=generator)
    return torch.randint(0, 2, shape, generator=generator).float().mul_(2).sub_(1)


def sample_batch(settings: ToySettings, embedding: ToyEmbedding, rows: int, generator: torch.Generator) -> ToyBatch:
    """``rows`` fresh rows of payload retrieval (dossier 2.1)."""
    tokens = (rows, settings.context)
    z1 = draw_latents(settings, (*tokens, settings.n1), generator)
    z2 = draw_latents(settings, (*tokens, settings.n2), generator)
    payload = torch.randint(0, settings.classes, tokens, generator=generator)
    place = torch.randint(0, settings.context, (rows,), generator=generator)
    line = torch.arange(rows)
    context = _context_tokens(settings, embedding, z1, z2, payload, generator)
    query = _query_tokens(settings, embedding, z1[line, place], z2[line, place], generator)
    return ToyBatch(context, query, z1, z2, place, payload[line, place])


def sample_contrast(
    settings: ToySettings, embedding: ToyEmbedding, factor: Factor, rows: int, generator: torch.Generator
) -> ContrastBatch:
    """Triples (query, positive, negative) for one factor, with the sampling of dossier 1.2.

    The positive shares ``factor`` with the query; the negative draws it afresh, so that a binary code agrees by chance
    once in 2**n. The other latent is one fresh value that both keys share ("both": the positive shares both latents,
    the negative draws both afresh). Payload and noise are drawn apart for the two keys. Raises UserError for another
    factor.
    """
    if factor not in get_args(Factor):
        raise UserError(f"The factor must be z1, z2 or both; it is {factor!r}.", "factor")

    def draw(width: int) -> Tensor:
        return draw_latents(settings, (rows, width), generator)

    def payload() -> Tensor:
        return torch.randint(0, settings.classes, (rows,), generator=generator)

    asked = (draw(settings.n1), draw(settings.n2))
    fresh = (draw(settings.n1), draw(settings.n2))
    shared = (draw(settings.n1), draw(settings.n2))
    positive, negative = {
        "z1": ((asked[0], shared[1]), (fresh[0], shared[1])),
        "z2": ((shared[0], asked[1]), (shared[0], fresh[1])),
        "both": (asked, fresh),
    }[factor]
    return ContrastBatch(
        _query_tokens(settings, embedding, *asked, generator),
        _context_tokens(settings, embedding, *positive, payload(), generator),
        _context_tokens(settings, embedding, *negative, payload(), generator),
    )


def latent_codes(latents: Tensor) -> Tensor:
    """The number of each binary latent (..., n) -> (...) int64; bit i is set where coordinate i is positive."""
    weights = 2 ** torch.arange(latents.shape[-1])
    return ((latents > 0).long() * weights).sum(-1)


def _context_tokens(
    settings: ToySettings,
    embedding: ToyEmbedding,
    z1: Tensor,
    z2: Tensor,
    payload: Tensor,
    generator: torch.Generator,
) -> Tensor:
    clean = z1 @ embedding.a1.T + z2 @ embedding.a2.T + embedding.payload[payload]
    return clean.add_(torch.randn(clean.shape, generator=generator), alpha=settings.noise)


def _query_tokens(
    settings: ToySettings, embedding: ToyEmbedding, z1: Tensor, z2: Tensor, generator: torch.Generator
) -> Tensor:
    clean = z1 @ embedding.b1.T + z2 @ embedding.b2.T
    return clean.add_(torch.randn(clean.shape, generator=generator), alpha=settings.noise)
