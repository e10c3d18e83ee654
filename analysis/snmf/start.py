"""Where a factorization begins: random activations, clusters of tokens, or the singular vectors (arXiv 2506.10920)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

FLOOR = 1e-6
"""The least start value of an activation: in multiplicative updates a zero stays zero."""
KINDS = ("kmeans", "random", "svd")
_CHUNK = 8192


def start_activations(X: Tensor, count: int, kind: str, seed: int) -> Tensor:
    """Activations G (n, K) to begin with, for tokens X (n, d).

    ``kind`` "svd": the exact singular vectors, as published; they are at most min(n, d), and features beyond that many
    begin at random.
    """
    generator = torch.Generator().manual_seed(seed)
    if kind == "random":
        drawn = torch.rand(len(X), count, generator=generator, dtype=torch.float64)
        return drawn.clamp(min=FLOOR).to(X)
    if kind == "svd":
        start = _singular(X, min(count, *X.shape)).clamp(min=FLOOR)
        more = torch.rand(len(X), count - start.shape[1], generator=generator, dtype=torch.float64).clamp(min=FLOOR)
        return torch.cat([start, more.to(X) * float(start.mean())], 1)
    label = kmeans(X, count, seed)
    one_hot = torch.full((len(X), count), FLOOR, dtype=X.dtype, device=X.device)
    return one_hot.scatter_(1, label[:, None], 1.0)


def _singular(X: Tensor, count: int) -> Tensor:
    """The first right-singular vectors of the published matrix (neurons by tokens), times the roots of their values,
    (n, count). Exact, and of the tokens' columns: a singular vector's sign is free, its negative half is cut off, and
    so the sign decides the start; it is the one that the published call gets."""
    _, sizes, right = torch.linalg.svd(X.T, full_matrices=False)
    scaled: Tensor = right[:count].T * sizes[:count].sqrt()
    return scaled


def kmeans(X: Tensor, count: int, seed: int, rounds: int = 15) -> Tensor:
    """Cluster of each token (n,), after Lloyd's steps from random tokens; an empty cluster starts again elsewhere."""
    rng = np.random.default_rng(seed)
    centres = X[torch.from_numpy(rng.permutation(len(X))[:count]).to(X.device)].clone()
    label = torch.zeros(len(X), dtype=torch.long, device=X.device)
    for _ in range(rounds):
        half = (centres * centres).sum(1) / 2
        new = torch.cat([(part @ centres.T - half).argmax(1) for part in X.split(_CHUNK)])
        if bool((new == label).all()):
            break
        label = new
        sums = torch.zeros_like(centres).index_add_(0, label, X)
        sizes = torch.bincount(label, minlength=count)
        full = sizes > 0
        centres[full] = sums[full] / sizes[full, None]
        empty = (~full).nonzero()[:, 0]
        if len(empty):
            centres[empty] = X[torch.from_numpy(rng.integers(0, len(X), len(empty))).to(X.device)]
    return label
