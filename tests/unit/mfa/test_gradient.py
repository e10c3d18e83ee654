"""The reference trainer against dense Gaussians, closed-form gradients, a naive training loop and a known mixture."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from analysis.errors import UserError
from analysis.mfa.gradient import GradientMixture, softplus_inverse, train_by_gradient
from analysis.mfa.parameters import Noise, Parameters

LAYOUTS: tuple[Noise, ...] = ("shared", "component")


def random_mixture(noise: Noise, k: int = 4, d: int = 7, r: int = 2, seed: int = 0) -> Parameters:
    g = torch.Generator().manual_seed(seed)
    return Parameters(
        torch.rand(k, generator=g, dtype=torch.float64).softmax(0),
        2 * torch.randn(k, d, generator=g, dtype=torch.float64),
        torch.randn(k, d, r, generator=g, dtype=torch.float64),
        0.2 + torch.rand(d if noise == "shared" else (k, d), generator=g, dtype=torch.float64),  # type: ignore[call-overload]
    )


def covariances(p: Parameters) -> Tensor:
    return p.loadings @ p.loadings.mT + torch.diag_embed(p.noise.expand(p.components, p.width))


def dense_joint(p: Parameters, x: Tensor) -> Tensor:
    """Log weight plus log density (N, K) with every covariance written out."""
    return p.weights.log() + MultivariateNormal(p.means, covariances(p)).log_prob(x[:, None])


def draw(p: Parameters, n: int, seed: int = 1) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    k = torch.multinomial(p.weights, n, replacement=True, generator=g)
    z = torch.randn(n, p.factors, 1, generator=g, dtype=torch.float64)
    e = torch.randn(n, p.width, generator=g, dtype=torch.float64) * p.noise.expand(p.components, p.width)[k].sqrt()
    return p.means[k] + (p.loadings[k] @ z)[..., 0] + e, k


@pytest.mark.parametrize("noise", LAYOUTS)
def test_likelihood_equals_dense_gaussians(noise: Noise) -> None:
    p = random_mixture(noise)
    x = draw(p, 50)[0] * 1.5
    model = GradientMixture.of(p)
    assert torch.allclose(model.log_joint(x), dense_joint(p, x), rtol=0, atol=1e-10)
    assert torch.allclose(model(x), dense_joint(p, x).logsumexp(1), rtol=0, atol=1e-10)


@pytest.mark.parametrize("noise", LAYOUTS)
def test_gradients_equal_the_closed_forms(noise: Noise) -> None:
    p = random_mixture(noise, seed=3)
    x = draw(p, 20)[0].requires_grad_()
    model = GradientMixture.of(p)
    (-model(x)).sum().backward()  # type: ignore[no-untyped-call]
    shares = dense_joint(p, x.detach()).softmax(1)
    pulled = torch.linalg.solve(covariances(p), (x.detach()[:, None] - p.means)[..., None])[..., 0]
    assert x.grad is not None and model.mu.grad is not None and model.pi_logits.grad is not None
    assert torch.allclose(x.grad, (shares[..., None] * pulled).sum(1), atol=1e-9)
    assert torch.allclose(model.mu.grad, -(shares[..., None] * pulled).sum(0), atol=1e-9)
    assert torch.allclose(model.pi_logits.grad, len(x) * p.weights - shares.sum(0), atol=1e-9)


@pytest.mark.parametrize("noise", LAYOUTS)
def test_gradients_of_loadings_and_noise_equal_differences(noise: Noise) -> None:
    p = random_mixture(noise, k=2, d=4, seed=5)
    x = draw(p, 10)[0]
    model = GradientMixture.of(p)
    names = ("dir_raw", "scale_rho", "psi_rho")
    model(x).sum().backward()
    for name in names:
        tensor = getattr(model, name)
        for at in range(tensor.numel()):
            sides = []
            for move in (1e-5, -1e-5):
                state = {n: v.clone() for n, v in model.state_dict().items()}
                state[name].view(-1)[at] += move
                sides.append(float(dense_joint(GradientMixture(**state).mixture(), x).logsumexp(1).sum().detach()))
            assert float(tensor.grad.view(-1)[at]) == pytest.approx((sides[0] - sides[1]) / 2e-5, abs=1e-5)


def test_published_start() -> None:
    means = torch.arange(12.0).view(3, 4)
    shared = GradientMixture.start(means, 2, "shared", torch.Generator().manual_seed(0)).mixture()
    own = GradientMixture.start(means, 2, "component", torch.Generator().manual_seed(0)).mixture()
    assert torch.equal(shared.means, means) and shared.noise.shape == (4,) and own.noise.shape == (3, 4)
    assert torch.allclose(own.noise, torch.ones(3, 4), atol=2e-5)
    assert torch.allclose(shared.loadings.norm(dim=1), torch.ones(3, 2))
    assert torch.allclose(shared.weights, torch.full((3,), 1 / 3))


def test_softplus_inverse_at_both_ends() -> None:
    values = torch.tensor([1e-12, 1e-5, 0.5, 1.0, 19.9, 35.0, 1e6], dtype=torch.float64)
    assert torch.allclose(
        torch.nn.functional.softplus(softplus_inverse(values), threshold=40), values, rtol=1e-12, atol=0
    )


@pytest.mark.parametrize("scale", [False, True])
def test_training_equals_a_naive_loop(scale: bool) -> None:
    """Dense Gaussians, data neither shifted nor (by the code under test) scaled, one batch of everything per step."""
    truth = random_mixture("shared", seed=7)
    x = draw(truth, 60)[0] + 5
    one = float(x.var(0, unbiased=False).mean().sqrt()) if scale else 1.0
    data, start = x / one, x[:4] / one
    model = GradientMixture.start(start, 2, "shared", torch.Generator().manual_seed(11))
    adam = torch.optim.Adam(model.parameters(), lr=0.05)
    losses = []
    for _ in range(8):
        adam.zero_grad()
        loss = -dense_joint(model.mixture(), data).logsumexp(1).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
        losses.append(-float(loss.detach()) - 7 * math.log(one))
    slow = model.mixture().scaled(one, torch.zeros(7))
    run = train_by_gradient(x, x[:4], 2, rate=0.05, epochs=8, batch_size=60, scale=scale, seed=11)
    assert [row["train"] for row in run.history[1:]] == pytest.approx(losses, abs=1e-9)
    for name in ("weights", "means", "loadings", "noise"):
        assert torch.allclose(getattr(run.parameters, name), getattr(slow, name), atol=1e-8), name


@pytest.mark.parametrize("noise", LAYOUTS)
def test_known_mixture_is_approached(noise: Noise) -> None:
    truth = random_mixture(noise, k=3, d=10, r=2, seed=2)
    x, labels = draw(truth, 3000)
    held = draw(truth, 1000, seed=9)[0]
    start = torch.stack([x[labels == k][:50].mean(0) for k in range(3)])
    run = train_by_gradient(
        x.float(), start, 2, rate=3e-2, epochs=15, batch_size=100, noise=noise, scale=True, validation=held.float()
    )
    best = float(dense_joint(truth, held).logsumexp(1).mean())
    assert best - 0.3 < run.history[-1]["held_out"] < best + 0.05
    assert run.history[0]["held_out"] < best - 1
    assert run.parameters.loadings.dtype == torch.float32 and run.parameters.noise.shape == truth.noise.shape
    for k in range(3):
        cosines = torch.linalg.svdvals(
            torch.linalg.qr(run.parameters.loadings[k].double())[0].T @ torch.linalg.qr(truth.loadings[k])[0]
        )
        assert float(cosines.min()) > math.cos(math.radians(10))
    assert torch.allclose(run.parameters.noise.double(), truth.noise, rtol=0.35)


def test_best_parameters_are_kept_and_history_is_theirs() -> None:
    """A rate so high that the run gets worse: what comes back is the best row's, measured again."""
    truth = random_mixture("component", seed=4)
    x, held = draw(truth, 200)[0], draw(truth, 100, seed=2)[0]
    rows: list[dict[str, Any]] = []
    run = train_by_gradient(
        x, x[:4], 2, rate=1.0, epochs=6, batch_size=20, initial=truth, validation=held,
        progress=lambda share, text="", **facts: rows.append(facts["row"]),
    )  # fmt: skip
    reached = [row["held_out"] for row in run.history]
    assert rows == run.history and [row["epoch"] for row in rows] == list(range(7)) and rows[2]["step"] == 20
    assert reached[-1] < max(reached) and all(a["seconds"] <= b["seconds"] for a, b in pairwise(rows))
    again = float(dense_joint(run.parameters, held).logsumexp(1).mean())
    assert again == pytest.approx(max(reached), abs=1e-6)
    assert reached[0] == pytest.approx(float(dense_joint(truth, held).logsumexp(1).mean()), abs=1e-6)


