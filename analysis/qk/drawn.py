"""Which heads attend as somebody has drawn: the share of attention on the drawn cells, beyond looking at all alike.

In each query's row with drawn cells a head's share of attention on them is held against what a head gives them that
looks at all tokens it sees alike; 1 is all attention on them, 0 is that head, and below 0 is less. A cosine of the two
maps would count rows in which nothing was drawn against a head, and a wide, even row for it.

What comes by chance is that of patterns of the same shape: cells drawn apart in each row would never have a key in
common, which every column has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from analysis.models.recording import LayerAttention
from analysis.models.trace import Trace
from analysis.progress import Progress, no_check, silent

DRAWS = 40
"""Patterns of each of two kinds that are drawn at random; their best heads say what comes by chance."""
_CHUNK = 64 << 20
_STEPS = 48


@dataclass(frozen=True)
class DrawnScores:
    """``scores`` and ``shares`` (L, H) float32: as the module says, and the mean share of attention on the drawn cells
    itself; NaN in layers without attention or where nothing that was drawn tells heads apart.

    ``uniform``: that share of a head that looks at all alike, mean over layers. ``chance`` (2, draws): the best
    head's score of each random pattern, in the first row of those with other keys, in the second with other distances.
    ``rows``: queries that count, in the layer with most.
    """

    scores: np.ndarray
    shares: np.ndarray
    uniform: float
    chance: np.ndarray
    rows: int


@torch.no_grad()
def drawn_scores(
    trace: Trace,
    cells: Sequence[tuple[int, int]],
    layers: int,
    width: int,
    draws: int = DRAWS,
    seed: int = 0,
    progress: Progress = silent,
) -> DrawnScores:
    """How far each head attends to ``cells``, pairs of query and key. A row of which nothing or everything that is
    visible was drawn says nothing and is left out, in the layers where it is so. ``progress`` is called between layers,
    and where patterns are drawn at random between these: points at which the work may be stopped."""
    scores, shares = (np.full((layers, width), np.nan, np.float32) for _ in range(2))
    best = np.full((2 * draws, layers), -np.inf)
    uniform, counted = [], 0
    drawn = np.zeros((len(trace.ids), len(trace.ids)), bool)
    drawn[tuple(np.array(sorted(set(cells)), int).reshape(-1, 2).T)] = True
    patterns: dict[bytes, _Patterns | None] = {}
    for number, (layer, record) in enumerate(trace.layers.items()):
        share, text = number / len(trace.layers), f"layer {layer}"
        progress(share, text)
        seen = record.visible()[0, 0].cpu().numpy()
        key = np.packbits(seen).tobytes()
        if key not in patterns:
            patterns[key] = _patterns(drawn & seen, seen, draws, seed, partial(progress, share, text))
        pattern = patterns[key]
        if pattern is None:
            continue
        heads = record.queries.shape[1]
        step = max(1, min(heads, _CHUNK // (len(pattern.rows) * len(trace.ids) * 4)))
        for first in range(0, heads, step):
            some = slice(first, min(heads, first + step))
            attention = _gathered(record, some, pattern, len(trace.ids))
            values = (attention @ pattern.lift - pattern.base).numpy()
            scores[layer, some] = values[:, 0]
            shares[layer, some] = (attention[:, 0].sum(-1) / len(pattern.rows)).numpy()
            best[:, layer] = np.maximum(best[:, layer], values[:, 1:].max(0))
        uniform.append(pattern.uniform)
        counted = max(counted, len(pattern.rows))
    chance = best.max(1).reshape(2, draws)
    return DrawnScores(scores, shares, float(np.mean(uniform)) if uniform else float("nan"), chance, counted)


@dataclass(frozen=True)
class _Patterns:
    """A drawn pattern and random ones beside it, in the ``rows`` that count: of the n drawn cells ``row`` (n,) says in
    which of these they lie, in order, and ``keys`` (1 + random, n) at which key, in the drawn pattern first. A score is
    attention there times ``lift`` (n,), less ``base``."""

    rows: np.ndarray
    row: np.ndarray
    keys: np.ndarray
    lift: torch.Tensor
    base: float
    uniform: float


def _gathered(record: LayerAttention, heads: slice, pattern: _Patterns, tokens: int) -> torch.Tensor:
    """Attention of some heads on the cells of all patterns (heads, patterns, n), some rows at a time."""
    parts, count = [], heads.stop - heads.start
    step = max(1, _CHUNK // (count * tokens * 4))
    for first in range(0, len(pattern.rows), step):
        mine = slice(*np.searchsorted(pattern.row, [first, first + step]))
        weights = record.weights(heads, torch.from_numpy(pattern.rows[first : first + step]))[0].flatten(1).cpu()
        places = (pattern.row[mine] - first) * tokens + pattern.keys[:, mine]
        parts.append(weights.index_select(1, torch.from_numpy(places.ravel())).view(count, *places.shape))
    return torch.cat(parts, -1)


def _patterns(
    mine: np.ndarray, seen: np.ndarray, draws: int, seed: int, check: Callable[[], None] = no_check
) -> _Patterns | None:
    """Patterns for the cells ``mine`` (T, T) among those that are ``seen``; None where no row tells heads apart."""
    count, of = mine.sum(-1), seen.sum(-1)
    rows = np.flatnonzero((count > 0) & (count < of))
    if not len(rows):
        return None
    share = count[rows] / of[rows]
    row, key = np.nonzero(mine[rows])
    random, keys = np.random.default_rng(seed), [key]
    for distances in (False, True):
        for _ in range(draws):
            check()
            keys.append(_moved(random.permutation(len(mine)), rows[row], key, seen, distances))
    lift = torch.from_numpy(1 / (1 - share[row]) / len(rows)).float()
    base = float((share / (1 - share)).mean())
    return _Patterns(rows, row, np.stack(keys), lift, base, float(share.mean()))


def _moved(order: np.ndarray, query: np.ndarray, key: np.ndarray, seen: np.ndarray, distances: bool) -> np.ndarray:
    """For each cell another key of its row: the next one that the query sees, in an ``order`` (T,) that is the same in
    all rows and closed to a ring. So a column becomes another column, and no two cells of a row the same one. With
    ``distances`` it is an order of distances to the query, so a diagonal becomes another diagonal."""
    moved, place = np.empty_like(key), np.argsort(order)
    at, left = place[query - key if distances else key], np.arange(len(key))
    # All cells take a step at a time. A query that sees little of the prompt would need many: it looks by itself.
    for _ in range(_STEPS):
        at = (at + 1) % len(order)
        there = (query[left] - order[at]) if distances else order[at]
        ends = (there >= 0) & seen[query[left], np.maximum(there, 0)]
        moved[left[ends]] = there[ends]
        at, left = at[~ends], left[~ends]
        if not left.size:
            return moved
    for cell, last in zip(left, at, strict=True):
        ring = np.roll(order, -last - 1)
        ring = query[cell] - ring if distances else ring
        moved[cell] = ring[(ring >= 0) & seen[query[cell], np.maximum(ring, 0)]][0]
    return moved
