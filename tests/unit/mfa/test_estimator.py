"""The estimator: recovery of known mixtures, agreement with scikit-learn, streams, and refusals in words."""

from __future__ import annotations

import copy
import math
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from sklearn.base import clone
from sklearn.decomposition import FactorAnalysis
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import cross_val_score
from torch import Tensor

from analysis.errors import Cancelled, UserError
from analysis.mfa import MixtureOfFactorAnalyzers, Parameters
from analysis.mfa.stream import Stream
from tests.unit.mfa.truth import covariances, dense_joint, drawn, known


def angles(one: Tensor, other: Tensor) -> float:
    """The largest principal angle between the column spans, in degrees."""
    a, b = torch.linalg.qr(one.double()).Q, torch.linalg.qr(other.double()).Q
    return math.degrees(math.acos(min(1.0, float(torch.linalg.svdvals(a.T @ b).min()))))


def matched(truth: Parameters, found: Parameters) -> list[tuple[int, int]]:
    pairs = linear_sum_assignment(torch.cdist(truth.means, found.means.double()).numpy())
    return list(zip(*(p.tolist() for p in pairs), strict=True))


@pytest.mark.parametrize("seed", range(4))
def test_a_known_mixture_is_recovered(seed: int) -> None:
    truth = known(8, 32, 3, seed=seed)
    x, _ = drawn(truth, 8000, seed + 100)
    fresh, _ = drawn(truth, 4000, seed + 200)
    m = MixtureOfFactorAnalyzers(8, 3, tol=0.01).fit(x.float().numpy())
    best = float(dense_joint(truth, fresh).logsumexp(1).mean())
    assert m.score(fresh.numpy()) > best - 0.005 * abs(best)
    pairs = matched(truth, m.parameters_)
    away = torch.stack([m.parameters_.means[j] - truth.means[i] for i, j in pairs]).double()
    spread = torch.linalg.inv(covariances(truth))[[i for i, _ in pairs]]
    # In units of the component's own spread; the mean of n points is off by sqrt(D / n), about 0.2.
    assert float(torch.einsum("kd,kde,ke->k", away, spread, away).sqrt().max()) < 0.35
    assert max(angles(truth.loadings[i], m.parameters_.loadings[j]) for i, j in pairs) < 5
    noise = (m.parameters_.noise / truth.noise - 1).abs()
    assert float(noise.mean()) < 0.03 and float(noise.max()) < 0.1
    order = [j for _, j in pairs]
    assert float((m.parameters_.weights[order] - truth.weights).abs().sum()) < 0.06
    assert m.converged_ and m.reseeded_ == 0


def test_noise_by_component_is_recovered() -> None:
    truth = known(4, 16, 2, seed=5, noise="component")
    # Two of the components are noisier by far than the others.
    truth = Parameters(truth.weights, truth.means, truth.loadings, truth.noise * torch.tensor([[1.0], [4], [1], [9]]))
    x, _ = drawn(truth, 6000, 6)
    m = MixtureOfFactorAnalyzers(4, 2, noise="component", tol=0.01).fit(x.numpy())
    for i, j in matched(truth, m.parameters_):
        assert float((m.parameters_.noise[j] / truth.noise[i] - 1).abs().max()) < 0.35
    shared = MixtureOfFactorAnalyzers(4, 2, tol=0.01).fit(x.numpy())
    fresh = drawn(truth, 2000, 7)[0].numpy()
    assert m.score(fresh) > shared.score(fresh) + 1
    assert m.score(fresh) == pytest.approx(float(dense_joint(truth, torch.tensor(fresh)).logsumexp(1).mean()), rel=5e-3)


def test_one_component_is_factor_analysis() -> None:
    truth = known(1, 20, 3, seed=8)
    x = drawn(truth, 4000, 9)[0].numpy()
    theirs = FactorAnalysis(3, tol=1e-10, max_iter=5000, svd_method="lapack").fit(x)
    ours = MixtureOfFactorAnalyzers(1, 3, tol=0, max_iter=500, validation=0, rotation="none").fit(x)
    assert ours.score(x) == pytest.approx(theirs.score(x), abs=1e-5)
    assert np.abs(ours.score_samples(x) - theirs.score_samples(x)).max() < 0.02
    # And at the same parameters there is nothing but rounding between them.
    theirs_here = MixtureOfFactorAnalyzers.from_parameters(
        Parameters(
            torch.ones(1, dtype=torch.float64),
            torch.tensor(theirs.mean_)[None],
            torch.tensor(theirs.components_.T.copy())[None],
            torch.tensor(theirs.noise_variance_),
        )
    )
    assert np.abs(theirs_here.score_samples(x) - theirs.score_samples(x)).max() < 1e-9
    assert np.abs(theirs_here.transform(x) - theirs.transform(x)).max() < 1e-9


