"""From 192 directions to probes of fewer numbers: class centring, truncated SVD, and the closed-form TPR.

A softmax over three classes cannot see what all three logits of a square share, so directions are compared after their
mean over the classes is taken away. What is left has two free directions for each square: at filler dimension 2 and
r = 64 a TPR probe is a mere rewriting of a linear one, and with fewer roles the best fit in norm is a truncated SVD of
the 64 x (2 d) unfolding (dossier 2.4; derived here, the paper's appendix C has a proof).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from analysis.errors import UserError

if TYPE_CHECKING:
    from analysis.tpr.probes import LowRankProbe, Probe, TPRProbe

SQUARES, CLASSES = 64, 3
PLANE = torch.tensor([[2.0, -1.0, -1.0], [0.0, 1.0, -1.0]], dtype=torch.float64).T / torch.tensor(
    [6.0**0.5, 2.0**0.5], dtype=torch.float64
)
"""(3, 2): orthonormal fillers for what three classes can differ in: empty against disc, just moved against to move."""


def centre_classes(directions: Tensor) -> Tensor:
    """Directions (64, 3, d) less their mean over the classes; predictions stay as they are."""
    return directions - directions.mean(1, keepdim=True)


def cosines(a: Tensor, b: Tensor, centred: bool = True) -> Tensor:
    """Signed cosines (64, 3) of two sets of directions (64, 3, d), by square and class."""
    if centred:
        a, b = centre_classes(a), centre_classes(b)
    return torch.nn.functional.cosine_similarity(a, b, dim=-1)


def truncated_svd(directions: Tensor, rank: int, *, centred: bool = True) -> LowRankProbe:
    """The best approximation of rank ``rank`` to the 192 x d matrix of directions (64, 3, d), as a low-rank probe.

    Costs rank (d + 192) numbers. Raises UserError(field="rank") for a rank below 1 or above what the matrix has.
    """
    from analysis.tpr.probes import LowRankProbe

    matrix = (centre_classes(directions) if centred else directions).transpose(0, 1).reshape(SQUARES * CLASSES, -1)
    if not 1 <= rank <= min(matrix.shape):
        raise UserError(f"The rank must lie between 1 and {min(matrix.shape)}.", "rank")
    u, s, v = torch.linalg.svd(matrix.double(), full_matrices=False)
    root = s[:rank].sqrt()
    probe = LowRankProbe(rank)
    return probe.take(
        {"outer": (u[:, :rank] * root).to(directions.dtype), "inner": (root[:, None] * v[:rank]).to(directions.dtype)}
    )


def role_truncation(directions: Tensor, role_dim: int) -> TPRProbe:
    """The TPR probe with ``role_dim`` x 2 that lies nearest, in norm, to the class-centred directions (64, 3, d).

    Exact at 64 roles. Raises UserError(field="role_dim") outside 1 to 64.
    """
    from analysis.tpr.probes import TPRProbe

    if not 1 <= role_dim <= SQUARES:
        raise UserError("The number of role coordinates must lie between 1 and 64.", "role_dim")
    free = torch.einsum("scd,cf->sfd", directions.double(), PLANE)
    d = free.shape[-1]
    u, s, v = torch.linalg.svd(free.reshape(SQUARES, 2 * d), full_matrices=False)
    root = s[:role_dim].sqrt()
    parts = {
        "roles": u[:, :role_dim] * root,
        "binding_map": (root[:, None] * v[:role_dim]).reshape(role_dim, 2, d).permute(2, 0, 1),
        "fillers": PLANE,
    }
    return TPRProbe(role_dim, 2).take({k: t.to(directions.dtype).contiguous() for k, t in parts.items()})


def start_of(probe: Probe, weights: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    """Tensors to start a probe from, cut out of linear weights (3, 64, d) in whitened coordinates."""
    from analysis.tpr.probes import LowRankProbe, TPRProbe

    directions = weights.transpose(0, 1)
    d, dtype = weights.shape[-1], weights.dtype
    if isinstance(probe, LowRankProbe) and probe.sizes["rank"] <= min(SQUARES * CLASSES, d):
        return truncated_svd(directions, probe.sizes["rank"]).parts
    if isinstance(probe, TPRProbe) and probe.sizes["filler_dim"] == 2 and probe.sizes["role_dim"] <= SQUARES:
        return _jittered(role_truncation(directions, probe.sizes["role_dim"]).parts, probe.random_state, generator)
    shapes = probe.shapes(d)
    parts = {
        name: torch.randn(shape, generator=generator, dtype=dtype)
        / (d if name in ("binding_map", "inner") else shape[-1]) ** 0.5
        for name, shape in shapes.items()
    }
    if probe.kind == "trilinear" and probe.sizes["filler_dim"] == 2:
        parts |= _trilinear_start(probe, directions, parts)
    return parts


def _jittered(parts: dict[str, Tensor], seed: int, generator: torch.Generator) -> dict[str, Tensor]:
    """A start in a random basis of its own for each seed, so that seeds show what the basis decides."""
    roles, m = parts["roles"], parts["binding_map"]
    turn = torch.linalg.qr(torch.randn(roles.shape[1], roles.shape[1], generator=generator, dtype=roles.dtype))[0]
    return {**parts, "roles": roles @ turn, "binding_map": torch.einsum("drf,rq->dqf", m, turn).contiguous()}


def _trilinear_start(probe: Probe, directions: Tensor, parts: dict[str, Tensor]) -> dict[str, Tensor]:
    """Row and column spaces of the directions (two truncated SVDs), and the map that these leave to choose."""
    u, v = probe.sizes["row_dim"], probe.sizes["column_dim"]
    free = torch.einsum("scd,cf->sfd", directions.double(), PLANE)
    d = free.shape[-1]
    cube = free.reshape(8, 8, 2, d)
    rows = _space(cube.reshape(8, -1), u)
    columns = _space(cube.permute(1, 0, 2, 3).reshape(8, -1), v)
    found = {
        "row_embeddings": rows,
        "column_embeddings": columns,
        "fillers": PLANE,
        "binding_map": torch.einsum("ijfd,iu,jv->duvf", cube, torch.linalg.pinv(rows).T, torch.linalg.pinv(columns).T),
    }
    return {name: value.to(parts[name].dtype).contiguous() for name, value in found.items()}


def _space(unfolding: Tensor, size: int) -> Tensor:
    """(8, size): leading left singular vectors; sizes above 8 get zeros beside a sound map."""
    left = torch.linalg.svd(unfolding, full_matrices=False)[0][:, :size]
    if size > left.shape[1]:
        left = torch.cat([left, 0.01 * torch.ones(8, size - left.shape[1], dtype=left.dtype)], 1)
    found: Tensor = left
    return found
