"""Evidence of a head: numbers from synthetic heads whose answer is known, and the sentences drawn from them."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from analysis.answer import from_wire, to_wire
from analysis.qk import QKSubspace, contrastive_covariance, principal_cosines, random_basis, rank_by_energy
from analysis.qk.answers.evidence import HeadEvidence
from analysis.qk.evidence import head_evidence, overlap, subspace_of, verdict
from analysis.qk.fit import ContrastFit
from analysis.qk.synthetic import SyntheticHead


def fit_of(q: Tensor, positive: Tensor, negative: Tensor, permutations: int = 40, seed: int = 0) -> ContrastFit:
    """The fit of one head in one layer, layer 5, from vectors (n, d); a relabelling swaps the keys of a coin toss."""
    n, difference = len(q), positive - negative
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (permutations, n))
    null = [contrastive_covariance(q, s[:, None] * difference, 0 * difference) for s in torch.from_numpy(signs)]
    centre = [torch.outer(q.mean(0), (s[:, None] * difference).mean(0)) for s in torch.from_numpy(signs)]
    gaps = (q * difference).sum(1)
    halves = [slice(0, None, 2), slice(1, None, 2)]

    def stacked(values: list[Any]) -> np.ndarray:
        return np.stack([np.asarray(v, np.float32) for v in values])[None, None] if values else np.zeros((1, 1, 0))

    def one(value: Any) -> np.ndarray:
        return np.array([[float(value)]], np.float32)

    spectra = [[torch.linalg.svdvals(m) for m in x] for x in (null, [a - b for a, b in zip(null, centre, strict=True)])]
    empty = np.zeros((1, 1, 0, q.shape[1]), np.float32)
    return ContrastFit(
        layers=[5],
        halves=stacked([contrastive_covariance(q[h], positive[h], negative[h]) for h in halves]),
        query_mean=stacked([q[h].mean(0) for h in halves]),
        key_mean=stacked([difference[h].mean(0) for h in halves]),
        query_gap=np.zeros((1, 1, 2, q.shape[1]), np.float32),
        key_mid=stacked([(positive + negative)[h].mean(0) / 2 for h in halves]),
        null_values=stacked(spectra[0]) if null else empty,
        null_values_centred=stacked(spectra[1]) if null else empty,
        null_trace=stacked([m.trace() for m in null]),
        query_sq=one(q.square().sum(1).mean()),
        key_sq=one(difference.square().sum(1).mean()),
        trace=one(gaps.mean()),
        trace_error=one(gaps.std() / n**0.5),
        attention=np.array([[[0.4, 0.1]]], np.float32),
        hits=one(0.75),
        counts=((n + 1) // 2, n // 2),
        scaling=np.array([0.125], np.float32),
    )


def synthetic(
    n: int, d: int = 64, r1: int = 3, offset: float = 0.0, seed: int = 0, aligned: bool = True
) -> ContrastFit:
    """A fit of a synthetic head; with ``aligned`` query and key side are turned so that matching raises the logit."""
    generator = torch.Generator().manual_seed(seed)
    head = SyntheticHead.draw(d, r1, 4, generator, offset=offset)
    q, positive, negative = head.sample(n, generator)
    if aligned:
        key_side = torch.cat([head.v1, head.v2], 1)
        query_side = torch.cat([head.u1, head.u2], 1)
        rest = [
            torch.linalg.qr(torch.cat([s, torch.eye(d, dtype=s.dtype)], 1))[0][:, r1 + 4 :]
            for s in (key_side, query_side)
        ]
        turn = key_side @ query_side.mT + rest[0] @ rest[1].mT
        positive, negative = positive @ turn, negative @ turn
    return fit_of(q, positive, negative)


def shuffled(n: int = 200, d: int = 64, seed: int = 0) -> ContrastFit:
    """No feature at all: positive and negative keys come from one distribution, which has a mean."""
    generator = torch.Generator().manual_seed(seed)
    q, a, b = (torch.randn(n, d, generator=generator, dtype=torch.float64) + 1 for _ in range(3))
    return fit_of(q, a, b)


def test_numbers_are_those_of_the_definitions() -> None:
    fit = synthetic(400, d=12)
    facts = head_evidence(fit, 5, 0)
    delta = fit.delta(5, 0)
    values = torch.linalg.svdvals(delta)
    assert np.allclose(facts.singular_values, values, atol=1e-5)
    assert facts.rank_by_rule == facts.rank == rank_by_energy(values)
    assert facts.trace == pytest.approx(float(delta.trace()), abs=1e-4)
    assert facts.trace_nats == pytest.approx(0.125 * facts.trace)
    assert sum(facts.direction_trace) == pytest.approx(facts.trace, abs=1e-3)
    assert facts.trace_in_rank == pytest.approx(sum(facts.direction_trace[: facts.rank]), abs=1e-3)
    null = np.sort(fit.null_values[0, 0], axis=0)
    assert np.allclose(facts.null_band, np.quantile(null, [0.05, 0.5, 0.95], axis=0), atol=1e-4)
    count = 0
    for index, value in enumerate(values.tolist()):
        count += value > np.quantile(null[:, index], 0.95)
    assert facts.above_null == count
    ranks = [rank_by_energy(torch.from_numpy(row)) for row in fit.null_values[0, 0]]
    assert facts.null_rank_mean == pytest.approx(np.mean(ranks))
    assert facts.null_rank_sd == pytest.approx(np.std(ranks, ddof=1))
    one, two = (QKSubspace.from_covariance(fit.delta(5, 0, half=h)) for h in (0, 1))
    assert facts.split_half_query == pytest.approx(abs(float(one.left[:, 0] @ two.left[:, 0])))
    assert facts.split_half_key == pytest.approx(abs(float(one.right[:, 0] @ two.right[:, 0])))
    cosines = principal_cosines(one.right[:, : facts.rank], two.right[:, : facts.rank])
    assert facts.split_half_subspace == pytest.approx(float(cosines.mean()))
    assert from_wire(HeadEvidence, json.loads(json.dumps(to_wire(facts)[0], allow_nan=False)), {}) == facts


def test_above_null_counts_every_index_and_not_only_the_leading_ones() -> None:
    fit = synthetic(400, d=12)
    values = torch.linalg.svdvals(fit.delta(5, 0)).numpy()
    fit.null_values[0, 0] = values * np.where(np.arange(12) % 3 == 0, 1.5, 0.5)
    assert head_evidence(fit, 5, 0).above_null == 8


def test_rounding_below_the_number_of_examples_is_not_counted() -> None:
    fit = synthetic(10, d=64)
    assert fit.examples == 10
    assert head_evidence(fit, 5, 0).above_null <= 10


def test_a_head_that_carries_the_feature() -> None:
    facts = head_evidence(synthetic(3000), 5, 0)
    assert "this head carries the feature" in facts.verdict
    assert facts.noise_share < 0.01 and not any("Sampling noise" in r for r in facts.remarks)
    assert not any("Read nothing" in r for r in facts.remarks)
    assert facts.rank == 3 and facts.above_null >= 3
    assert facts.split_half_subspace > 0.99
    assert sum("the rank alone is no evidence" in r for r in facts.remarks) == 1


def told(positive: float | None, negative: float | None, fit: ContrastFit | None = None, **facts: Any) -> str:
    """The verdict on a head with a clear gap and this attention on a matching and on another key."""
    changes = {"attention_positive": positive, "attention_negative": negative} | facts
    return verdict(dataclasses.replace(head_evidence(fit or synthetic(1000), 5, 0), **changes))[0]


def test_a_gap_without_attention_is_not_carried() -> None:
    weak = told(0.025, 0.005)
    assert "carries" not in weak and "it gives the matching key 2.5% of its attention, 0.5% to another" in weak
    assert "hardly steers it" in weak
    # Five matching keys with 5 % each are a quarter of the attention.
    assert "carries the feature: it gives a matching key 5.0%" in told(0.05, 0.01, candidates=[5.0, 20.0])
    assert "carries the feature: it gives the matching key 51.6% of its attention, 8.6%" in told(0.516, 0.086)
    assert "carries the feature: it gives the matching key 51.6% of its attention." in told(0.516, None)


@pytest.mark.parametrize(
    ("positive", "negative", "words"),
    [
        (0.3, 0.2, "its attention follows a little"),
        (0.2, 0.2, "but not in its attention"),
        (0.2, 0.3, "but not in its attention"),
        (None, None, "cannot be measured here"),
    ],
)
def test_attention_that_hardly_differs_is_said(positive: float | None, negative: float | None, words: str) -> None:
    said = told(positive, negative)
    assert words in said and "carries the feature" not in said


def test_a_head_that_turns_away() -> None:
    fit = synthetic(1000)
    fit.trace *= -1
    assert "turns away from the feature: it gives the matching key 10.0%" in told(0.1, 0.4, fit)
    for positive, negative in ((0.4, 0.1), (0.001, 0.02), (0.3, 0.4), (0.3, None)):
        said = told(positive, negative, fit)
        assert "turns away" not in said and "attention hardly follows" in said


@pytest.mark.parametrize("permutations", [1, 2, 7])
def test_a_handful_of_relabellings_is_no_null(permutations: int) -> None:
    """Two relabellings can lie so close together by chance that any gap is many of their deviations away."""
    generator = torch.Generator().manual_seed(0)
    q, a, b = (torch.randn(60, 16, generator=generator, dtype=torch.float64) for _ in range(3))
    fit = fit_of(q, a, b, permutations=permutations)
    fit.null_trace[..., :] = fit.trace[..., None] * 0.5 + 1e-4 * np.arange(permutations)
    facts = head_evidence(fit, 5, 0)
    assert f"{permutations} relabellings are too few for a null" in facts.verdict
    assert "no sign that this head carries" in facts.verdict and "null standard deviations" not in facts.verdict


def test_relabellings_that_all_agree_are_not_called_a_null() -> None:
    fit = synthetic(200)
    fit.null_trace[...] = 0.5
    assert "all relabellings gave 0.5, so there is no null" in head_evidence(fit, 5, 0).verdict
    fit.null_trace[...] = fit.trace[..., None]
    assert "keys do not differ here" in head_evidence(fit, 5, 0).verdict


def test_vectors_before_the_rotation_have_no_logit_gap() -> None:
    facts = head_evidence(synthetic(1000), 5, 0, rotary="pre")
    assert facts.verdict.startswith("The mean gap before the rotary embedding is") and facts.rotary == "pre"


def test_more_examples_than_can_be_asked_for_are_not_simply_recommended() -> None:
    facts = dataclasses.replace(head_evidence(synthetic(200), 5, 0), noise_share=0.99, examples=5000)
    assert any("about 495,000 examples would reach it, more than can be asked for" in r for r in verdict(facts)[1])


def test_shuffled_labels_are_called_no_sign_and_their_rank_worthless() -> None:
    facts = head_evidence(shuffled(), 5, 0)
    assert "no sign that this head carries the feature" in facts.verdict
    assert facts.rank_by_rule > 10
    assert any(f"still reports rank {facts.rank_by_rule}" in r and "Read nothing" in r for r in facts.remarks)
    assert abs(facts.null_rank_mean - facts.rank_by_rule) < 5 * max(1.0, facts.null_rank_sd)
    assert facts.above_null < 20


def test_the_sentence_on_shuffled_labels_holds_the_numbers() -> None:
    facts = head_evidence(synthetic(500), 5, 0)
    mean, sd = facts.trace_null_mean, facts.trace_null_sd
    rank, spread = facts.null_rank_mean, facts.null_rank_sd
    expected = (
        f"With shuffled labels the mean gap is {mean:.1f} ± {sd:.1f}, and the energy rule still reports rank "
        f"{rank:.1f} ± {spread:.1f}: the rank alone is no evidence."
    )
    assert expected in facts.remarks


@pytest.mark.parametrize("seed", range(5))
def test_few_examples_raise_the_noise_remark(seed: int) -> None:
    facts = head_evidence(synthetic(200, seed=seed), 5, 0)
    assert facts.noise_share > 0.01
    (remark,) = [r for r in facts.remarks if "Sampling noise" in r]
    wanted = int(remark.split("about ")[1].split(" examples")[0].replace(",", ""))
    assert wanted >= 200 * facts.noise_share / 0.01 > wanted - 100
    assert head_evidence(synthetic(wanted, seed=seed), 5, 0).noise_share < 0.012


def test_a_mean_shared_with_the_null_is_named_and_centring_removes_it() -> None:
    remark = "The first direction is shared with the null: it holds the mean key. Centring removes it."
    facts = head_evidence(synthetic(300, r1=1, offset=30.0, aligned=False, seed=1), 5, 0)
    assert facts.first_is_shared and remark in facts.remarks
    centred = head_evidence(synthetic(300, r1=1, offset=30.0, aligned=False, seed=1), 5, 0, centred=True)
    assert remark not in centred.remarks and centred.singular_values[0] > centred.null_band[2][0]
    assert remark not in head_evidence(synthetic(300, r1=1), 5, 0).remarks
    assert remark not in head_evidence(shuffled(seed=3), 5, 0).remarks


def test_centred_evidence_reports_the_noise_of_the_centred_estimate() -> None:
    d, n, found, actual = 16, 400, [], []
    meeting = 0.3 * random_basis(d, d, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    for _ in range(30):
        q, noise = (torch.randn(n, d, generator=generator, dtype=torch.float64) for _ in range(2))
        positive = q @ meeting + noise + 2
        facts_of = fit_of(q + 5, positive, torch.zeros_like(positive), permutations=0)
        found.append(head_evidence(facts_of, 5, 0, centred=True).noise_share)
        estimate = facts_of.delta(5, 0, centred=True)
        actual.append(float((estimate - meeting).square().sum() / estimate.square().sum()))
    assert sum(found) == pytest.approx(sum(actual), rel=0.4)


def test_without_a_null_nothing_is_said_about_one() -> None:
    generator = torch.Generator().manual_seed(0)
    samples = SyntheticHead.draw(16, 3, 4, generator).sample(300, generator)
    facts = head_evidence(fit_of(*samples, permutations=0), 5, 0)
    assert "no null was computed" in facts.verdict and facts.permutations == 0
    names = ("null_band", "above_null", "null_rank_mean", "null_rank_sd", "trace_null_mean", "first_is_shared")
    assert all(getattr(facts, name) is None for name in names)
    assert not any("shuffled" in r for r in facts.remarks)
    json.dumps(to_wire(facts)[0], allow_nan=False)


def test_keys_that_do_not_differ_are_said_to_be_so() -> None:
    q = torch.randn(50, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    facts = head_evidence(fit_of(q, q, q), 5, 0)
    assert facts.noise_share is None and facts.rank == 0
    assert "keys do not differ" in facts.verdict and any("is zero" in r for r in facts.remarks)
    json.dumps(to_wire(facts)[0], allow_nan=False)


def test_attention_that_cannot_be_compared_is_none() -> None:
    fit = synthetic(100, d=16)
    fit.attention[0, 0, 1] = np.nan
    fit.hits[:] = np.nan
    facts = head_evidence(fit, 5, 0)
    assert facts.attention_negative is None is facts.hits and facts.attention_positive == pytest.approx(0.4)


def test_a_chosen_rank_leaves_the_rule_visible() -> None:
    fit = synthetic(3000)
    facts = head_evidence(fit, 5, 0, rank=7)
    assert (facts.rank, facts.rank_by_rule) == (7, 3)
    assert subspace_of(fit, 5, 0, rank=999).rank == 64


def test_verdict_thresholds() -> None:
    facts = dataclasses.replace(
        head_evidence(synthetic(500), 5, 0), trace_null_mean=1.0, trace_null_sd=2.0, noise_share=0.0
    )
    for trace, words in (
        (9.1, "this head carries the feature"),
        (8.9, "no sign"),
        (-6.9, "no sign"),
        (-7.1, "turns away"),
    ):
        positive, negative = (0.4, 0.1) if trace > 0 else (0.1, 0.4)
        attention = {"attention_positive": positive, "attention_negative": negative}
        first, remarks = verdict(dataclasses.replace(facts, **attention, trace=trace, above_null=2, rank_by_rule=9))
        assert words in first
        assert any("Read nothing" in r for r in remarks) == (words == "no sign")
        assert any("2 of 64 singular values rise" in r for r in remarks) == (words != "no sign")


def test_overlap_by_hand() -> None:
    eye = torch.eye(6, dtype=torch.float64)
    ones = torch.ones(6, dtype=torch.float64)
    a = QKSubspace(eye, eye.roll(2, 1), ones, 2)
    b = QKSubspace(eye.roll(-1, 1), eye, ones, 2)
    found = overlap([a, b, a.with_rank(0)], ["a", "b", "c"])
    assert np.allclose(found.query, [[1, 0.5, 0], [0.5, 1, 0], [0, 0, 0]])
    # a: queries e0 e1, keys e4 e5; b: queries e1 e2, keys e0 e1.
    assert np.allclose(found.key, [[1, 0, 0], [0, 1, 0], [0, 0, 0]])
    assert np.allclose(found.interaction, [[0, 1, 0], [0, 0.5**0.5, 0], [0, 0, 0]])
