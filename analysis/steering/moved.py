"""How far steering moves what heads look at: attention of one text without and with interventions, and its distance.

The distance of two rows of attention is their total variation: the share of the attention that would have to be put
elsewhere, from 0 to 1. What a head gives to a sink outside of the text counts as one more key.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from analysis.models.loaded_model import LoadedModel
from analysis.models.recording import LayerAttention
from analysis.models.trace import Trace, trace_prompt
from analysis.steering.operators import Intervention
from analysis.steering.plan import Plan

_CHUNK = 64 << 20


def steered_trace(
    loaded: LoadedModel, ids: Sequence[int], interventions: Iterable[Intervention], base: Trace | None = None
) -> Trace:
    """The recorded pass over token ``ids`` with interventions in force, without its values. ``base``: the unsteered
    one, with which it shares what is equal. Errors as of ``steer``."""
    with Plan(loaded, interventions, prompt_tokens=len(ids)).installed():
        trace, _ = trace_prompt(loaded, list(ids), overview=False)
    layers = {n: replace(r, values=r.values[..., :0].clone()) for n, r in trace.layers.items()}
    if base is not None:
        layers = {n: base.layers[n] if _equal(r, base.layers[n]) else r for n, r in layers.items()}
    return Trace(trace.ids, layers, trace.next_logits)


def _equal(one: LayerAttention, other: LayerAttention) -> bool:
    return torch.equal(one.queries, other.queries) and torch.equal(one.keys, other.keys)


@dataclass(frozen=True)
class Movement:
    """Per layer and head, (L, H) float32, NaN where there is no softmax attention: total variation of two traces, its
    ``mean`` over the queries and that of the ``worst`` query, which is ``query`` (int32, -1 for none). The first query
    is left out: it has one key."""

    mean: np.ndarray
    worst: np.ndarray
    query: np.ndarray


def movement(loaded: LoadedModel, one: Trace, other: Trace) -> Movement:
    """How far every head's pattern lies from one trace to another of the same text of at least two tokens."""
    shape, tokens = (loaded.facts.layers, loaded.facts.heads), len(one.ids)
    mean, worst = np.full(shape, np.nan, np.float32), np.full(shape, np.nan, np.float32)
    query = np.full(shape, -1, np.int32)
    step = max(1, _CHUNK // (8 * tokens * tokens))
    for layer in one.layers:
        heads = one.layers[layer].queries.shape[1]
        for start in range(0, heads, step):
            chunk = slice(start, min(heads, start + step))
            found = _distance(one.layers[layer].weights(chunk)[0], other.layers[layer].weights(chunk)[0])[:, 1:]
            mean[layer, chunk] = found.mean(1).numpy()
            worst[layer, chunk] = found.max(1).values.numpy()
            query[layer, chunk] = found.argmax(1).int().numpy() + 1
    return Movement(mean, worst, query)


def distance(one: Tensor, other: Tensor) -> float:
    """Total variation of two rows of attention (T,)."""
    return float(_distance(one, other))


def _distance(one: Tensor, other: Tensor) -> Tensor:
    change = other - one
    return (change.abs().sum(-1) + change.sum(-1).abs()) / 2
