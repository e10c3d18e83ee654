"""The factorization: planted features, the invariants, and the published steps against an independent version."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import nnls
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from analysis.errors import UserError
from analysis.snmf import semi_nmf
from analysis.snmf.plain import plain_step
from analysis.snmf.semi_nmf import SemiNMF
from analysis.snmf.start import start_activations
from analysis.snmf.updates import (
    kept_count,
    least_squares,
    nonnegative,
    products,
    rescale,
    rows_together,
    winner_take_all,
)
from tests.unit.snmf.planted import planted, recovered


def data(n: int = 150, d: int = 40, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Heavy-tailed activations, as an MLP's are."""
    g = torch.Generator().manual_seed(seed)
    return (torch.randn(n, d, generator=g, dtype=torch.float64) ** 3).to(dtype)


# Planted features


@pytest.mark.parametrize("init", ["kmeans", "random"])
def test_planted_features_are_found_with_a_quarter_more_than_there_are(init: str) -> None:
    found = []
    for seed in range(3):
        X, features = planted(seed)
        found.append(recovered(SemiNMF(25, sparsity=0.02, init=init, random_state=seed).fit(X).components_, features))
    assert max(found) >= 19, found


def test_without_winner_take_all_the_fit_is_as_good_and_finds_none() -> None:
    for seed in range(2):
        X, features = planted(seed)
        full = SemiNMF(20, sparsity=1.0, init="random", random_state=seed).fit(X)
        assert full.explained_ > 0.99 and recovered(full.components_, features) <= 2


def test_thirty_percent_noise_leaves_most_of_them() -> None:
    X, features = planted(1, noise=0.3)
    found = SemiNMF(25, sparsity=0.02, max_iter=120).fit(X)
    assert recovered(found.components_, features) >= 16


# The published steps


def official(X: np.ndarray, G: np.ndarray, p: float, iterations: int) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """The five steps of arXiv 2506.10920 with its own orientation: A (d, n) ~ F (d, K) G' (K, n)."""
    A, losses = X.T, []
    for _ in range(iterations):
        F = A @ G @ np.linalg.inv(G.T @ G + 1e-6 * np.eye(G.shape[1]))
        keep = math.ceil(p * len(F))
        for k in range(F.shape[1]):
            limit = np.sort(np.abs(F[:, k]))[-keep]
            F[np.abs(F[:, k]) < limit, k] = 0
        norms = np.maximum(np.sqrt((G**2).sum(0)), 1e-8)
        G, F = G / norms, F * norms
        P, Q = A.T @ F, F.T @ F
        up = np.maximum(P, 0) + G @ np.maximum(-Q, 0)
        down = np.maximum(-P, 0) + G @ np.maximum(Q, 0) + 1e-6
        G = G * np.sqrt(up / down)
        losses.append(((A - F @ G.T) ** 2).sum())
    return F, G, losses


