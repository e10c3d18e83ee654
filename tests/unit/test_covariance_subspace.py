"""The contrastive covariance and its subspaces: closed forms, identities, and what must be refused."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from analysis.qk import (
    QKSubspace,
    contrastive_covariance,
    joint_basis,
    noise_share,
    principal_cosines,
    random_basis,
    rank_by_energy,
    swap_keys,
)


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def vectors(n: int = 40, d: int = 8) -> tuple[Tensor, Tensor, Tensor]:
    return gaussian(n, d, seed=1), gaussian(n, d, seed=2), gaussian(n, d, seed=3) + 0.5


def units(d: int, *columns: int) -> Tensor:
    return torch.eye(d, dtype=torch.float64)[:, list(columns)]


def test_covariance_equals_the_mean_of_outer_products() -> None:
    q, positive, negative = vectors()
    slow = torch.zeros(8, 8, dtype=torch.float64)
    for a, b, c in zip(q, positive, negative, strict=True):
        slow += (torch.outer(a, b) - torch.outer(a, c)) / len(q)
    assert torch.allclose(contrastive_covariance(q, positive, negative), slow, atol=1e-12)


def test_rows_are_the_query_side() -> None:
    delta = contrastive_covariance(units(4, 0).mT, 3 * units(4, 2).mT, torch.zeros(1, 4))
    assert delta[0, 2] == 3 and delta.abs().sum() == 3


def test_several_keys_per_query_are_averaged() -> None:
    q, positive, negative = vectors()
    many = torch.stack([negative, gaussian(40, 8, seed=4), gaussian(40, 8, seed=5)], 1)
    by_hand = contrastive_covariance(q, positive, (many[:, 0] + many[:, 1] + many[:, 2]) / 3)
    assert torch.allclose(contrastive_covariance(q, positive[:, None], many), by_hand, atol=1e-12)


def test_half_precision_is_summed_in_float64() -> None:
    q = torch.ones(4096, 2, dtype=torch.float16)
    delta = contrastive_covariance(q, q * 3, q)
    assert delta.dtype == torch.float64 and torch.equal(delta, torch.full((2, 2), 2.0, dtype=torch.float64))


@pytest.mark.parametrize(
    ("q", "positive", "negative"),
    [
        ((0, 4), (0, 4), (0, 4)),
        ((4,), (4,), (4,)),
        ((3, 4), (2, 4), (3, 4)),
        ((3, 4), (3, 4), (3, 5)),
        ((3, 4), (3, 2, 2, 4), (3, 4)),
    ],
)
def test_shapes_that_do_not_go_together_are_refused(
    q: tuple[int, ...], positive: tuple[int, ...], negative: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match="shape"):
        contrastive_covariance(torch.ones(q), torch.ones(positive), torch.ones(negative))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused(bad: float) -> None:
    q, positive, negative = vectors()
    for changed in ((q, positive, negative * bad), (q * bad, positive, negative)):
        with pytest.raises(ValueError, match="finite"):
            contrastive_covariance(*changed)
    with pytest.raises(ValueError, match="finite"):
        QKSubspace.from_covariance(torch.full((2, 2), bad))


def test_trace_is_the_mean_logit_gap_and_directions_share_it() -> None:
    q, positive, negative = vectors()
    subspace = QKSubspace.from_covariance(contrastive_covariance(q, positive, negative))
    gap = sum(float(a @ b - a @ c) for a, b, c in zip(q, positive, negative, strict=True)) / len(q)
    assert subspace.trace == pytest.approx(gap, abs=1e-10)
    third = float(subspace.singular_values[3] * (subspace.left[:, 3] @ subspace.right[:, 3]))
    assert float(subspace.direction_trace[3]) == pytest.approx(third, abs=1e-12)
    assert abs(float(subspace.singular_values.sum()) - gap) > 0.1


def test_rotating_both_sides_keeps_singular_values_and_turns_bases() -> None:
    q, positive, negative = vectors()
    turn = random_basis(8, 8, torch.Generator().manual_seed(9))
    before = QKSubspace.from_covariance(contrastive_covariance(q, positive, negative)).with_rank(3)
    after = QKSubspace.from_covariance(contrastive_covariance(q @ turn, positive @ turn, negative @ turn)).with_rank(3)
    assert torch.allclose(before.singular_values, after.singular_values, atol=1e-10)
    assert principal_cosines(turn.mT @ before.key_basis, after.key_basis).min() > 1 - 1e-10
    assert torch.allclose(before.direction_trace, after.direction_trace, atol=1e-10)
    one_sided = contrastive_covariance(q @ turn, positive, negative)
    assert abs(float(one_sided.trace()) - before.trace) > 1e-3


def test_rank_rule_by_hand() -> None:
    values = torch.tensor([3.0, 2.0, 1.0, 0.0])  # shares 9/14, 13/14, 1, 1
    ranks = [rank_by_energy(values, energy) for energy in (0.1, 0.64, 0.65, 0.92, 0.93, 1.0)]
    assert ranks == [1, 1, 2, 2, 3, 3]


def test_rank_rule_is_monotone_scale_free_and_clamped() -> None:
    values = gaussian(16).abs().sort(descending=True).values
    ranks = [rank_by_energy(values, energy) for energy in torch.linspace(0.01, 1, 200).tolist()]
    assert ranks == sorted(ranks) and ranks[0] == 1 and ranks[-1] <= 16 and len(set(ranks)) > 5
    for scale in (1e-200, 1e-9, 1e9, 1e200):
        assert rank_by_energy(values * scale, 0.9) == rank_by_energy(values, 0.9)
    assert rank_by_energy(torch.ones(7), 1.0) == 7


def test_zero_matrix_has_rank_zero() -> None:
    subspace = QKSubspace.from_covariance(torch.zeros(5, 5))
    assert (subspace.rank, subspace.trace, tuple(subspace.key_basis.shape)) == (0, 0.0, (5, 0))


@pytest.mark.parametrize("energy", [0.0, -0.1, 1.01, float("nan")])
def test_energy_outside_its_range_is_refused(energy: float) -> None:
    with pytest.raises(ValueError, match="energy"):
        rank_by_energy(torch.ones(3), energy)


def test_decomposition_signs_and_ranks() -> None:
    delta = gaussian(9, 9)
    subspace = QKSubspace.from_covariance(delta)
    back = subspace.left * subspace.singular_values @ subspace.right.mT
    assert torch.allclose(back, delta, atol=1e-12)
    assert all(float(column[column.abs().argmax()]) > 0 for column in subspace.left.mT)
    turned = QKSubspace.from_covariance(-delta)
    assert torch.allclose(turned.left, subspace.left, atol=1e-10)
    assert torch.allclose(turned.right, -subspace.right, atol=1e-10)
    cut = subspace.with_rank(4)
    assert torch.equal(cut.alignment, cut.left[:, :4].mT @ cut.right[:, :4])
    for rank in (-1, 10):
        with pytest.raises(ValueError, match="rank"):
            subspace.with_rank(rank)
    with pytest.raises(ValueError, match="square"):
        QKSubspace.from_covariance(torch.zeros(2, 3))


def test_swap_identities() -> None:
    a, b = gaussian(6, 8, seed=1), gaussian(6, 8, seed=2)
    full = swap_keys(a, b, torch.eye(8, dtype=torch.float64))
    assert torch.allclose(full[0], b, atol=1e-12) and torch.allclose(full[1], a, atol=1e-12)
    none = swap_keys(a, b, a.new_zeros(8, 0))
    assert torch.equal(none[0], a) and torch.equal(none[1], b)
    basis = random_basis(8, 3, torch.Generator().manual_seed(0))
    once = swap_keys(a, b, basis)
    twice = swap_keys(*once, basis)
    assert torch.allclose(twice[0], a, atol=1e-12) and torch.allclose(twice[1], b, atol=1e-12)
    assert torch.allclose(once[0] @ basis, b @ basis, atol=1e-12)
    outside = torch.eye(8, dtype=torch.float64) - basis @ basis.mT
    assert torch.allclose(once[0] @ outside, a @ outside, atol=1e-12)
    assert (once[0] - a).abs().max() > 0.1


def test_joint_basis_spans_and_keeps_the_order() -> None:
    a, b = (random_basis(10, 3, torch.Generator().manual_seed(seed)) for seed in (1, 2))
    joint = joint_basis([a, b])
    assert torch.allclose(joint.mT @ joint, torch.eye(6, dtype=torch.float64), atol=1e-12)
    assert torch.allclose(joint[:, :3], a, atol=1e-12)
    assert torch.allclose(joint @ joint.mT @ b, b, atol=1e-12)


def test_joint_basis_drops_what_is_already_held_and_nothing_else() -> None:
    repeated = joint_basis([units(4, 0), units(4, 0, 1), units(4, 1, 2)])
    assert repeated.shape == (4, 3)
    span = repeated @ repeated.mT
    assert torch.allclose(span, torch.diag(torch.tensor([1.0, 1, 1, 0], dtype=torch.float64)), atol=1e-12)


def test_joint_basis_of_more_columns_than_dimensions() -> None:
    bases = [random_basis(6, 4, torch.Generator().manual_seed(seed)) for seed in range(3)]
    assert joint_basis(bases).shape == (6, 6)
    single = joint_basis([bases[0].float(), bases[0].float() @ random_basis(4, 4, torch.Generator()).float()])
    assert single.shape == (6, 4)
    assert joint_basis([bases[0][:, :0], bases[1][:, :0]]).shape == (6, 0)


def test_principal_cosines() -> None:
    angle = torch.tensor(0.3, dtype=torch.float64)
    tilted = units(5, 1) * angle.cos() + units(5, 2) * angle.sin()
    cosines = principal_cosines(units(5, 0, 1), torch.cat([units(5, 0), tilted], 1))
    assert torch.allclose(cosines, torch.stack([torch.ones_like(angle), angle.cos()]), atol=1e-12)
    turned = units(5, 0, 1) @ random_basis(2, 2, torch.Generator().manual_seed(1))
    assert principal_cosines(units(5, 0, 1), turned).min() > 1 - 1e-12
    assert principal_cosines(units(5, 0), units(5, 3, 4)).tolist() == [0.0]
    assert principal_cosines(units(5, 0), units(5)).shape == (0,)


def test_random_bases_are_orthonormal_seeded_and_spread() -> None:
    basis = random_basis(12, 4, torch.Generator().manual_seed(3))
    assert torch.allclose(basis.mT @ basis, torch.eye(4, dtype=torch.float64), atol=1e-12)
    assert torch.equal(basis, random_basis(12, 4, torch.Generator().manual_seed(3)))
    assert random_basis(12, 0, torch.Generator()).shape == (12, 0)
    generator = torch.Generator().manual_seed(0)
    mean = torch.stack([(b := random_basis(12, 4, generator)) @ b.mT for _ in range(2000)]).mean(0)
    assert torch.allclose(mean, torch.eye(12, dtype=torch.float64) / 3, atol=0.03)


@pytest.mark.parametrize("offset", [0.0, 2.0])
def test_noise_share_predicts_the_error_of_the_estimate(offset: float) -> None:
    d, n, generator = 16, 400, torch.Generator().manual_seed(5)
    meeting = gaussian(d, d, seed=7) * 0.2
    lift = offset * units(d, 0)[:, 0]
    true = meeting  # E[q dk^T] for dk = q0 M + noise with white q0; the offset meets a difference of mean zero
    predicted, actual = [], []
    for _ in range(200):
        white = torch.randn(n, d, generator=generator, dtype=torch.float64)
        difference = white @ meeting + torch.randn(n, d, generator=generator, dtype=torch.float64)
        q = white + lift
        estimate = contrastive_covariance(q, difference, torch.zeros_like(difference))
        size = float(estimate.square().sum())
        predicted.append(
            noise_share(float(q.square().sum(1).mean()), float(difference.square().sum(1).mean()), size, n)
        )
        actual.append(float((estimate - true).square().sum()) / size)
    assert sum(predicted) == pytest.approx(sum(actual), rel=0.4)


def test_noise_share_at_its_edges() -> None:
    assert noise_share(2.0, 3.0, 1.0, 5) == 1.0
    assert noise_share(1.0, 1.0, 2.0, 5) == 0.0
    assert noise_share(1.0, 1.0, 0.0, 5) == float("inf") == noise_share(1.0, 1.0, 1.0, 0)
