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

    Raises UserError(field="gauge") for n below 1 or a condition below 1.
    """
    if n < 1 or not condition >= 1:
        raise UserError("A change of coordinates needs at least one of them and a condition of 1 or more.", "gauge")
    draw = np.random.default_rng(random_state)
    left, right = (np.linalg.qr(draw.normal(size=(n, n)))[0] for _ in range(2))
    return np.asarray(left * np.geomspace(1.0, condition, n) @ right)


def remix_roles(m: ArrayLike, roles: ArrayLike, change: ArrayLike) -> tuple[Array, Array]:
    """(M', R') with R' = R A^T and M' = M A^-1 on the role mode: the same logits in other coordinates."""
    a = np.asarray(change, dtype=np.float64)
    return np.einsum("drf,rq->dqf", np.asarray(m, np.float64), np.linalg.inv(a)), np.asarray(roles, np.float64) @ a.T


def remix_fillers(m: ArrayLike, fillers: ArrayLike, change: ArrayLike) -> tuple[Array, Array]:
    """(M', F') with F' = F A^T and M' = M A^-1 on the filler mode: the same logits in other coordinates."""
    a = np.asarray(change, dtype=np.float64)
    return np.einsum("drf,fq->drq", np.asarray(m, np.float64), np.linalg.inv(a)), np.asarray(fillers, np.float64) @ a.T


def effective_directions(m: ArrayLike, roles: ArrayLike, fillers: ArrayLike) -> Array:
    """(64, 3, d): sum_ab M[:, a, b] R[s, a] F[c, b], the part of a probe that every gauge shares."""
    arrays = (np.asarray(x, np.float64) for x in (m, roles, fillers))
    return np.asarray(np.einsum("dab,sa,cb->scd", *arrays, optimize=True))


def canonical(m: ArrayLike, roles: ArrayLike, fillers: ArrayLike) -> Array:
    """Roles (64, r) in coordinates that the probe fixes by itself: the map's role mode has orthonormal rows.

    They are U S of the 64 x (f d) unfolding of M R with fillers orthonormalised, its signs chosen so that the largest
    entry of each column is positive; gauge-equivalent probes give the same up to rounding.
    """
    directions = effective_directions(m, roles, fillers)
    free = directions - directions.mean(1, keepdims=True)
    u, s, _ = np.linalg.svd(free.reshape(len(free), -1), full_matrices=False)
    r = min(np.asarray(roles).shape[1], len(s))
    found = u[:, :r] * s[:r]
    signs = np.sign(found[np.abs(found).argmax(0), np.arange(r)])
    return np.asarray(found * np.where(signs == 0, 1.0, signs))


def projector(roles: ArrayLike) -> Array:
    """(64, 64): R (R^T R)^-1 R^T, the projector on the columns of R; the same in every gauge."""
    u, s, _ = np.linalg.svd(np.asarray(roles, np.float64), full_matrices=False)
    u = u[:, s > s.max() * 1e-10]
    return np.asarray(u @ u.T)


def subspace_cosines(a: ArrayLike, b: ArrayLike) -> Array:
    """Principal cosines of the column spaces of two matrices of 64 rows, descending."""
    u, v = (np.linalg.qr(np.asarray(x, np.float64))[0] for x in (a, b))
    return np.asarray(np.linalg.svd(u.T @ v, compute_uv=False))