def test_start_with_zero_columns_is_nearly_that_start_and_they_grow() -> None:
    truth = random_mixture("shared", k=2, r=2, seed=6)
    x, held = draw(truth, 1500)[0], draw(truth, 300, seed=2)[0]
    hollow = truth.with_loadings(torch.zeros_like(truth.loadings))
    run = train_by_gradient(x, x[:2], 2, rate=3e-2, epochs=30, initial=hollow, validation=held)
    assert run.history[0]["held_out"] == pytest.approx(float(dense_joint(hollow, held).logsumexp(1).mean()), abs=1e-3)
    assert run.history[-1]["held_out"] > float(dense_joint(truth, held).logsumexp(1).mean()) - 0.3


def test_start_with_variances_below_the_authors_floor_is_that_start() -> None:
    truth = random_mixture("component").scaled(1e-3, torch.zeros(7))
    x = draw(truth, 100)[0]
    run = train_by_gradient(x, x[:4], 2, epochs=1, initial=truth, validation=x)
    assert run.history[0]["held_out"] == pytest.approx(float(dense_joint(truth, x).logsumexp(1).mean()), abs=1e-6)


def test_run_ends_at_the_target_at_the_time_limit_and_when_progress_raises() -> None:
    truth = random_mixture("shared")
    x = draw(truth, 400)[0]
    settings: dict[str, Any] = {"rate": 0.03, "epochs": 15, "batch_size": 40, "validation": x, "evaluate_every": 5}
    whole = [row["held_out"] for row in train_by_gradient(x, x[:4], 2, **settings).history]
    goal = (whole[0] + max(whole)) / 2
    first = next(i for i, value in enumerate(whole) if value >= goal)
    aimed = train_by_gradient(x, x[:4], 2, target=goal, **settings).history
    assert 0 < first < len(whole) - 1 and [row["held_out"] for row in aimed] == whole[: first + 1]
    assert len(train_by_gradient(x, x[:4], 2, target=whole[0], **settings).history) == 1
    hasty = train_by_gradient(x, x[:4], 2, seconds_limit=1e-9, **settings).history
    assert [row["step"] for row in hasty] == [0, 1]

    def stop(*_told: Any, **_facts: Any) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        train_by_gradient(x, x[:4], 2, progress=stop, **settings)


