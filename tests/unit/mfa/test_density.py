"""Densities against D x D matrices, and what they must not depend on."""

from __future__ import annotations

import pytest
import torch

from analysis.errors import UserError
from analysis.mfa import density as density_module
from analysis.mfa import lean
from analysis.mfa.density import Density
from analysis.mfa.lean import LeanDensity, density_of
from analysis.mfa.parameters import Noise, Parameters
from tests.unit.mfa.truth import covariances, dense_joint, drawn, known

NOISES: tuple[Noise, ...] = ("shared", "component")
both = pytest.mark.parametrize("kind", [Density, LeanDensity])


@both
@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize(("components", "width", "factors"), [(5, 12, 3), (1, 7, 2), (4, 9, 0), (3, 6, 5)])
def test_agrees_with_dense_gaussians(
    kind: type[Density], noise: Noise, components: int, width: int, factors: int
) -> None:
    p = known(components, width, factors, seed=1, noise=noise)
    x, _ = drawn(p, 700, 2)
    x = torch.cat([x, x[:50] * 30])  # far away, too
    d, dense = kind(p), dense_joint(p, x)
    assert float((d.log_joint(x) - dense).abs().max() / dense.abs().max().clamp(min=1)) < 1e-12
    assert float((d.log_joint(x)[:700] - dense[:700]).abs().max()) < 1e-9
    assert float((d.score(x)[:700] - dense.logsumexp(1)[:700]).abs().max()) < 1e-9
    assert torch.allclose(d.responsibilities(x), dense.softmax(1), atol=1e-9)


@both
@pytest.mark.parametrize("noise", NOISES)
def test_posterior_is_that_of_the_joint_gaussian(kind: type[Density], noise: Noise) -> None:
    p = known(4, 10, 3, seed=3, noise=noise)
    x, k = drawn(p, 60, 4)
    gain = p.loadings.mT @ torch.linalg.inv(covariances(p))  # W^T C^-1, no Woodbury
    every = torch.einsum("krd,nkd->nkr", gain, x[:, None] - p.means)
    d = kind(p)
    assert torch.allclose(d.posterior_all(x), every, atol=1e-10)
    assert torch.allclose(d.posterior(x, k), every[torch.arange(60), k], atol=1e-10)


@both
@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("most", [1, 2, None])
def test_leading_components(kind: type[Density], noise: Noise, most: int | None) -> None:
    p = known(6, 8, 2, seed=5, noise=noise, spread=0.3)
    x, _ = drawn(p, 300, 6)
    d, joint = kind(p), dense_joint(p, x)
    found = d.leading(x, most)
    count = most or 6
    if most is not None:
        assert torch.equal(found.component, joint.topk(count, 1).indices)
    assert torch.allclose(found.responsibility, joint.gather(1, found.component).softmax(1), atol=1e-9)
    assert torch.allclose(found.score, joint.logsumexp(1), atol=1e-9)
    z = torch.einsum("nmr,nmrq->nmq", found.local, torch.linalg.inv(d.factor)[found.component])
    for m in range(count):
        assert torch.allclose(z[:, m], d.posterior(x, found.component[:, m]), atol=1e-9)


def test_rotation_and_center_change_nothing() -> None:
    p = known(4, 9, 3, seed=7)
    x, _ = drawn(p, 100, 8)
    turn = torch.linalg.qr(torch.randn(4, 3, 3, dtype=torch.float64)).Q
    turned = Density(p.with_loadings(p.loadings @ turn))
    assert torch.allclose(turned.log_joint(x), Density(p).log_joint(x), atol=1e-10)
    assert torch.allclose(Density(p, torch.full((9,), 3.0)).log_joint(x), Density(p).log_joint(x), atol=1e-9)


def test_scaled_parameters_shift_the_density_by_the_log_of_the_scale() -> None:
    p = known(3, 5, 2, seed=9, noise="component")
    x, _ = drawn(p, 50, 10)
    shift = torch.arange(5.0, dtype=torch.float64)
    other = Density(p.scaled(4.0, shift)).score(4 * x + shift)
    assert torch.allclose(other, Density(p).score(x) - 5 * torch.log(torch.tensor(4.0)).double(), atol=1e-6)


def test_single_precision_with_a_large_mean() -> None:
    p = known(6, 24, 3, seed=11)
    far = Parameters(p.weights, p.means + 500, p.loadings, p.noise)
    x, _ = drawn(far, 400, 12)
    # The points as float32 has them, so that only the computation differs.
    single = x.float()
    error = (Density(far).score(single).double() - dense_joint(far, single.double()).logsumexp(1)).abs()
    assert Density(far).score(single).dtype == torch.float32
    assert float(error.max()) < 2e-3


def test_rows_are_cut_into_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    p = known(5, 6, 2, seed=13)
    x, _ = drawn(p, 103, 14)
    whole = Density(p).leading(x, 2)
    monkeypatch.setattr(density_module, "LEAST_ROWS", 10)
    monkeypatch.setattr(density_module, "MOST_ROWS", 10)
    parts = Density(p).leading(x, 2)
    assert torch.equal(whole.component, parts.component)
    assert torch.allclose(whole.local, parts.local) and torch.allclose(whole.score, parts.score)
    assert torch.allclose(Density(p).log_joint(x), dense_joint(p, x), atol=1e-9)


def test_another_width_is_refused_in_words() -> None:
    with pytest.raises(UserError, match=r"width 6.* 3 x 7") as caught:
        Density(known(2, 6, 1, seed=15)).score(torch.zeros(3, 7))
    assert caught.value.field == "activations"


def test_no_points() -> None:
    d = Density(known(2, 6, 1, seed=16))
    assert d.score(torch.zeros(0, 6)).shape == (0,)
    assert d.log_joint(torch.zeros(0, 6)).shape == (0, 2)


def test_a_large_mixture_is_held_once(monkeypatch: pytest.MonkeyPatch) -> None:
    p = known(700, 9, 2, seed=20).to(torch.float32)  # more components than one product takes
    x, _ = drawn(p.to(torch.float64), 600, 21)
    assert type(density_of(p)) is Density
    monkeypatch.setattr(lean, "LARGE", 0)
    large = density_of(p.with_loadings(p.loadings.mT.contiguous().mT))
    assert isinstance(large, LeanDensity)
    assert float((large.score(x.float()).double() - Density(p).score(x)).abs().max()) < 1e-3
    assert torch.equal(large.leading(x, 1).component[:, 0], Density(p).log_joint(x).argmax(1))
