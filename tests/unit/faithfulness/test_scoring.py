"""Scoring against sklearn, against pairs counted one by one, and on simulated items whose truth is known."""

from __future__ import annotations

import time
import warnings
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from analysis.errors import UserError
from analysis.faithfulness.agreement import kappa, kappa_matrix
from analysis.faithfulness.bootstrap import bootstrap, difference, item_weights, permutation
from analysis.faithfulness.published import JUDGES, NOTE, PUBLISHED
from analysis.faithfulness.scoring import auroc, delong, length_bins, share_called, ties


def pairs(scores: Any, labels: Any) -> tuple[float, float]:
    """AUROC and tie share, one pair at a time."""
    won, tied, count = 0.0, 0, 0
    for a, la in zip(scores, labels, strict=True):
        for b, lb in zip(scores, labels, strict=True):
            if la and not lb:
                won += (a > b) + 0.5 * (a == b)
                tied += a == b
                count += 1
    return won / count, tied / count


# Area, ties, standard error


@pytest.mark.parametrize("digits", [0, 1, 8])
def test_the_area_is_the_share_of_pairs_with_ties_as_half(digits: int) -> None:
    rng = np.random.default_rng(digits)
    for _ in range(20):
        s, y = rng.standard_normal(60).round(digits), rng.random(60) < 0.3
        area, tied = pairs(s, y)
        assert auroc(s, y) == pytest.approx(area) == pytest.approx(roc_auc_score(y, s))
        assert ties(s, y) == pytest.approx(tied)
        assert auroc(-s, y) == pytest.approx(1 - area)  # nothing is turned round


def test_weights_are_repeated_items() -> None:
    rng = np.random.default_rng(1)
    s, y, w = rng.integers(0, 5, 40).astype(float), rng.random(40) < 0.5, rng.integers(0, 4, 40)
    assert auroc(s, y, w) == pytest.approx(auroc(np.repeat(s, w), np.repeat(y, w)))
    assert auroc(s, y, w * 0.25) == pytest.approx(auroc(s, y, w))
    assert auroc(s, y, w) == pytest.approx(roc_auc_score(y, s, sample_weight=w))


def test_missing_scores_and_labels_are_left_out() -> None:
    s = [0.9, None, 0.2, float("nan"), 0.4, 0.3]
    y = [True, True, False, False, True, None]
    assert auroc(s, y) == auroc([0.9, 0.2, 0.4], [True, False, True]) == 1.0
    assert auroc(s, y, [1, 5, 1, 5, 1, 5]) == 1.0
    assert share_called(s, 0.4) == pytest.approx(2 / 4) and ties(s, y) == 0.0


def test_one_class_alone_has_no_area_and_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for y in ([True, True], [False, False], [None, True]):
            assert np.isnan(auroc([0.1, 0.2], y)) and np.isnan(ties([0.1, 0.2], y))
            assert np.isnan(delong([0.1, 0.2], y)).all()
            found = bootstrap([0.1, 0.2], y, ["a", "b"], rounds=20)
            assert np.isnan([*found.auroc, *found.low, *found.high]).all()
            assert np.isnan(permutation([0.1, 0.2], y, ["a", "b"], rounds=20)).all()
        assert np.isnan(share_called([None], 0.5)) and np.isnan(auroc([], []))
        assert np.isnan(auroc([0.1, 0.2], [True, False], [1, 0]))
        assert np.isnan(bootstrap([None, None], [True, False], ["a", "b"], rounds=20).low).all()


def test_bad_input_is_a_sentence() -> None:
    for wrong in (
        lambda: auroc([0.1], [True, False]),
        lambda: auroc(["high"], [True]),
        lambda: auroc([0.1], [2]),
        lambda: auroc([0.1, 0.2], [True, False], [1, -1]),
        lambda: bootstrap([0.1, 0.2], [True, False], ["a"]),
        lambda: bootstrap([0.1, 0.2], [True, False], ["a", "b"], [1]),
        lambda: permutation([0.1, 0.2], [True, False], ["a"]),
        lambda: kappa([True], [True, False]),
        lambda: kappa([0.3], [True]),
        lambda: length_bins([0.1], [True], [1, 2]),
    ):
        with pytest.raises(UserError):
            wrong()


