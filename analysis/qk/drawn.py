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

import numpy as np
import torch

from analysis.models.trace import Trace

DRAWS = 40
"""Patterns of each of two kinds that are drawn at random; their best heads say what comes by chance."""
_CHUNK = 64 << 20


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
    check: Callable[[], None] = lambda: None,
) -> DrawnScores:
    """How far each head attends to ``cells``, pairs of query and key. A row of which nothing or everything that is
    visible was drawn says nothing and is left out, in the layers where it is so. ``check`` is called between layers and
    between random patterns, which take long for a long prompt."""
    scores, shares = (np.full((layers, width), np.nan, np.float32) for _ in range(2))
    best = np.full((2 * draws, layers), -np.inf)
    uniform, counted = [], 0
    drawn = np.zeros((len(trace.ids), len(trace.ids)), bool)
    drawn[tuple(np.array(sorted(set(cells)), int).reshape(-1, 2).T)] = True
    patterns: dict[bytes, _Patterns | None] = {}
    for layer, record in trace.layers.items():
        check()
        seen = record.visible()[0, 0].cpu().numpy()
        key = np.packbits(seen).tobytes()
        if key not in patterns:
            patterns[key] = _patterns(drawn & seen, seen, draws, seed, check)
        pattern = patterns[key]
        if pattern is None:
            continue
        rows = torch.from_numpy(pattern.rows)
        heads, step = record.queries.shape[1], max(1, _CHUNK // (len(rows) * len(trace.ids) * 4))
        for first in range(0, heads, step):
            some = slice(first, min(heads, first + step))
            weights = record.weights(some, rows)[0].flatten(1).cpu()
            for n, places in enumerate(pattern.places):
                mass = weights[:, places]
                value = (mass @ pattern.lift - pattern.base).numpy()
                if n:
                    best[n - 1, layer] = max(best[n - 1, layer], value.max())
                else:
                    scores[layer, some], shares[layer, some] = value, (mass.sum(-1) / len(rows)).numpy()
        uniform.append(pattern.uniform)
        counted = max(counted, len(rows))
    chance = best.max(1).reshape(2, draws)
    return DrawnScores(scores, shares, float(np.mean(uniform)) if uniform else float("nan"), chance, counted)


@dataclass(frozen=True)
class _Patterns:
    """A drawn pattern and random ones beside it, in the ``rows`` that count: ``places`` are their cells as positions in
    the flattened rows (R x T), the drawn one first. A score is attention there times ``lift`` (one for each cell),
    less ``base``."""

    rows: np.ndarray
    places: list[torch.Tensor]
    lift: torch.Tensor
    base: float
    uniform: float


def _patterns(
    mine: np.ndarray, seen: np.ndarray, draws: int, seed: int, check: Callable[[], None] = lambda: None
) -> _Patterns | None:
    """Patterns for the cells ``mine`` (T, T) among those that are ``seen``; None where no row tells heads apart."""
    count, of = mine.sum(-1), seen.sum(-1)
    rows = np.flatnonzero((count > 0) & (count < of))
    if not len(rows):
        return None
    share = count[rows] / of[rows]
    row, key = np.nonzero(mine[rows])
    random, tokens = np.random.default_rng(seed), len(mine)
    places = [row * tokens + key]
    for distances in (False, True):
        for _ in range(draws):
            check()
            order = random.permutation(tokens)
            places.append(row * tokens + _moved(order, rows, row, key, seen, distances))
    lift = torch.from_numpy(1 / (1 - share[row]) / len(rows)).float()
    base = float((share / (1 - share)).mean())
    return _Patterns(rows, [torch.from_numpy(at) for at in places], lift, base, float(share.mean()))


def _moved(
    order: np.ndarray, rows: np.ndarray, row: np.ndarray, key: np.ndarray, seen: np.ndarray, distances: bool
) -> np.ndarray:
    """For each cell another key of its row: the next one that the query sees, in an ``order`` (T,) that is the same in
    all rows and closed to a ring. So a column becomes another column, and no two cells of a row the same one. With
    ``distances`` it is an order of distances to the query, so a diagonal becomes another diagonal."""
    moved, first = np.empty_like(key), 0
    following = np.empty(len(order), int)
    for query, size in zip(rows, np.bincount(row), strict=True):
        own = slice(first, first + size)
        ring = query - order if distances else order
        ring = ring[(ring >= 0) & seen[query][np.maximum(ring, 0)]] if distances else ring[seen[query][ring]]
        following[ring] = np.roll(ring, -1)
        moved[own] = following[key[own]]
        first += size
    return moved
