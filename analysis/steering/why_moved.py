"""From which side a head's attention moved: its query's change, its keys', or both at once; and inside which subspace.

A raw logit is q . k, so what steering makes of it is exactly (dq . k) + (q . dk) + (dq . dk). Attention is no sum: a
side alone is the row that the head would give if only that vector had changed, and its distance from the unsteered one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from analysis.models.recording import LayerAttention
from analysis.models.trace import Trace
from analysis.steering.moved import distance


@dataclass(frozen=True)
class Sides:
    """One query of one head. ``whole``, ``query``, ``key``: total variation of the row with both, with the query's and
    with the keys' change alone. ``parts`` (T, 3) float64: what the logit of each key gains from the query's side, from
    the key's and from both at once, in nats before any soft-cap, over the mean of all keys that the query sees; NaN
    where it sees none. ``error``: largest difference of their sum to the change itself."""

    whole: float
    query: float
    key: float
    parts: Tensor
    error: float


@dataclass(frozen=True)
class _Vectors:
    """Query (d,) and keys (T, d) in float64, unsteered and steered."""

    query: Tensor
    keys: Tensor
    new_query: Tensor
    new_keys: Tensor


def sides(base: Trace, other: Trace, layer: int, head: int, query: int) -> Sides:
    """What of the way from one trace to the other comes from the query, and what from the keys."""
    record, v = base.layers[layer], _vectors(base, other, layer, head, query)
    own, both, by_query, by_keys = (
        _row(record, head, query, q, k)
        for q, k in ((v.query, v.keys), (v.new_query, v.new_keys), (v.new_query, v.keys), (v.query, v.new_keys))
    )
    change, moves = v.new_query - v.query, v.new_keys - v.keys
    parts = torch.stack([v.keys @ change, moves @ v.query, moves @ change], 1) * record.scaling
    total = (v.new_keys @ v.new_query - v.keys @ v.query) * record.scaling
    error = float((parts.sum(1) - total).abs().max())
    visible = record.visible(slice(head, head + 1), slice(query, query + 1))[0, 0, 0]
    parts = (parts - parts[visible].mean(0)).masked_fill(~visible[:, None], torch.nan)
    return Sides(distance(own, both), distance(own, by_query), distance(own, by_keys), parts, error)


def moved_inside(
    base: Trace, other: Trace, layer: int, head: int, query: int, query_basis: Tensor, key_basis: Tensor
) -> float:
    """Total variation of the row where query and keys change only inside subspaces with these bases (d, r)."""
    record, v = base.layers[layer], _vectors(base, other, layer, head, query)
    left, right = query_basis.double(), key_basis.double()
    inside = v.query + (v.new_query - v.query) @ left @ left.mT
    keys = v.keys + (v.new_keys - v.keys) @ right @ right.mT
    return distance(_row(record, head, query, v.query, v.keys), _row(record, head, query, inside, keys))


def _vectors(base: Trace, other: Trace, layer: int, head: int, query: int) -> _Vectors:
    one, two = base.layers[layer], other.layers[layer]
    group = head // one.group
    return _Vectors(
        one.queries[0, head, query].double(),
        one.keys[0, group].double(),
        two.queries[0, head, query].double(),
        two.keys[0, group].double(),
    )


def _row(record: LayerAttention, head: int, query: int, vector: Tensor, keys: Tensor) -> Tensor:
    """Attention (T,) float32 of one query with these vectors in place of its own."""
    mask = record.visible(slice(head, head + 1), slice(query, query + 1))
    one = replace(
        record,
        queries=vector.float()[None, None, None],
        keys=keys.float()[None, None],
        mask=mask,
        sinks=None if record.sinks is None else record.sinks[head : head + 1],
    )
    return one.weights()[0, 0, 0]