def test_delong_is_the_variance_of_placements() -> None:
    rng = np.random.default_rng(2)
    s, y = rng.standard_normal(70).round(1), rng.random(70) < 0.4
    ours, theirs = s[y], s[~y]
    wins = (ours[:, None] > theirs) + 0.5 * (ours[:, None] == theirs)
    variance = wins.mean(1).var(ddof=1) / len(ours) + wins.mean(0).var(ddof=1) / len(theirs)
    area, error = delong(s, y)
    assert area == pytest.approx(wins.mean()) and error == pytest.approx(np.sqrt(variance))
    assert np.isnan(delong([1.0, 0.0, 0.5], [True, False, False])[1])


def test_delong_and_bootstrap_agree_on_independent_items() -> None:
    rng = np.random.default_rng(3)
    y = np.arange(200) % 2 == 0
    s = rng.standard_normal(200) + 0.6 * y
    found = bootstrap(s, y, list(range(200)), rounds=1000)
    assert (found.high[0] - found.low[0]) / (2 * 1.96) == pytest.approx(delong(s, y)[1], rel=0.12)
    assert found.auroc[0] == pytest.approx(auroc(s, y))


# Bootstrap


def simulated(rng: np.random.Generator, problems: int, seeds: int, spread: tuple[float, float], gain: float) -> Any:
    """Twins (faithful, unfaithful) of each problem under each seed; spread of problem and seed effects on the gap."""
    p, d = np.repeat(np.arange(problems), 2 * seeds), np.tile(np.repeat(np.arange(seeds), 2), problems)
    y = np.tile([True, False], problems * seeds)
    effects = rng.standard_normal(problems) * spread[0], rng.standard_normal(seeds) * spread[1]
    return rng.standard_normal(len(p)) + (gain + effects[0][p] + effects[1][d]) * y, y, p, d


def test_every_draw_is_the_area_of_the_items_it_repeats() -> None:
    rng = np.random.default_rng(4)
    s, y, p, d = simulated(rng, 12, 3, (0.5, 0.5), 0.3)
    s = s.round(1)
    s[5] = np.nan
    weights = item_weights(y, p, d, rounds=90, seed=7)
    found = bootstrap([s, -s], y, p, d, rounds=90, seed=7)
    for r in (0, 63, 64, 89):
        assert found.samples[0, r] == pytest.approx(auroc(s, y, weights[r]))
    np.testing.assert_allclose(found.samples[0] + found.samples[1], 1)  # the same draws for every measure
    again = bootstrap(s, y, p, d, rounds=90, seed=7)
    np.testing.assert_array_equal(again.samples[0], found.samples[0])


