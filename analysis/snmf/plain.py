"""The published five steps, one after the other, in plain code: the reference that the fast solver is held against."""

from __future__ import annotations

import torch
from torch import Tensor

from analysis.snmf.updates import RIDGE, winner_take_all


def plain_step(X: Tensor, G: Tensor, sparsity: float) -> tuple[Tensor, Tensor, float]:
    """One iteration from activations G (n, K): the new G, features (K, d), and |X - G F|^2 (arXiv 2506.10920)."""
    identity = torch.eye(G.shape[1], dtype=X.dtype, device=X.device)
    F = torch.linalg.solve(G.T @ G + RIDGE * identity, G.T @ X)
    F = winner_take_all(F, sparsity)
    size = G.norm(dim=0).clamp(min=1e-8)
    G, F = G / size, F * size[:, None]
    P, Q = X @ F.T, F @ F.T
    up = P.clamp(min=0) + G @ (-Q).clamp(min=0)
    down = (-P).clamp(min=0) + G @ Q.clamp(min=0) + 1e-6
    G = G * (up / down).sqrt()
    return G, F, float((X - G @ F).double().square().sum())
