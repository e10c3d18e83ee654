"""Kurtosis and skewness of very many weight vectors: the layer map, without holding their projections."""

from __future__ import annotations

import torch
from torch import Tensor

from analysis.rotate.objective import DEVIATION_FLOOR, wide_dtype

_ROWS, _TOKENS = 256, 2048


@torch.no_grad()
def projected_moments(vectors: Tensor, projection: Tensor) -> tuple[Tensor, Tensor]:
    """Excess kurtosis and skewness (N,) of the projections of vectors (N, d) on U (V, d), float32.

    Population moments, gone through in tiles: about 2 N V d operations and no more than half a million numbers at once.
    """
    tokens = len(projection)
    mean_row = projection.mean(0)
    kurt, skew = [], []
    for rows in vectors.to(projection).split(_ROWS):
        mean = (rows @ mean_row)[:, None]
        second, third, fourth = (torch.zeros(len(rows), dtype=wide_dtype(rows), device=rows.device) for _ in range(3))
        for part in projection.split(_TOKENS if rows.device.type == "cpu" else tokens):
            c = rows @ part.T
            c -= mean
            c2 = c * c
            second += c2.sum(-1)
            third += (c2 * c).sum(-1)
            fourth += (c2 * c2).sum(-1)
        s = (second / tokens).clamp(min=DEVIATION_FLOOR**2)
        kurt.append(fourth / tokens / s.square() - 3)
        skew.append(third / tokens / s**1.5)
    return torch.cat(kurt).float().cpu(), torch.cat(skew).float().cpu()