def test_no_factors_is_a_diagonal_mixture() -> None:
    x = drawn(known(3, 6, 0, seed=10, noise="component"), 2000, 11)[0].numpy()
    theirs = GaussianMixture(3, covariance_type="diag", random_state=0, tol=1e-8, max_iter=500).fit(x)
    same = MixtureOfFactorAnalyzers.from_parameters(
        Parameters(
            torch.tensor(theirs.weights_),
            torch.tensor(theirs.means_),
            torch.zeros(3, 6, 0, dtype=torch.float64),
            torch.tensor(theirs.covariances_),
        )
    )
    assert np.abs(same.score_samples(x) - theirs.score_samples(x)).max() < 1e-9
    assert np.abs(same.predict_proba(x) - theirs.predict_proba(x)).max() < 1e-9
    ours = MixtureOfFactorAnalyzers(3, 0, noise="component", top=None, tol=1e-9, max_iter=300, validation=0).fit(x)
    assert ours.loadings_.shape == (3, 6, 0) and ours.transform(x).shape == (2000, 0)
    assert ours.score(x) == pytest.approx(theirs.score(x), abs=1e-3)


class Batches:
    """Batches of uneven sizes that can be read again, as float16 if asked."""

    def __init__(self, x: np.ndarray, half: bool = False) -> None:
        self.x, self.half, self.passes = x, half, 0

    def __iter__(self) -> Iterator[np.ndarray]:
        self.passes += 1
        first = 0
        for size in [700, 13, 1, 999] * 100:
            if first < len(self.x):
                yield self.x[first : first + size].astype(np.float16 if self.half else self.x.dtype)
            first += size


def test_a_stream_gives_the_fit_of_the_array() -> None:
    x = drawn(known(5, 12, 2, seed=12), 3000, 13)[0].numpy()
    settings: dict[str, Any] = {"n_components": 5, "n_factors": 2, "batch_size": 512}
    whole = MixtureOfFactorAnalyzers(**settings).fit(x)
    stream = Batches(x)
    cut = MixtureOfFactorAnalyzers(**settings).fit(stream)
    called = MixtureOfFactorAnalyzers(**settings).fit(lambda: iter(Batches(x)))
    for other in (cut, called):
        assert other.n_iter_ == whole.n_iter_ and isinstance(other.means_, np.ndarray)
        for name in ("weights_", "means_", "loadings_", "noise_variance_"):
            assert np.abs(getattr(other, name) - getattr(whole, name)).max() < 1e-8, name
    assert stream.passes > whole.n_iter_
    half = MixtureOfFactorAnalyzers(**settings).fit(Batches(x, half=True))
    assert half.score(x) == pytest.approx(whole.score(x), abs=0.05)


def test_data_are_left_as_they_were() -> None:
    x = drawn(known(3, 6, 1, seed=14), 500, 15)[0]
    for data in (x, x.numpy()):
        before = data.copy() if isinstance(data, np.ndarray) else data.clone()
        m = MixtureOfFactorAnalyzers(3, 1, batch_size=100).fit(data)
        m.partial_fit(data).predict(data)
        assert bool((before == data).all())


def test_the_held_out_share_is_apart_and_the_same_on_every_pass() -> None:
    x = torch.arange(1000.0)[:, None].repeat(1, 2)
    stream = Stream.of(x, 64, seed=3).holding(0.2)
    for _ in range(2):
        held, kept = (torch.cat(list(stream.batches(part)))[:, 0] for part in ("held", "kept"))  # type: ignore[arg-type]
        assert torch.equal(torch.cat([held, kept]).sort().values, x[:, 0])
        assert 150 < len(held) < 250
        again = torch.cat(list(Stream.of(Batches(x.numpy()), 50, seed=3).holding(0.2).batches("held")))[:, 0]
        assert torch.equal(again, held)
    assert not torch.equal(torch.cat(list(Stream.of(x, 64, seed=4).holding(0.2).batches("held")))[:, 0], held)
    sample = stream.sample(100)[:, 0]
    assert len(sample) == 100 and len(sample.unique()) == 100 and bool(torch.isin(sample, kept).all())
    assert torch.equal(Stream.of(x, 7, seed=3).holding(0.2).sample(100)[:, 0], sample)
    # Drawn evenly: the rank sum of 100 of 800 has a standard deviation of 2,160 around 40,000 (in row numbers, 2,700).
    assert abs(float(sample.sum()) - 100 * float(kept.mean())) < 4 * 2700


