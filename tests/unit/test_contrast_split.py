"""Which examples are fitted and which are tested: never the same ones under the name of others."""

from __future__ import annotations

import json
from typing import Any

import pytest

from analysis.errors import UserError
from analysis.qk.contrasts import ContrastSpec, build_examples, fitted_examples, held_back, in_sample_trial, trial_of
from tests.unit.test_contrasts import NOUNS, PLAIN, _byte_level, _word_level, spec, template

WORDS = [f"{a} {b}" for a in NOUNS[:12] for b in NOUNS[12:24]]


def file_of(texts: list[str], n: int = 20_000, seed: int = 0) -> ContrastSpec:
    rows = [{"text": f"{t} a cat and a horse", "positive": ["cat"], "negative": ["horse"]} for t in texts]
    return ContrastSpec("jsonl", n, seed, {"text": "\n".join(json.dumps(r) for r in rows)})


def texts_of(examples: Any) -> set[Any]:
    return {e.prompts for e in examples}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return _byte_level()


@pytest.mark.parametrize("count", [40, 43, 100])
@pytest.mark.parametrize("seed", [0, 7])
def test_one_line_in_five_is_held_back_and_tested(count: int, seed: int, tokenizer: Any) -> None:
    made = file_of(WORDS[:count], seed=seed)
    fitted, trial = fitted_examples(made, tokenizer), trial_of(made, tokenizer)
    assert not trial.in_sample and not in_sample_trial(made)
    assert texts_of(fitted).isdisjoint(texts_of(trial.examples))
    assert len(fitted) + len(trial.examples) == count and abs(len(trial.examples) - count / 5) < 1
    assert f"{len(trial.examples)} of the file's {count} lines" in trial.basis
    held = sorted(held_back(made))
    assert [h // 5 for h in held] == list(range(len(held)))  # one of each five
    assert len({h % 5 for h in held}) > 1  # and not the same one each time: a file may have a rhythm of its own


def test_a_short_file_is_tested_on_its_fitted_lines_and_says_so(tokenizer: Any) -> None:
    made = file_of(WORDS[:39])
    trial = trial_of(made, tokenizer)
    assert trial.in_sample and in_sample_trial(made) and held_back(made) == frozenset()
    assert trial.examples == fitted_examples(made, tokenizer) == build_examples(made, tokenizer)
    assert "the ones that were fitted (a file has no others" in trial.basis
    # The limit on lines counts as well as the file.
    assert in_sample_trial(file_of(WORDS[:60], n=39)) and not in_sample_trial(file_of(WORDS[:60], n=40))


def test_lines_of_one_text_stay_on_one_side(tokenizer: Any) -> None:
    made = file_of([t for t in WORDS[:45] for _ in range(3)])
    fitted, trial = fitted_examples(made, tokenizer), trial_of(made, tokenizer)
    assert texts_of(fitted).isdisjoint(texts_of(trial.examples)) and len(trial.examples) == 27
    few = file_of(WORDS[:30] * 10)
    assert in_sample_trial(few) and trial_of(few, tokenizer).in_sample


def test_lines_that_a_tokenizer_cannot_tell_apart_are_not_tested() -> None:
    """Words are apart in the file and one unknown token in the model, so each line held back was fitted."""
    made = file_of([f"a {'z' * (i + 1)} runs sleeps" for i in range(50)])
    trial = trial_of(made, _word_level())
    assert trial.in_sample and not in_sample_trial(made) and trial.left_out == 10
    assert "all but 0 of the lines held back read like fitted ones" in trial.basis


def test_new_examples_with_old_texts_are_left_out(tokenizer: Any) -> None:
    # Six animals in two places: 30 texts in all, of which a fit of 20 has seen about half.
    made = template(PLAIN, n=20)
    trial = trial_of(made, tokenizer)
    assert not trial.in_sample and not in_sample_trial(made) and trial.left_out > 0
    assert texts_of(trial.examples).isdisjoint(texts_of(fitted_examples(made, tokenizer)))
    assert f"{trial.left_out} new ones with a text that it has seen are left out" in trial.basis
    # A fit of 2,000 has seen them all.
    whole = template(PLAIN, n=2000)
    told = trial_of(whole, tokenizer)
    assert told.in_sample and in_sample_trial(whole) and len(told.examples) == 150
    assert "These examples were fitted" in told.basis and "word lists" in told.basis


@pytest.mark.parametrize("kind", ["induction", "previous", "order", "lexical"])
def test_presets_are_tested_on_new_examples(kind: str, tokenizer: Any) -> None:
    made = spec(kind, 100)
    trial = trial_of(made, tokenizer)
    assert not trial.in_sample and trial.left_out == 0 and len(trial.examples) == 150
    assert trial.examples == build_examples(spec(kind, 150, seed=1_000_003), tokenizer)
    assert trial.basis == "150 examples that the fit has not seen."
    assert fitted_examples(made, tokenizer) == build_examples(made, tokenizer)


def test_a_broken_file_is_refused_by_every_question() -> None:
    made = ContrastSpec("jsonl", options={"text": "{"})
    for ask in (held_back, in_sample_trial):
        with pytest.raises(UserError, match="line 1"):
            ask(made)