@pytest.mark.parametrize("p", [0.1, 1.0])
def test_the_plain_solver_does_the_published_steps(p: float) -> None:
    X = data()
    start = torch.rand(150, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    F, G, losses = official(X.numpy(), start.numpy(), p, 40)
    own, seen = start, []
    for _ in range(40):
        own, features, loss = plain_step(X, own, p)
        seen.append(loss)
    assert np.allclose(seen, losses, rtol=1e-9)
    assert np.allclose(features.numpy(), F.T, atol=1e-7) and np.allclose(own.numpy(), G, atol=1e-7)


@pytest.mark.parametrize("solver", ["fast", "plain"])
def test_the_loss_never_rises_at_full_density(solver: str) -> None:
    fitted = SemiNMF(6, sparsity=1.0, init="random", solver=solver, max_iter=500, patience=500).fit(data(100, 30))
    curve = np.array(fitted.loss_curve_)
    assert len(curve) == 500
    assert np.all(np.diff(curve) <= 1e-12 * curve[:-1])


def test_fast_ends_at_least_as_low_as_plain() -> None:
    X = data(400, 60, dtype=torch.float32)
    for init in ("random", "kmeans"):
        low = SemiNMF(12, sparsity=0.1, init=init, max_iter=100).fit(X).explained_
        assert low >= SemiNMF(12, sparsity=0.1, init=init, solver="plain", max_iter=300).fit(X).explained_ - 2e-3


# Invariants


@pytest.mark.parametrize("solver", ["fast", "plain"])
@pytest.mark.parametrize("init", ["kmeans", "random", "svd"])
def test_what_holds_of_every_fit(init: str, solver: str) -> None:
    X = data()
    fitted = SemiNMF(7, sparsity=0.1, init=init, solver=solver, max_iter=60, patience=60).fit(X)
    F, G = fitted.components_, fitted.activations_
    assert F.shape == (7, 40) and G.shape == (150, 7) and bool((G >= 0).all())
    assert int((F != 0).sum(1).max()) <= kept_count(0.1, 40) == 4
    assert torch.allclose(F.norm(dim=1), torch.ones(7, dtype=F.dtype))
    loss = float((X - G @ F).square().sum())
    assert loss == pytest.approx(min(fitted.loss_curve_), rel=1e-8)
    assert fitted.loss_curve_[fitted.best_iter_] == min(fitted.loss_curve_)
    assert fitted.explained_ == pytest.approx(1 - loss / float(X.square().sum()))


@pytest.mark.parametrize("init", ["kmeans", "random", "svd"])
def test_a_seed_decides_everything(init: str) -> None:
    X, stream = data(), torch.random.get_rng_state()
    one, two = (SemiNMF(5, sparsity=0.1, init=init, random_state=1).fit(X) for _ in range(2))
    assert torch.equal(one.components_, two.components_) and torch.equal(one.activations_, two.activations_)
    assert torch.equal(stream, torch.random.get_rng_state())  # nobody else's draws are moved
    if init != "svd":  # whose starts are the same but for the rounding
        assert not torch.equal(one.components_, SemiNMF(5, sparsity=0.1, init=init, random_state=2).fit(X).components_)


def test_singular_vectors_begin_at_the_root_of_their_values() -> None:
    sizes = np.array([9.0, 4.0, 2.0, 1.0, 0.01])
    left, right = (np.linalg.qr(data(n, 5, n).numpy())[0] for n in (60, 30))
    start = start_activations(torch.from_numpy((left * sizes) @ right.T), 4, "svd", 0).numpy()
    for own, column in zip(start.T, (left * np.sqrt(sizes)).T[:4], strict=True):
        # Signs of singular vectors are free, and the negative half is lost either way.
        assert any(np.allclose(own, np.maximum(s * column, 1e-6), atol=1e-3) for s in (1, -1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_singular_start_is_the_published_one_in_every_column_and_sign(dtype: torch.dtype) -> None:
    """Values that fall slowly, where a randomised decomposition mixes neighbours."""
    left, right = (torch.linalg.qr(data(n, 60, n))[0] for n in (200, 60))
    X = ((left * 0.97 ** torch.arange(60)) @ right.T).to(dtype)
    _, S, Vh = torch.linalg.svd(X.T.contiguous(), full_matrices=False)  # neurons by tokens
    published = (S[:20].sqrt()[:, None] * Vh[:20]).T.clamp(min=1e-6)
    for seed in (0, 1):
        assert torch.allclose(start_activations(X, 20, "svd", seed), published, atol=1e-5)


@pytest.mark.parametrize("n", [60, 25])
def test_more_features_than_singular_vectors(n: int) -> None:
    X = data(n, 20)
    start = start_activations(X, 25, "svd", 0)
    assert start.shape == (n, 25) and bool((start > 0).all())
    fitted = SemiNMF(25, sparsity=0.2, init="svd", max_iter=30).fit(X)
    assert fitted.components_.shape == (25, 20) and fitted.explained_ > 0.5


def test_the_order_of_tokens_is_no_matter() -> None:
    X = data()
    order = torch.randperm(150, generator=torch.Generator().manual_seed(5))
    G = torch.rand(150, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    total = float(X.square().sum())
    for step in (
        lambda x, g: plain_step(x, g, 0.1),
        lambda x, g: semi_nmf._fast_step(x, g, 0.1, total, np.ascontiguousarray(x.T.numpy())),
    ):
        own, turned = G, G[order]
        for _ in range(5):
            own, F, loss = step(X, own)
            turned, other, same = step(X[order], turned)
        assert torch.allclose(own[order], turned, atol=1e-8) and torch.allclose(F, other, atol=1e-8)
        assert same == pytest.approx(loss, rel=1e-10)


def test_rescaling_changes_no_product() -> None:
    G, F = data(30, 4).abs(), data(4, 12, 1)
    G[:, 2] = 0
    unit, scaled = rescale(G, F)
    assert torch.allclose(unit.norm(dim=0), torch.tensor([1.0, 1, 0, 1], dtype=G.dtype))
    assert torch.allclose(unit @ scaled, G @ F, rtol=1e-12)


def test_scaling_scales_the_activations_alone() -> None:
    X = data()
    one, big = (SemiNMF(5, sparsity=0.1, init="random", max_iter=40).fit(c * X) for c in (1.0, 16.0))
    assert torch.allclose(one.components_, big.components_, atol=1e-6)
    assert torch.allclose(16 * one.activations_, big.activations_, rtol=1e-4, atol=1e-4)


def test_the_least_squares_residual_is_orthogonal_to_the_activations() -> None:
    X = data()
    G = torch.rand(150, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    residual = X - G @ least_squares(G, X)
    assert float((G.T @ residual).abs().max()) < 1e-3 * float((G.T @ X).abs().max()) * 1e-2


def test_winner_take_all_keeps_the_largest() -> None:
    F = torch.tensor([[3.0, -4.0, 1.0, 2.0], [0.5, 0.5, -0.5, 0.1]])
    kept = winner_take_all(F, 0.5)
    assert torch.equal(kept, torch.tensor([[3.0, -4.0, 0, 0], [0.5, 0.5, -0.5, 0]]))  # ties stay
    assert torch.equal(winner_take_all(F, 1.0), F)


def test_sparse_and_dense_products_agree() -> None:
    X, F = data(dtype=torch.float32), winner_take_all(data(6, 40, 1, torch.float32), 0.05)
    wide = torch.cat([X, torch.zeros(150, 60)], 1), torch.cat([F, torch.zeros(6, 60)], 1)
    sparse, gram = products(*wide, np.ascontiguousarray(wide[0].T.numpy()))
    assert torch.allclose(sparse, X @ F.T, atol=1e-4) and torch.allclose(gram, F @ F.T)


def test_transform_is_nonnegative_least_squares() -> None:
    X = data()
    fitted = SemiNMF(6, sparsity=0.2, max_iter=50).fit(X)
    new = data(25, seed=9)
    found = fitted.transform(new)
    for row, token in zip(found.numpy(), new.numpy(), strict=True):
        exact, _ = nnls(fitted.components_.numpy().T, token)
        assert np.allclose(row, exact, atol=1e-6 * max(1.0, exact.max()))
    turned = fitted.transform(new.flip(0))
    assert torch.allclose(turned.flip(0), found)
    assert torch.allclose(fitted.inverse_transform(found), found @ fitted.components_)
    half = fitted.transform(new.float())
    assert half.dtype == torch.float32 and torch.allclose(half, found.float(), atol=1e-3)


@pytest.mark.parametrize("sweeps", [1, 3, 400])
def test_rows_together_and_one_by_one_are_the_same(sweeps: int) -> None:
    """What other devices do (all rows take the step of one coordinate) is what the loop over rows does."""
    X, F = data(20, 12), data(5, 12, 4)
    F[3] = 0  # a feature that died moves nothing
    cross, gram, start = X @ F.T, F @ F.T, data(20, 5, 6).abs()
    own, wide = (way(start, cross, gram, sweeps) for way in (nonnegative, rows_together))
    assert torch.allclose(own, wide, atol=1e-9) and torch.equal(wide[:, 3], start[:, 3])
    assert float((X - own @ F).square().sum()) < float((X - start @ F).square().sum())


# What goes wrong on the way


def test_a_step_that_breaks_ends_the_fit_at_the_best_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    X, step, calls = data(), semi_nmf._fast_step, 0

    def breaks(*given: Any) -> tuple[torch.Tensor, torch.Tensor, float]:
        nonlocal calls
        calls += 1
        G, F, loss = step(*given)
        return (G * math.nan, F, math.nan) if calls == 5 else (G, F, loss)

    whole = SemiNMF(5, sparsity=0.2, max_iter=4).fit(X)
    monkeypatch.setattr(semi_nmf, "_fast_step", breaks)
    broken = SemiNMF(5, sparsity=0.2).fit(X)
    assert broken.n_iter_ == 4 and not broken.converged_ and torch.equal(broken.components_, whole.components_)
    with pytest.raises(UserError, match="no finite numbers"):
        monkeypatch.setattr(semi_nmf, "_fast_step", lambda X, G, *rest: (G, G, math.nan))
        SemiNMF(5).fit(X)


def test_tokens_that_are_all_alike_or_zero_do_no_harm() -> None:
    same = SemiNMF(4, sparsity=1.0, max_iter=20).fit(torch.ones(30, 8))
    assert same.explained_ == pytest.approx(1, abs=1e-5) and bool(same.components_.isfinite().all())
    X = data(40, 12, dtype=torch.float32)
    X[:20] = 0
    assert float(SemiNMF(4, sparsity=0.5).fit(X).activations_[:20].max()) < 1e-9


@pytest.mark.parametrize("solver", ["fast", "plain"])
def test_it_ends_when_nothing_gets_better(solver: str) -> None:
    fitted = SemiNMF(4, sparsity=0.2, solver=solver, patience=7, tol=1e-4, max_iter=900).fit(data())
    assert fitted.converged_ and fitted.n_iter_ < 900
    curve = np.array(fitted.loss_curve_)
    assert curve[-7:].min() >= curve[:-7].min() * (1 - 1e-4) ** 7


def test_activations_before_a_fit_or_of_another_width_are_refused() -> None:
    with pytest.raises(NotFittedError):
        SemiNMF(3).transform(data())
    fitted = SemiNMF(3, sparsity=0.2, max_iter=5).fit(data())
    for wrong in (data(5, 39), spoiled()[:8]):
        with pytest.raises(UserError) as caught:
            fitted.transform(wrong)
        assert caught.value.field == "text"


# The contract


def test_it_has_the_manners_of_scikit_learn() -> None:
    model = SemiNMF(4, sparsity=0.2, init="svd")
    assert clone(model).get_params() == model.get_params()
    X = data(dtype=torch.float32).numpy()
    found = clone(model).fit_transform(X)
    assert isinstance(found, np.ndarray) and isinstance(clone(model).fit(X).transform(X), np.ndarray)
    assert np.array_equal(X, data(dtype=torch.float32).numpy())


def test_progress_and_cancel() -> None:
    curves: list[Any] = []
    SemiNMF(4, max_iter=12, patience=99).fit(
        data(), progress=lambda share, text="", **facts: curves.append(facts["curve"])
    )
    assert [curve["iteration"][-1] for curve in curves] == [1, 6, 11, 12]
    assert all(len(curve["iteration"]) == len(curve["explained"]) for curve in curves)

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SemiNMF(4).fit(data(), check=stop)


def spoiled() -> torch.Tensor:
    X = data()
    X[3, 4] = float("nan")
    return X


@pytest.mark.parametrize(
    ("settings", "X", "field"),
    [
        ({"n_components": 151}, data(), "features"),
        ({"n_components": 0}, data(), "features"),
        ({"n_components": 4, "sparsity": 0.0}, data(), "kept"),
        ({"n_components": 4, "sparsity": 1.5}, data(), "kept"),
        ({"n_components": 4, "init": "best"}, data(), "init"),
        ({"n_components": 4, "solver": "best"}, data(), "solver"),
        ({"n_components": 1}, data(1), "tokens"),
        ({"n_components": 4}, spoiled(), "site"),
        ({"n_components": 4}, torch.zeros(20, 8), "site"),
        ({"n_components": 4, "max_iter": 0}, data(), "iterations"),
    ],
)
def test_what_cannot_be_fitted_is_refused_in_words(settings: dict[str, Any], X: torch.Tensor, field: str) -> None:
    with pytest.raises(UserError) as caught:
        SemiNMF(**settings).fit(X)
    assert caught.value.field == field and caught.value.message.endswith(".")
