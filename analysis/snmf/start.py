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
    """Activations G (n, K) to begin with, for tokens X (n, d)."""
    generator = torch.Generator().manual_seed(seed)
    if kind == "random":
        drawn = torch.rand(len(X), count, generator=generator, dtype=torch.float64)
        return drawn.clamp(min=FLOOR).to(X)
    if kind == "svd":
        _, sizes, right = torch.svd_lowrank(X.T.float(), q=count, niter=4) if count < min(X.shape) else _svd(X)
        return (right * sizes.sqrt()).clamp(min=FLOOR).to(X)
    label = kmeans(X, count, seed)
    one_hot = torch.full((len(X), count), FLOOR, dtype=X.dtype, device=X.device)
    return one_hot.scatter_(1, label[:, None], 1.0)


def _svd(X: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    left, sizes, right = torch.linalg.svd(X.T.float(), full_matrices=False)
    return left, sizes, right.T


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