def test_a_mean_far_from_zero_leaves_the_moments_exact() -> None:
    x = torch.randn(5000, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 1e7
    rows, mean, variance = Stream.of(x, 256, 0).moments()
    assert rows == 5000 and torch.allclose(mean, x.mean(0), rtol=1e-12)
    assert variance == pytest.approx(float(x.var(0, correction=0).mean()), rel=1e-6)


def test_the_history_describes_each_set_of_parameters() -> None:
    truth = known(4, 10, 2, seed=16, spread=0.5)
    x, other = (drawn(truth, 1500, s)[0].numpy() for s in (17, 18))
    rows: list[dict[str, Any]] = []
    m = MixtureOfFactorAnalyzers(4, 2, tol=0.001, start="points").fit(
        x, validation=other, progress=lambda share, text="", **facts: rows.append(facts["iteration"])
    )
    assert rows == m.history_ and [r["iteration"] for r in rows] == list(range(m.n_iter_ + 1))
    assert m.score(other) == pytest.approx(max(r["held_out"] for r in rows), abs=1e-6)
    kept = max(rows, key=lambda r: r["held_out"])
    assert m.score(x) == pytest.approx(kept["train"], abs=1e-6)
    assert m.score_ == pytest.approx(m.score(other), abs=1e-6)


def test_the_best_on_held_out_activations_is_kept() -> None:
    truth = known(3, 12, 2, seed=40)
    x, other = (drawn(truth, n, s)[0].numpy() for n, s in ((60, 41), (2000, 42)))  # few enough to learn by heart
    m = MixtureOfFactorAnalyzers(3, 5, tol=0).fit(x, validation=other)
    held = [r["held_out"] for r in m.history_]
    assert m.converged_ and held[-1] < max(held)
    assert m.score(other) == pytest.approx(max(held), abs=1e-6)


def test_a_fit_does_not_depend_on_shift_and_scale() -> None:
    x = drawn(known(3, 8, 2, seed=19), 1500, 20)[0].numpy()
    here, there = (MixtureOfFactorAnalyzers(3, 2).fit(data) for data in (x, 50 * x + 1000))
    assert there.score(50 * x + 1000) == pytest.approx(here.score(x) - 8 * math.log(50), abs=1e-6)
    assert np.allclose(there.means_, 50 * here.means_ + 1000) and there.scale_ == pytest.approx(50 * here.scale_)
    assert np.allclose(there.center_, (50 * x + 1000).mean(0))
    assert np.allclose(there.predict_proba(50 * x + 1000), here.predict_proba(x), atol=1e-6)


def test_the_same_seed_gives_the_same_fit_and_several_starts_the_best() -> None:
    x = drawn(known(6, 10, 2, seed=21, spread=0.7), 1500, 22)[0].numpy()
    settings: dict[str, Any] = {"n_components": 6, "n_factors": 2, "start": "points", "max_iter": 4}
    assert np.array_equal(*(MixtureOfFactorAnalyzers(**settings).fit(x).means_ for _ in range(2)))
    scores = [MixtureOfFactorAnalyzers(**settings, random_state=0, n_init=n).fit(x).score_ for n in (1, 2, 4)]
    assert scores == sorted(scores) and scores[2] > scores[0]


def test_partial_fit_approaches_the_fit() -> None:
    truth = replace(known(5, 16, 2, seed=23), weights=torch.tensor([0.05, 0.1, 0.15, 0.3, 0.4]).double())
    x, fresh = drawn(truth, 12000, 24)[0].numpy(), drawn(truth, 3000, 25)[0].numpy()
    best = float(dense_joint(truth, torch.tensor(fresh)).logsumexp(1).mean())
    m = MixtureOfFactorAnalyzers(5, 2, batch_size=256)
    scores = [m.partial_fit(part).score(fresh) for part in np.split(x, 24)]
    assert scores[-1] > scores[0] + 0.1
    assert scores[-1] > best - 0.15
    assert m.n_iter_ == m.history_[-1]["iteration"]
    order = [j for _, j in matched(truth, m.parameters_)]
    assert float((m.parameters_.weights[order] - truth.weights).abs().sum()) < 0.06
    # It goes on from a fit, and follows data that change.
    moved = MixtureOfFactorAnalyzers(5, 2, batch_size=256).fit(x[:3000])
    before = moved.score(fresh + 0.5)
    for part in np.split(x, 24):
        moved.partial_fit(part + 0.5)
    assert moved.score(fresh + 0.5) > before + 0.5
    assert moved.score(fresh + 0.5) > best - 0.3


def test_partial_fit_moves_an_empty_component() -> None:
    truth = known(3, 8, 1, seed=26, spread=2.0)
    p = Parameters(torch.tensor([0.495, 0.495, 0.01]).double(), truth.means.clone(), truth.loadings, truth.noise)
    p.means[2] = 40.0
    m = MixtureOfFactorAnalyzers.from_parameters(p).set_params(batch_size=300)
    x = drawn(truth, 24_000, 27)[0]
    for part in x.split(600):
        m.partial_fit(part)
    assert m.reseeded_ >= 1
    fresh = drawn(truth, 2000, 28)[0]
    assert m.score(fresh) > float(dense_joint(truth, fresh).logsumexp(1).mean()) - 0.1


def test_samples_have_the_moments_of_the_mixture() -> None:
    p = known(3, 4, 1, seed=28)
    m = MixtureOfFactorAnalyzers.from_parameters(p)
    x, region = m.sample(40_000, random_state=1)
    assert isinstance(x, Tensor) and isinstance(region, Tensor)
    for k in range(3):
        own = x[region == k]
        assert float((own.mean(0) - p.means[k]).abs().max()) < 0.12
        assert float((own.T.cov() - covariances(p)[k]).abs().max()) < 0.5
        assert float(p.weights[k]) == pytest.approx(len(own) / 40_000, abs=0.01)
    assert torch.equal(x, m.sample(40_000, random_state=1)[0])
    assert not torch.equal(x, m.sample(40_000, random_state=2)[0])
    # Another variance for every component's noise, and the kind of array that was fitted.
    n = MixtureOfFactorAnalyzers(2, 1, noise="component").fit(x.numpy())
    assert all(isinstance(a, np.ndarray) for a in n.sample(3))


def test_what_is_asked_of_a_fit() -> None:
    p = known(4, 9, 2, seed=29, spread=2.0)
    x, k = drawn(p, 500, 30)
    m = MixtureOfFactorAnalyzers.from_parameters(p)
    joint = dense_joint(p, x)
    assert torch.allclose(m.predict_proba(x), joint.softmax(1), atol=1e-9)
    assert torch.equal(m.predict(x), joint.argmax(1)) and float((m.predict(x) == k).double().mean()) > 0.99
    assert m.score(x) == pytest.approx(float(joint.logsumexp(1).mean()))
    z, region = m.transform(x), m.predict(x)
    assert isinstance(z, Tensor) and isinstance(region, Tensor)
    expected = p.means[region] + torch.einsum("ndr,nr->nd", p.loadings[region], z)
    assert torch.allclose(m.reconstruct(x), expected, atol=1e-10)
    lost = (m.reconstruct(x) - x).square().sum() / (p.means[region] - x).square().sum()
    assert float(lost) < 0.5
    single = m.score_samples(x.float().numpy())
    assert isinstance(single, np.ndarray) and single.dtype == np.float32


def test_rotation_changes_the_columns_only() -> None:
    x = drawn(known(3, 8, 2, seed=31), 1000, 32)[0].numpy()
    none, principal = (MixtureOfFactorAnalyzers(3, 2, rotation=r).fit(x) for r in ("none", "principal"))  # type: ignore[arg-type]
    assert np.abs(none.score_samples(x) - principal.score_samples(x)).max() < 1e-9
    gram = np.einsum("kdr,kds->krs", principal.loadings_, principal.loadings_)
    assert np.abs(gram[:, 0, 1]).max() < 1e-9 * gram.max()
    assert np.abs(np.einsum("kdr,kds->krs", none.loadings_, none.loadings_)[:, 0, 1]).max() > 1e-3


def test_scikit_learn_can_clone_and_cross_validate() -> None:
    m = MixtureOfFactorAnalyzers(3, 1, noise="component", tol=0.5)
    twin = clone(m)
    assert twin.get_params() == m.get_params()
    assert twin.set_params(n_components=2) is twin and twin.n_components == 2
    x = drawn(known(3, 6, 1, seed=33), 600, 34)[0].numpy()
    scores = cross_val_score(MixtureOfFactorAnalyzers(3, 1), x, cv=3)
    assert np.isfinite(scores).all()
    fitted = MixtureOfFactorAnalyzers(3, 1).fit(x)
    assert not hasattr(clone(fitted), "parameters_")
    assert copy.deepcopy(fitted).score(x) == fitted.score(x)


def test_progress_ends_the_fit() -> None:
    def stop(_share: float | None, _text: str = "", **facts: Any) -> None:
        if facts["iteration"]["iteration"] == 2:
            raise Cancelled

    x = drawn(known(3, 6, 1, seed=35), 500, 36)[0]
    with pytest.raises(Cancelled):
        MixtureOfFactorAnalyzers(3, 1, tol=0, start="points").fit(x, progress=stop)


POINTS = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
BAD = POINTS.copy()
BAD[7, 2] = np.nan


@pytest.mark.parametrize(
    ("settings", "data", "field", "words"),
    [
        ({"n_components": 100}, POINTS, "n_components", "more regions than activations"),
        ({"n_factors": 5}, POINTS, "n_factors", "fewer local factors"),
        ({}, BAD, "activations", "Row 7 .*not finite"),
        ({}, POINTS + np.inf, "activations", "not finite"),
        ({}, POINTS[0], "activations", "two axes"),
        ({}, np.zeros((60, 5)), "activations", "the same"),
        ({}, POINTS[:0], "activations", "no activations"),
        ({}, [], "activations", "no activations"),
        ({}, iter([POINTS]), "activations", "only once"),
        ({}, [POINTS, POINTS[:, :4]], "activations", "differ in width: 5 and 4"),
        ({}, np.array([["a", "b"]]), "activations", "array of numbers"),
        ({}, "activations.npy", "activations", "must be an array"),
        ({"n_components": 0}, POINTS, "n_components", "number of regions"),
        ({"n_components": 2.5}, POINTS, "n_components", "number of regions"),
        ({"noise": "full"}, POINTS, "noise", "shared, component"),
        ({"start": "random"}, POINTS, "start", "kmeans, points"),
        ({"rotation": "oblimin"}, POINTS, "rotation", "principal, varimax, none"),
        ({"top": 0}, POINTS, "top", "None for all"),
        ({"tol": -1.0}, POINTS, "tol", "tolerance"),
        ({"validation": 1.0}, POINTS, "validation", "below 1"),
        ({"random_state": -1}, POINTS, "random_state", "seed"),
    ],
)
def test_what_cannot_be_fitted_is_refused_in_words(settings: Any, data: Any, field: str, words: str) -> None:
    settings = {"n_components": 3, "n_factors": 1, **settings}
    with pytest.raises(UserError, match=words) as caught:
        MixtureOfFactorAnalyzers(**settings).fit(data)
    assert caught.value.field == field
    assert caught.value.message.endswith(".")


def test_what_cannot_be_asked_is_refused_in_words() -> None:
    m = MixtureOfFactorAnalyzers(3, 1).fit(POINTS)
    with pytest.raises(UserError, match="width 5"):
        m.predict(POINTS[:, :4])
    with pytest.raises(UserError, match="differ in width: 5 and 4"):
        m.partial_fit(POINTS[:, :4])
    with pytest.raises(UserError, match="not finite"):
        m.score_samples(BAD)
    with pytest.raises(UserError, match="another width"):
        m.fit(POINTS, validation=POINTS[:, :4])
    with pytest.raises(UserError, match="number of samples"):
        m.sample(0)


def test_few_and_repeated_points() -> None:
    few = MixtureOfFactorAnalyzers(3, 2, validation=0).fit(POINTS[:4])
    assert np.isfinite(few.score_samples(POINTS)).all()
    same = MixtureOfFactorAnalyzers(4, 1, validation=0).fit(np.repeat(POINTS[:2], 20, 0))
    assert np.isfinite(same.means_).all() and np.isfinite(same.noise_variance_).all()
    points = MixtureOfFactorAnalyzers(4, 1, validation=0, start="points").fit(np.repeat(POINTS[:2], 20, 0))
    assert np.isfinite(points.means_).all()


def test_importing_the_package_costs_no_torch() -> None:
    code = "import sys, analysis.mfa; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
