"""E- and M-step against sums written out point by point, and the promises of EM."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from analysis.mfa.density import Density
from analysis.mfa.em import Floors, Statistics, Worst, expect, maximise
from analysis.mfa.kmeans import lloyd, nearest, seeded
from analysis.mfa.parameters import Noise, Parameters
from analysis.mfa.rearrange import exchanged, rearranged
from analysis.mfa.shape import shaped
from analysis.mfa.stream import Stream
from analysis.mfa.training import Schedule, mean_score, train
from tests.unit.mfa.truth import dense_joint, drawn, known

NOISES: tuple[Noise, ...] = ("shared", "component")
OFF = Floors(noise=1e-12, count=0.0, ridge=0.0)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rough(x: Tensor, components: int, factors: int, noise: Noise, seed: int) -> Parameters:
    """A poor start: points as centroids, loadings and noise at random."""
    g = generator(seed)
    width = x.shape[1]
    means = x[torch.randperm(len(x), generator=g)[:components]]
    loadings = torch.randn(components, width, factors, generator=g, dtype=torch.float64) * 0.3
    psi = torch.full((width,) if noise == "shared" else (components, width), 1.0, dtype=torch.float64)
    return Parameters(torch.full((components,), 1 / components, dtype=torch.float64), means, loadings, psi)


def slow_sums(p: Parameters, x: Tensor, top: int | None) -> Statistics:
    """The sums one component at a time, from D x D covariances and explicit inverses."""
    joint = dense_joint(p, x)
    kept = (
        joint
        if top is None
        else torch.full_like(joint, -torch.inf).scatter(1, joint.topk(top, 1).indices, joint.topk(top, 1).values)
    )
    r = kept.softmax(1)
    found = Statistics.like(p)
    for k in range(p.components):
        noise = p.noise if p.noise.ndim == 1 else p.noise[k]
        inverse = torch.linalg.inv(torch.eye(p.factors).double() + p.loadings[k].T @ (p.loadings[k] / noise[:, None]))
        z = (x - p.means[k]) / noise @ p.loadings[k] @ inverse
        ones = torch.cat([z, torch.ones(len(x), 1, dtype=torch.float64)], 1)
        found.count[k] = r[:, k].sum()
        found.cross[k] = (x * r[:, k : k + 1]).T @ ones
        found.second[k] = (ones * r[:, k : k + 1]).T @ ones
        found.second[k, : p.factors, : p.factors] += r[:, k].sum() * inverse
        if p.noise.ndim == 2:
            found.square[k] = r[:, k] @ x**2
    if p.noise.ndim == 1:
        found.square = (x**2).sum(0)
    found.rows, found.score = len(x), float(joint.logsumexp(1).sum())
    return found


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("top", [1, 2, None])
def test_sums_are_those_written_out(noise: Noise, top: int | None) -> None:
    p = known(5, 9, 2, seed=1, noise=noise, spread=0.3)
    x, _ = drawn(p, 400, 2)
    fast, slow = expect(p, x.split(150), top=top), slow_sums(p, x, top)
    for name in ("count", "cross", "second", "square"):
        # Responsibilities below 1e-7 are left out, with points of size 10: hence not to the last digit.
        assert torch.allclose(getattr(fast, name), getattr(slow, name), atol=1e-4, rtol=1e-6), name
    assert fast.rows == slow.rows
    assert abs(fast.score - slow.score) < 1e-8


@pytest.mark.parametrize("noise", NOISES)
def test_the_product_for_gpus_gives_the_same_sums(noise: Noise) -> None:
    from analysis.mfa import em

    p = known(5, 9, 2, seed=3, noise=noise)
    x, _ = drawn(p, 200, 4)
    leading = Density(p, torch.zeros(9)).leading(x, 2)
    grouped, whole = Statistics.like(p), Statistics.like(p)
    em._add_grouped(grouped, x, leading)
    em._add_dense(whole, x, leading)
    for name in ("count", "cross", "second") + (("square",) if noise == "component" else ()):
        assert torch.allclose(getattr(grouped, name), getattr(whole, name), atol=1e-4, rtol=1e-6), name


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("seed", range(4))
def test_the_likelihood_never_falls(noise: Noise, seed: int) -> None:
    x, _ = drawn(known(4, 8, 2, seed=seed, noise=noise, spread=0.7), 500, seed + 50)
    p = rough(x, 4, 2, noise, seed)
    scores = []
    for _ in range(40):
        sums = expect(p, [x], top=None)
        scores.append(sums.score / sums.rows)
        p = maximise(sums, p, OFF)
    steps = torch.tensor(scores).diff()
    assert float(steps.min()) > -1e-10
    assert scores[-1] > scores[0] + 1  # and it did rise


@pytest.mark.parametrize("noise", NOISES)
def test_the_end_is_a_stationary_point_of_the_likelihood(noise: Noise) -> None:
    x, _ = drawn(known(3, 6, 1, seed=20, noise=noise), 400, 21)
    p = known(3, 6, 1, seed=20, noise=noise)
    for _ in range(300):
        p = maximise(expect(p, [x], top=None), p, OFF)
    free = [t.clone().requires_grad_() for t in (p.means, p.loadings, p.noise)]
    dense_joint(Parameters(p.weights, *free), x).logsumexp(1).mean().backward()
    assert max(float(t.grad.abs().max()) for t in free if t.grad is not None) < 1e-5


def test_top_two_is_close_to_all() -> None:
    x, _ = drawn(known(6, 16, 2, seed=5), 2000, 6)
    ends = []
    for top in (2, None):
        p = known(6, 16, 2, seed=5)
        for _ in range(10):
            p = maximise(expect(p, [x], top=top), p)
        ends.append(mean_score(p, [x]))
    assert abs(ends[0] - ends[1]) < 1e-3


def test_floors_hold() -> None:
    x, _ = drawn(known(2, 6, 1, seed=7), 300, 8)
    x[:, 0] = 0  # a dimension without variance
    p = known(2, 6, 1, seed=7)
    for _ in range(5):
        p = maximise(expect(p, [x], top=2), p, Floors(noise=1e-3))
    assert float(p.noise[0]) == pytest.approx(1e-3)
    assert bool(torch.isfinite(p.loadings).all())
    lonely = Statistics.expected(p)
    lonely.count[:] = torch.tensor([300.0, 0.0])
    assert float(maximise(lonely, p, least=5.0).weights[1]) == pytest.approx(0.1 / 300.2)


def test_components_with_too_few_points_keep_their_place() -> None:
    p = known(3, 6, 1, seed=9)
    far = Parameters(p.weights, torch.cat([p.means[:2], p.means[2:] + 1000]), p.loadings, p.noise)
    x, _ = drawn(Parameters(torch.tensor([0.5, 0.5, 1e-9]).double(), far.means, far.loadings, far.noise), 300, 10)
    after = maximise(expect(far, [x]), far, least=3.0)
    assert torch.allclose(after.means[2], far.means[2]) and torch.allclose(after.loadings[2], far.loadings[2])
    assert not torch.allclose(after.means[0], far.means[0])
    assert float((after.noise / far.noise).max()) < 2  # their place is no part of the noise


def test_expected_sums_ask_for_the_parameters_they_came_from() -> None:
    for noise in NOISES:
        p = known(4, 7, 2, seed=11, noise=noise)
        again = maximise(Statistics.expected(p), p, OFF)
        for name in ("weights", "means", "loadings", "noise"):
            assert torch.allclose(getattr(again, name), getattr(p, name), atol=1e-9), name


def test_implanted_sums_change_one_component_only() -> None:
    for noise in NOISES:
        p, other = (known(4, 7, 2, seed=s, noise=noise) for s in (12, 13))
        other = Parameters(p.weights, other.means, other.loadings, p.noise)
        sums = Statistics.expected(p)
        sums.implant(2, p, other, 0.01)
        again = maximise(sums, p, OFF)
        wanted = p.means.clone()
        wanted[2] = other.means[2]
        assert torch.allclose(again.means, wanted, atol=1e-9)
        assert torch.allclose(again.noise, p.noise, atol=1e-9)


def test_an_empty_component_is_moved_to_what_is_badly_explained() -> None:
    truth = known(3, 8, 1, seed=14, spread=2.0)
    x, owner = drawn(truth, 900, 15)
    x = (x - x.mean(0)) / x.std()
    cluster = torch.stack([x[owner == k].mean(0) for k in range(3)])
    p = Parameters(
        torch.full((3,), 1 / 3).double(),
        torch.stack([cluster[0], cluster[1], torch.full((8,), 100.0).double()]),
        torch.full((3, 8, 1), 0.1).double(),
        torch.full((8,), 0.1).double(),
    )
    reports: list[dict[str, Any]] = []
    found = train(p, [x], [x], Schedule(30, 1e-3), generator(), lambda *_, **facts: reports.append(facts["iteration"]))
    rows = [row["reseeded"] for row in reports]
    assert found.reseeded >= 1 and rows[-1] == found.reseeded
    assert float((found.parameters.means[2] - cluster[2]).norm()) < 0.5
    assert float(found.parameters.means.abs().max()) < 50


def test_worst_points_are_the_worst() -> None:
    p = known(3, 5, 1, seed=16)
    x, _ = drawn(p, 500, 17)
    d, worst = Density(p), Worst(7)
    for part in x.split(64):
        worst.add(part, d.leading(part, 2))
    assert worst.points is not None
    assert torch.equal(worst.points.sort(0).values, x[d.score(x).topk(7, largest=False).indices].sort(0).values)


def test_kmeans_finds_separate_clusters_and_leaves_none_empty() -> None:
    g = generator(1)
    centers = torch.randn(12, 5, generator=g) * 20
    x = centers[torch.randint(12, (1200,), generator=g)] + torch.randn(1200, 5, generator=g)
    first = seeded(x, 12, g)
    found = lloyd(Stream.of(x, 256, 0), first)
    assert float(torch.cdist(centers, found).min(1).values.max()) < 1
    # A centroid far from everything comes back to the cluster that lacks one; a second finds some place of its own.
    lost = torch.cat([found[:11], torch.full((1, 5), 1e4)])
    assert float(torch.cdist(centers, lloyd(Stream.of(x, 256, 0), lost)).min(1).values.max()) < 1
    more = lloyd(Stream.of(x, 256, 0), torch.cat([found, torch.full((1, 5), 1e4)]))
    assert int(nearest(x, more)[0].unique().numel()) == 13


@pytest.mark.parametrize("width", [20, 200])
def test_shapes_are_the_principal_axes_of_each_cluster(width: int) -> None:
    p = known(3, width, 2, seed=18, spread=3.0)
    x, owner = drawn(p, 1500, 19)
    found = shaped(x, torch.stack([x[owner == k].mean(0) for k in range(3)]), 2, "shared", generator())
    for k in range(3):
        q, u = torch.linalg.qr(found.loadings[k]).Q, torch.linalg.qr(p.loadings[k]).Q
        assert float(torch.linalg.svdvals(q.T @ u).min()) > 0.98
    lengths = found.loadings.square().sum((1, 2)) / p.loadings.square().sum((1, 2))
    assert float((lengths - 1).abs().max()) < 0.2
    assert float((found.noise / p.noise - 1).abs().median()) < 0.2


def test_loadings_are_shortened_by_the_noise() -> None:
    x, _ = drawn(known(1, 7, 2, seed=24), 800, 25)
    values = torch.linalg.eigvalsh((x - x.mean(0)).T.cov(correction=0))
    found = shaped(x, x.mean(0)[None], 2, "shared", generator())
    # Probabilistic PCA: lengths squared are eigenvalues less the mean of the rest.
    assert torch.allclose(found.loadings[0].square().sum(0), values[-2:].flip(0) - values[:-2].mean(), rtol=1e-9)
    assert float(found.noise.sum() + found.loadings.square().sum()) == pytest.approx(float(values.sum()))


def test_columns_without_points_are_small_and_not_zero() -> None:
    x = torch.randn(40, 6, generator=generator(2), dtype=torch.float64)
    lonely = torch.cat([x, torch.full((1, 6), 50.0).double()])
    found = shaped(lonely, torch.stack([x.mean(0), lonely[-1]]), 3, "component", generator())
    lengths = found.loadings[1].norm(dim=0)
    assert bool((lengths > 0).all()) and float(lengths.max()) < 1
    assert bool(torch.isfinite(found.noise).all()) and float(found.noise.min()) > 0


@pytest.mark.parametrize("noise", NOISES)
def test_a_component_on_two_clusters_is_exchanged_for_one_that_shares_a_cluster(noise: Noise) -> None:
    truth = known(6, 24, 2, seed=22, spread=1.0)
    x, owner = drawn(truth, 3000, 23)
    # Clusters 0 and 1 have one component, cluster 5 has two.
    cut = (x[owner == 5] @ truth.loadings[5, :, 0]) > (truth.means[5] @ truth.loadings[5, :, 0])
    groups = [x[owner <= 1], *(x[owner == k] for k in (2, 3, 4)), x[owner == 5][cut], x[owner == 5][~cut]]
    label = torch.cat([torch.full((len(g),), i) for i, g in enumerate(groups)])
    x = torch.cat(groups)
    p = shaped(x, torch.stack([g.mean(0) for g in groups]), 2, noise, generator())
    stuck, better = p, rearranged(p, x, generator())
    for _ in range(30):
        stuck, better = maximise(expect(stuck, [x]), stuck), maximise(expect(better, [x]), better)
    assert label.unique().numel() == 6
    ideal = float(dense_joint(truth, x).logsumexp(1).mean())
    assert mean_score(stuck, [x]) < ideal - 0.5  # EM alone does not get out
    assert mean_score(better, [x]) > ideal - 0.05


def test_two_components_on_one_cluster_are_not_both_given_up() -> None:
    truth = known(7, 24, 2, seed=26)
    x, owner = drawn(truth, 3500, 27)
    cut = (x[owner == 6] @ truth.loadings[6, :, 0]) > (truth.means[6] @ truth.loadings[6, :, 0])
    pairs = [x[(owner == 0) | (owner == 1)], x[(owner == 2) | (owner == 3)]]
    groups = [*pairs, x[owner == 4], x[owner == 5], x[owner == 6][cut], x[owner == 6][~cut]]
    p = shaped(x, torch.stack([g.mean(0) for g in groups]), 2, "shared", generator())
    after = exchanged(p, x, generator())
    assert after is not None
    changed = (after.means != p.means).any(1)
    assert bool(changed[:2].any())
    assert int(changed[4:].sum()) == 1
