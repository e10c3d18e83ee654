"""The steps of semi-nonnegative matrix factorization with winner-take-all (arXiv 2506.10920), and a fast way to the
nonnegative one.

Rows of X (n, d) are tokens: X ~ G F with G (n, K) >= 0 and F (K, d) signed, few entries a row. The published update of
G is multiplicative and moves it a little; here G goes through sweeps of exact coordinate steps (each entry is set to
its best value, the others fixed), which need the products X F' and F F' only. Since F keeps one entry in a hundred, the
first of them is a sparse product.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numba import njit
from scipy.sparse import csr_matrix
from torch import Tensor

RIDGE = 1e-6
"""Added to the diagonal of the least-squares step (official code)."""


def kept_count(sparsity: float, width: int) -> int:
    """How many entries of a feature stay: ceil(p d), at least one."""
    return max(1, math.ceil(sparsity * width - 1e-9))


def least_squares(activations: Tensor, X: Tensor) -> Tensor:
    """The best signed features (K, d) for activations G (n, K): (G'G + 1e-6 I)^-1 G'X."""
    return from_products(activations.T @ activations, activations.T @ X)


def from_products(gram: Tensor, cross: Tensor) -> Tensor:
    """The same from G'G (K, K) and G'X (K, d)."""
    ridged = gram.clone()
    ridged.diagonal().add_(RIDGE)
    solved: Tensor = torch.linalg.solve(ridged.double(), cross.double())
    return solved.to(cross)


def winner_take_all(features: Tensor, sparsity: float) -> Tensor:
    """The features (K, d) with all but the ceil(p d) entries largest in size of each row at zero; ties stay."""
    if sparsity >= 1:
        return features
    size = features.abs()
    limit = size.topk(kept_count(sparsity, features.shape[1]), dim=1).values[:, -1:]
    return torch.where(size >= limit, features, torch.zeros_like(features))


def rescale(activations: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
    """G (n, K) with columns of unit length and F (K, d) times those lengths (floor 1e-8): the same product G F."""
    size = activations.norm(dim=0).clamp(min=1e-8)
    return activations / size, features * size[:, None]


def products(X: Tensor, features: Tensor, transposed: np.ndarray | None = None) -> tuple[Tensor, Tensor]:
    """X F' (n, K) and F F' (K, K). ``transposed``: X' (d, n) C-contiguous, for the sparse way on the CPU."""
    gram = features @ features.T
    dense = (features != 0).double().mean() > 0.1
    if transposed is None or dense:
        return X @ features.T, gram
    sparse = csr_matrix(features.numpy())
    return torch.from_numpy((sparse @ transposed).T), gram


def nonnegative(start: Tensor, cross: Tensor, gram: Tensor, sweeps: int) -> Tensor:
    """Lower |X - G F|^2 in G >= 0 by coordinate steps, row by row: G (n, K), cross = X F', gram = F F'."""
    if start.device.type == "cpu":
        result = np.array(start.numpy(), order="C")
        _sweep(result, np.ascontiguousarray(cross.numpy()), np.ascontiguousarray(gram.numpy()), sweeps)
        return torch.from_numpy(result)
    return rows_together(start, cross, gram, sweeps)


def rows_together(start: Tensor, cross: Tensor, gram: Tensor, sweeps: int) -> Tensor:
    """As :func:`nonnegative`, for devices that want wide steps: all rows move along one coordinate at a time."""
    G, cross = start.T.contiguous(), cross.T.contiguous()  # one coordinate of all rows lies together
    tiny = torch.finfo(G.dtype).eps
    for sweep in range(sweeps):
        # To ask whether anything still moves stops the device, so it is asked rarely.
        before = G.clone() if sweep % 8 == 7 else None
        for k, size in enumerate(gram.diagonal().tolist()):
            if size > 0:
                G[k] = (G[k] + (cross[k] - gram[k] @ G) / size).clamp_(min=0)
        if before is not None and bool((G - before).abs().max() <= tiny * G.max()):
            break
    return G.T.contiguous()


@njit(cache=True, fastmath=False)  # type: ignore[untyped-decorator]
def _sweep(G: np.ndarray, cross: np.ndarray, gram: np.ndarray, sweeps: int) -> None:
    rows, count = G.shape
    slope = np.empty(count, G.dtype)
    for i in range(rows):
        for k in range(count):
            slope[k] = -cross[i, k]
        for j in range(count):
            if G[i, j] != 0:
                for k in range(count):
                    slope[k] += G[i, j] * gram[j, k]
        for _ in range(sweeps):
            moved = False
            for k in range(count):
                if gram[k, k] <= 0:
                    continue
                new = G[i, k] - slope[k] / gram[k, k]
                if new < 0:
                    new = 0.0
                change = new - G[i, k]
                if change != 0:
                    moved = True
                    G[i, k] = new
                    for j in range(count):
                        slope[j] += change * gram[k, j]
            if not moved:
                break
