"""Numbers and coordinates of the geometry of square embeddings, as the paper's figures have them.

Every function takes points (64, k), one per square in the order A1 to H8, and knows nothing of where they come from:
the roles of a fit, another gauge of them, effective directions, or the roles of a control. `readings` and
`geometry_rows` put the same numbers side by side for all of these.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse.csgraph import connected_components
from sklearn.decomposition import PCA
from sklearn.manifold import Isomap
from sklearn.neighbors import kneighbors_graph

from analysis.errors import UserError
from analysis.othello.squares import CENTRE
from analysis.tpr.gauge import canonical, effective_directions, projector

Array = NDArray[np.float64]
TIE = 1e-9
"""Cosines nearer than this are the same."""
RELATIONS = ("neighbour", "row", "column", "diagonal", "unrelated")


def _gaps() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    s = np.arange(64)
    return np.abs(s[:, None] // 8 - s // 8), np.abs(s[:, None] % 8 - s % 8)


ROW_GAP, COLUMN_GAP = _gaps()
NEIGHBOURS = (np.maximum(ROW_GAP, COLUMN_GAP) == 1).sum(1)
"""(64,): true neighbours of each square, 3 to 8."""


def expected_r2() -> float:
    """62 / 2015: `gap_r2` of points without structure, as 63 cell means over 2016 pairs have it by their number."""
    cells, pairs = len({(int(i), int(j)) for i, j in zip(ROW_GAP.flat, COLUMN_GAP.flat, strict=True)}) - 1, 64 * 63 // 2
    return (cells - 1) / (pairs - 1)


EXPECTED_R2 = expected_r2()


def relation_matrix() -> NDArray[np.int64]:
    """(64, 64) numbers of `RELATIONS` for each pair of squares; -1 on the diagonal."""
    relation = np.full((64, 64), 4)
    relation[(ROW_GAP == COLUMN_GAP)] = 3
    relation[COLUMN_GAP == 0] = 2
    relation[ROW_GAP == 0] = 1
    relation[np.maximum(ROW_GAP, COLUMN_GAP) == 1] = 0
    np.fill_diagonal(relation, -1)
    return relation


def _unit(points: ArrayLike) -> Array:
    p = _check_points(points)
    return np.asarray(p / np.maximum(np.linalg.norm(p, axis=1, keepdims=True), 1e-30))


def _check_points(points: ArrayLike) -> Array:
    p = np.asarray(points, dtype=np.float64)
    if p.ndim != 2 or len(p) != 64 or not np.isfinite(p).all():
        raise UserError("Square embeddings are 64 rows of finite numbers.", "roles")
    return p


def gram(points: ArrayLike) -> Array:
    """(64, 64) cosines between the points. Raises UserError(field="roles") unless they are 64 finite rows."""
    unit = _unit(points)
    return np.asarray(unit @ unit.T)


def neighbour_shares(points: ArrayLike) -> dict[str, float]:
    """What the nearest points of a square are to it, averaged over squares (the paper's Figure 6).

    For each square as many nearest points by cosine are taken as it has neighbours on the board (3, 5 or 8). Points
    that tie for the last places share them, so that points all alike, or all at right angles, give `chance_shares`
    and not what rounding makes of them (the projector of 64 roles is the identity).
    """
    cosines = gram(points)
    np.fill_diagonal(cosines, -np.inf)
    relation = relation_matrix()
    shares = np.zeros(len(RELATIONS))
    for s in range(64):
        others, row, places = np.arange(64) != s, cosines[s], NEIGHBOURS[s]
        last = np.partition(row, -places)[-places]
        sure, tied = row > last + TIE, np.abs(row - last) <= TIE
        weight = sure + tied * (places - sure.sum()) / tied.sum()
        shares += np.bincount(relation[s, others], weight[others], len(RELATIONS)) / places
    return dict(zip(RELATIONS, (float(v) for v in shares / 64), strict=True))


def chance_shares() -> dict[str, float]:
    """`neighbour_shares` of points in random order: 10.4 % neighbours, not the 11.1 % drawn in the paper."""
    relation = relation_matrix()
    shares = [float(np.mean([(relation[s] == k).sum() / 63 for s in range(64)])) for k in range(len(RELATIONS))]
    return dict(zip(RELATIONS, shares, strict=True))


def gap_map(points: ArrayLike) -> Array:
    """(8, 8) mean cosine of two different squares by their row gap and column gap; the cell (0, 0) is NaN."""
    upper = np.triu_indices(64, 1)
    cells = 8 * ROW_GAP[upper] + COLUMN_GAP[upper]
    count = np.bincount(cells, minlength=64).astype(np.float64)
    count[0] = np.nan
    return np.asarray(np.bincount(cells, gram(points)[upper], 64) / count).reshape(8, 8)


def gap_r2(points: ArrayLike) -> float:
    """R^2 of predicting the cosines of all 2016 pairs by their cell's mean in the gap map (Figure 7).

    0 where all cosines are the same, and nothing is there to predict.
    """
    cosines, cells = gram(points), gap_map(points)
    upper = np.triu_indices(64, 1)
    values = cosines[upper]
    predicted = cells[ROW_GAP[upper], COLUMN_GAP[upper]]
    total = float(((values - values.mean()) ** 2).sum())
    return 1.0 - float(((values - predicted) ** 2).sum()) / total if total > 1e-20 else 0.0


def pca(points: ArrayLike, n: int = 3) -> tuple[Array, Array]:
    """Coordinates (64, n) on the leading components and the shares of variance (n,); signs fixed.

    Fewer than ``n`` columns where the points have fewer coordinates. Raises UserError(field="roles") as `gram`.
    """
    p = _check_points(points)
    n = min(n, *p.shape)
    model = PCA(n, svd_solver="full").fit(p)
    scores = model.transform(p)
    return _fix_signs(scores), np.asarray(model.explained_variance_ratio_)


def isomap(
    points: ArrayLike, neighbours: int = 16, components: int = 3, drop_centre: bool = True
) -> tuple[Array, list[int]]:
    """Isomap by Euclidean distance, as the paper draws it: coordinates (60, c) and the squares they belong to.

    ``drop_centre``: without the four centre squares, which are never empty and lie far off; (64, c) with them. Signs
    are fixed as in `pca`. Raises UserError(field="roles") if the graph of neighbours falls into parts or the points
    are not 64 finite rows, (field="neighbours") or (field="components") for numbers that 60 points do not allow.
    """
    squares = [s for s in range(64) if not (drop_centre and s in CENTRE)]
    p = _check_points(points)[squares]
    for name, value in (("neighbours", neighbours), ("components", components)):
        if not 1 <= value < len(p):
            raise UserError(f"The number of {name} must lie between 1 and {len(p) - 1}.", name)
    # scikit-learn would join the parts by edges of its own and only warn: a picture of something that is not there.
    pieces = connected_components(kneighbors_graph(p, neighbours), directed=False, return_labels=False)
    if pieces > 1:
        raise UserError(
            f"The graph of {neighbours} neighbours falls into {pieces} parts, and Isomap needs one: take more "
            "neighbours, or PCA.",
            "roles",
        )
    return _fix_signs(
        Isomap(n_neighbors=neighbours, n_components=components, eigen_solver="dense").fit_transform(p)
    ), squares


def _fix_signs(points: Array) -> Array:
    top = points[np.abs(points).argmax(0), np.arange(points.shape[1])]
    return np.asarray(points * np.where(top < 0, -1.0, 1.0))


@dataclass(frozen=True)
class Geometry:
    """All numbers of one set of points: `neighbour_shares`, `gap_r2`, `gap_map` (8, 8) and `gram` (64, 64)."""

    shares: dict[str, float]
    r2: float
    gaps: Array
    cosines: Array


def geometry(points: ArrayLike) -> Geometry:
    """Everything that is measured of points (64, k). Raises UserError(field="roles") as `gram`."""
    return Geometry(neighbour_shares(points), gap_r2(points), gap_map(points), gram(points))


@dataclass(frozen=True)
class Reading:
    """The geometry of one set of points. ``gauge``: whether another choice of coordinates would change it."""

    key: str
    title: str
    points: Array
    gauge: bool

    @property
    def neighbours(self) -> float:
        """Share of true neighbours among the nearest."""
        return neighbour_shares(self.points)["neighbour"]

    @property
    def r2(self) -> float:
        """R^2 of the gap map."""
        return gap_r2(self.points)


def readings(m: ArrayLike, roles: ArrayLike, fillers: ArrayLike) -> list[Reading]:
    """The same geometry read off the roles as they are, and off four things that no gauge changes, by dossier 8.4."""
    w = effective_directions(m, roles, fillers)
    return [
        Reading("roles", "roles in these coordinates", np.asarray(roles, np.float64), True),
        Reading("canonical", "roles where the map is orthonormal", canonical(m, roles, fillers), False),
        Reading("projector", "rows of the projector on the roles", projector(roles), False),
        Reading("colour", "directions: just moved minus to move", w[:, 1] - w[:, 2], False),
        Reading("empty", "directions: empty minus the two colours", w[:, 0] - 0.5 * (w[:, 1] + w[:, 2]), False),
    ]


def geometry_rows(m: ArrayLike, roles: ArrayLike, fillers: ArrayLike) -> list[dict[str, Any]]:
    """`readings` as rows of a table: key, title, gauge, r2, and the five shares by their names."""
    rows = []
    for reading in readings(m, roles, fillers):
        measures = geometry(reading.points)
        rows.append(
            {"key": reading.key, "title": reading.title, "gauge": reading.gauge, "r2": measures.r2, **measures.shares}
        )
    return rows
