"""What if two keys traded places inside a subspace: this head's attention, beside random subspaces, and the model.

The swap is on the key side and for one query, as in the paper (dossier 3.4); the read-out is the head's own attention.
What the whole model makes of it is a second question, answered by a second pass in which only this head's output at
this query is computed from the new row.
"""

from __future__ import annotations

import torch
from torch import Tensor

from analysis.models.loaded_model import LoadedModel
from analysis.models.midway import last_logits
from analysis.models.recording import LayerAttention, scaled_logits, tapped
from analysis.models.trace import Trace
from analysis.qk.answers.prompt import PredictionChange
from analysis.qk.subspace import random_basis, swap_keys


def swapped_row(trace: Trace, layer: int, head: int, query: int, a: int, b: int, basis: Tensor) -> Tensor:
    """The attention row (T,), float64, after tokens a and b have swapped their coordinates in ``basis`` (d, r).

    Raises:
        ValueError: a token that the query cannot see, which a swap would let in.
    """
    record = trace.layers[layer]
    raw, _ = trace.row(layer, head, query)
    if not bool(raw[a].isfinite() and raw[b].isfinite()):
        raise ValueError(f"tokens {a} and {b} must both be visible to query {query}")
    keys = record.keys[0, head // record.group].double()
    new_a, new_b = swap_keys(keys[a], keys[b], basis.to(keys))
    vector = record.queries[0, head, query].double()
    raw = raw.clone()
    raw[a], raw[b] = vector @ new_a, vector @ new_b
    return row_softmax(raw, record, head)


def row_softmax(raw: Tensor, record: LayerAttention, head: int) -> Tensor:
    """Softmax of raw logits (..., T) as this layer does it: scaling, soft-cap, learned sinks; -inf stays out."""
    logits = scaled_logits(raw, record.scaling, record.softcap).masked_fill(~torch.isfinite(raw), -torch.inf)
    if record.sinks is None:
        return torch.softmax(logits, -1)
    sink = record.sinks[head].to(logits).expand(*logits.shape[:-1], 1)
    return torch.softmax(torch.cat([logits, sink], -1), -1)[..., :-1]


def random_rows(
    trace: Trace, layer: int, head: int, query: int, a: int, b: int, rank: int, count: int = 50, seed: int = 0
) -> Tensor:
    """Attention rows (count, T) after the same swap in random subspaces of the same rank: the control."""
    width = trace.layers[layer].queries.shape[-1]
    generator = torch.Generator().manual_seed(seed)
    return torch.stack(
        [swapped_row(trace, layer, head, query, a, b, random_basis(width, rank, generator)) for _ in range(count)]
    )


def predictions_after(loaded: LoadedModel, trace: Trace, layer: int, head: int, query: int, row: Tensor) -> Tensor:
    """Next-token logits (V,) at ``query`` when this head attends there by ``row`` (T,) instead of its own row.

    Everything after this head's output is the model's own forward pass.
    """

    def replace(record: LayerAttention, output: Tensor) -> Tensor | None:
        if record.layer != layer:
            return None
        values = record.values[0, head // record.group]
        output = output.clone()
        seen = row[: query + 1].to(values.device, torch.float32)
        output[0, query, head] = (seen @ values.float()).to(output.dtype)
        return output

    # What comes after the query changes nothing there.
    with torch.no_grad(), tapped(replace):
        return last_logits(loaded, torch.tensor([trace.ids[: query + 1]]))[0]


def compare_predictions(before: Tensor, after: Tensor, top: int = 8) -> PredictionChange:
    """Probabilities before and after for the tokens that lead either, and KL(before || after) in nats."""
    p, q = torch.softmax(before.double(), -1), torch.softmax(after.double(), -1)
    top = min(top, p.shape[0])
    ids = torch.unique(torch.cat([p.topk(top).indices, q.topk(top).indices]))
    ids = ids[torch.maximum(p, q)[ids].argsort(descending=True)][:top]
    kl = float((p * (p.clamp_min(1e-300).log() - q.clamp_min(1e-300).log())).sum())
    return PredictionChange(tuple(ids.tolist()), tuple(p[ids].tolist()), tuple(q[ids].tolist()), max(0.0, kl))