def test_twins_are_never_apart() -> None:
    names = [f"problem {i // 2}" for i in range(40)]
    y = np.arange(40) % 2 == 0
    demos = [i // 2 % 3 for i in range(40)]
    weights = item_weights(y, names, demos, rounds=200)
    np.testing.assert_array_equal(weights[:, ::2], weights[:, 1::2])
    assert weights.std() > 0.5
    alone = item_weights(y, names, None, rounds=200)
    np.testing.assert_array_equal(alone[:, ::2].sum(1), 20)  # as many problems as there are
    assert not np.array_equal(alone, item_weights(y, names, None, rounds=200, seed=1))


def test_draws_keep_the_size_of_both_classes() -> None:
    y = np.array([True] * 4 + [False] * 30)
    weights = item_weights(y, list(range(34)), None, rounds=300)
    np.testing.assert_array_equal(weights[:, :4].sum(1), 4)
    assert not np.isnan(bootstrap(np.arange(34.0), y, list(range(34)), rounds=300).samples).any()


def test_the_interval_covers_the_truth_on_clustered_items_where_a_naive_one_does_not() -> None:
    rng = np.random.default_rng(5)
    # Several items of one problem share its effect: 20 problems in each class, 4 items each.
    problem, y = np.repeat(np.arange(40), 4), np.repeat(np.arange(40), 4) < 20
    covered = naive = 0
    for trial in range(120):
        s = rng.standard_normal(160) + 1.5 * rng.standard_normal(40)[problem]
        here = bootstrap(s, y, problem, rounds=200, seed=trial)
        alone = bootstrap(s, y, np.arange(160), rounds=200, seed=trial)
        covered += bool(here.low[0] <= 0.5 <= here.high[0])
        naive += bool(alone.low[0] <= 0.5 <= alone.high[0])
    assert covered >= 0.88 * 120 and naive <= 0.82 * 120


def test_the_two_level_interval_covers_the_truth_where_problems_alone_do_not() -> None:
    rng = np.random.default_rng(13)
    truth = float(norm.cdf(0.3 / np.sqrt(2 + 0.5**2 + 0.5**2)))  # the gap of two independent items, both effects drawn
    both = one = 0
    for trial in range(100):
        s, y, p, d = simulated(rng, 20, 5, (0.5, 0.5), 0.3)
        two, single = bootstrap(s, y, p, d, rounds=200, seed=trial), bootstrap(s, y, p, rounds=200, seed=trial)
        both += bool(two.low[0] <= truth <= two.high[0])
        one += bool(single.low[0] <= truth <= single.high[0])
    assert both >= 88 and one <= 85


def test_seeds_that_matter_widen_the_interval_and_seeds_that_do_not_hardly_do() -> None:
    def widths(spread: float) -> tuple[float, float]:
        s, y, p, d = simulated(np.random.default_rng(6), 40, 6, (0.0, spread), 0.2)
        one, two = bootstrap(s, y, p, rounds=500), bootstrap(s, y, p, d, rounds=500)
        return float(one.high[0] - one.low[0]), float(two.high[0] - two.low[0])

    naive, both = widths(1.5)
    assert both > 2 * naive
    naive, both = widths(0.0)
    assert both < 2 * naive


def test_a_difference_uses_the_same_draws() -> None:
    rng = np.random.default_rng(8)
    y = np.arange(120) % 2 == 0
    s = rng.standard_normal(120) + 0.8 * y
    near = s + 0.01 * rng.standard_normal(120)
    found = bootstrap([s, near, rng.standard_normal(120), np.exp(s)], y, np.arange(120) // 2, rounds=400)
    low, high = difference(found, 0, 1)
    assert low <= 0 <= high and high - low < 0.2 * (found.high[0] - found.low[0])
    assert difference(found, 0, 3) == (0.0, 0.0)  # the same order, the same area in every draw
    low, high = difference(found, 0, 2)
    assert low > 0  # a real gap is seen
    assert difference(found, 2, 0) == pytest.approx((-high, -low))


def test_a_board_is_quick() -> None:
    rng = np.random.default_rng(9)
    s, i = rng.random((15, 1000)).round(2), np.arange(1000)
    began = time.perf_counter()
    found = bootstrap(s, i % 2 == 0, i // 2 % 100, i // 200)
    assert found.samples.shape == (15, 2000) and time.perf_counter() - began < 3


# Permutation


@pytest.mark.parametrize("twins", [True, False])
def test_shuffled_labels_give_one_half(twins: bool) -> None:
    rng = np.random.default_rng(10)
    problem = np.repeat(np.arange(30), 2)
    y = np.tile([True, False], 30) if twins else problem < 12
    s = 3.0 * rng.standard_normal(30)[problem] + rng.standard_normal(60) + 2.0 * y
    low, high = permutation(s, y, problem.tolist(), rounds=500)
    assert low < 0.5 < high and (low + high) / 2 == pytest.approx(0.5, abs=0.06)
    assert not low <= auroc(s, y) <= high


def test_swapping_twins_keeps_what_the_problem_does() -> None:
    # Twins score alike and problems differ hugely: swapped labels hardly move the area, free ones would.
    problem = np.repeat(np.arange(20), 2)
    s = problem * 10.0 + np.tile([0.0, 1.0], 20)
    low, high = permutation(s, np.tile([True, False], 20), problem.tolist(), rounds=300)
    assert 0.48 < low < 0.5 < high < 0.52
    low, high = permutation(s, np.tile([True, False], 20), list(range(40)), rounds=300)
    assert high - low > 0.2


def test_shuffling_whole_problems_keeps_their_items_together() -> None:
    # Ten problems of one label, two items each, scores by problem: the null is that of ten items, not of twenty.
    problem = np.repeat(np.arange(10), 2)
    s, y = problem.astype(float), problem % 2 == 0
    together = permutation(s, y, problem.tolist(), rounds=800)
    apart = permutation(s, y, list(range(20)), rounds=800)
    assert together[1] - together[0] > 1.2 * (apart[1] - apart[0])


# Agreement, lengths, published values


def test_kappa_is_sklearns() -> None:
    rng = np.random.default_rng(11)
    calls = rng.random((4, 50)) < np.array([0.2, 0.5, 0.5, 0.9])[:, None]
    calls[2] = calls[1] ^ (rng.random(50) < 0.1)
    matrix = kappa_matrix(calls)
    for i in range(4):
        for j in range(4):
            assert matrix[i, j] == pytest.approx(cohen_kappa_score(calls[i], calls[j]))
    assert kappa(calls[1], calls[2]) == matrix[1, 2] > 0.6 and matrix[0, 0] == 1


def test_kappa_leaves_out_missing_calls_and_has_no_value_without_disagreement() -> None:
    a, b = [True, None, False, True, False], [True, True, False, False, None]
    assert kappa(a, b) == pytest.approx(cohen_kappa_score([1, 0, 1], [1, 0, 0]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(kappa([True, True], [True, True])) and np.isnan(kappa([None, True], [True, None]))
    assert kappa([True, True], [True, False]) == 0.0  # one calls all alike: nothing beyond chance
    assert kappa([True, False], [False, True]) == pytest.approx(-1.0)


def test_areas_by_length_part_no_length_and_lose_no_item() -> None:
    rng = np.random.default_rng(12)
    steps, y = rng.integers(1, 4, 90), rng.random(90) < 0.5
    s = rng.standard_normal(90)
    rows = length_bins(s, y, steps.tolist())
    assert [r["steps"] for r in rows] == ["1", "2", "3"] and sum(r["n"] for r in rows) == 90
    for row in rows:
        assert row["auroc"] == pytest.approx(auroc(s[steps == row["low"]], y[steps == row["low"]]))
    many = rng.integers(1, 40, 400)
    s, y = rng.standard_normal(400), rng.random(400) < 0.5
    rows = length_bins(s, y, many.tolist(), most=5)
    assert len(rows) == 5 and sum(r["n"] for r in rows) == 400
    assert all(a["high"] < b["low"] for a, b in pairwise(rows))
    assert max(r["n"] for r in rows) < 2 * min(r["n"] for r in rows)
    assert length_bins([1.0, None], [True, False], [2, 2])[0] == {
        "steps": "2",
        "low": 2,
        "high": 2,
        "auroc": None,
        "n": 1,
    }


def test_published_values_are_areas_with_margins_and_say_where_they_come_from() -> None:
    values = [v for row in (*PUBLISHED.values(), *JUDGES.values()) for v in (row["step"], row["chain"]) if v]
    assert len(PUBLISHED) == 8 and all(0 < a < 1 and 0 < m <= 0.05 for a, m in values)
    assert PUBLISHED["CC-SHAP"] == {"step": (0.41, 0.03), "chain": (0.70, 0.04)} and PUBLISHED["SCM"]["step"] is None
    assert "2605.25052" in NOTE and "ther models, other items" in NOTE
