"""A study over shards: through the wire and in parts it says what it says in one piece."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from analysis.answer import from_wire, to_wire
from analysis.engine.context import Context
from analysis.engine.spread import Here
from analysis.faithfulness.parts import (
    Part,
    Scores,
    Scoring,
    in_shards,
    scores_of_items,
)
from tests.unit.faithfulness.test_refusals import chain_of
from tests.unit.faithfulness.words import loaded_words
from tests.unit.wired import Wired

SCORING = Scoring(False, False, None, "", "Scoring")


def test_items_in_shards_have_the_scores_that_they_have_together() -> None:
    loaded = loaded_words()
    items = tuple(replace(chain_of(n, 8 + n % 3), step_labels=(True, n % 2 == 0)) for n in range(10))
    assert [len(shard.items) for shard in in_shards(items, 1)] == [10]
    shards = in_shards(items, 3)
    assert [len(shard.items) for shard in shards] == [4, 4, 2]
    (whole,) = Here(loaded, Context())(scores_of_items, SCORING, in_shards(items, 1))
    loaded.extras.clear()
    parts = list(Wired(loaded, contexts=[Context()] * 3)(scores_of_items, SCORING, shards))
    joined = Scores.joined(parts, [len(shard.items) for shard in shards])
    np.testing.assert_allclose(joined.chains, whole.chains, atol=1e-5)
    np.testing.assert_allclose(joined.steps, whole.steps, atol=1e-5)
    assert np.isfinite(whole.chains).any() and np.isfinite(whole.steps).any()
    assert (joined.where, joined.notes, joined.asked) == (whole.where, whole.notes, whole.asked)
    assert joined.passes > 0 and joined.tokens >= whole.tokens


def test_a_part_of_a_study_travels_whole() -> None:
    item = replace(chain_of(1, 2), facts={"neutral": "a", "n": 3}, label=False, step_labels=(None, True))
    part = Part("1", 0, (item,), np.full((3, 2, 1), np.nan), 2, {"answer": 1}, {"Flip": "none"}, seconds=1.5)
    came = from_wire(Part, *to_wire(part))
    assert came.items == part.items and came.items[0].facts == item.facts and came.failed == part.failed
