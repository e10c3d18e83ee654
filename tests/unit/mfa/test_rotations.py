"""Rotations against what must not change, against hidden simple structure, and against a slow search."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from analysis.errors import UserError
from analysis.mfa.parameters import Parameters
from analysis.mfa.rotations import random_rotation, rotate

KINDS: tuple[Any, ...] = ("principal", "varimax")


def mixture(loadings: Tensor) -> Parameters:
    k, d, _ = loadings.shape
    return Parameters(
        torch.full((k,), 1 / k).to(loadings), torch.zeros(k, d).to(loadings), loadings, torch.ones(d).to(loadings)
    )


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def simplicity(loadings: Tensor) -> float:
    """The Kaiser-normalised varimax criterion of one component (D, R), written out."""
    rows = loadings / loadings.norm(dim=1, keepdim=True)
    return sum(float((column**2).var(unbiased=False)) for column in rows.T)


@pytest.mark.parametrize("kind", KINDS)
def test_covariance_and_everything_but_loadings_stay(kind: Any) -> None:
    before = mixture(gaussian(7, 12, 4))
    after = rotate(before, kind)
    assert torch.allclose(after.loadings @ after.loadings.mT, before.loadings @ before.loadings.mT, atol=1e-12)
    assert after.means is before.means and after.noise is before.noise and after.weights is before.weights
    assert not torch.allclose(after.loadings, before.loadings)


@pytest.mark.parametrize("kind", KINDS)
def test_a_rotation_forgets_the_basis_it_was_given(kind: Any) -> None:
    """The same subspaces in another basis, columns permuted and negated, end in the same columns."""
    before = mixture(gaussian(5, 30, 3, seed=1) * torch.tensor([3.0, 1.5, 0.5]))
    again = before.with_loadings(before.loadings[..., [2, 0, 1]] * torch.tensor([-1.0, 1, -1]))
    other = random_rotation(before, seed=4)
    found = rotate(before, kind)
    for copy in (again, other, found):
        assert torch.allclose(rotate(copy, kind).loadings, found.loadings, atol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_columns_fall_in_energy_and_their_largest_entry_is_positive(kind: Any) -> None:
    loadings = rotate(mixture(gaussian(9, 16, 5, seed=2)), kind).loadings
    energy = loadings.square().sum(1)
    assert bool((energy[:, :-1] >= energy[:, 1:]).all())
    assert bool((loadings.amax(1) >= -loadings.amin(1)).all())


def test_principal_columns_are_the_singular_vectors_of_each_component() -> None:
    before = gaussian(4, 10, 3, seed=3)
    after = rotate(mixture(before), "principal").loadings
    for k in range(4):
        u, s, _ = torch.linalg.svd(before[k], full_matrices=False)
        for j in range(3):
            column = u[:, j] * s[j]
            assert torch.allclose(after[k, :, j], column * column[column.abs().argmax()].sign(), atol=1e-10)


def test_of_equal_entries_the_first_decides_the_sign() -> None:
    column = torch.tensor([0.5, -2.0, 2.0, -2.0], dtype=torch.float64)[None, :, None]
    assert torch.equal(rotate(mixture(column), "principal").loadings, -column)


@pytest.mark.parametrize("turn", [math.pi / 4, 0.3])
def test_varimax_finds_hidden_simple_structure(turn: float) -> None:
    """Blocks of dimensions with one factor each, turned; at 45 degrees the given basis is a stationary point."""
    simple = torch.zeros(2, 12, 2, dtype=torch.float64)
    simple[:, :6, 0], simple[:, 6:, 1] = 1.0, 1.0
    simple[1, :6, 0] = 2.0  # a component in which the energies differ
    c, s = math.cos(turn), math.sin(turn)
    turned = simple @ torch.tensor([[c, -s], [s, c]], dtype=torch.float64)
    found = rotate(mixture(turned), "varimax").loadings
    assert torch.allclose(found[1], simple[1], atol=1e-4)
    assert torch.allclose(found[0].square().sum(1), torch.ones(12, dtype=torch.float64))
    assert torch.allclose(found[0].amax(1), torch.ones(12, dtype=torch.float64), atol=1e-4)


@pytest.mark.parametrize(("dimensions", "seed"), [(8, 5), (5, 2), (3, 2)])
def test_varimax_equals_a_search_over_all_angles(dimensions: int, seed: int) -> None:
    """With columns of like and of very unlike energy."""
    before = gaussian(40, dimensions, 2, seed=seed) * torch.exp(2 * gaussian(40, 1, 2, seed=seed + 1))
    after = rotate(mixture(before), "varimax").loadings
    angles = torch.linspace(0, math.pi, 2001, dtype=torch.float64)
    turns = torch.stack([angles.cos(), -angles.sin(), angles.sin(), angles.cos()], -1).view(-1, 2, 2)
    for k in range(40):
        rows = before[k] / before[k].norm(dim=1, keepdim=True) @ turns
        best = float((rows**2).var(1, unbiased=False).sum(1).max())
        assert simplicity(after[k]) == pytest.approx(best, rel=1e-5, abs=1e-9)


def test_varimax_is_simpler_than_random_turns() -> None:
    before = mixture(gaussian(3, 20, 6, seed=6))
    found = rotate(before, "varimax").loadings
    for seed in range(20):
        other = random_rotation(before, seed).loadings
        assert all(simplicity(found[k]) > simplicity(other[k]) for k in range(3))


def test_varimax_ends_where_no_turn_of_two_columns_helps() -> None:
    found = rotate(mixture(gaussian(4, 12, 6, seed=9)), "varimax").loadings
    for k, i, j, angle in product(range(4), range(6), range(6), (-0.4, -0.05, -0.005, 0.005, 0.05, 0.4)):
        if i < j:
            turned = found[k].clone()
            turned[:, i] = math.cos(angle) * found[k, :, i] + math.sin(angle) * found[k, :, j]
            turned[:, j] = math.cos(angle) * found[k, :, j] - math.sin(angle) * found[k, :, i]
            assert simplicity(turned) < simplicity(found[k])


def test_two_starts_find_more_than_one_and_keep_the_span(monkeypatch: pytest.MonkeyPatch) -> None:
    loadings = gaussian(60, 12, 6, seed=10)
    loadings[..., 5] = 0
    two = rotate(mixture(loadings), "varimax").loadings
    monkeypatch.setattr("analysis.mfa.rotations._haar", lambda count, size, seed: torch.eye(size).double()[None])
    one = rotate(mixture(loadings), "varimax").loadings
    gains = [simplicity(a) - simplicity(b) for a, b in zip(two, one, strict=True)]
    assert min(gains) > -1e-6 and max(gains) > 1e-3
    assert torch.allclose(two @ two.mT, loadings @ loadings.mT, atol=1e-10) and bool((two[..., 5] == 0).all())


@pytest.mark.parametrize("kind", KINDS)
def test_zero_columns_stay_and_no_number_is_lost(kind: Any) -> None:
    loadings = gaussian(4, 9, 4, seed=7)
    loadings[0] = 0
    loadings[1, :, 1:3] = 0
    loadings[2, :, 3] = loadings[2, :, 0] * 2  # three directions in four columns
    loadings[3, :5] = 0  # dimensions without any loading
    after = rotate(mixture(loadings), kind).loadings
    assert bool(after.isfinite().all())
    assert torch.allclose(after @ after.mT, loadings @ loadings.mT, atol=1e-10)
    assert [int((after[k] != 0).any(0).sum()) for k in range(4)] == [0, 2, 3, 4]
    assert [bool((after[k, :, n:] == 0).all()) for k, n in enumerate([0, 2, 3, 4])] == [True] * 4


def test_float32_is_kept_and_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    before = mixture(gaussian(5, 10, 3, seed=8).float())
    whole, turned = rotate(before, "varimax"), random_rotation(before, 3)
    monkeypatch.setattr("analysis.mfa.rotations._BLOCK", 2 * 10 * 3)
    assert whole.loadings.dtype == torch.float32
    assert torch.allclose(rotate(before, "varimax").loadings, whole.loadings, atol=1e-6)
    assert torch.allclose(random_rotation(before, 3).loadings, turned.loadings, atol=1e-6)


def test_random_turns_are_orthogonal_repeatable_and_uniform() -> None:
    identity = mixture(torch.eye(3, dtype=torch.float64).expand(4000, 3, 3).contiguous())
    turns = random_rotation(identity, 1).loadings
    assert torch.allclose(turns @ turns.mT, identity.loadings, atol=1e-12)
    assert torch.equal(turns, random_rotation(identity, 1).loadings)
    assert not torch.allclose(turns, random_rotation(identity, 2).loadings)
    # For Haar every entry has mean 0, variance 1/3 and fourth moment 1/5; QR alone would bias the diagonal.
    assert float(turns.mean(0).abs().max()) < 0.05
    assert float((turns.square().mean(0) - 1 / 3).abs().max()) < 0.03
    assert float((turns.pow(4).mean(0) - 1 / 5).abs().max()) < 0.03


def test_no_factors_none_and_an_unknown_kind() -> None:
    empty = mixture(torch.zeros(3, 5, 0))
    assert rotate(empty, "varimax") is empty and random_rotation(empty, 0) is empty
    some = mixture(gaussian(2, 4, 2))
    assert rotate(some, "none") is some
    unknown: Any = "promax"
    with pytest.raises(UserError, match="must be one of none, principal, varimax") as refused:
        rotate(some, unknown)
    assert refused.value.field == "rotation"
