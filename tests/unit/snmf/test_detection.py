"""Detection against counting by hand, on planted themes, and where nothing is to be found."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from analysis.errors import UserError
from analysis.snmf.baselines import mean_differences, random_sparse, shuffled_neurons, singular_directions
from analysis.snmf.detection import (
    FLOOR,
    Rows,
    areas,
    feature_detection,
    held_out,
    intervals_of,
    passage_scores,
    pick_for_directions,
    pick_for_themes,
    ratios,
    resampled,
    rows_of,
)

WIDTH, THEMES, PER_THEME, TOKENS = 60, 3, 12, 7


def features() -> Tensor:
    """Three features of five neurons each that share none."""
    rows = torch.zeros(THEMES, WIDTH)
    for t in range(THEMES):
        rows[t, 5 * t : 5 * t + 5] = torch.tensor([1.0, -0.8, 0.6, -0.5, 0.7])
    return rows / rows.norm(dim=1, keepdim=True)


def planted(seed: int) -> Rows:
    """Passages whose theme's feature is in one of their tokens, in noise."""
    generator = torch.Generator().manual_seed(seed)
    passages = THEMES * PER_THEME
    themes = [p % THEMES for p in range(passages)]
    x = torch.randn(passages * TOKENS, WIDTH, generator=generator)
    for p, t in enumerate(themes):
        x[p * TOKENS + int(torch.randint(TOKENS, (1,), generator=generator))] += 9 * features()[t]
    documents = torch.arange(passages).repeat_interleave(TOKENS)
    order = torch.randperm(len(x), generator=generator)
    return rows_of(x[order], documents[order], themes)


def test_rows_are_sorted_by_passage() -> None:
    x = torch.arange(10.0).reshape(5, 2)
    rows = rows_of(x, torch.tensor([4, 1, 4, 0, 1]), [0, 1, 0, 0, 2])
    assert rows.documents == [0, 1, 4] and rows.bounds == [0, 1, 3, 5] and rows.theme.tolist() == [0, 1, 2]
    assert rows.x[:, 0].tolist() == [6.0, 2.0, 8.0, 0.0, 4.0] and rows.theme_of_row.tolist() == [0, 1, 1, 2, 2]


def test_scores_of_passages_are_largest_cosines() -> None:
    rows, directions = planted(0), torch.randn(4, WIDTH, generator=torch.Generator().manual_seed(1))
    found, axes = passage_scores(rows, directions), passage_scores(rows, None)
    for p in range(5):
        part = rows.x[rows.bounds[p] : rows.bounds[p + 1]].double().numpy()
        part = part / np.linalg.norm(part, axis=1, keepdims=True)
        unit = directions.double().numpy()
        unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
        assert np.allclose(found[p], (part @ unit.T).max(0), atol=1e-6)
        assert np.allclose(axes[p], np.concatenate([part.max(0), (-part).max(0)]), atol=1e-6)


def test_areas_and_ratios_are_those_of_counting() -> None:
    generator = np.random.default_rng(0)
    scores = generator.integers(0, 5, (15, 4)).astype(float)  # with many ties
    theme = np.array([0] * 4 + [1] * 6 + [2] * 5)
    area, ratio = areas(scores, theme, 4), ratios(scores, theme, 4)
    for t in range(3):
        for m in range(4):
            inside, outside = scores[theme == t, m], scores[theme != t, m]
            wins = sum((a > b) + 0.5 * (a == b) for a in inside for b in outside)
            assert area[t, m] == pytest.approx(wins / (len(inside) * len(outside)))
            assert ratio[t, m] == pytest.approx(math.log(inside.mean() / outside.mean()))
    assert np.isnan(area[3]).all() and np.isnan(ratio[3]).all()
    assert pick_for_themes(scores, theme, 4)[:3].tolist() == area[:3].argmax(1).tolist()
    assert pick_for_directions(scores, theme, 4).tolist() == area[:3].argmax(0).tolist()


def test_the_ratio_is_bounded_where_means_are_not_positive() -> None:
    scores = np.array([[0.5], [0.5], [-0.2], [-0.3]])
    found = ratios(scores, np.array([0, 0, 1, 1]), 2)[:, 0]
    assert found.tolist() == pytest.approx([math.log(0.5 / FLOOR), math.log(FLOOR / 0.5)])


def test_planted_features_are_found_and_chance_is_not() -> None:
    fitted, held = planted(1), planted(2)
    candidates = torch.cat([random_sparse(features(), 20, 3), features()])
    pick = pick_for_themes(passage_scores(fitted, candidates), fitted.theme, THEMES)
    assert pick.tolist() == [20, 21, 22]
    found = held_out(passage_scores(held, candidates), held.theme, pick)
    assert (found.auc > 0.95).all() and found.auc_interval[0] > 0.9 and found.score_interval[0] > 0
    none = candidates[:20]
    chance = pick_for_themes(passage_scores(fitted, none), fitted.theme, THEMES)
    found = held_out(passage_scores(held, none), held.theme, chance)
    assert found.auc.mean() < 0.85 and found.auc_interval[0] < 0.7
    assert found.auc_interval[0] < found.auc.mean() < found.auc_interval[1]
    assert found.score_interval[0] < found.score.mean() < found.score_interval[1]


