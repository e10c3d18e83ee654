"""Changes of coordinates: what they must leave alone to rounding, what they must not, and unique coordinates."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from analysis.errors import UserError
from analysis.tpr.gauge import (
    canonical,
    effective_directions,
    projector,
    random_change,
    remix_fillers,
    remix_roles,
    subspace_cosines,
)
from analysis.tpr.geometry import gap_r2, gram, neighbour_shares
from analysis.tpr.probes import TPRProbe

R, F, D = 20, 2, 50
Parts = tuple[np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture
def parts() -> Parts:
    """A map, roles on a lattice with noise so that their geometry has something to lose, and fillers."""
    draw = np.random.default_rng(0)
    s = np.arange(64)
    place = np.stack([f(x * np.pi / 16) for x in (s // 8, s % 8) for f in (np.cos, np.sin)], 1)
    roles = np.concatenate([place, 0.1 * draw.normal(size=(64, R - 4))], 1)
    return draw.normal(size=(D, R, F)), roles, draw.normal(size=(3, F))


def remixed(parts: Parts, seed: int, condition: float = 4.0) -> Parts:
    m, roles, fillers = parts
    m, roles = remix_roles(m, roles, random_change(R, seed, condition))
    m, fillers = remix_fillers(m, fillers, random_change(F, seed + 1, condition))
    return m, roles, fillers


def logits(h: np.ndarray, m: np.ndarray, roles: np.ndarray, fillers: np.ndarray) -> np.ndarray:
    """The unbinding path written out: for each activation its binding matrix, then each square and colour."""
    found = np.zeros((len(h), 64, 3))
    for n, x in enumerate(h):
        bound = sum(x[i] * m[i] for i in range(len(x)))
        for s in range(64):
            for c in range(3):
                found[n, s, c] = roles[s] @ bound @ fillers[c]
    return found


def test_a_change_of_coordinates_moves_no_logit_and_no_direction(parts: Parts) -> None:
    h = np.random.default_rng(1).normal(size=(20, D))
    before, after = logits(h, *parts), logits(h, *remixed(parts, 1))
    assert np.abs(before - after).max() < 1e-10 * np.abs(before).max()
    w, w2 = effective_directions(*parts), effective_directions(*remixed(parts, 1))
    assert np.abs(w - w2).max() < 1e-10 * np.abs(w).max()
    assert np.abs(np.einsum("nd,scd->nsc", h, w) - before).max() < 1e-10 * np.abs(before).max()
    assert np.abs(projector(parts[1]) - projector(remixed(parts, 1)[1])).max() < 1e-10


def test_but_it_moves_the_geometry_of_the_roles(parts: Parts) -> None:
    roles, roles2 = parts[1], remixed(parts, 1)[1]
    assert neighbour_shares(roles)["neighbour"] - neighbour_shares(roles2)["neighbour"] > 0.1
    assert gap_r2(roles) - gap_r2(roles2) > 0.1
    assert np.abs(gram(roles) - gram(roles2)).max() > 0.1


def test_canonical_roles_are_the_same_in_every_gauge(parts: Parts) -> None:
    expected = canonical(*parts)
    assert expected.shape == (64, R)
    for seed in (1, 11, 21):
        assert np.abs(canonical(*remixed(parts, seed, 10.0)) - expected).max() < 1e-9 * np.abs(expected).max()
    m, roles, fillers = parts
    # Another probe must be told from this one: a map that is turned in the residual stream does keep the roles.
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(D, D)))[0]
    assert np.abs(canonical(np.einsum("de,erf->drf", turn, m), roles, fillers) - expected).max() < 1e-9
    other = m * np.linspace(1, 3, D)[:, None, None]
    assert np.abs(canonical(other, roles, fillers) - expected).max() > 0.1


def test_canonical_coordinates_make_the_map_orthonormal_and_keep_the_directions(parts: Parts) -> None:
    m, roles, fillers = parts
    found = canonical(m, roles, fillers)
    # The change of basis is found from the roles alone; the map then follows by the law of remix_roles.
    change = np.linalg.lstsq(roles, found, rcond=None)[0].T
    assert np.abs(roles @ change.T - found).max() < 1e-9
    m2, _ = remix_roles(m, roles, change)
    centred = fillers - fillers.mean(0)
    upper = np.linalg.qr(centred)[1]
    unfolded = np.einsum("drf,gf->rgd", m2, upper).reshape(R, -1)
    assert np.abs(unfolded @ unfolded.T - np.eye(R)).max() < 1e-9
    w = effective_directions(m, roles, fillers)
    w -= w.mean(1, keepdims=True)
    assert np.abs(found @ found.T - np.einsum("scd,tcd->st", w, w)).max() < 1e-9 * np.abs(found @ found.T).max()


def test_the_sign_rule_takes_the_largest_entry_of_each_column(parts: Parts) -> None:
    found = canonical(*parts)
    assert (found[np.abs(found).argmax(0), np.arange(R)] > 0).all()


def test_what_softmax_cannot_see_does_not_reach_the_canonical_roles(parts: Parts) -> None:
    m, roles, fillers = parts
    moved = canonical(m, roles, fillers + np.array([0.7, -1.3]))
    assert np.abs(moved - canonical(m, roles, fillers)).max() < 1e-9


def test_the_projector_is_the_textbook_one_and_survives_a_lost_column(parts: Parts) -> None:
    roles = parts[1]
    assert np.abs(projector(roles) - roles @ np.linalg.inv(roles.T @ roles) @ roles.T).max() < 1e-10
    doubled = np.concatenate([roles, roles[:, :1]], 1)
    assert np.abs(projector(doubled) - projector(roles)).max() < 1e-10
    assert np.trace(projector(doubled)) == pytest.approx(R)


def test_principal_cosines_of_planted_planes() -> None:
    basis = np.linalg.qr(np.random.default_rng(2).normal(size=(64, 6)))[0]
    angles = np.array([0.3, 1.1])
    one = basis[:, :2]
    two = basis[:, :2] * np.cos(angles) + basis[:, 2:4] * np.sin(angles)
    assert subspace_cosines(one @ random_change(2, 1), two @ random_change(2, 2)) == pytest.approx(np.cos(angles))
    assert subspace_cosines(one, basis[:, 4:]) == pytest.approx([0, 0], abs=1e-12)
    # A column without a direction of its own adds no angle.
    assert subspace_cosines(np.concatenate([one, one[:, :1]], 1), two) == pytest.approx(np.cos(angles))


def test_a_random_change_is_invertible_and_decided_by_its_seed() -> None:
    a = random_change(12, 3, condition=5.0)
    assert np.linalg.cond(a) == pytest.approx(5.0) and np.array_equal(a, random_change(12, 3, condition=5.0))
    assert not np.allclose(a, random_change(12, 4, condition=5.0))


@pytest.mark.parametrize(("n", "condition"), [(0, 4.0), (3, 0.5), (3, np.nan), (3, np.inf)])
def test_a_change_that_cannot_be_is_refused(n: int, condition: float) -> None:
    with pytest.raises(UserError) as caught:
        random_change(n, 1, condition)
    assert caught.value.field == "gauge"


@pytest.mark.parametrize("change", [np.eye(R + 1), np.ones((R, R)), np.full((R, R), np.nan)])
def test_a_matrix_that_is_no_change_of_coordinates_is_refused(parts: Parts, change: np.ndarray) -> None:
    with pytest.raises(UserError) as caught:
        remix_roles(parts[0], parts[1], change)
    assert caught.value.field == "gauge"
    with pytest.raises(UserError):
        remix_fillers(parts[0], parts[2], change[:F, :F] * 0)


def test_a_probe_in_other_coordinates_is_the_same_probe(parts: Parts) -> None:
    names = ("binding_map", "roles", "fillers")
    one, two = (
        TPRProbe(R, F).take({name: torch.from_numpy(np.ascontiguousarray(t)) for name, t in zip(names, p, strict=True)})
        for p in (parts, remixed(parts, 5))
    )
    assert np.abs(one.directions().numpy() - effective_directions(*parts)).max() < 1e-10
    h = torch.randn(30, D, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert float((one.logits(h) - two.logits(h)).abs().max()) < 1e-10 * float(one.logits(h).abs().max())
    assert (one.predict(h) == two.predict(h)).all()
