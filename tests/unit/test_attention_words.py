"""What the Attention page says of a feature: which examples were tested, which heads come first, and by what chance."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from analysis.qk.answers.evidence import HeadEvidence, RankSwap, SwapTable
from analysis.qk.answers.features import FeatureHeads
from components.qk.evidence_card import evidence_card, swap_sentence, trial_title
from components.qk.heads import SCORE_NAMES, HeadScore, feature_score, head_grid, prompt_score
from components.qk.patch_view import claim, remarks
from pages.attention.heads import best_heads
from tests.unit.test_attention_views import MOVED, PATCHED, reading


def text_of(component: Any) -> str:
    """All text of a component and what it holds."""
    if isinstance(component, str):
        return component
    if isinstance(component, (list, tuple)):
        return " ".join(text_of(c) for c in component)
    return text_of(getattr(component, "children", None) or "")


def table(gap: float | None = 2.0, error: float | None = 0.1) -> SwapTable:
    none = RankSwap(0, 0.6, 0.1, 0.0)
    rule = replace(none, rank=2, random_original=0.5, random_target=0.2, share_query=1.01, share_key=0.9)
    return SwapTable((none, rule), 36, 2, 5, gap, error)


def test_a_test_on_fitted_examples_is_never_called_held_out() -> None:
    said = trial_title(True) + swap_sentence(table(), "layer 9, head 2", True)
    assert (
        "36 fitted examples" in said and "101% (query side)" in said and "of the gap in these fitted examples" in said
    )
    assert "held" not in said and "has not seen" not in said
    other = trial_title(False) + swap_sentence(table(), "layer 9, head 2", False)
    assert "More than 100 % means that the rest of the space works against it." in other
    assert "of the held-out gap" in other and "that the fit has not seen" in other and "fitted examples" not in other


@pytest.mark.parametrize(("gap", "error"), [(0.1, 0.1), (-0.15, 0.1), (0.0, 0.0), (2.0, None)])
def test_no_share_is_said_of_a_gap_that_is_not_there(gap: float, error: float | None) -> None:
    said = swap_sentence(table(gap, error), "layer 0, head 0", False)
    assert "101%" not in said and "nothing is said of how much" in said


def test_a_patched_subspace_stands_beside_random_ones_and_nothing_is_not_shared_out() -> None:
    said = claim(PATCHED, "Induction")
    assert "the 3 dimensions of “Induction” carry 92 % (88 to 95); random ones of that rank 4 % (1 to 8)" in said
    assert "carry 30 % (20 to 50)." in said and "told apart" not in said
    alike = claim(replace(PATCHED, attention=replace(MOVED, matched=(0.9, 0.8, 1.0))), "Induction")
    assert "not told apart" in alike
    none = replace(MOVED, effect=-0.001, inside=None, outside=None, random=None, matched=None)
    assert "nothing to share out" in claim(replace(PATCHED, attention=none), "Induction")
    said = " ".join(remarks(replace(PATCHED, answer=none, left_out=3)))
    assert "no different from nothing" in said and "3 more have no match" in said
    assert "A contrast of position" in remarks(replace(PATCHED, answer=None, no_answer="A contrast of position."))[-1]


def facts(**changes: Any) -> HeadEvidence:
    evidence = HeadEvidence(
        layer=9, head=2, centred=False, examples=80, rank=1, rank_by_rule=1, energy=0.99, singular_values=(1.0,),
        null_band=None, permutations=0, above_null=1, null_rank_mean=None, null_rank_sd=None, first_is_shared=None,
        trace=1.0, trace_error=0.1, trace_nats=0.1, trace_null_mean=None, trace_null_sd=None, direction_trace=(1.0,),
        trace_in_rank=1.0, noise_share=0.01, split_half_query=1.0, split_half_key=1.0, split_half_subspace=1.0,
        attention_positive=0.5, attention_negative=0.1, hits=0.95, chance=1 / 3, candidates=(1.0, 2.0), rotary="post",
        verdict="v", held_back=20,
    )  # fmt: skip
    return replace(evidence, **changes)


def test_the_evidence_says_what_chance_would_win_and_what_is_held_back() -> None:
    said = text_of(evidence_card(facts(), "Template"))
    assert "95% of examples (by chance 33%)" in said and "80; 20 lines of the file are held back" in said
    plain = text_of(evidence_card(facts(chance=None, held_back=0), "Template"))
    assert "95% of examples" in plain and "by chance" not in plain and "held back" not in plain
    assert "Mean gap before the rotary embedding" in text_of(evidence_card(facts(rotary="pre"), "Template"))
    assert "not defined here" in text_of(evidence_card(facts(hits=None), "Template"))


def won(**changes: Any) -> HeadScore:
    values = np.array([[1.0, 0.95], [0.6, np.nan]])
    matching = np.array([[0.025, 0.516], [0.3, np.nan]])
    return HeadScore(**({"values": values, "name": "share won", "signed": False, "matching": matching} | changes))


def test_a_head_that_hardly_looks_is_ranked_after_those_that_do() -> None:
    found = won(chance=1 / 3)
    buttons = best_heads(found, None)[1:]
    assert [b.children for b in buttons] == [
        "L0 H1  0.95, attention 52%", "L1 H0  0.60, attention 30%", "L0 H0  1.00, attention 2%"
    ]  # fmt: skip
    figure = head_grid(found.values, found.name, "light", None, None, True, False, found.order)
    assert np.asarray(figure["data"][0]["customdata"]).reshape(-1, 2).tolist()[:3] == [[0, 1], [1, 0], [0, 0]]
    assert np.asarray(figure["data"][0]["z"]).ravel()[:3] == pytest.approx([0.95, 0.6, 1.0])
    assert "by chance 33%" in found.caption
    assert "less than 10% of their attention are ranked last" in found.caption
    negative = won(values=np.array([[-1.0, -5.0], [3.0, -2.0]]), matching=np.array([[0.0, 0.5], [0.0, 0.5]]))
    assert np.argsort(-negative.order, axis=None).tolist() == [3, 1, 2, 0]


def test_a_score_of_attention_itself_is_ranked_by_itself() -> None:
    found = won(matching=None)
    assert found.order is found.values and best_heads(found, None)[1].children == "L0 H0  1.00"
    assert found.caption == ""


@pytest.mark.parametrize(
    ("short", "words"),
    [("induction", "Nothing in this prompt repeats"), ("z", "Too few relabellings"), ("hits", "in another prompt")],
)
def test_a_score_that_nobody_has_says_why(short: str, words: str) -> None:
    nowhere = np.full((2, 2), np.nan, np.float32)
    if short in SCORE_NAMES:
        score = prompt_score(replace(reading(["a", "b"]), induction=nowhere), short)
    else:
        score = feature_score(FeatureHeads(40, 2, None, 0.1, *[nowhere] * 5), short, "Induction")
    assert words in score.caption
