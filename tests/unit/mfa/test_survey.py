"""The survey against a slow one: dense posteriors, one point at a time, sums and orders by hand."""

from __future__ import annotations

import math
from functools import cache

import pytest
import torch
from torch import Tensor

from analysis.mfa.parameters import Noise, Parameters
from analysis.mfa.rotations import random_rotation
from analysis.mfa.survey import CONTEXTS, ENDS, Survey, survey
from tests.unit.mfa.truth import covariances, dense_joint, drawn, known

K, D, R, N = 4, 7, 2, 260


@cache
def mixture(noise: Noise = "shared") -> tuple[Parameters, Tensor]:
    parameters = known(K, D, R, seed=3, noise=noise, spread=2.0)
    return parameters, drawn(parameters, N, seed=5)[0]


@cache
def surveyed(noise: Noise = "shared", size: int = 64) -> Survey:
    parameters, x = mixture(noise)
    return survey(parameters.to(torch.float32), x.mean(0).float(), x.float().split(size), seed=1)


@cache
def slow(noise: Noise = "shared") -> dict[str, Tensor]:
    """Region, responsibility, own log-density and posterior mean of every point, from D x D inverses."""
    parameters, x = mixture(noise)
    joint = dense_joint(parameters, x)
    shares = joint.softmax(1)
    region = shares.argmax(1)
    inverse = torch.linalg.inv(covariances(parameters))
    z = torch.stack(
        [
            parameters.loadings[k].T @ inverse[k] @ (point - parameters.means[k])
            for point, k in zip(x, region.tolist(), strict=True)
        ]
    )
    own = torch.stack([joint[n, k] - parameters.weights[k].log() for n, k in enumerate(region.tolist())])
    return {"region": region, "share": shares.max(1).values, "shares": shares, "own": own, "z": z}


@pytest.mark.parametrize("noise", ["shared", "component"])
def test_members_and_masses_are_those_of_dense_responsibilities(noise: Noise) -> None:
    found, true = surveyed(noise), slow(noise)
    assert torch.equal(found.region, true["region"])
    assert found.size.tolist() == [int((true["region"] == k).sum()) for k in range(K)] and int(found.size.min()) > 10
    assert torch.allclose(found.mass, true["shares"].sum(0), atol=1e-3)
    assert float(found.mass.sum()) == pytest.approx(N, abs=1e-3)


def test_spread_is_that_of_the_posterior_means_of_a_regions_own_points() -> None:
    found, true = surveyed(), slow()
    for k in range(K):
        mine = true["z"][true["region"] == k]
        expected = (mine - mine.mean(0)).square().mean(0).sqrt()
        assert torch.allclose(found.spread[k].double(), expected, rtol=2e-3)


def test_ends_of_a_factor_are_the_members_furthest_out_and_no_one_is_at_both() -> None:
    found, true = surveyed(), slow()
    for k in range(K):
        rows = (true["region"] == k).nonzero()[:, 0].tolist()
        for j in range(R):
            # Kept in half precision, so two members that close may change places.
            value = {n: float(true["z"][n, j]) for n in rows}
            ranked = sorted(rows, key=value.__getitem__)
            low, high = found.low[k, j].tolist(), found.high[k, j].tolist()
            for mine, expected in ((low, ranked[:ENDS]), (high, ranked[::-1][:ENDS])):
                assert [value[n] for n in mine] == pytest.approx([value[n] for n in expected], abs=4e-3)
            assert not set(low) & set(high) and set(low) | set(high) <= set(rows)


def test_contexts_are_the_best_members_by_each_measure() -> None:
    found, true = surveyed(), slow()
    for k in range(K):
        rows = (true["region"] == k).nonzero()[:, 0]
        for name, key, tolerance in (("likelihood", "own", 1e-3), ("responsibility", "share", 1e-5)):
            mine = found.contexts[name][k]
            best = true[key][rows].sort(descending=True).values[:CONTEXTS]
            assert set(mine.tolist()) <= set(rows.tolist()) and len(set(mine.tolist())) == CONTEXTS
            assert torch.allclose(true[key][mine], best, atol=tolerance)
        chance = found.contexts["random"][k].tolist()
        assert set(chance) <= set(rows.tolist()) and len(set(chance)) == CONTEXTS


