"""From 192 directions to probes of fewer numbers: the truncated SVD, and the closed-form TPR. Nothing is trained.

Less what all three classes share, the directions of a square are two: at filler dimension 2 and r = 64 a TPR probe is
a mere rewriting of a linear one, and with fewer roles the best fit in norm is a truncated SVD of the 64 x (2 d)
unfolding (dossier 2.4; derived here, arXiv 2605.09967's appendix C has a proof).
"""

from __future__ import annotations

import torch
from torch import Tensor

from analysis.errors import UserError
from analysis.tpr.directions import PLANE, check_directions, svd_factors
from analysis.tpr.parametrization import SQUARES
from analysis.tpr.probes import LowRankProbe, TPRProbe


def truncated_svd(directions: Tensor, rank: int, *, centred: bool = True) -> LowRankProbe:
    """The best approximation of rank ``rank`` to the 192 x d matrix of directions (64, 3, d), as a low-rank probe.

    Costs rank (d + 192) numbers. Raises UserError(field="rank") for a rank below 1 or above what the matrix has.
    """
    inner, outer = svd_factors(directions, rank, centred=centred)
    parts = {"inner": inner, "outer": outer}
    return LowRankProbe(rank).take({name: value.to(directions.dtype) for name, value in parts.items()})


def role_truncation(directions: Tensor, role_dim: int, covariance: Tensor | None = None) -> TPRProbe:
    """The TPR probe of ``role_dim`` x 2 that lies nearest to the class-centred directions (64, 3, d).

    Near in norm, or, given the second moments (d, d) of the activations, in mean squared error of the logits. Exact at
    64 roles. Raises UserError(field="role_dim") outside 1 to 64, (field="covariance") for a matrix that is none.
    """
    check_directions(directions)
    if not 1 <= role_dim <= SQUARES:
        raise UserError("The number of role coordinates must lie between 1 and 64.", "role_dim")
    free = torch.einsum("scd,cf->sfd", directions.double(), PLANE)
    d = free.shape[-1]
    lower = torch.eye(d, dtype=torch.float64) if covariance is None else _cholesky(covariance, d)
    u, s, v = torch.linalg.svd((free @ lower).reshape(SQUARES, 2 * d), full_matrices=False)
    k = min(role_dim, len(s))
    root = s[:k].sqrt()
    near = torch.linalg.solve_triangular(lower, (root[:, None] * v[:k]).reshape(k, 2, d), upper=False, left=False)
    roles, binding_map = u.new_zeros(SQUARES, role_dim), u.new_zeros(d, role_dim, 2)
    roles[:, :k], binding_map[:, :k] = u[:, :k] * root, near.permute(2, 0, 1)
    parts = {"roles": roles, "binding_map": binding_map, "fillers": PLANE}
    return TPRProbe(role_dim, 2).take({name: t.to(directions.dtype).contiguous() for name, t in parts.items()})


def _cholesky(covariance: Tensor, d: int) -> Tensor:
    if covariance.shape != (d, d):
        raise UserError(f"The covariance has the shape ({d}, {d}), not {tuple(covariance.shape)}.", "covariance")
    lower: Tensor
    lower, failed = torch.linalg.cholesky_ex(covariance.double())
    if int(failed):
        raise UserError("The covariance must be positive definite: take more rows, or add a small ridge.", "covariance")
    return lower
