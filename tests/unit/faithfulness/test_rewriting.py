"""Altered steps: a wrong one differs in one thing, a paraphrase keeps every number, filler is as long as the step."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

import numpy as np
import pytest

from analysis.faithfulness.measures.filler import pieces
from analysis.faithfulness.rewriting import altered, filler, paraphrased, wrong_version
from analysis.faithfulness.splitting import marker_of, numbers_in

STEPS = [
    " 3+4=7.",
    " Check: 7.",
    "2. Add 3.50 and 1,250.",
    "\nStep 3: So it costs 20% of 80 dollars, which is 16.",
    " The sum is -5.",
    " It is 3/4 of 12.",
    " 0.25 is left over after 100.",
    " At noon it was 12:05.",
    " A long one 12345678901234567890.",
]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("seed", range(5))
def test_one_number_is_wrong_and_nothing_else(step: str, seed: int) -> None:
    wrong = wrong_version(step, seed)
    assert wrong != step and wrong == wrong_version(step, seed)
    assert len(wrong) == len(step) and re.sub(r"\d", "0", wrong) == re.sub(r"\d", "0", step)
    before, after = numbers_in(step), numbers_in(wrong)
    assert len(before) == len(after) and before[:-1] == after[:-1] and before[-1] != after[-1]
    assert marker_of(wrong) == marker_of(step)


def test_seeds_give_different_mistakes() -> None:
    made = {wrong_version(" 3+4=7.", seed) for seed in range(60)}
    assert made == {f" 3+4={d}." for d in "12345689"}


def test_words_and_options_are_exchanged() -> None:
    wrong = wrong_version(" three plus four is seven.", 2)
    assert wrong.startswith(" three plus four is ") and wrong.endswith(".") and "seven" not in wrong
    assert wrong_version(" So it is (B).", 1, ("A", "B")) == " So it is (A)."
    assert wrong_version(" It must be option C.", 0) in {f" It must be option {c}." for c in "ABD"}
    assert wrong_version(" We are in Paris now.", 0, ("Paris", "Rome")) == " We are in Rome now."
    assert wrong_version(" Parisian food.", 0, ("Paris", "Rome")) == ""


@pytest.mark.parametrize(
    "step", [" Nothing here.", "", "  ", "1. Go on.", " This one of them.", " a and b", "Step 2: Look."]
)
def test_where_nothing_can_be_changed_nothing_is(step: str) -> None:
    assert wrong_version(step, 3) == ""


@pytest.mark.parametrize(
    "step", [*STEPS, " So we go.", "First, look.", " The key is 7.", " Paris is big.", " I see 3 cats."]
)
def test_paraphrases_keep_what_is_said(step: str) -> None:
    said = paraphrased(step)
    assert said != step and numbers_in(said) == numbers_in(step)
    assert marker_of(said) == marker_of(step)
    # All words but the first are there, in their order.
    words = step[len(marker_of(step)) :].lower().split()
    kept = SequenceMatcher(None, words[1:], said.lower().split()).get_matching_blocks()
    assert sum(b.size for b in kept) == len(words) - 1


def test_templates() -> None:
    assert paraphrased(" So we go.") == " Therefore we go." and paraphrased(" Then, add 3.") == " Next, add 3."
    assert paraphrased(" The key is 7.") == " In other words, the key is 7."
    assert paraphrased("First Street is long.") == "In other words, First Street is long."
    assert paraphrased(" Paris is big.") == " In other words, Paris is big." and paraphrased(" \n") == ""


def test_filler_takes_the_room_of_the_step() -> None:
    for step in STEPS:
        assert filler(step).count("...") == pieces(step) and not numbers_in(filler(step))
        assert filler(step).startswith("\n") == step.startswith("\n")


def test_altered_has_an_entry_per_step() -> None:
    steps = (" 3+4=7.", " Good.", " Check: 7.")
    mistakes, paraphrases = altered(steps, 4)
    assert len(mistakes) == len(paraphrases) == 3 and mistakes[1] == "" and all(paraphrases)
    draw = np.random.default_rng(1)
    for _ in range(200):  # no text breaks the rules
        text = "".join(draw.choice(list(" .,:-+=()0123456789aAB%/\n\"'٣"), 20))
        wrong_version(text, 1, ("A", "B", "x"))
        paraphrased(text)