def test_seed_decides_the_run_and_float16_is_read() -> None:
    x = draw(random_mixture("shared"), 300)[0]
    runs = [train_by_gradient(x, x[:4], 2, epochs=2, seed=s).parameters.loadings for s in (0, 0, 1)]
    assert torch.equal(runs[0], runs[1]) and not torch.allclose(runs[0], runs[2])
    half = train_by_gradient(x.half().numpy(), x[:4].numpy(), 2, epochs=2).parameters.loadings
    assert half.dtype == torch.float32 and torch.allclose(half.double(), runs[0], atol=0.02)


def test_divergence_ends_with_the_last_good_state_or_a_sentence() -> None:
    x = draw(random_mixture("shared"), 200)[0].float()
    settings: dict[str, Any] = {"rate": 1e25, "epochs": 3}
    run = train_by_gradient(x, x[:4], 2, validation=x, **settings)
    assert len(run.history) == 1 and bool(run.parameters.loadings.isfinite().all())
    with pytest.raises(UserError, match="diverged") as refused:
        train_by_gradient(x, x[:4], 2, **settings)
    assert refused.value.field == "rate"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"activations": torch.zeros(5)}, "activations"),
        ({"activations": torch.full((5, 4), math.nan)}, "activations"),
        ({"start_means": torch.zeros(2, 3)}, "start_means"),
        ({"n_factors": 4}, "n_factors"),
        ({"n_factors": 0}, "n_factors"),
        ({"validation": torch.zeros(5, 6)}, "validation"),
        ({"target": 1.0}, "target"),
        ({"rate": 0.0}, "rate"),
        ({"batch_size": 0}, "batch_size"),
        ({"initial": random_mixture("shared")}, "initial"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(change: dict[str, Any], field: str) -> None:
    given: dict[str, Any] = {
        "activations": torch.randn(9, 4),
        "start_means": torch.zeros(2, 4),
        "n_factors": 2,
        **change,
    }
    with pytest.raises(UserError) as refused:
        train_by_gradient(given.pop("activations"), given.pop("start_means"), given.pop("n_factors"), **given)
    assert refused.value.field == field and refused.value.message.endswith(".")
