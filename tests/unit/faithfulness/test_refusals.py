"""What a study cannot take is left out and named; nothing that was computed is lost by it."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest

from analysis.engine.context import Context
from analysis.errors import UserError
from analysis.faithfulness import bottleneck, build, forgetting
from analysis.faithfulness.board_words import ENOUGH, few_seeds
from analysis.faithfulness.item import Item, Part
from analysis.faithfulness.ops.study import reader_for
from analysis.faithfulness.parts import ALL, StudySettings
from analysis.faithfulness.parts import Part as StudyPart
from analysis.faithfulness.reader import ModelReader
from analysis.faithfulness.study import joined, score_items
from tests.unit.faithfulness.test_study import items_of
from tests.unit.faithfulness.words import loaded_words


def chain_of(number: int, words: int) -> Item:
    """An item in words that the tiny model knows, with a step of many words."""
    steps = (" three plus four is seven ." + " so" * words + " .", " check seven .")
    wrong = tuple(s.replace("seven", "nine") for s in steps)
    return Item(
        id=f"file-{number}", before="", question=(Part("three plus four "),), lead=" ", steps=steps, cue=" answer ",
        answer="seven", candidates=("seven", "nine"), mistakes=wrong, paraphrases=steps, tier="file",
        problem=str(number), label=None, claim="unlabelled", donor=wrong,
    )  # fmt: skip


def test_an_item_that_cannot_be_read_is_left_out_alone() -> None:
    reader = ModelReader(loaded_words(max_position_embeddings=64))
    items = (chain_of(1, 2), chain_of(2, 80), chain_of(3, 3))
    study = score_items(reader, items, {"model": "tiny"}, None)
    assert [i.id for i in study.items] == ["file-1", "file-3"]
    ((name, why),) = study.manifest["refused"]
    assert name == "file-2" and "tokens" in why
    alone = score_items(ModelReader(reader.loaded), items[2:], {"model": "tiny"}, None)
    np.testing.assert_allclose(study.scores[:, :, 1:], alone.scores, atol=1e-4)
    with pytest.raises(UserError, match="none of these chains"):
        score_items(reader, items[1:2], {"model": "tiny"}, None)


def test_fur_says_how_many_problems_it_needs() -> None:
    items = items_of("1", forgetting.LEAST - 1, 1)
    scores = np.zeros((len(forgetting.FORMS), len(ALL), len(items)))
    part = StudyPart("1", 0, items, scores, len(items), {}, {}, 1, 1, 1, 1, 1.0)
    study = joined([part], StudySettings(tiers=("1",)), {"model": "tiny"})
    with pytest.raises(UserError, match=f"needs {forgetting.LEAST} problems"):
        forgetting.with_fur(study, loaded_words(), 2)


def test_what_the_demonstrations_show_is_no_item_and_no_swap() -> None:
    triples = bottleneck.problems(len(bottleneck.TRIPLES))
    for seed in range(5):
        shown = {
            tuple(int(x) for x in line[len("Sum: ") :].split("+"))
            for regime in bottleneck.REGIMES
            for line in bottleneck.demonstrations(regime, seed).split("\n")
            if line.startswith("Sum: ")
        }
        assert len(shown) >= 8
        made = bottleneck.drafts("omitted", seed, triples)
        assert len(made) > 20
        for draft in made:
            asked = [draft.item.question_text, *(swap.ask.question for swap in draft.swaps)]
            assert not shown & {tuple(int(x) for x in q.strip()[len("Sum: ") :].split("+")) for q in asked}


def test_parts_are_named_by_the_code_that_made_them(monkeypatch: pytest.MonkeyPatch) -> None:
    key = build.parts_key("a")
    assert key == build.parts_key("a") != build.parts_key("b")
    monkeypatch.setattr(build, "SETTINGS", replace(build.SETTINGS, seed=7))
    assert build.parts_key("a") != key


def test_too_few_seeds_are_said() -> None:
    assert few_seeds(ENOUGH) == "" and "too narrow" in few_seeds(ENOUGH - 1)


def test_a_reader_goes_with_its_model_and_tasks_do_not_share_their_end() -> None:
    loaded, context, other = loaded_words(), Context(), Context()
    mine, theirs = reader_for(context, loaded), reader_for(other, loaded)
    assert mine.check == context.check != theirs.check and mine.count is not theirs.count
    item = chain_of(1, 2)
    score_items(mine, (item,), {}, None)
    spent = mine.count.copy()
    assert spent.passes > 0 == theirs.count.passes
    score_items(theirs, (item,), {}, None)
    assert theirs.count.passes == 0 and mine.count == spent  # what one read, the other need not
    gone = weakref.ref(loaded.model)
    del loaded, mine, theirs
    gc.collect()
    assert gone() is None
