"""What a set of 192 directions (64, 3, d) is up to what the softmax cannot see, and its best low-rank factors.

A softmax over three classes cannot see what all three logits of a square share, so directions are compared after their
mean over the classes is taken away. What is left has two free directions for each square.
"""

from __future__ import annotations

import torch
from torch import Tensor

from analysis.errors import UserError
from analysis.tpr.parametrization import CLASSES, SQUARES

PLANE = torch.tensor([[2.0, -1.0, -1.0], [0.0, 1.0, -1.0]], dtype=torch.float64).T / torch.tensor(
    [6.0**0.5, 2.0**0.5], dtype=torch.float64
)
"""(3, 2): orthonormal fillers for what three classes can differ in: empty against disc, just moved against to move."""


def centre_classes(directions: Tensor) -> Tensor:
    """Directions (64, 3, d) less their mean over the classes; predictions stay as they are."""
    return directions - directions.mean(1, keepdim=True)


def cosines(directions_a: Tensor, directions_b: Tensor, centred: bool = True) -> Tensor:
    """Signed cosines (64, 3) of two sets of directions (64, 3, d), by square and class."""
    if centred:
        directions_a, directions_b = centre_classes(directions_a), centre_classes(directions_b)
    return torch.nn.functional.cosine_similarity(directions_a, directions_b, dim=-1)


def svd_factors(directions: Tensor, rank: int, *, centred: bool = True) -> tuple[Tensor, Tensor]:
    """Inner (rank, d) and outer (192, rank) float64 factors of the best approximation to directions (64, 3, d).

    Raises UserError(field="rank") for a rank below 1 or above what the matrix has, and as :func:`check_directions`.
    """
    check_directions(directions)
    matrix = (centre_classes(directions) if centred else directions).transpose(0, 1).reshape(SQUARES * CLASSES, -1)
    if not 1 <= rank <= min(matrix.shape):
        raise UserError(f"The rank must lie between 1 and {min(matrix.shape)}.", "rank")
    u, s, v = torch.linalg.svd(matrix.double(), full_matrices=False)
    root = s[:rank].sqrt()
    return root[:, None] * v[:rank], u[:, :rank] * root


def check_directions(directions: Tensor) -> None:
    """Raises UserError(field="directions") for another shape than (64, 3, d) or numbers that are not finite."""
    if directions.ndim != 3 or directions.shape[:2] != (SQUARES, CLASSES):
        raise UserError(f"Directions have the shape (64, 3, d), not {tuple(directions.shape)}.", "directions")
    if not bool(torch.isfinite(directions).all()):
        raise UserError("Some directions are not finite numbers.", "directions")
