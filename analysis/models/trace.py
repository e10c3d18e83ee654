"""One forward pass over a prompt, kept as what a click needs: queries, keys, values and visibility of every layer.

Attention weights are not kept (at 1,024 tokens they would be a gigabyte); any row of any head is a small matrix
product away. What has to see every row once, the scores and thumbnails of all heads, is reduced during the pass,
some queries at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from analysis.models.head_scores import SCORES, ScoreSums, induction_targets
from analysis.models.loaded_model import LoadedModel, wait_for
from analysis.models.memory import host_memory
from analysis.models.midway import last_logits
from analysis.models.model_facts import ModelFacts
from analysis.models.prompts import MAX_TOKENS
from analysis.models.recording import LayerAttention, tapped
from analysis.progress import Check, no_check

THUMBNAIL = 24
_ROOM = 1 << 30


@dataclass
class Trace:
    """A recorded pass: ``layers[i]`` holds one prompt (B = 1) on the CPU, in the model's dtype. ``seconds``: how long
    the pass took, without what was worked out beside it."""

    ids: list[int]
    layers: dict[int, LayerAttention]
    next_logits: Tensor
    seconds: float = 0.0

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

    def matrix(self, layer: int, head: int, pool: int = 1) -> Tensor:
        """Attention weights of one head, float32 (n, n), the largest of each ``pool`` x ``pool`` tokens: n is T / pool,
        rounded up. Worked out some queries at a time."""
        record, size = self.layers[layer], -(-len(self.ids) // pool)
        found = torch.zeros(size, size)
        for rows in record.pieces(1, pool):
            keys = record.reach(rows)
            keys = slice(keys.start - keys.start % pool, keys.stop)
            weights = record.weights(slice(head, head + 1), rows, keys)[0]
            pooled = torch.nn.functional.max_pool2d(weights, pool, ceil_mode=True)[0]
            found[rows.start // pool :, keys.start // pool :][: pooled.shape[0], : pooled.shape[1]] = pooled
        return found


@dataclass
class Overview:
    """Per layer and head: the scores (name -> float32 (L, H)) and thumbnails uint8 (L, H, s, s)."""

    scores: dict[str, np.ndarray]
    thumbnails: np.ndarray


def trace_prompt(
    loaded: LoadedModel,
    ids: list[int],
    overview: bool = True,
    check: Check = no_check,
    within: Callable[[int], None] = lambda _: None,
) -> tuple[Trace, Overview | None]:
    """Run the model once over token ids and keep what clicks will need. ``within``: hears of each layer, inside the
    pass, where no other pass may run; raises to end it.

    Raises:
        RuntimeError: a layer with softmax attention did not report.
    """
    layers: dict[int, LayerAttention] = {}
    masks: dict[int, tuple[Tensor, Tensor]] = {}
    reducer = _Reducer(loaded, ids) if overview else None
    reducing = 0.0

    def look(record: LayerAttention, _output: Tensor) -> None:
        nonlocal reducing
        wait_for(record.queries.device)  # what the device still owes is of the pass
        began = time.perf_counter()
        within(record.layer)
        if reducer is not None:
            reducer.add(record)
        layers[record.layer] = _to_cpu(record, masks)
        reducing += time.perf_counter() - began

    # Logits of all tokens would be the largest thing of a long prompt.
    began = time.perf_counter()
    with torch.no_grad(), tapped(look):
        logits = last_logits(loaded, torch.tensor([ids]))
    seconds = time.perf_counter() - began - reducing
    if sorted(layers) != loaded.facts.attention_layers:
        raise RuntimeError(f"layers {sorted(set(loaded.facts.attention_layers) - set(layers))} did not report")
    check()
    return Trace(ids, layers, logits[0], seconds), reducer.result() if reducer else None


def held_bytes(facts: ModelFacts, tokens: int) -> int:
    """Bytes of the queries, keys and values of a prompt in all layers, about."""
    numbers = facts.head_width * len(facts.attention_layers) * (facts.heads + 2 * facts.key_heads)
    return facts.item_bytes * tokens * numbers


def longest_trace(facts: ModelFacts) -> int:
    """The most tokens of which this machine holds a recorded pass: an eighth of its memory, but a gibibyte at least,
    and in any case as many as a prompt has elsewhere."""
    room = max(_ROOM, host_memory()[0] // 8)
    return max(MAX_TOKENS, room // max(1, held_bytes(facts, 1)))


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
    """Scores and thumbnails of every head, from attention weights that live only for some queries at a time."""

    def __init__(self, loaded: LoadedModel, ids: list[int]) -> None:
        facts = loaded.facts
        self.ids, self.tokens = ids, len(ids)
        self.scores = {s: np.full((facts.layers, facts.heads), np.nan, np.float32) for s in SCORES}
        self.size = min(THUMBNAIL, self.tokens)
        self.thumbnails = np.zeros((facts.layers, facts.heads, self.size, self.size), np.uint8)
        edges = range(self.size)
        self._cells = [(i * self.tokens // self.size, -(-(i + 1) * self.tokens // self.size)) for i in edges]

    def add(self, record: LayerAttention) -> None:
        heads = record.queries.shape[1]
        sums, shrunk = ScoreSums(self.tokens), torch.zeros(heads, self.size, self.size)
        for rows in record.pieces():
            keys = record.reach(rows)
            weights = record.weights(rows=rows, keys=keys)
            sums.add(weights, rows.start, keys.start, induction_targets([self.ids], rows))
            # Over the queries of a cell first, whose keys lie together.
            for down, queries in self._parts(rows):
                most = weights[0, :, queries].amax(1)
                for across, some in self._parts(keys):
                    found = most[:, some].amax(1).cpu()
                    shrunk[:, down, across] = torch.maximum(shrunk[:, down, across], found)
        for name, values in sums.result().items():
            self.scores[name][record.layer, :heads] = values[0].cpu()
        # The square root keeps weak attention visible in a cell of a few pixels; the page says so.
        self.thumbnails[record.layer, :heads] = (shrunk.clamp(0, 1).sqrt() * 255).round().to(torch.uint8).numpy()

    def _parts(self, some: slice) -> Iterator[tuple[int, slice]]:
        """The cells of a thumbnail that hold some tokens, and which of these, counted from the first of them."""
        for n, (first, stop) in enumerate(self._cells):
            first, stop = max(first, some.start), min(stop, some.stop)
            if first < stop:
                yield n, slice(first - some.start, stop - some.start)

    def result(self) -> Overview:
        return Overview(self.scores, self.thumbnails)
