"""Examples of a contrast, packed into padded batches with the indices that the accumulators need.

A *row* is one query with its *slots*, the candidate keys that it is paired with; each slot has a weight (1/p for p
positive keys, -1/m for m negative ones). One example is one row, or two when its negative keys are paired with another
query. A relabelled example keeps its rows and permutes the weights among its slots: that is the null of dossier 6.4 c.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from analysis.qk.contrasts.example import Example, Place


@dataclass(frozen=True)
class Batch:
    """``ids`` and ``mask`` (P, T): padded prompts. ``prompt`` and ``position`` (R,): the query of each row.
    ``key_prompt`` and ``key_position`` (R, S): its slots. ``weights`` (C, R, S): channels 0 and 1 the true labels of
    even and odd examples, then one channel per relabelling; 0 where a slot is empty. ``positive`` and ``negative``
    (R, S): booleans, true slots of the rows whose own attention is scored. ``owner`` (R,): which example of the batch
    a row belongs to. ``examples``: how many it holds.
    """

    ids: Tensor
    mask: Tensor
    prompt: Tensor
    position: Tensor
    key_prompt: Tensor
    key_position: Tensor
    weights: Tensor
    positive: Tensor
    negative: Tensor
    owner: Tensor
    examples: int

    @property
    def tokens(self) -> int:
        """Tokens that the forward pass computes, padding included."""
        return self.ids.numel()


def batches(
    examples: Sequence[Example], permutations: int, seed: int, max_tokens: int = 512, pad: int = 0
) -> Iterator[Batch]:
    """Pack examples, in order, so that a padded batch holds at most ``max_tokens`` tokens (at least one example)."""
    rng = np.random.default_rng(seed)
    start = 0
    while start < len(examples):
        stop, longest, prompts = start, 0, 0
        while stop < len(examples):
            longest_next = max(longest, *(len(p) for p in examples[stop].prompts))
            prompts_next = prompts + len(examples[stop].prompts)
            if stop > start and longest_next * prompts_next > max_tokens:
                break
            longest, prompts, stop = longest_next, prompts_next, stop + 1
        yield _pack(examples[start:stop], start, permutations, rng, pad)
        start = stop


def _pack(examples: Sequence[Example], first: int, permutations: int, rng: np.random.Generator, pad: int) -> Batch:
    texts = [p for e in examples for p in e.prompts]
    ids = torch.full((len(texts), max(map(len, texts))), pad, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for i, text in enumerate(texts):
        ids[i, : len(text)] = torch.tensor(text)
        mask[i, : len(text)] = 1
    rows: list[tuple[Place, tuple[Place, ...], np.ndarray, int]] = []
    owner: list[int] = []
    base = 0
    for index, example in enumerate(examples, start=first):
        for query, keys, row_weights, kind in _rows_of(example, index, permutations, rng):
            rows.append((_shift(query, base), tuple(_shift(k, base) for k in keys), row_weights, kind))
            owner.append(index - first)
        base += len(example.prompts)
    slots = max(len(keys) for _, keys, _, _ in rows)
    shape = (len(rows), slots)
    key_prompt, key_position = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
    weights = torch.zeros(permutations + 2, *shape, dtype=torch.float64)
    positive, negative = torch.zeros(shape, dtype=torch.bool), torch.zeros(shape, dtype=torch.bool)
    for r, (query, keys, row_weights, kind) in enumerate(rows):
        key_prompt[r, : len(keys)] = torch.tensor([k.prompt for k in keys])
        key_position[r, : len(keys)] = torch.tensor([k.position for k in keys])
        weights[:, r, : len(keys)] = torch.from_numpy(row_weights)
        for s, key in enumerate(keys):
            # Only keys in the query's own prompt receive attention from it.
            if key.prompt == query.prompt and kind == 0:
                true = row_weights[:2, s].sum()
                positive[r, s], negative[r, s] = bool(true > 0), bool(true < 0)
    places = torch.tensor([list(q) for q, _, _, _ in rows])
    return Batch(
        ids,
        mask,
        places[:, 0],
        places[:, 1],
        key_prompt,
        key_position,
        weights,
        positive,
        negative,
        torch.tensor(owner),
        len(examples),
    )


def _rows_of(
    example: Example, index: int, permutations: int, rng: np.random.Generator
) -> list[tuple[Place, tuple[Place, ...], np.ndarray, int]]:
    """(query, keys, weights (C, slots), kind) of each row; kind 0 is a row whose attention is scored."""
    p, m = len(example.positive), len(example.negative)
    true = np.concatenate([np.full(p, 1 / p), np.full(m, -1 / m)])
    weights = np.zeros((permutations + 2, p + m))
    weights[index % 2] = true
    for channel in range(2, permutations + 2):
        weights[channel] = rng.permutation(true)
    keys = (*example.positive, *example.negative)
    if example.negative_query is None:
        return [(example.query, keys, weights, 0)]
    return [
        (example.query, keys[:p], weights[:, :p], 0),
        (example.negative_query, keys[p:], weights[:, p:], 1),
    ]


def _shift(place: Place, base: int) -> Place:
    return Place(place.prompt + base, place.position)
