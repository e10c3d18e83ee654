"""Which heads attend as somebody has drawn: the share of attention on the drawn cells, beyond looking at all alike.

In each query's row with drawn cells a head's share of attention on them is held against what a head gives them that
looks at all tokens it sees alike; 1 is all attention on them, 0 is that head, and below 0 is less. A cosine of the two
maps would count rows in which nothing was drawn against a head, and a wide, even row for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from analysis.models.trace import Trace

DRAWS = 40
"""Patterns with as many cells in each row, drawn at random, whose best heads say what comes by chance."""
_CHUNK = 64 << 20


@dataclass(frozen=True)
class DrawnScores:
    """``scores`` and ``shares`` (L, H) float32: as the module says, and the mean share of attention on the drawn cells
    itself; NaN in layers without attention or where nothing that was drawn tells heads apart.

    ``uniform``: that share of a head that looks at all alike, mean over layers. ``chance`` (draws,): the best head's
    score of each random pattern. ``rows``: queries that count, in the layer with most.
    """

    scores: np.ndarray
    shares: np.ndarray
    uniform: float
    chance: np.ndarray
    rows: int


@torch.no_grad()
def drawn_scores(
    trace: Trace, cells: Sequence[tuple[int, int]], layers: int, width: int, draws: int = DRAWS, seed: int = 0
) -> DrawnScores:
    """How far each head attends to ``cells``, pairs of query and key. A row of which nothing or everything that is
    visible was drawn says nothing and is left out, in the layers where it is so."""
    scores, shares = (np.full((layers, width), np.nan, np.float32) for _ in range(2))
    best = np.full((draws, layers), -np.inf)
    uniform, counted = [], 0
    queries = sorted({query for query, _ in cells})
    drawn = torch.zeros(len(queries), len(trace.ids), dtype=torch.bool)
    for query, key in cells:
        drawn[queries.index(query), key] = True
    generator = torch.Generator().manual_seed(seed)
    order = torch.rand(draws, *drawn.shape, generator=generator)
    for layer, record in trace.layers.items():
        seen = record.visible()[0, 0][queries]
        mine = drawn & seen
        count, of = mine.sum(-1), seen.sum(-1)
        rows = torch.nonzero((count > 0) & (count < of))[:, 0]
        if not len(rows):
            continue
        base = count[rows] / of[rows]
        random = _alike(order[:, rows], seen[rows], count[rows])
        patterns = torch.cat([mine[rows][None], random]).float()
        heads, step = record.queries.shape[1], max(1, _CHUNK // (len(trace.ids) ** 2 * 4))
        for first in range(0, heads, step):
            some = slice(first, min(heads, first + step))
            weights = record.weights(some)[0][:, [queries[row] for row in rows.tolist()]]
            mass = torch.einsum("hrt,drt->dhr", weights, patterns)
            value = ((mass - base) / (1 - base)).mean(-1)
            scores[layer, some], shares[layer, some] = value[0].numpy(), mass[0].mean(-1).numpy()
            best[:, layer] = np.maximum(best[:, layer], value[1:].max(1).values.numpy())
        uniform.append(float(base.mean()))
        counted = max(counted, len(rows))
    return DrawnScores(scores, shares, float(np.mean(uniform)) if uniform else float("nan"), best.max(1), counted)


def _alike(order: Tensor, seen: Tensor, count: Tensor) -> Tensor:
    """Patterns (D, R, T) with ``count`` (R,) cells in each row among the ``seen`` (R, T), by a random ``order``."""
    place = order.masked_fill(~seen, 2.0).argsort(-1).argsort(-1)
    return place < count[:, None]
