"""Two ways to pass token lines through a model: one by one, and packed into one row that branches.

The plain way is a forward pass per line, as one would write it down. The packed way builds the tree of all lines,
feeds every node once, and lets each token attend to its own ancestors by a mask; what begins all lines (demonstrations,
a chat template) is kept as keys and values. Both give the same numbers; models whose attention takes no such mask, or
that read positions otherwise, are found by comparing the two on a short example, and are served the plain way.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analysis.faithfulness.lines import Line, Read
from analysis.models.caching import way_of_going_on
from analysis.models.loaded_model import LoadedModel
from analysis.progress import Check, no_check

KEPT_TOKENS = 6_000
"""Tokens whose keys and values are kept, over all beginnings: a dozen sets of demonstrations."""
KEPT_BYTES = 512 << 20
"""What these keys and values may take; the last beginning is kept in any case."""
PACK = 640
"""New tokens of one packed pass: enough to keep the cores busy; the mask grows with its square."""
_HIDING = "hiding works"
BROKEN = "attune_broken"
TOLERANCE = 2e-3
"""Largest difference of logits, relative to their spread, at which packed passes are trusted."""


@dataclass
class Count:
    """What was spent: forward passes of the model, and tokens that went through it."""

    passes: int = 0
    tokens: int = 0

    def __sub__(self, other: Count) -> Count:
        return Count(self.passes - other.passes, self.tokens - other.tokens)

    def copy(self) -> Count:
        """The count as it stands."""
        return Count(self.passes, self.tokens)


def hiding_works(loaded: LoadedModel) -> bool:
    """Whether tokens can be hidden from later ones: tried once, with two texts that differ in the hidden token only.

    A model that carries a state from token to token has the hidden one in its state, whatever a mask says.
    """
    known: tuple[Any, bool] | None = loaded.extras.get(_HIDING)
    if known is None or known[0] is not loaded.model:
        known = (loaded.model, way_of_going_on(loaded) == "pieces" and _is_hidden(loaded))
        loaded.extras[_HIDING] = known
    return known[1]


def _is_hidden(loaded: LoadedModel) -> bool:
    size = max(2, min(loaded.facts.vocabulary, 40))
    rows = [[(3 + 5 * i) % size for i in range(6)] for _ in range(2)]
    rows[1][2] = (rows[1][2] + 1) % size
    lines = [Line(tuple(row), ((5, tuple(range(size))),), ((2, 3),), 3) for row in rows]
    try:
        a, b = (plain(loaded, line, Count())[0] for line in lines)
    except Exception:  # any refusal of such a mask, by any architecture, means that it cannot be done
        return False
    coarse = 1.0 if loaded.facts.dtype == "float32" else 40.0
    return bool(np.abs(a.logits - b.logits).max() <= coarse * TOLERANCE * max(1.0, float(a.logits.std())))


def plain(loaded: LoadedModel, line: Line, count: Count) -> list[Read]:
    """One line in one pass (two where something is hidden: the second begins at ``since`` with a mask, which only a
    model takes for which :func:`hiding_works`)."""
    model, ids = loaded.model, torch.tensor([line.ids], device=loaded.device)
    count.tokens += ids.shape[1]
    with torch.no_grad():
        if not line.hidden or line.since >= ids.shape[1]:
            count.passes += 1
            logits = model(ids, use_cache=False).logits[0]
        else:
            count.passes += 2
            first = model(ids[:, : line.since], use_cache=True)
            mask = torch.ones_like(ids)
            for begin, end in line.hidden:
                mask[:, begin:end] = 0
            places = torch.arange(line.since, ids.shape[1], device=ids.device)[None]
            rest = model(
                ids[:, line.since :], past_key_values=first.past_key_values, attention_mask=mask, position_ids=places
            )
            logits = torch.cat([first.logits[0], rest.logits[0]])
    return [_read(logits[position], tokens) for position, tokens in line.reads]


def _read(row: Tensor, tokens: tuple[int, ...]) -> Read:
    row = row.double().cpu()
    return Read(row[list(tokens)].numpy(), float(torch.logsumexp(row, -1)))


@dataclass
class _Node:
    token: int
    parent: int
    position: int
    hidden: tuple[tuple[int, int], ...]


class Packed:
    """Packed passes of one model. Keeps the keys and values of the last few common beginnings.

    ``check`` may run other tasks that read with the same object, so nothing about a run is kept here: what it reads
    under is its own, and a kept beginning is as it was whenever ``check`` is called.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        self.loaded = loaded
        self._kept: OrderedDict[tuple[int, ...], Any] = OrderedDict()

    def forget(self) -> None:
        """Drop the kept keys and values: the weights have changed, or memory is wanted."""
        self._kept.clear()

    def run(self, lines: Sequence[Line], count: Count, check: Check = no_check) -> list[list[Read]]:
        """What is read off each line; what it took is added to ``count``; ``check`` is a safe point between passes."""
        held, cache = self._hold(lines, count)
        prefix = len(held)
        answers: list[list[Read]] = [[] for _ in lines]
        order = sorted(range(len(lines)), key=lambda i: (lines[i].ids, lines[i].hidden))
        batches: list[list[int]] = []
        size = 0
        last: tuple[int, ...] = ()
        for i in order:
            fresh = len(lines[i].ids) - max(prefix, _shared(last, lines[i].ids))
            if not batches or size + fresh > PACK:
                batches.append([])
                size, fresh = 0, len(lines[i].ids) - prefix
            batches[-1].append(i)
            size += fresh
            last = lines[i].ids
        for k, batch in enumerate(batches):
            if k:
                check()
                if getattr(cache, BROKEN, False):
                    held, cache = self._hold(lines, count)
                    prefix = len(held)
            try:
                self._pass([(i, lines[i]) for i in batch], prefix, cache, answers, count)
            except BaseException:
                # Some layers may have taken the new tokens in and others not: these keys are of no use any more, also
                # for the task at whose safe point this one ran.
                if cache is not None:
                    setattr(cache, BROKEN, True)
                self._kept.pop(held, None)
                raise
        return answers

    def _hold(self, lines: Sequence[Line], count: Count) -> tuple[tuple[int, ...], Any]:
        """What all lines begin with, up to the first token that is read or hides something, and its keys and values."""
        if not lines:
            return (), None
        common = min(min(read[0] for read in line.reads) for line in lines)
        common = min([common, *(line.since for line in lines if line.hidden)])
        first = lines[0].ids
        for line in lines[1:]:
            common = min(common, _shared(first, line.ids))
        prefix = first[:common]
        for held in reversed(self._kept):
            if len(held) >= common // 2 and prefix[: len(held)] == held:
                self._kept.move_to_end(held)
                return held, self._kept[held]
        # A sliding window's cache drops what it must give back later, so there is none for such models.
        if common < 8 or self.loaded.facts.sliding_windows:
            return (), None
        count.passes += 1
        count.tokens += common
        with torch.no_grad():
            ids = torch.tensor([prefix], device=self.loaded.device)
            cache = self.loaded.model(ids, use_cache=True, logits_to_keep=1).past_key_values
        self._kept[prefix] = cache
        each = _bytes(cache) / common
        most = min(KEPT_TOKENS, KEPT_BYTES / each) if each else KEPT_TOKENS
        while len(self._kept) > 1 and sum(map(len, self._kept)) > most:
            self._kept.popitem(last=False)
        return prefix, cache

    def _pass(
        self, batch: list[tuple[int, Line]], prefix: int, cache: Any, answers: list[list[Read]], count: Count
    ) -> None:
        nodes: list[_Node] = []
        known: dict[tuple[int, int, tuple[tuple[int, int], ...]], int] = {}
        wanted: list[tuple[int, int, tuple[int, ...]]] = []  # line, node, tokens
        for index, line in batch:
            parent, at = -1, {}
            for position in range(prefix, len(line.ids)):
                hidden = line.hidden if line.hidden and position >= line.since else ()
                key = (parent, line.ids[position], hidden)
                if key not in known:
                    known[key] = len(nodes)
                    nodes.append(_Node(line.ids[position], parent, position, hidden))
                parent = known[key]
                at[position] = parent
            wanted += [(index, at[position], tokens) for position, tokens in line.reads]
        count.passes += 1
        count.tokens += len(nodes)
        logits, rows = self._forward(nodes, prefix, cache, sorted({node for _, node, _ in wanted}))
        for index, node, tokens in wanted:
            answers[index].append(_read(logits[rows[node]], tokens))

    def _forward(self, nodes: list[_Node], prefix: int, cache: Any, reads: list[int]) -> tuple[Tensor, dict[int, int]]:
        model, device = self.loaded.model, self.loaded.device
        mask = torch.zeros(1, 1, len(nodes), prefix + len(nodes), dtype=model.dtype)
        mask[0, 0] = torch.from_numpy(np.where(_visible(nodes, prefix), 0.0, torch.finfo(model.dtype).min)).to(
            model.dtype
        )
        more = {"past_key_values": cache} if prefix else {"use_cache": False}
        with torch.no_grad():
            logits = model(
                torch.tensor([[n.token for n in nodes]], device=device),
                attention_mask=mask.to(device),
                position_ids=torch.tensor([[n.position for n in nodes]], device=device),
                logits_to_keep=torch.tensor(reads, device=device),
                **more,
            ).logits[0]
        if prefix:
            cache.crop(-len(nodes))
        return logits, {node: i for i, node in enumerate(reads)}


def _visible(nodes: list[_Node], prefix: int) -> np.ndarray:
    """(nodes, prefix + nodes) boolean: each token sees its ancestors and itself, less what is hidden from it."""
    seen = np.zeros((len(nodes), prefix + len(nodes)), bool)
    places = np.concatenate([np.arange(prefix), [n.position for n in nodes]]).astype(np.int64)
    full = np.zeros_like(seen)  # before hiding: what children inherit
    for i, node in enumerate(nodes):
        if node.parent >= 0:
            full[i] = full[node.parent]
        else:
            full[i, :prefix] = True
        full[i, prefix + i] = True
        seen[i] = full[i]
        for begin, end in node.hidden:
            seen[i, (places >= begin) & (places < end)] = False
    return seen


def _bytes(cache: Any) -> int:
    """Bytes of the keys and values of a cache, 0 where it does not show them."""
    layers = getattr(cache, "layers", ())
    kept = [getattr(layer, name, None) for layer in layers for name in ("keys", "values")]
    return sum(tensor.nbytes for tensor in kept if isinstance(tensor, Tensor))


def _shared(a: Sequence[int], b: Sequence[int]) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
