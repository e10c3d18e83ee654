"""Cutting directions down: exact where nothing is lost, best in its norm where something is."""

from __future__ import annotations

import pytest
import torch

from analysis.errors import UserError
from analysis.tpr.directions import centre_classes, cosines
from analysis.tpr.probes import TPRProbe
from analysis.tpr.truncate import role_truncation, truncated_svd

D = 40


def directions(seed: int = 0, d: int = D) -> torch.Tensor:
    return torch.randn(64, 3, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_centring_is_idempotent_and_invisible_to_a_softmax() -> None:
    w = directions()
    once = centre_classes(w)
    assert once.sum(1).abs().max() < 1e-12 and torch.allclose(centre_classes(once), once, atol=1e-14)
    h = torch.randn(30, D, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    before, after = (torch.einsum("nd,scd->nsc", h, x).softmax(-1) for x in (w, once))
    assert torch.allclose(before, after, atol=1e-12)


def test_at_64_roles_the_tpr_is_a_rewriting_of_the_linear_probe() -> None:
    w = directions()
    probe = role_truncation(w, 64)
    assert probe.sizes == {"role_dim": 64, "filler_dim": 2}
    assert (1 - cosines(probe.directions(), w)).abs().max() < 1e-12
    h = torch.randn(30, D, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert torch.allclose(probe.probabilities(h), torch.einsum("nd,scd->nsc", h, w).softmax(-1), atol=1e-10)
    # Without centring they do differ: the agreement above is not that of equal tensors.
    assert cosines(probe.directions(), w, centred=False).min() < 0.9


def test_role_truncation_is_the_nearest_of_its_shape() -> None:
    w = centre_classes(directions())
    r = 20
    probe = role_truncation(w, r)
    found = probe.directions()
    # Eckart and Young, from eigenvalues of the 64 x 64 Gram matrix rather than from an SVD.
    energy = torch.linalg.eigvalsh(w.flatten(1) @ w.flatten(1).T)[: 64 - r].sum()
    distance = (found - w).square().sum()
    assert distance == pytest.approx(float(energy), rel=1e-9)
    assert int(torch.linalg.matrix_rank(found.flatten(1))) == r
    generator = torch.Generator().manual_seed(2)
    for size in (1e-3, 1e-1):
        moved = {k: v + size * torch.randn(v.shape, generator=generator, dtype=v.dtype) for k, v in probe.parts.items()}
        assert (centre_classes(TPRProbe(r, 2).take(moved).directions()) - w).square().sum() > distance


def test_a_covariance_makes_the_logits_near_rather_than_the_directions() -> None:
    w = centre_classes(directions())
    scales = torch.logspace(-1.5, 1.5, D, dtype=torch.float64)
    mix = torch.linalg.qr(torch.randn(D, D, generator=torch.Generator().manual_seed(6), dtype=torch.float64))[0]
    h = torch.randn(4000, D, generator=torch.Generator().manual_seed(7), dtype=torch.float64) * scales @ mix
    covariance = h.T @ h / len(h)

    def missed(probe: TPRProbe) -> tuple[float, float]:
        off = probe.directions() - w
        return float(torch.einsum("nd,scd->nsc", h, off).square().mean()), float(off.square().mean())

    plain, aware = missed(role_truncation(w, 24)), missed(role_truncation(w, 24, covariance))
    assert aware[0] < 0.9 * plain[0] and aware[1] > plain[1]
    exact = role_truncation(w, 64, covariance).directions()
    assert (1 - cosines(exact, w)).abs().max() < 1e-9
    unit = role_truncation(w, 24, 3 * torch.eye(D, dtype=torch.float64)).directions()
    assert torch.allclose(unit, role_truncation(w, 24).directions(), atol=1e-10)


def test_more_roles_than_the_directions_can_fill_stay_idle() -> None:
    w = centre_classes(directions(d=10))
    probe = role_truncation(w, 30)
    assert probe.roles_.shape == (64, 30) and torch.allclose(probe.directions(), w, atol=1e-12)


@pytest.mark.parametrize("centred", [True, False])
def test_truncated_svd_is_the_nearest_of_its_rank(centred: bool) -> None:
    w = directions(d=60)
    probe = truncated_svd(w, 25, centred=centred)
    target = centre_classes(w) if centred else w
    flat = target.reshape(192, 60)
    energy = torch.linalg.eigvalsh(flat.T @ flat)[: 60 - 25].sum()
    assert (probe.directions() - target).square().sum() == pytest.approx(float(energy), rel=1e-9)
    assert probe.parameter_count() == 25 * (60 + 192)
    assert torch.allclose(truncated_svd(w, 60, centred=centred).directions(), target, atol=1e-10)


def test_cosines_have_signs_and_follow_their_square_and_class() -> None:
    w = directions()
    other = w.clone()
    other[5] = -w[5]
    found = cosines(other, w)
    assert found.shape == (64, 3)
    assert torch.allclose(found[5], -torch.ones(3, dtype=torch.float64))
    assert torch.allclose(found[torch.arange(64) != 5], torch.ones(63, 3, dtype=torch.float64))
    a, b = centre_classes(w)[9, 2], centre_classes(directions(1))[9, 2]
    assert cosines(w, directions(1))[9, 2] == pytest.approx(float(a @ b / (a.norm() * b.norm())))


def test_single_precision_stays() -> None:
    w = directions().float()
    assert role_truncation(w, 30).directions().dtype == truncated_svd(w, 30).directions().dtype == torch.float32


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda w: role_truncation(w, 0), "role_dim"),
        (lambda w: role_truncation(w, 65), "role_dim"),
        (lambda w: role_truncation(w[:60], 5), "directions"),
        (lambda w: role_truncation(w * float("nan"), 5), "directions"),
        (lambda w: role_truncation(w, 5, torch.eye(3)), "covariance"),
        (lambda w: role_truncation(w, 5, torch.zeros(D, D)), "covariance"),
        (lambda w: truncated_svd(w, 0), "rank"),
        (lambda w: truncated_svd(w, D + 1), "rank"),
    ],
)
def test_what_cannot_be_cut_is_refused(call: object, field: str) -> None:
    with pytest.raises(UserError) as caught:
        call(directions())  # type: ignore[operator]
    assert caught.value.field == field
