"""The objective against plain double-precision autograd, and the identities that a reflection and a kurtosis obey."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from analysis.rotate import objective as module
from analysis.rotate.moments import projected_moments
from analysis.rotate.objective import Objective, kurtosis, reflect, signed_log, skewness, z_scores


def rand(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def slow_loss(u: Tensor, w: Tensor, U: Tensor, m: Tensor, lk: float, lf: float) -> Tensor:
    """One neuron, one point, from the definition: (d,) -> scalar."""
    r = w - 2 * u * (u @ w) / (u @ u)
    y = m * (U @ r)
    c = y - y.mean()
    k = (c**4).mean() / (c**2).mean() ** 2 - 3
    return -lk * torch.sign(k) * torch.log(1 + k.abs()) + lf * (1 - (w @ r) / (w.norm() * r.norm()))


def test_reflection_keeps_length_and_forgets_sign_and_length_of_its_axis() -> None:
    w, u, v = rand(7, 30, dtype=torch.float32), rand(7, 30, seed=1, dtype=torch.float32), rand(7, 30, seed=2).float()
    r = reflect(w, u)
    assert torch.allclose(r.norm(dim=1), w.norm(dim=1), rtol=1e-6, atol=0)
    assert torch.allclose(reflect(w, -u), r) and torch.allclose(reflect(w, 37.0 * u), r, atol=1e-5)
    v = v * (w.norm(dim=1) / v.norm(dim=1))[:, None]
    assert torch.allclose(reflect(w, w - v), v, atol=1e-5), "one reflection reaches any vector of the same length"
    assert not torch.allclose(r, w, atol=0.1)


def test_kurtosis_and_skewness_of_known_samples() -> None:
    y = rand(200_000)
    assert abs(float(kurtosis(y))) < 0.1 and abs(float(skewness(y))) < 0.05
    for a, b in ((3.0, -7.0), (-0.01, 5.0)):
        assert float(kurtosis(a * y + b)) == pytest.approx(float(kurtosis(y)), abs=1e-8)
        assert float(skewness(a * y + b)) == pytest.approx(math.copysign(1, a) * float(skewness(y)), abs=1e-8)
    for n in (10, 1000):
        hot = torch.nn.functional.one_hot(torch.tensor(n // 2), n).double()
        assert float(kurtosis(hot)) == pytest.approx((n * n - 3 * n + 3) / (n - 1) - 3)
        assert float(skewness(hot)) == pytest.approx((n - 2) / math.sqrt(n - 1))
    sample = y[:500].exp()
    fourth = float(((sample - sample.mean()) ** 4).mean() / sample.var(correction=0) ** 2)
    assert float(kurtosis(sample)) == pytest.approx(fourth - 3)
    assert torch.allclose(
        kurtosis(torch.stack([sample, hot[:500]])), torch.stack([kurtosis(sample), kurtosis(hot[:500])])
    )


def test_z_scores_and_signed_log() -> None:
    z = z_scores(5 + 3 * rand(4, 50))
    assert torch.allclose(z.mean(1), torch.zeros(4).double(), atol=1e-12)
    assert torch.allclose(z.square().mean(1), torch.ones(4).double())
    x = torch.tensor([-3.0, 0.0, math.e - 1])
    assert signed_log(x).tolist() == pytest.approx([-math.log(4), 0.0, 1.0])


SMALL_AND_LARGE = pytest.mark.parametrize("small", [8, 0], ids=["once through", "twice through"])


@SMALL_AND_LARGE
@pytest.mark.parametrize("weights", ["none", "shared", "own"])
@pytest.mark.parametrize("tile", [7, 4096])
def test_loss_and_gradient_are_those_of_autograd(
    weights: str, tile: int, small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, size in (("_TILE", tile), ("_SMALL_TILE", tile), ("_SMALL", small)):
        monkeypatch.setattr(module, name, size)
    d, V, N = 9, 61, 3
    U, w, u = rand(V, d, seed=1) ** 3, rand(N, d, seed=2), rand(5, d, seed=3)
    neuron = torch.tensor([2, 0, 0, 1, 2])
    each = rand(N, V, seed=4).abs().clamp(max=1)
    m = {"none": None, "shared": each[0], "own": each}[weights]
    value = Objective(w, U, m, 0.7, 1.3).value_and_gradient(u, neuron)
    for b, n in enumerate(neuron.tolist()):
        point = u[b].clone().requires_grad_()
        used = each[n] if weights == "own" else each[0] if weights == "shared" else torch.ones(V).double()
        loss = slow_loss(point, w[n], U, used, 0.7, 1.3)
        loss.backward()  # type: ignore[no-untyped-call]
        assert point.grad is not None
        assert float(value.loss[b]) == pytest.approx(float(loss.detach()), rel=1e-10)
        assert float((value.gradient[b] - point.grad).norm() / point.grad.norm()) < 1e-9
        r = reflect(w[n], u[b])
        assert float(value.cosine[b]) == pytest.approx(float(r @ w[n] / w[n].norm() ** 2))
        assert float(value.kurtosis[b]) == pytest.approx(float(kurtosis(used * (U @ r))), rel=1e-9)
    assert abs(float((value.gradient * u).sum(1).abs().max())) < 1e-9, "the loss does not know the length of u"


@SMALL_AND_LARGE
def test_single_precision_gradient_is_close_to_double(small: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SMALL", small)
    d, V = 64, 9_000
    U, w, u = rand(V, d, seed=1), rand(4, d, seed=2), rand(4, d, seed=3)
    U[:60] += 3 * torch.nn.functional.normalize(w[0], dim=0)
    at = torch.arange(4)
    exact = Objective(w, U).value_and_gradient(u, at)
    single = Objective(w.float(), U.float()).value_and_gradient(u.float(), at)
    assert float(((single.gradient - exact.gradient).norm(dim=1) / exact.gradient.norm(dim=1)).max()) < 1e-5
    assert torch.allclose(single.loss.double(), exact.loss, atol=1e-5)


def test_negative_kurtosis_has_the_right_sign_of_slope() -> None:
    """Two equal spikes: as flat as can be, where the signed log bends."""
    U = torch.sign(rand(40, 5, seed=8))
    w, u = rand(1, 5, seed=2), rand(1, 5, seed=3)
    value = Objective(w, U, None, 2.0, 0.1).value_and_gradient(u, torch.tensor([0]))
    assert float(value.kurtosis[0]) < 0
    point = u[0].clone().requires_grad_()
    slow_loss(point, w[0], U, torch.ones(40).double(), 2.0, 0.1).backward()  # type: ignore[no-untyped-call]
    assert point.grad is not None and torch.allclose(value.gradient[0], point.grad, atol=1e-10)


def test_tokens_without_weight_leave_finite_numbers() -> None:
    value = Objective(rand(2, 6), rand(30, 6, seed=1), torch.zeros(30)).value_and_gradient(
        rand(2, 6, seed=2), torch.arange(2)
    )
    assert bool(value.loss.isfinite().all()) and bool(value.gradient.isfinite().all())


def test_loss_does_not_change_with_the_length_of_the_vector_or_the_scale_of_the_projection() -> None:
    U, w, u, at = rand(80, 6), rand(2, 6, seed=1), rand(2, 6, seed=2), torch.arange(2)
    one = Objective(w, U).value_and_gradient(u, at)
    for other in (Objective(1e3 * w, U), Objective(w, 1e-2 * U)):
        assert torch.allclose(other.value_and_gradient(u, at).loss, one.loss, atol=1e-10)


def test_moments_in_tiles_are_those_of_whole_projections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analysis.rotate.moments._ROWS", 4)
    monkeypatch.setattr("analysis.rotate.moments._TOKENS", 11)
    W, U = rand(10, 8).float(), (rand(101, 8, seed=1) ** 3 + 1).float()
    kurt, skew = projected_moments(W, U)
    whole = W.double() @ U.double().T
    assert torch.allclose(kurt.double(), kurtosis(whole), rtol=1e-4, atol=1e-4)
    assert torch.allclose(skew.double(), skewness(whole), rtol=1e-4, atol=1e-4)
