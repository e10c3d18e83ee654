"""Geometry of roles, changes of coordinates, codes without structure: invariants, planted truths, plain loops."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.errors import UserError
from analysis.tpr.codes import encode, iid_boards, random_codes, shuffled_boards, structured
from analysis.tpr.gauge import (
    canonical,
    effective_directions,
    projector,
    random_change,
    remix_fillers,
    remix_roles,
    subspace_cosines,
)
from analysis.tpr.geometry import (
    EXPECTED_R2,
    chance_shares,
    gap_map,
    gap_r2,
    gram,
    isomap,
    neighbour_shares,
    pca,
    readings,
    relation_matrix,
)

DRAW = np.random.default_rng(0)


def parts(r: int = 20, f: int = 2, d: int = 50) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return DRAW.normal(size=(d, r, f)), DRAW.normal(size=(64, r)), DRAW.normal(size=(3, f))


def test_a_change_of_coordinates_changes_no_direction_but_the_geometry() -> None:
    m, roles, fillers = parts()
    m2, roles2 = remix_roles(m, roles, random_change(20, 1))
    m3, fillers2 = remix_fillers(m2, fillers, random_change(2, 2))
    before, after = effective_directions(m, roles, fillers), effective_directions(m3, roles2, fillers2)
    assert np.abs(before - after).max() / np.abs(before).max() < 1e-12
    h = DRAW.normal(size=(30, 50))
    slow = np.zeros((30, 64, 3))
    for n in range(30):
        b = sum(h[n, i] * m3[i] for i in range(50))
        for s in range(64):
            for c in range(3):
                slow[n, s, c] = roles2[s] @ b @ fillers2[c]
    assert np.abs(slow - np.einsum("nd,scd->nsc", h, before)).max() < 1e-10 * np.abs(slow).max()
    assert np.abs(projector(roles) - projector(roles2)).max() < 1e-10
    assert np.abs(canonical(m, roles, fillers) - canonical(m3, roles2, fillers2)).max() < 1e-8
    assert subspace_cosines(roles, roles2).min() > 1 - 1e-10
    assert abs(gap_r2(roles) - gap_r2(roles2)) > 1e-3
    assert np.abs(gram(roles) - gram(roles2)).max() > 0.1


def test_readings_say_which_numbers_depend_on_coordinates() -> None:
    m, roles, fillers = parts()
    m2, roles2 = remix_roles(m, roles, random_change(20, 5))
    for one, two in zip(readings(m, roles, fillers), readings(m2, roles2, fillers), strict=True):
        same = abs(one.r2 - two.r2) < 1e-8 and one.neighbours == two.neighbours
        assert same != one.gauge, one.key


def test_a_random_change_is_invertible_and_decided_by_its_seed() -> None:
    a = random_change(12, 3, condition=5.0)
    assert np.linalg.cond(a) == pytest.approx(5.0) and np.array_equal(a, random_change(12, 3, condition=5.0))
    assert not np.allclose(a, random_change(12, 4))
    with pytest.raises(UserError):
        random_change(0, 1)


def test_chance_against_counting_pairs() -> None:
    counts = dict.fromkeys(("neighbour", "row", "column", "diagonal", "unrelated"), 0.0)
    for a in range(64):
        for b in range(64):
            i, j = abs(a // 8 - b // 8), abs(a % 8 - b % 8)
            if a == b:
                continue
            name = (
                "neighbour"
                if max(i, j) == 1
                else "row"
                if i == 0
                else "column"
                if j == 0
                else "diagonal"
                if i == j
                else "unrelated"
            )
            counts[name] += 1 / 63 / 64
    assert chance_shares() == pytest.approx(counts)
    assert chance_shares()["neighbour"] == pytest.approx(0.104, abs=5e-4)
    assert (relation_matrix() == relation_matrix().T).all()


def test_a_planted_board_has_its_own_neighbours() -> None:
    s = np.arange(64)
    points = np.stack([f(x * np.pi / 16) for x in (s // 8, s % 8) for f in (np.cos, np.sin)], 1)
    shares = neighbour_shares(points)
    assert shares["neighbour"] > 0.8 and sum(shares.values()) == pytest.approx(1)
    assert gap_r2(points) > 0.9
    again = neighbour_shares(points @ np.linalg.qr(DRAW.normal(size=(4, 4)))[0])
    assert again == pytest.approx(shares)


def test_the_gap_map_is_a_regression_on_cells() -> None:
    points = DRAW.normal(size=(64, 7))
    cosines = gram(points)
    rows, values = [], []
    for a in range(64):
        for b in range(a):
            cell = np.zeros((8, 8))
            cell[abs(a // 8 - b // 8), abs(a % 8 - b % 8)] = 1
            rows.append(cell.ravel()[1:])
            values.append(cosines[a, b])
    x, y = np.array(rows), np.array(values)
    fit = x @ np.linalg.lstsq(x, y, rcond=None)[0]
    assert gap_r2(points) == pytest.approx(1 - ((y - fit) ** 2).sum() / ((y - y.mean()) ** 2).sum())
    assert np.isnan(gap_map(points)[0, 0]) and np.isfinite(gap_map(points).ravel()[1:]).all()


def test_points_without_structure_have_the_expected_r2() -> None:
    found = [gap_r2(DRAW.normal(size=(64, 52))) for _ in range(12)]
    assert 0.02 < min(found) and max(found) < 0.05 and abs(np.mean(found) - EXPECTED_R2) < 0.006


def test_isomap_unrolls_a_bent_sheet_and_refuses_islands() -> None:
    s = np.arange(64)
    angle = (s // 8) / 7 * np.pi * 1.2
    sheet = np.stack([np.cos(angle) * 2, np.sin(angle) * 2, (s % 8) / 2], 1)
    found, squares = isomap(sheet, neighbours=6, components=2)
    assert len(squares) == 60 and found.shape == (60, 2)
    place = np.stack([np.array(squares) // 8, np.array(squares) % 8])
    assert np.abs(np.corrcoef(found.T, place)[:2, 2:]).max(0).min() > 0.95
    points, shares = pca(sheet)
    assert points.shape == (64, 3) and shares.sum() == pytest.approx(1)


def test_codes_are_sums_of_the_squares_vectors() -> None:
    codes = random_codes(24, 3)
    boards = iid_boards(6, 1)
    slow = np.array([sum(codes[s, row[s]] for s in range(64)) for row in boards])
    assert np.allclose(encode(boards, codes), slow, atol=1e-4)
    noisy = encode(boards, codes, noise=2.0, random_state=5) - slow
    assert 1.5 < noisy.std() < 2.5
    with pytest.raises(UserError):
        encode(boards[:, :5], codes)


def test_shuffled_and_independent_boards() -> None:
    base = np.repeat(iid_boards(1500, 2, (0.5, 0.3, 0.2))[:, :1], 64, 1)
    mixed = shuffled_boards(base, 4)
    assert all((np.sort(mixed[:, s]) == np.sort(base[:, s])).all() for s in range(64))
    agree = (mixed[:, 0] == mixed[:, 1]).mean()
    assert agree == pytest.approx(0.25 + 0.09 + 0.04, abs=0.06) and (base[:, 0] == base[:, 1]).all()
    with pytest.raises(UserError):
        iid_boards(3, 1, (0.5, 0.5, 0.5))


def test_structured_codes_have_the_rank_of_their_roles() -> None:
    codes, roles = structured(200, 10, 1)
    assert np.linalg.matrix_rank(codes.reshape(64, -1)) == 10 == np.linalg.matrix_rank(roles)
