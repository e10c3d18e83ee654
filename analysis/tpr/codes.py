"""Boards as sums of vectors whose structure is known: none at all, or that of a TPR.

A random vector for each (square, colour) pair carries a board without any relation between squares, so what a probe's
geometry shows on such codes is the doing of the boards and of the probe (the paper's "random coding" and "OOD"
controls; construction inferred in dossier 2.6). `structured` is the opposite: a teacher whose roles are known.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.errors import UserError

Boards = NDArray[np.uint8]


def random_codes(d: int, random_state: int) -> NDArray[np.float64]:
    """(64, 3, d) standard normal vectors, one for each square and class. Raises UserError(field="width") below 1."""
    if d < 1:
        raise UserError("The width must be at least 1.", "width")
    return np.random.default_rng(random_state).normal(size=(64, 3, d))


def encode(boards: ArrayLike, codes: ArrayLike, noise: float = 0.0, random_state: int = 0) -> NDArray[np.float32]:
    """Activations (n, d) float32: for each board (n, 64) the sum of the codes of its squares, plus normal noise.

    ``noise``: its deviation per coordinate; ``random_state`` decides it. Raises UserError(field="boards") for other
    shapes or classes than 0 to 2, (field="noise") below 0.
    """
    y, e = np.asarray(boards), np.asarray(codes, dtype=np.float32)
    if y.ndim != 2 or y.shape[1] != 64 or e.ndim != 3 or e.shape[:2] != (64, 3):
        raise UserError("Boards are (n, 64) and codes (64, 3, d).", "boards")
    if not np.isin(y, (0, 1, 2)).all():
        raise UserError("A square is 0 (empty), 1 (just moved) or 2 (to move).", "boards")
    if not 0 <= noise < np.inf:
        raise UserError("The noise must be a number from 0.", "noise")
    onehot = np.concatenate([(y == c) for c in range(3)], axis=1).astype(np.float32)
    vectors = onehot @ e.transpose(1, 0, 2).reshape(192, -1)
    if noise:
        vectors += noise * np.random.default_rng(random_state).normal(size=vectors.shape).astype(np.float32)
    return np.asarray(vectors, dtype=np.float32)


def iid_boards(n: int, random_state: int, probabilities: ArrayLike | None = None) -> Boards:
    """(n, 64) boards whose squares are drawn each by itself from three shares (uniform if None).

    Raises UserError(field="probabilities") unless they are three numbers from 0 that add up to one.
    """
    shares = np.full(3, 1 / 3) if probabilities is None else np.asarray(probabilities, dtype=np.float64)
    if shares.shape != (3,) or shares.min() < 0 or abs(shares.sum() - 1) > 1e-9:
        raise UserError("Three shares that add up to one are needed.", "probabilities")
    return np.random.default_rng(random_state).choice(3, size=(n, 64), p=shares).astype(np.uint8)


def shuffled_boards(boards: ArrayLike, random_state: int) -> Boards:
    """Boards (n, 64) with each square's column shuffled by itself: each keeps its shares, what goes together goes."""
    return np.random.default_rng(random_state).permuted(np.asarray(boards, dtype=np.uint8), axis=0)


def structured(d: int, role_dim: int, random_state: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Codes (64, 3, d) that are a TPR: E vec(R_s F_c^T) with normal roles (64, r), and those roles.

    By `encode` they give h = E vec(sum_s R_s F_{y_s}^T) of dossier 8.3; fillers (3, 2) and E (2 r, d) are normal too.
    Raises UserError(field="width") for a width or a number of role coordinates below 1.
    """
    if d < 1 or role_dim < 1:
        raise UserError("The width and the number of role coordinates must be at least 1.", "width")
    draw = np.random.default_rng(random_state)
    roles, fillers = draw.normal(size=(64, role_dim)), draw.normal(size=(3, 2))
    into = draw.normal(size=(role_dim, 2, d)) / np.sqrt(2 * role_dim)
    return np.asarray(np.einsum("sr,cf,rfd->scd", roles, fillers, into)), roles
