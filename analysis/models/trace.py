"""One forward pass over a prompt, kept as what a click needs: queries, keys, values and visibility of every layer.

Attention weights are not kept (at 1,024 tokens they would be a gigabyte); any row of any head is a small matrix
product away. What has to see every row once, the scores and thumbnails of all heads, is reduced during the pass,
a few heads at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from analysis.models.head_scores import SCORES, head_scores, induction_targets
from analysis.models.loaded_model import LoadedModel
from analysis.models.midway import last_logits
from analysis.models.recording import LayerAttention, tapped
from analysis.progress import Check, no_check

THUMBNAIL = 24
_CHUNK = 64 << 20


@dataclass
class Trace:
    """A recorded pass: ``layers[i]`` holds one prompt (B = 1) on the CPU, in the model's dtype."""

    ids: list[int]
    layers: dict[int, LayerAttention]
    next_logits: Tensor

    @property
    def size(self) -> int:
        """Bytes held."""
        parts = [t for r in self.layers.values() for t in (r.queries, r.keys, r.values)]
        masks = {id(r.mask): r.mask for r in self.layers.values() if r.mask is not None}
        return sum(t.numel() * t.element_size() for t in (*parts, *masks.values()))

    def row(self, layer: int, head: int, query: int) -> tuple[Tensor, Tensor]:
        """Raw logits and attention weights of one query over all tokens, float64, (T,) each; -inf where masked."""
        record = self.layers[layer]
        rows, heads = slice(query, query + 1), slice(head, head + 1)
        raw = record.keys[0, head // record.group].double() @ record.queries[0, head, query].double()
        visible = record.visible(heads, rows)[0, 0, 0]
        return raw.masked_fill(~visible, -torch.inf), record.weights(heads, rows)[0, 0, 0].double()

    def matrix(self, layer: int, head: int) -> Tensor:
        """Attention weights of one head, float32 (T, T)."""
        return self.layers[layer].weights(slice(head, head + 1))[0, 0]


@dataclass
class Overview:
    """Per layer and head: the scores (name -> float32 (L, H)) and thumbnails uint8 (L, H, s, s)."""

    scores: dict[str, np.ndarray]
    thumbnails: np.ndarray


def trace_prompt(
    loaded: LoadedModel, ids: list[int], overview: bool = True, check: Check = no_check
) -> tuple[Trace, Overview | None]:
    """Run the model once over token ids and keep what clicks will need.

    Raises:
        RuntimeError: a layer with softmax attention did not report.
    """
    layers: dict[int, LayerAttention] = {}
    masks: dict[int, tuple[Tensor, Tensor]] = {}
    reducer = _Reducer(loaded, ids) if overview else None

    def look(record: LayerAttention, _output: Tensor) -> None:
        if reducer is not None:
            reducer.add(record)
        layers[record.layer] = _to_cpu(record, masks)

    # Logits of all tokens would be the largest thing of a long prompt.
    with torch.no_grad(), tapped(look):
        logits = last_logits(loaded, torch.tensor([ids]))
    if sorted(layers) != loaded.facts.attention_layers:
        raise RuntimeError(f"layers {sorted(set(loaded.facts.attention_layers) - set(layers))} did not report")
    check()
    return Trace(ids, layers, logits[0]), reducer.result() if reducer else None


def _to_cpu(record: LayerAttention, masks: dict[int, tuple[Tensor, Tensor]]) -> LayerAttention:
    """A copy on the CPU. ``masks`` keeps each mask object with its copy, since layers of a kind share one."""

    def move(tensor: Tensor) -> Tensor:
        return tensor.detach().to("cpu", copy=True)

    if record.mask is not None and id(record.mask) not in masks:
        masks[id(record.mask)] = (record.mask, move(record.visible()))
    return replace(
        record,
        queries=move(record.queries),
        keys=move(record.keys),
        values=move(record.values),
        mask=None if record.mask is None else masks[id(record.mask)][1],
        sinks=None if record.sinks is None else move(record.sinks),
        unrotated=None,
    )


class _Reducer:
    """Scores and thumbnails of every head, from attention weights that live only for a few heads at a time."""

    def __init__(self, loaded: LoadedModel, ids: list[int]) -> None:
        facts = loaded.facts
        self.tokens = len(ids)
        self.scores = {s: np.full((facts.layers, facts.heads), np.nan, np.float32) for s in SCORES}
        self.size = min(THUMBNAIL, self.tokens)
        self.thumbnails = np.zeros((facts.layers, facts.heads, self.size, self.size), np.uint8)
        self.follows = induction_targets([ids])

    def add(self, record: LayerAttention) -> None:
        heads, tokens = record.queries.shape[1], self.tokens
        step = max(1, _CHUNK // (tokens * tokens * 4))
        for start in range(0, heads, step):
            chunk = slice(start, min(heads, start + step))
            weights = record.weights(chunk)[0]
            layer, where = record.layer, chunk
            for name, values in head_scores(weights[None], self.follows).items():
                self.scores[name][layer, where] = values[0].cpu()
            self.thumbnails[layer, where] = self._shrink(weights)

    def _shrink(self, weights: Tensor) -> np.ndarray:
        pooled = torch.nn.functional.adaptive_max_pool2d(weights[None], self.size)[0]
        # The square root keeps weak attention visible in a cell of a few pixels; the page says so.
        return (pooled.clamp(0, 1).sqrt() * 255).round().to(torch.uint8).cpu().numpy()

    def result(self) -> Overview:
        return Overview(self.scores, self.thumbnails)
