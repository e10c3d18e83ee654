"""Which heads and MLPs write a predicted token: each one's direct part of a logit difference, and what comes of a pair.

The parts are of the logit as the unembedding gives it, with the lengths that the norms divided by held as they were
(:mod:`analysis.models.stream`). They say what a part writes itself, not what later parts make of it, so a head that
moves a word along for others to use shows nothing here; taking it out does (:mod:`analysis.models.ablation`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from analysis.models.recording import LayerAttention
from analysis.models.stream import BlockParts, Stream
from analysis.models.trace import Trace


@dataclass(frozen=True)
class Contributions:
    """A logit difference ``total`` and its parts, all float64: ``heads`` (L, H), NaN where a block has fewer heads,
    ``mlps`` (L,), ``embedding`` (with the positions), ``constant`` (biases) and ``remainder``: the total less them all.

    ``chance``: what the largest head, and the largest MLP, writes in size towards tokens drawn at random in place of
    the target; the 95 % point over the draws.
    """

    total: float
    heads: Tensor
    mlps: Tensor
    embedding: float
    constant: float
    remainder: float
    chance: tuple[float, float]


@torch.no_grad()
def contributions(stream: Stream, target: int, against: int | None, draws: int = 40, seed: int = 0) -> Contributions:
    """The parts of the logit of ``target`` over that of the token ``against``, or over the mean of all logits."""
    generator = torch.Generator().manual_seed(seed)
    others = torch.randint(stream.raw.shape[0], (draws,), generator=generator)
    directions, constants = stream.measures(torch.cat([torch.tensor([target]), others]), against)
    width = max(block.heads.shape[0] for block in stream.blocks)
    heads = torch.full((1 + draws, len(stream.blocks), width), torch.nan, dtype=torch.float64)
    mlps = torch.zeros(1 + draws, len(stream.blocks), dtype=torch.float64)
    constant = constants.double()
    for layer, block in enumerate(stream.blocks):
        pulled = torch.einsum("rd,hwd->rhw", directions, block.writing())
        heads[:, layer, : block.heads.shape[0]] = (pulled.double() * block.heads.double()).sum(-1)
        mlps[:, layer] = (directions @ block.mlp).double()
        constant = constant + (directions @ block.constant()).double()
    embedding = float((directions[0] @ stream.embedding).double())
    total = stream.difference(target, against)
    parts = float(heads[0].nansum() + mlps[0].sum() + constant[0]) + embedding
    largest = [part[1:].abs().nan_to_num(0).flatten(1).max(1).values for part in (heads, mlps)]
    chance = tuple(float(values.quantile(0.95)) for values in largest)
    return Contributions(total, heads[0], mlps[0], embedding, float(constant[0]), total - parts, (chance[0], chance[1]))


@dataclass(frozen=True)
class Sources:
    """What one head writes towards a token from each source token, (T,) float64 each: ``attention``; ``weighted``: its
    share of the lengths of what is written; ``writes``: of the logit difference."""

    attention: Tensor
    weighted: Tensor
    writes: Tensor


@torch.no_grad()
def sources(stream: Stream, trace: Trace, layer: int, head: int, target: int, against: int | None) -> Sources:
    """One head's part of a logit difference, source token by source token."""
    block, record = stream.blocks[layer], trace.layers[layer]
    query = len(stream.ids) - 1
    direction = stream.measures(torch.tensor([target]), against)[0][0]
    writing = block.writing()[head].double()
    values = record.values[0, head // record.group, : query + 1].double()
    attention = record.weights(slice(head, head + 1), slice(query, query + 1))[0, 0, 0, : query + 1].double()
    lengths = attention * _lengths(values, writing)
    weighted = lengths / lengths.sum().clamp_min(1e-30)
    return Sources(attention, weighted, attention * (values @ (writing @ direction.double())))


@torch.no_grad()
def pair_heads(trace: Trace, query: int, key: int, layers: int, width: int) -> Tensor:
    """Attention of one query to one key in every head, (L, H) float64, NaN where there is no such head."""
    found = torch.full((layers, width), torch.nan, dtype=torch.float64)
    for layer, record in trace.layers.items():
        rows = record.weights(rows=slice(query, query + 1))[0, :, 0, key]
        found[layer, : rows.shape[0]] = rows.double()
    return found


@torch.no_grad()
def pair_values(
    stream: Stream, trace: Trace, key: int, target: int, against: int | None, width: int
) -> tuple[Tensor, Tensor]:
    """For one key and every head, (L, H) float64: the share of the lengths of what the query's token is written by the
    head, and the part of the logit difference that comes from this key."""
    direction = stream.measures(torch.tensor([target]), against)[0][0]
    weighted, writes = (torch.full((len(stream.blocks), width), torch.nan, dtype=torch.float64) for _ in range(2))
    for layer, block in enumerate(stream.blocks):
        record, count = trace.layers[layer], block.heads.shape[0]
        writing = block.writing()
        attention, values = _row(record, len(stream.ids) - 1)
        lengths = attention * torch.stack([_lengths(values[h // record.group], writing[h]) for h in range(count)])
        weighted[layer, :count] = (lengths[:, key] / lengths.sum(1).clamp_min(1e-30)).double()
        vectors = torch.stack([values[h // record.group, key] for h in range(count)])
        writes[layer, :count] = (attention[:, key] * (vectors * (writing @ direction)).sum(-1)).double()
    return weighted, writes


def _row(record: LayerAttention, query: int) -> tuple[Tensor, Tensor]:
    """Attention of one query in every head (H, t) and values (Hkv, t, w), both float32, of the tokens up to it."""
    attention = record.weights(rows=slice(query, query + 1))[0, :, 0, : query + 1]
    return attention, record.values[0, :, : query + 1].float()


def _lengths(values: Tensor, writing: Tensor) -> Tensor:
    """Lengths (t,) of what a head writes from values (t, w) through ``writing`` (w, D)."""
    products = (values @ (writing @ writing.T).to(values)) * values
    return products.sum(-1).clamp_min(0).sqrt()


def head_total(block: BlockParts, head: int, direction: Tensor) -> float:
    """One head's part of a logit difference whose direction on the stream is ``direction`` (D,)."""
    return float(block.heads[head].double() @ (block.writing()[head] @ direction).double())
