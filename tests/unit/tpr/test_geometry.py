"""Geometry of the 64 squares: plain loops and regressions, planted boards and sheets, points without structure."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from analysis.errors import UserError
from analysis.tpr.gauge import projector, random_change, remix_fillers, remix_roles
from analysis.tpr.geometry import (
    EXPECTED_R2,
    RELATIONS,
    chance_shares,
    expected_r2,
    gap_map,
    gap_r2,
    geometry,
    geometry_rows,
    gram,
    isomap,
    neighbour_shares,
    pca,
    readings,
)

S = np.arange(64)
LATTICE = np.stack([f(x * np.pi / 16) for x in (S // 8, S % 8) for f in (np.cos, np.sin)], 1)
"""Roles of a board that knows rows and columns: cosine and sine of each."""


def points(k: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(64, k))


def relation(a: int, b: int) -> str:
    i, j = abs(a // 8 - b // 8), abs(a % 8 - b % 8)
    if max(i, j) == 1:
        return "neighbour"
    if i == 0:
        return "row"
    if j == 0:
        return "column"
    return "diagonal" if i == j else "unrelated"


def test_chance_is_counted_over_pairs() -> None:
    counts = dict.fromkeys(RELATIONS, 0.0)
    for a in range(64):
        for b in range(64):
            if a != b:
                counts[relation(a, b)] += 1 / 63 / 64
    assert chance_shares() == pytest.approx(counts)
    published = {"neighbour": 0.104, "row": 0.083, "column": 0.083, "diagonal": 0.090, "unrelated": 0.639}
    assert chance_shares() == pytest.approx(published, abs=6e-4)


def test_points_in_random_order_have_the_shares_of_chance() -> None:
    found = [neighbour_shares(points(52, seed)) for seed in range(30)]
    for name, share in chance_shares().items():
        assert np.mean([f[name] for f in found]) == pytest.approx(share, abs=0.012)


def test_neighbour_shares_against_a_slow_count() -> None:
    p = points(3, 4)
    counts = dict.fromkeys(RELATIONS, 0.0)
    for a in range(64):
        others = sorted(
            (b for b in range(64) if b != a), key=lambda b: -(p[a] @ p[b]) / np.linalg.norm(p[a]) / np.linalg.norm(p[b])
        )
        k = sum(relation(a, b) == "neighbour" for b in others)
        assert k in (3, 5, 8)
        for b in others[:k]:
            counts[relation(a, b)] += 1 / k / 64
    assert neighbour_shares(p) == pytest.approx(counts)


def test_a_planted_board_has_its_own_neighbours() -> None:
    shares = neighbour_shares(LATTICE)
    assert shares["neighbour"] > 0.8 and sum(shares.values()) == pytest.approx(1)
    assert gap_r2(LATTICE) > 0.9
    shuffled = LATTICE[np.random.default_rng(1).permutation(64)]
    assert neighbour_shares(shuffled)["neighbour"] < 0.25 and gap_r2(shuffled) < 0.1


def test_rotation_and_length_of_rows_change_nothing() -> None:
    p = points(6, 2)
    turned = (p @ np.linalg.qr(points(6, 3)[:6])[0]) * np.linspace(0.5, 2, 64)[:, None]
    assert neighbour_shares(turned) == pytest.approx(neighbour_shares(p))
    assert np.abs(gram(turned) - gram(p)).max() < 1e-12 and gap_r2(turned) == pytest.approx(gap_r2(p))


def test_the_gap_map_is_a_regression_on_cells() -> None:
    p = points(7)
    cosines = gram(p)
    rows, values = [], []
    for a in range(64):
        for b in range(a):
            cell = np.zeros((8, 8))
            cell[abs(a // 8 - b // 8), abs(a % 8 - b % 8)] = 1
            rows.append(cell.ravel()[1:])
            values.append(cosines[a, b])
    x, y = np.array(rows), np.array(values)
    weights = np.linalg.lstsq(x, y, rcond=None)[0]
    assert len(y) == 2016 and x.shape[1] == 63
    assert gap_r2(p) == pytest.approx(1 - ((y - x @ weights) ** 2).sum() / ((y - y.mean()) ** 2).sum())
    assert gap_map(p).ravel()[1:] == pytest.approx(weights) and np.isnan(gap_map(p)[0, 0])


def test_points_without_structure_have_the_expected_r2() -> None:
    assert expected_r2() == EXPECTED_R2 == pytest.approx(62 / 2015, abs=1e-15)
    found = [gap_r2(points(52, seed)) for seed in range(20)]
    assert 0.02 < min(found) and max(found) < 0.045 and abs(np.mean(found) - expected_r2()) < 0.005


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_rounding_is_no_structure(seed: int) -> None:
    # All alike up to length; and the projector of 64 roles, which is the identity and some 1e-14.
    for p in (points(5, seed)[:1] * np.linspace(0.1, 3, 64)[:, None], projector(points(64, seed))):
        assert gap_r2(p) == 0.0 and neighbour_shares(p) == pytest.approx(chance_shares(), abs=1e-12)


def test_ties_share_the_last_places() -> None:
    p = np.zeros((64, 2))
    p[:, 0] = 1.0
    p[S // 8 == 0] = [0.0, 1.0]
    # A1 to A8 are alike, so are all others: within each group the places go to all in equal parts.
    expected = 0.0
    for a in range(64):
        group = [b for b in range(64) if b != a and (b < 8) == (a < 8)]
        k = sum(relation(a, b) == "neighbour" for b in range(64) if b != a)
        assert k <= len(group)
        expected += sum(relation(a, b) == "neighbour" for b in group) / len(group) / 64
    assert neighbour_shares(p)["neighbour"] == pytest.approx(expected)


def test_geometry_has_all_numbers_at_once() -> None:
    p = points(9, 5)
    found = geometry(p)
    assert (found.shares, found.r2) == (neighbour_shares(p), gap_r2(p))
    assert np.array_equal(found.gaps, gap_map(p), equal_nan=True) and np.array_equal(found.cosines, gram(p))


def test_isomap_unrolls_a_bent_sheet() -> None:
    along, across = 3 * (S // 8) / 7 * np.pi * 1.5, 1.7 * (S % 8)
    sheet = np.stack([3 * np.cos(along / 3), 3 * np.sin(along / 3), across], 1)
    found, squares = isomap(sheet, neighbours=6, components=2)
    assert len(squares) == 60 and found.shape == (60, 2) and not set(squares) & {27, 28, 35, 36}
    pairs = np.triu_indices(60, 1)

    def distances(p: np.ndarray) -> np.ndarray:
        return np.linalg.norm(p[:, None] - p[None], axis=-1)[pairs]

    unrolled = distances(np.stack([along, across], 1)[squares])
    assert np.corrcoef(distances(found), unrolled)[0, 1] > 0.98
    # Straight axes do not unroll it: the ends of three quarters of a circle come near each other.
    assert np.corrcoef(distances(pca(sheet)[0][squares]), unrolled)[0, 1] < 0.9
    place = np.stack([S // 8, S % 8])[:, squares]
    assert np.abs(np.corrcoef(found.T, place)[:2, 2:]).max(0).min() > 0.95


def test_isomap_can_keep_the_centre_and_has_fixed_signs() -> None:
    found, squares = isomap(LATTICE, drop_centre=False)
    assert squares == list(range(64)) and found.shape == (64, 3)
    top = np.abs(found).argmax(0)
    assert (found[top, np.arange(3)] > 0).all()
    assert np.array_equal(isomap(LATTICE, drop_centre=False)[0], found)


def test_isomap_refuses_islands() -> None:
    islands = points(4)
    islands[32:] += 1000
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserError, match="2 parts") as caught:
            isomap(islands)
    assert caught.value.field == "roles"
    assert isomap(islands, neighbours=35)[0].shape == (60, 3)


@pytest.mark.parametrize(("name", "value"), [("neighbours", 60), ("neighbours", 0), ("components", 0)])
def test_isomap_refuses_numbers_that_its_points_do_not_allow(name: str, value: int) -> None:
    with pytest.raises(UserError) as caught:
        isomap(LATTICE, **{name: value})  # type: ignore[arg-type]
    assert caught.value.field == name


def test_pca_finds_planted_axes_in_their_order() -> None:
    axes = np.linalg.qr(points(9, 1)[:9])[0]
    p = (points(3, 2) * [5.0, 2.0, 0.5]) @ axes[:3] + 7.0
    found, shares = pca(p)
    assert found.shape == (64, 3) and shares.sum() == pytest.approx(1) and (np.diff(shares) < 0).all()
    assert np.abs(found @ found.T - (p - p.mean(0)) @ (p - p.mean(0)).T).max() < 1e-9
    assert np.abs(found - pca(p @ np.diag([-1.0] * 9))[0]).max() < 1e-9
    assert pca(p[:, :2])[0].shape == (64, 2)


@pytest.mark.parametrize("measure", [gram, pca, isomap, gap_map, geometry])
@pytest.mark.parametrize("bad", [np.zeros((60, 4)), np.zeros(64), np.full((64, 4), np.nan)])
def test_points_that_are_not_sixty_four_finite_rows_are_refused(measure: object, bad: np.ndarray) -> None:
    with pytest.raises(UserError) as caught:
        measure(bad)  # type: ignore[operator]
    assert caught.value.field == "roles"


@pytest.fixture
def parts() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(8)
    roles = np.concatenate([LATTICE, 0.1 * draw.normal(size=(64, 8))], 1)
    return draw.normal(size=(40, 12, 2)), roles, draw.normal(size=(3, 2))


def test_readings_say_which_numbers_depend_on_coordinates(parts: tuple[np.ndarray, ...]) -> None:
    m, roles, fillers = parts
    m2, roles2 = remix_roles(m, roles, random_change(12, 5))
    m2, fillers2 = remix_fillers(m2, fillers, random_change(2, 6))
    before, after = geometry_rows(m, roles, fillers), geometry_rows(m2, roles2, fillers2)
    assert [row["key"] for row in before] == ["roles", "canonical", "projector", "colour", "empty"]
    for one, two in zip(before, after, strict=True):
        same = all(abs(one[name] - two[name]) < 1e-8 for name in ("r2", *RELATIONS))
        assert same != one["gauge"], one["key"]
    assert [row["gauge"] for row in before] == [True, False, False, False, False]


def test_readings_of_as_many_roles_as_squares_do_not_depend_on_coordinates_either() -> None:
    draw = np.random.default_rng(3)
    m, roles, fillers = draw.normal(size=(140, 64, 2)), draw.normal(size=(64, 64)), draw.normal(size=(3, 2))
    m2, roles2 = remix_roles(m, roles, random_change(64, 5))
    for one, two in zip(geometry_rows(m, roles, fillers), geometry_rows(m2, roles2, fillers), strict=True):
        if not one["gauge"]:
            assert all(abs(one[name] - two[name]) < 1e-8 for name in ("r2", *RELATIONS)), one["key"]
    assert geometry_rows(m, roles, fillers)[2]["neighbour"] == pytest.approx(chance_shares()["neighbour"])


def test_a_table_row_holds_the_numbers_of_its_points(parts: tuple[np.ndarray, ...]) -> None:
    for row, reading in zip(geometry_rows(*parts), readings(*parts), strict=True):
        assert row["r2"] == reading.r2 == gap_r2(reading.points)
        assert row["neighbour"] == reading.neighbours
        assert sum(row[name] for name in RELATIONS) == pytest.approx(1)


def test_the_directions_read_are_differences_of_logits(parts: tuple[np.ndarray, ...]) -> None:
    m, roles, fillers = parts
    h = points(40, 9)[:5]
    logits = np.einsum("nd,drf,sr,cf->nsc", h, m, roles, fillers)
    by_key = {r.key: r.points for r in readings(m, roles, fillers)}
    assert np.allclose(h @ by_key["colour"].T, logits[..., 1] - logits[..., 2])
    assert np.allclose(h @ by_key["empty"].T, logits[..., 0] - logits[..., 1:].mean(-1))