def test_another_seed_draws_other_random_members_and_nothing_else() -> None:
    parameters, x = mixture()
    other = survey(parameters.to(torch.float32), x.mean(0).float(), [x.float()], seed=2)
    assert not torch.equal(other.contexts["random"], surveyed().contexts["random"])
    assert torch.equal(other.contexts["likelihood"], surveyed().contexts["likelihood"])
    assert torch.equal(other.low, surveyed().low) and other.fvu_local == pytest.approx(surveyed().fvu_local)


def test_variance_left_and_norms_are_sums_over_single_points() -> None:
    found, true = surveyed(), slow()
    parameters, x = mixture()
    mean = x.mean(0)
    whole = centroid = local = 0.0
    norms = [0.0, 0.0, 0.0]
    for n, k in enumerate(true["region"].tolist()):
        offset = sum(true["z"][n, j] * parameters.loadings[k, :, j] for j in range(R))
        rest = x[n] - parameters.means[k] - offset
        parts = (parameters.means[k] - mean, offset, rest)
        assert torch.allclose(sum(parts, torch.zeros(D).double()), x[n] - mean)
        norms = [a + math.dist(p.tolist(), [0.0] * D) / N for a, p in zip(norms, parts, strict=True)]
        whole += float((x[n] - mean).square().sum())
        centroid += float((x[n] - parameters.means[k]).square().sum())
        local += float(rest.square().sum())
    assert found.fvu_centroid == pytest.approx(centroid / whole, rel=1e-4)
    assert found.fvu_local == pytest.approx(local / whole, rel=1e-4)
    assert found.fvu_local < 0.5 * found.fvu_centroid < 0.5
    assert found.norms == pytest.approx(norms, rel=1e-4)


def test_batches_do_not_matter_and_every_one_is_reported() -> None:
    parameters, x = mixture()
    shares: list[float | None] = []
    batches = x.float().split(100)
    one = survey(
        parameters.to(torch.float32), x.mean(0).float(), batches, seed=1, rows=len(x),
        progress=lambda share, text="", **_: shares.append(share),
    )  # fmt: skip
    assert shares == [100 / 260, 200 / 260, 1.0]
    assert torch.equal(one.region, surveyed().region) and torch.equal(one.low, surveyed().low)
    assert torch.allclose(one.mass, surveyed().mass) and one.fvu_local == pytest.approx(surveyed().fvu_local)


def test_turning_the_loadings_moves_factors_but_no_member_and_no_variance() -> None:
    parameters, x = mixture()
    turned = survey(random_rotation(parameters, 9).to(torch.float32), x.mean(0).float(), [x.float()], seed=1)
    before = surveyed()
    assert torch.equal(turned.region, before.region)
    assert turned.fvu_local == pytest.approx(before.fvu_local, rel=1e-4)
    assert torch.allclose(turned.spread.square().sum(1), before.spread.square().sum(1), rtol=5e-3)
    assert not torch.allclose(turned.spread, before.spread, rtol=0.05)


def test_regions_without_points_have_no_contexts_and_single_points_no_ends() -> None:
    means = torch.tensor([[0.0, 0.0], [50.0, 0.0], [0.0, 50.0]])
    parameters = Parameters(torch.full((3,), 1 / 3), means, torch.ones(3, 2, 1), torch.ones(2))
    x = torch.tensor([[0.1, 0.0], [0.0, -0.3], [0.4, 0.2], [50.0, 0.1]])
    found = survey(parameters, torch.zeros(2), [x])
    assert found.size.tolist() == [3, 1, 0]
    assert (found.contexts["random"][2] == -1).all() and (found.low[2] == -1).all() and (found.spread[2] == 0).all()
    assert found.contexts["likelihood"][1].tolist() == [3] + [-1] * (CONTEXTS - 1)
    assert (found.low[1] == -1).all() and (found.high[1] == -1).all()
    assert (found.low[0, 0] >= 0).sum() == 1 == (found.high[0, 0] >= 0).sum()
