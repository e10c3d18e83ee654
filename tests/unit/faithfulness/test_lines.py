"""Candidates of several tokens: compared per token, and where one begins another, also by whether it stops there."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from analysis.faithfulness.ask import AnswerAsk, Reply
from analysis.faithfulness.lines import Plan, Read, Tokens
from analysis.faithfulness.reader import ModelReader
from tests.unit.faithfulness.test_chains import LOADED, byte_tokenizer


def ask_for(*candidates: str) -> AnswerAsk:
    return AnswerAsk("", "What is 3 times 4?", ("\nSteps:", " 3*4=12."), "\nAnswer: ", candidates)


def plan_of(*candidates: str) -> Plan:
    """One token per byte, as digits are in most tokenizers."""
    return Tokens(byte_tokenizer()).plan([ask_for(*candidates)])[0]


def reply(plan: Plan, *rows: tuple[float, ...]) -> Reply:
    """The reply to probabilities of the candidates' tokens."""
    made = plan.reply([[Read(np.log([p]), 0.0) for p in row] for row in rows])
    assert isinstance(made, Reply)
    return made


@pytest.mark.parametrize(("two_follows", "best"), [(0.999, "12"), (0.9, "12"), (0.1, "1"), (0.001, "1")])
def test_a_model_that_means_1_is_not_told_12(two_follows: float, best: str) -> None:
    """The chance that the answer is 1 is p(1)(1 - p(2 after 1)); that it is 12, p(1)p(2 after 1)."""
    made = reply(plan_of("1", "12"), (0.98,), (0.98, two_follows))
    assert made.best == best and made.several
    assert made.scores[0] == pytest.approx((np.log(0.98) + np.log1p(-two_follows)) / 2)
    assert made.scores[1] == pytest.approx((np.log(0.98) + np.log(two_follows)) / 2)


def test_every_way_to_go_on_counts_once() -> None:
    # 12 goes on with 0 in two candidates, with 3 in one; 1 goes on with 2 only, 4 stands alone.
    made = reply(
        plan_of("1", "12", "120", "1205", "123", "4"),
        (0.9,), (0.9, 0.8), (0.9, 0.8, 0.3), (0.9, 0.8, 0.3, 0.6), (0.9, 0.8, 0.2), (0.05,),
    )  # fmt: skip
    expected = [
        (0.9, 1 - 0.8), (0.9, 0.8, 1 - 0.3 - 0.2), (0.9, 0.8, 0.3, 1 - 0.6), (0.9, 0.8, 0.3, 0.6), (0.9, 0.8, 0.2),
        (0.05,),
    ]  # fmt: skip
    np.testing.assert_allclose(made.scores, [np.mean(np.log(row)) for row in expected])


def test_certainty_that_it_goes_on_leaves_a_finite_score() -> None:
    made = reply(plan_of("1", "12"), (1.0,), (1.0, 1.0))
    assert np.isfinite(made.scores).all() and made.best == "12" and made.scores[0] < -10
    assert made.probabilities.sum() == pytest.approx(1)


def test_where_no_candidate_begins_another_nothing_is_changed_by_a_bit() -> None:
    draw = np.random.default_rng(0)
    plan = plan_of("12", "13", "207", "9")
    rows = [tuple(draw.random(n)) for n in (2, 2, 3, 1)]
    made = plan.reply([[Read(np.log([p]), 0.25) for p in row] for row in rows])
    assert isinstance(made, Reply)
    plain = [float(np.mean([np.log([p])[0] - 0.25 for p in row])) for row in rows]
    assert made.scores.tolist() == plain


@pytest.mark.parametrize("packed", [False, True])
def test_the_model_itself_by_hand(packed: bool) -> None:
    ask = ask_for("1", "12", "14", "7")
    ids = LOADED.tokenizer(ask.text, add_special_tokens=False)["input_ids"]
    token = {c: LOADED.tokenizer(c, add_special_tokens=False)["input_ids"][0] for c in "1247"}
    with torch.no_grad():
        first, after = (
            LOADED.model(torch.tensor([row])).logits[0, -1].double().softmax(-1) for row in (ids, [*ids, token["1"]])
        )
    one, seven = float(first[token["1"]]), float(first[token["7"]])
    two, four = float(after[token["2"]]), float(after[token["4"]])
    expected = [np.mean(np.log(r)) for r in ((one, 1 - two - four), (one, two), (one, four), (seven,))]
    got = ModelReader(LOADED, packed=packed).read([ask])[ask]
    assert isinstance(got, Reply) and all(a != b for a, b in pairwise(expected))
    np.testing.assert_allclose(got.scores, expected, atol=1e-4)
