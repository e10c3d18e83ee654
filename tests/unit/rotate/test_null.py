"""The null: percentiles against counts by hand, false positives among fresh random vectors, made attractors."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor

from analysis.rotate import channels
from analysis.rotate.attractors import attractors
from analysis.rotate.channels import VocabularyChannels
from analysis.rotate.null import ChannelNull, measure_null
from analysis.rotate.outliers import LONG, token_weights
from tests.unit.rotate.test_planted import Planted, planted

ROUNDS = 2


@cache
def truth() -> Planted:
    return planted(11, width=48, tokens=1600, directions=4, neurons=40)


@cache
def measured() -> tuple[ChannelNull, Tensor]:
    """A null of 250 vectors, and own z of 400 fresh random vectors; batch size changes nothing but the time."""
    p = truth()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(channels, "BATCH", 100)
        null = measure_null(p.projection, None, vectors=250, rounds=ROUNDS, seed=0)
        fresh = torch.randn(400, 48, generator=torch.Generator().manual_seed(12_345))
        return null, VocabularyChannels(ROUNDS, random_state=5).fit(fresh, p.projection).own_z_


def test_random_vectors_pass_for_something_in_five_percent_of_cases() -> None:
    null, own = measured()
    rate = float((null.p_value(own) <= 0.05).any(1).float().mean())
    # Binomial errors of 400 draws and of a null of 250: together a standard deviation of 1.8 points.
    assert 0.015 < rate < 0.1
    best = null.p_value(own).amin(1)
    for level in (0.2, 0.5):
        assert float((best <= level).float().mean()) == pytest.approx(level, abs=0.08)


def test_percentiles_of_random_vectors_are_uniform_in_every_round() -> None:
    null, own = measured()
    percentile = null.percentile(own)
    for c in range(ROUNDS):
        assert float((percentile[:, c] > 95).float().mean()) == pytest.approx(0.05, abs=0.03)
        assert float((percentile[:, c] > 50).float().mean()) == pytest.approx(0.5, abs=0.08)
        assert float(percentile[:, c].mean()) == pytest.approx(50, abs=5)


def test_planted_neurons_are_told_from_random_ones_by_own_z_and_by_kurtosis_they_would_not_be() -> None:
    null, _ = measured()
    p = truth()
    found = VocabularyChannels(ROUNDS).fit(p.vectors, p.projection)
    something = (null.p_value(found.own_z_) <= 0.05).any(1)
    assert float(something.float().mean()) >= 0.95
    usual = null.band("kurtosis")
    assert usual[1] > 0.5 * float(found.kurtosis_[:, 0].median()), "random vectors have such channels too"


def test_percentile_and_p_value_are_counts() -> None:
    null = hand_made()
    own = torch.tensor([[2.5, 0.0, 9.0]])
    assert null.percentile(own)[0].tolist() == pytest.approx([50.0, 0.0, 100.0]), "beyond the last round, the last"
    # Best of both rounds: 5, 2, 6, 4.
    assert null.p_value(own)[0].tolist() == pytest.approx([4 / 5, 5 / 5, 1 / 5])
    # With one channel only the first round counts: 1, 2, 3, 4.
    assert null.p_value(own[:, :1])[0].tolist() == pytest.approx([3 / 5])
    assert null.band("own_z")[1] == pytest.approx(4.5) and null.vectors == 4 and null.rounds == 2


def hand_made() -> ChannelNull:
    own = torch.tensor([[1.0, 5.0], [2.0, 1.0], [3.0, 6.0], [4.0, 2.0]])
    return ChannelNull(own, own / 10, -own, 10 * own, torch.arange(160).view(4, 2, 20))


def test_arrays_go_there_and_back() -> None:
    null = hand_made()
    again = ChannelNull.of_arrays(null.arrays())
    for name in ("own_z", "cosine", "loss", "kurtosis", "top"):
        assert torch.equal(getattr(again, name), getattr(null, name))
    assert again.top.dtype == torch.int64


def test_a_null_does_not_depend_on_length_and_is_decided_by_its_seed() -> None:
    p = truth()
    null = measure_null(p.projection, None, vectors=12, rounds=1, seed=3)
    assert torch.equal(null.own_z, measure_null(p.projection, None, vectors=12, rounds=1, seed=3).own_z)
    assert not torch.equal(null.own_z, measure_null(p.projection, None, vectors=12, rounds=1, seed=4).own_z)
    w = torch.randn(6, 48, generator=torch.Generator().manual_seed(1))
    one, long = (VocabularyChannels(1).fit(w * s, p.projection) for s in (1.0, 50.0))
    for name in ("own_z_", "cosine_", "loss_", "kurtosis_"):
        assert torch.allclose(getattr(one, name), getattr(long, name), atol=2e-2, rtol=2e-2)


def test_a_null_like_some_vectors_has_their_second_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []

    class Listening(VocabularyChannels):
        def fit(self, X: Tensor, *others: Tensor, **more: object) -> VocabularyChannels:
            seen.append(X)
            return super().fit(X[:2], *others, **more)  # type: ignore[arg-type]

    monkeypatch.setattr("analysis.rotate.null.VocabularyChannels", Listening)
    like = torch.randn(50, 8, generator=torch.Generator().manual_seed(2)) * torch.linspace(0.2, 3, 8)
    measure_null(
        torch.randn(90, 8, generator=torch.Generator().manual_seed(3)), None, vectors=4000, rounds=1, like=like
    )
    got, wanted = seen[0].T @ seen[0] / 4000, like.T @ like
    assert float((got - wanted).norm() / wanted.norm()) < 0.1


def tokens_of(*groups: int) -> Tensor:
    """Channels whose 20 tokens are those of a group, a few exchanged for tokens of nobody; (N, 1, 20)."""
    g = torch.Generator().manual_seed(0)
    rows = []
    for number, group in enumerate(groups):
        row = 100 * group + torch.randperm(22, generator=g)[:20]
        row[:4] = 10_000 + 10 * number + torch.arange(4)
        rows.append(row)
    return torch.stack(rows)[:, None]


def test_attractors_are_the_groups_that_recur() -> None:
    top = tokens_of(*[1] * 10, *[2] * 6, *range(3, 27))
    found = attractors(top, least=0.05)
    assert [round(a.share, 3) for a in found] == [10 / 40, 6 / 40]
    assert sum(100 <= t < 122 for t in found[0].tokens) >= 18
    assert found[0].holds(top[0, 0]) and not found[0].holds(top[12, 0]) and not found[0].holds(top[30, 0])
    assert found[0].holds(torch.tensor([*found[0].tokens[:7], *range(5000, 5013)]))
    assert not found[0].holds(torch.tensor([*found[0].tokens[:6], *range(5000, 5014)]))
    assert attractors(tokens_of(*range(1, 30)), least=0.02) == []


def test_a_vector_counts_once_however_often_it_comes() -> None:
    once = tokens_of(*[1] * 4, *range(2, 8))
    twice = torch.cat([once, once], 1)
    assert attractors(twice, 0.3)[0].share == pytest.approx(0.4)


def test_token_weights_leave_out_special_long_and_recurring_tokens() -> None:
    """A tight group of far tokens draws random vectors; after the weights are made it draws hardly any."""
    g = torch.Generator().manual_seed(4)
    U = torch.randn(1500, 24, generator=g)
    direction = torch.nn.functional.normalize(torch.randn(24, generator=g), dim=0)
    U[40:75] += 8 * direction
    U[:15] *= 3
    made = token_weights(U, special=(300, 301), vectors=48, passes=2)
    assert bool((made.weights[[300, 301]] == 0).all()) and bool((made.weights[:15] <= LONG).all())
    assert float((made.weights[40:75] == 0).float().mean()) >= 0.9
    assert 1 <= len(made.passes) <= 2 and max(made.passes[0]["shares"]) > 0.05  # type: ignore[call-overload]
    zero, low = made.counts
    assert zero == int((made.weights == 0).sum()) and zero < 200 and 0 < low <= 15
    assert set(made.weights.unique().tolist()) == {0.0, float(torch.tensor(LONG)), 1.0}

    def drawn(weights: Tensor) -> float:
        null = measure_null(U, weights, vectors=60, rounds=1, seed=9)
        return float((torch.isin(null.top[:, 0], torch.arange(40, 75)).sum(1) >= 7).float().mean())

    long_out = torch.where(U.norm(dim=1) > U.norm(dim=1).quantile(0.99), LONG, 1.0)
    assert drawn(long_out) > 0.2 and drawn(made.weights) < 0.05
