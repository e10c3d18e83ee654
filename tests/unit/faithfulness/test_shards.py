"""A study over shards: through the wire and in parts it says what it says in one piece."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from analysis.answer import from_wire, to_wire
from analysis.engine.context import Context
from analysis.engine.spread import Here
from analysis.faithfulness.parts import (
    Part,
    Scores,
    Scoring,
    StudySettings,
    Wanted,
    in_shards,
    part_of_study,
    parts_of,
    scores_of_items,
)
from analysis.models.facts import describe
from analysis.models.loaded_model import LoadedModel
from analysis.models.spec import ModelSpec
from tests.unit.faithfulness.test_refusals import chain_of
from tests.unit.faithfulness.words import loaded_words
from tests.unit.lossy import Lossy
from tests.unit.test_contrasts import _byte_level
from tests.unit.tiny_models import tiny_model

SCORING = Scoring(False, False, None, "", "Scoring")


def test_items_in_shards_have_the_scores_that_they_have_together() -> None:
    loaded = loaded_words()
    items = tuple(replace(chain_of(n, 8 + n % 3), step_labels=(True, n % 2 == 0)) for n in range(10))
    assert [len(shard.items) for shard in in_shards(items, 1)] == [10]
    shards = in_shards(items, 3)
    assert [len(shard.items) for shard in shards] == [4, 4, 2]
    (whole,) = Here(loaded, Context())(scores_of_items, SCORING, in_shards(items, 1))
    loaded.extras.clear()
    nodes = Lossy(loaded, contexts=[Context() for _ in range(3)])
    parts = list(nodes(scores_of_items, SCORING, shards))
    assert nodes.lost == ["scores_of_items"]
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


def test_parts_of_a_study_on_nodes_are_those_of_one_machine() -> None:
    tokenizer, spec = _byte_level(), ModelSpec("tiny")
    model = tiny_model("llama", vocab_size=4000, max_position_embeddings=2048)
    facts = describe(model, torch.arange(3, 19)[None], tokenizer, spec, "")
    loaded, settings = LoadedModel(model, tokenizer, spec, facts), StudySettings(2, 2, ("1", "Z"))
    wanted = [Wanted(tier, seed) for tier, seed in parts_of(settings)]
    nodes = Lossy(loaded)
    for mine, theirs in zip(
        Here(loaded)(part_of_study, settings, wanted), nodes(part_of_study, settings, wanted), strict=True
    ):
        assert (mine.tier, mine.seed, mine.items, mine.failed) == (
            theirs.tier,
            theirs.seed,
            theirs.items,
            theirs.failed,
        )
        np.testing.assert_array_equal(mine.scores, theirs.scores)
        assert mine.made == theirs.made > 0
    assert nodes.lost == ["part_of_study"]