def test_intervals_are_those_of_passages_drawn_again() -> None:
    held = planted(4)
    scores = passage_scores(held, features() + 0.3 * torch.randn(THEMES, WIDTH))
    weights = resampled(held.theme, 400, 7)
    for t in range(THEMES):
        assert (weights[:, held.theme == t].sum(1) == PER_THEME).all()
    found = intervals_of(scores, held.theme, np.arange(THEMES), 400, 7)
    drawn: list[list[Any]] = [[], [], []]
    for w in weights.astype(int):
        again = np.repeat(np.arange(len(w)), w)
        area = areas(scores[again], held.theme[again], THEMES)
        for t in range(THEMES):
            drawn[t].append(area[t, t])
    for t in range(THEMES):
        assert found[t] == pytest.approx(np.quantile(drawn[t], [0.025, 0.975]), abs=1e-9)


def test_features_are_scored_beside_their_nulls() -> None:
    names = ["north", "south", "west"]
    stray = torch.zeros(1, WIDTH)
    stray[0, 50:55] = 1
    found, random = feature_detection(torch.cat([features(), stray]), planted(5), planted(6), names)
    assert random is not None and random[0] < 0.5 < random[1] < 0.95
    for t in range(THEMES):
        row = found[t]
        assert row is not None and row["theme"] == names[t] and row["auc"] > max(0.95, random[1])
        assert row["interval"][0] <= row["auc"] <= row["interval"][1] and row["shuffled_auc"] < 0.7
        assert row["passages"] == PER_THEME and row["others"] == 2 * PER_THEME
    last = found[3]
    assert last is not None and last["auc"] < 0.9


def test_too_few_held_out_passages_give_no_number() -> None:
    held = planted(7)
    few = rows_of(held.x[:TOKENS], torch.zeros(TOKENS, dtype=torch.long), [0])
    found, random = feature_detection(features(), planted(8), few, ["a", "b", "c"])
    assert found == [None] * 3 and random is None
    alone = rows_of(held.x[: 5 * TOKENS], torch.arange(5).repeat_interleave(TOKENS), [1] * 5)  # of one theme, all five
    assert feature_detection(features(), planted(8), alone, ["a", "b", "c"]) == ([None] * 3, None)


def test_a_theme_without_held_out_passages_is_not_picked() -> None:
    fitted, held = planted(9), planted(10)
    theme = held.theme.copy()
    theme[theme == 2] = 1
    found, _ = feature_detection(features(), fitted, Rows(held.x, held.bounds, held.documents, theme), ["a", "b", "c"])
    assert {row["theme"] for row in found if row} <= {"a", "b"}


def test_baselines_are_what_they_say() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, 30, generator=generator) * torch.linspace(3, 0.2, 30)
    found = singular_directions(x, 5)
    exact = np.linalg.svd(x.double().numpy())[2][:5]
    assert np.allclose(np.abs((found[:5].double().numpy() * exact).sum(1)), 1, atol=1e-5)
    assert torch.equal(found[5:], -found[:5])
    wide = singular_directions(x.T[:, :90], 4)  # fewer rows than columns
    exact = np.linalg.svd(x.T[:, :90].double().numpy())[2][:4]
    assert np.allclose(np.abs((wide[:4].double().numpy() * exact).sum(1)), 1, atol=1e-5)
    theme = torch.arange(200) % 3
    means = mean_differences(x, theme, 3)
    for t in range(3):
        plain = x[theme == t].mean(0) - x[theme != t].mean(0)
        assert torch.allclose(means[t], plain / plain.norm(), atol=1e-5)
    with pytest.raises(UserError):
        mean_differences(x, theme, 4)


def test_random_and_shuffled_features_keep_what_they_must() -> None:
    own = features()
    own[0, 3] = 0
    drawn, again = random_sparse(own, 7, 1), random_sparse(own, 7, 1)
    assert torch.equal(drawn, again) and not torch.equal(drawn, random_sparse(own, 7, 2))
    assert (drawn != 0).sum(1).tolist() == [4, 5, 5, 4, 5, 5, 4]
    assert torch.allclose(drawn.norm(dim=1), torch.ones(7))
    other = shuffled_neurons(own, 1)
    assert torch.equal(other.sort(1).values, own.sort(1).values) and not torch.equal(other, own)
    places = {tuple(r.nonzero()[:, 0].tolist()) for s in range(30) for r in shuffled_neurons(own, s)}
    assert len(places) > 80  # each row and each draw has its own places
