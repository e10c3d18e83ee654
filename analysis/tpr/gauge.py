"""Changes of coordinates of roles and fillers: what they leave alone, and one choice that does not depend on the fit.

(M, R, F) and (M A^-1, R A^T, F) are the same probe for any invertible A, and likewise for fillers (dossier 2.4): a fit
lands on one of them by its start, its optimiser and its decay. So no picture of R's rows is a finding unless it is
drawn from something that is the same for all of them: the projector on R's columns, the directions, or a basis fixed by
the probe itself.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.errors import UserError

Array = NDArray[np.float64]


def random_change(n: int, random_state: int, condition: float = 4.0) -> Array:
    """An invertible (n, n) matrix: two random rotations with a stretch between, lengths from 1 to ``condition``.

    Raises UserError(field="gauge") for n below 1 or a condition that is not a number from 1.
    """
    if n < 1 or not 1 <= condition < np.inf:
        raise UserError("A change of coordinates needs at least one of them and a condition of 1 or more.", "gauge")
    draw = np.random.default_rng(random_state)
    left, right = (np.linalg.qr(draw.normal(size=(n, n)))[0] for _ in range(2))
    return np.asarray(left * np.geomspace(1.0, condition, n) @ right)


def remix_roles(m: ArrayLike, roles: ArrayLike, change: ArrayLike) -> tuple[Array, Array]:
    """(M', R') with R' = R A^T and M' = M A^-1 on the role mode: the same logits in other coordinates.

    Shapes M (d, r, f), R (64, r), A (r, r). Raises UserError(field="gauge") for an A of another size or not invertible.
    """
    old, a = np.asarray(roles, np.float64), np.asarray(change, np.float64)
    return np.einsum("drf,rq->dqf", np.asarray(m, np.float64), _inverse(a, old.shape[1])), old @ a.T


def remix_fillers(m: ArrayLike, fillers: ArrayLike, change: ArrayLike) -> tuple[Array, Array]:
    """(M', F') with F' = F A^T and M' = M A^-1 on the filler mode: the same logits in other coordinates.

    Shapes M (d, r, f), F (3, f), A (f, f). Raises UserError(field="gauge") for an A of another size or not invertible.
    """
    old, a = np.asarray(fillers, np.float64), np.asarray(change, np.float64)
    return np.einsum("drf,fq->drq", np.asarray(m, np.float64), _inverse(a, old.shape[1])), old @ a.T


def _inverse(change: Array, n: int) -> Array:
    if change.shape != (n, n):
        raise UserError(f"A change of {n} coordinates is a matrix of {n} x {n}, not of {change.shape}.", "gauge")
    if not np.isfinite(change).all() or np.linalg.matrix_rank(change) < n:
        raise UserError("This change of coordinates has no inverse, so that something would be lost.", "gauge")
    return np.asarray(np.linalg.inv(change))


def effective_directions(m: ArrayLike, roles: ArrayLike, fillers: ArrayLike) -> Array:
    """(64, 3, d): sum_ab M[:, a, b] R[s, a] F[c, b], the part of a probe that every gauge shares."""
    arrays = (np.asarray(x, np.float64) for x in (m, roles, fillers))
    return np.asarray(np.einsum("dab,sa,cb->scd", *arrays, optimize=True))


def canonical(m: ArrayLike, roles: ArrayLike, fillers: ArrayLike) -> Array:
    """Roles (64, r) in coordinates that the probe fixes by itself: the map's role mode has orthonormal rows.

    They are U S of the 64 x (3 d) unfolding of the class-centred directions, its signs chosen so that the largest entry
    of each column is positive; gauge-equivalent probes give the same up to rounding, and so do probes of which one
    adds the same to all three logits of a square. Cosines between these rows are those between whole centred
    directions. Columns past the rank of the directions are zero. Dossier 8.4 (b); the construction is our own.
    """
    directions = effective_directions(m, roles, fillers)
    free = directions - directions.mean(1, keepdims=True)
    u, s, _ = np.linalg.svd(free.reshape(len(free), -1), full_matrices=False)
    r = min(np.asarray(roles).shape[1], len(s))
    scores = u[:, :r] * s[:r]
    signs = np.sign(scores[np.abs(scores).argmax(0), np.arange(r)])
    return np.asarray(scores * np.where(signs == 0, 1.0, signs))


def projector(roles: ArrayLike) -> Array:
    """(64, 64): R (R^T R)^-1 R^T, the projector on the columns of R; the same in every gauge."""
    u = _basis(roles)
    return np.asarray(u @ u.T)


def subspace_cosines(a: ArrayLike, b: ArrayLike) -> Array:
    """Principal cosines of the column spaces of two matrices of 64 rows, descending: as many as the lesser rank."""
    return np.asarray(np.linalg.svd(_basis(a).T @ _basis(b), compute_uv=False).clip(0.0, 1.0))


def _basis(columns: ArrayLike) -> Array:
    # By SVD and not by QR, which fills up what a deficient matrix lacks with columns of its own choice.
    u, s, _ = np.linalg.svd(np.asarray(columns, np.float64), full_matrices=False)
    return np.asarray(u[:, s > s.max() * 1e-10])
