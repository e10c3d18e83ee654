"""Verdicts in words, each on the input on which it used to be false."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pytest
import torch

from analysis.faithfulness.answers.board import Area, BoardRow, Gap, PublishedAreas, ScorePoint, TierRow
from analysis.faithfulness.board_words import _fewer, exhibit_rows, tier_row
from analysis.faithfulness.forgetting import outcome
from analysis.mfa.answers.steering import ControlTable
from analysis.mfa.card import _facts
from analysis.mfa.character import NO_THEME
from analysis.qk.answers.validation import Invariant
from analysis.rotate.ablation import _sentence
from analysis.rotate.answers.channels import Arm, Channel, ChannelToken
from analysis.rotate.answers.neurons import KnownNull, LayerShare
from analysis.rotate.null import ChannelNull
from analysis.rotate.reading import _sentence as channel_sentence
from analysis.rotate.reading import vector_card, verdict
from analysis.snmf.answers.steering import SteeringArm, SteeringComparison, TokenChange
from analysis.snmf.describe import label_of
from analysis.snmf.detection import held_out
from analysis.snmf.overlap import core_words
from benchmarks.architectures import tokenizer
from components.faithfulness.board_table import beats
from components.faithfulness.point_figures import TruthOptions, _truth_caption
from components.faithfulness.standing import standing
from components.mfa.steering_figures import size_of_controls
from components.qk.validation_tables import invariant_table
from components.rotate.neuron_figures import shares_words
from components.snmf.evidence import arms_verdict
from tests.unit.test_attention_words import text_of


def null_of(vectors: int, rounds: int = 3) -> ChannelNull:
    own = torch.linspace(1, 2, vectors)[:, None].expand(vectors, rounds)
    return ChannelNull(own, own, own, own, torch.zeros(vectors, rounds, 20, dtype=torch.long))


def channels(count: int, beyond: int) -> list[Channel]:
    tokens = tuple(ChannelToken(i, t, 5.0, 5.0) for i, t in enumerate(("one", "two", "three")))
    return [
        Channel(c + 1, 9.0, 0.0, 0.7, -1.0, 5.0, 99.0, 0.001, c < beyond, None, 1, 0, 9, tokens, "")
        for c in range(count)
    ]


def test_a_vector_without_a_deviation_is_not_beyond_the_null() -> None:
    """A neuron of zeros has no z-scores: NaN is not larger than what random vectors have."""
    p = null_of(200).p_value(torch.tensor([[float("nan"), 5.0]]))[0]
    assert p[0] == 1 and p[1] == pytest.approx(1 / 201)
    said = channel_sentence(float("nan"), 1.0, False, null_of(200))
    assert "is no number" in said and "nan" not in said


def test_a_vector_that_gives_every_token_the_same_has_no_kurtosis() -> None:
    words = tokenizer()
    for fill in (0.0, 0.05):
        card = vector_card(words, torch.randn(8), torch.full((40, 8), fill), None, [-0.5, 0.0, 0.5])
        assert "not defined" in card.sentence and "-3.00" not in card.sentence
    card = vector_card(words, torch.randn(8), torch.randn(40, 8), None, [-0.5, 0.0, 0.5])
    assert "band of random vectors" in card.sentence


@pytest.mark.parametrize(("vectors", "said"), [(5, True), (18, True), (19, False), (200, False)])
def test_few_random_vectors_give_no_verdict(vectors: int, said: bool) -> None:
    nothing, sentence = verdict(channels(3, 0), null_of(vectors))
    assert nothing and ("too few to tell" in sentence) == said and ("Nothing in it" in sentence) != said


def test_more_channels_than_random_vectors_had_are_said() -> None:
    assert "searched for 3 channels each and this one for 8" in verdict(channels(8, 2), null_of(200))[1]
    assert "searched for" not in verdict(channels(3, 2), null_of(200))[1]
    assert "searched for 1 channel each" in verdict(channels(2, 1), null_of(200, 1))[1]


def ablated(own: float, other: float, control: float, kind: Literal["output", "input"] = "output") -> str:
    def arm(name: str, a: float, b: float) -> Arm:
        return Arm(name, a, b, a - b, (a, a), (b, b))

    arms = [arm("channel", own, other), arm("random direction", control, 0.0), arm("svd", -1.0, 0.0)]
    return _sentence(kind, arms, arm("whole neuron", 1.0, 0.0))


def test_what_rises_has_not_fallen_and_a_better_control_is_named_so() -> None:
    assert "of its tokens fall by 0.50 and those of the neuron's other tokens rise by 0.20" in ablated(0.5, -0.2, 0.1)
    assert "no worse than the channel" in ablated(0.1, 0.0, 0.3) and "no worse" not in ablated(0.5, 0.0, 0.3)
    text = ablated(-0.3, 0.001, 0.1, "input")
    assert "it rises by 0.30 without the channel" in text and "and falls by 0.00 in" in text and "-" not in text


def test_places_with_fewer_channels_than_chance_are_told_apart() -> None:
    ends = ((0.1, 0.3), (0.0, 0.04), (0.02, 0.2))
    rows = [LayerShare(0, "down", 50, 250, 0.1, low, high, 0.1, 0.05) for low, high in ends]
    null = KnownNull(200, 5, "", (1.0, 2.0, 3.0), ())
    said = shares_words(rows, null)
    assert "In 1 of 3 places the whole interval lies above 5 %" in said and "in 1 it lies below" in said
    assert "lies below" not in shares_words(rows[:1], null)


def study(**tiers: Any) -> Any:
    return SimpleNamespace(manifest={"tiers": tiers}, items=[], of=lambda tier: [])


def item(seed: int = 0) -> Any:
    return SimpleNamespace(question_text="q", steps=("s",), problem="p", demos=seed)


def test_a_tier_whose_confidence_is_unknown_is_not_called_told_apart_by_it() -> None:
    row = tier_row(study(), "2", [item()], None)
    assert not row["shown"] and "nobody knows" in row["why_not"] and "nan" not in row["why_not"]
    assert "tells these labels apart (AUROC 0.90" in tier_row(study(), "2", [item()], 0.9)["why_not"]
    assert tier_row(study(), "2", [item()], 0.5)["shown"]


@pytest.mark.parametrize(("plain", "here", "said"), [(120, 10, "12 times fewer"), (10, 20, "2 times more")])
def test_reading_together_is_not_always_cheaper(plain: int, here: int, said: str) -> None:
    assert _fewer({"plain_passes": plain, "passes": here}, "passes", ".0f") == said
    assert _fewer({"plain_seconds": 0.0, "seconds": 0.0}, "seconds", ".1f", "less", "more") == "no less or more"


def test_exhibits_do_not_speak_of_the_size_of_a_model_that_they_do_not_know() -> None:
    tiers = {"Z": {"made": 3, "kept": 1}, "G1": {"made": 3, "kept": 3}}
    said = " ".join(r["sentence"] for r in exhibit_rows(study(**tiers)))
    assert said and "of this size" not in said


def test_unlearning_without_measurements_says_so() -> None:
    said = outcome({"items": 2, "efficacy": None, "specificity": None})
    assert "efficacy not measured, specificity not measured" in said and "next to nothing" not in said
    assert "next to nothing" in outcome({"items": 2, "efficacy": 0.001, "specificity": 0.99})


def test_an_identity_whose_wrong_variant_passes_was_not_tested() -> None:
    def said(error: float, broken: float | None) -> str:
        holds = error <= 1e-4 and (broken is None or broken > 1e-4)
        return text_of(invariant_table([Invariant("c", error, 1e-4, broken, "v", holds, 0, 0)]))

    assert "not tested: the wrong variant passes too" in said(1e-6, 1e-5) and "FAILS" not in said(1e-6, 1e-5)
    assert "FAILS" in said(1e-2, 1.0) and "FAILS" in said(float("nan"), 1.0)
    assert "nothing to tell it from" in said(1e-6, None) and "nothing to tell" not in said(1e-6, 1.0)


def test_a_region_without_a_theme_is_not_called_grammar_for_certain() -> None:
    row = {
        "region": 0, "character": "grammar", "why": "its tokens have a part of speech in common", "theme": "sport",
        "size": 50, "mass": 50.0, "texts": 20.0, "entropy": 3.0, "top_share": 0.1, "purity": 0.1, "lift": 1.0,
        "kinds": [],
    }  # fmt: skip
    fit = SimpleNamespace(manifest={"rows": 100}, arrays={"near": torch.zeros(1, 1, dtype=torch.long)}, label=str)
    assert dict(_facts(fit, row))["Character"] == f"grammar: {NO_THEME}"  # type: ignore[arg-type]
    plain = row | {"theme": "", "why": "the texts have no themes, so only tokens tell what it is"}
    assert "no themes" in dict(_facts(fit, plain))["Character"]  # type: ignore[arg-type]


def test_a_difference_on_a_handful_of_items_is_not_bold() -> None:
    gap = Gap("1", "a", "b", 0.5, 0.5, 0.5)
    assert beats(gap, Area(0.9, n_faithful=20, n_unfaithful=5))
    assert not beats(gap, Area(0.9, n_faithful=20, n_unfaithful=2)) and not beats(gap, None)
    assert not beats(None, None)


def arm(name: str, *ids: int, met: bool = True) -> SteeringArm:
    return SteeringArm(name, 1.0, 0.25, met, "", tuple(TokenChange(i, str(i), 1.0) for i in ids))


def test_a_feature_is_held_against_its_largest_neuron_and_the_nulls() -> None:
    def said(*arms: SteeringArm) -> str:
        return arms_verdict(SteeringComparison((), (), (), (), (), arms, 3, "", "", ""))

    own, null = arm("feature", 1, 2, 3, 4), arm("random sparse", 9, 8, 7, 6)
    same = said(own, arm("single neuron", 4, 3, 2, 7), null)
    assert "hardly more" in same and "raises 3 among" in same and "random sparse directions 0" in same
    assert "in part" in said(own, arm("single neuron", 4, 8), null)
    assert "something else" in said(own, arm("single neuron", 8), null)
    # As many as a null raises are none: in a list of few tokens some are always the same.
    assert "something else" in said(own, arm("single neuron", 4, 8), arm("shuffled neurons", 1))
    assert (
        said(own, arm("single neuron", 4, met=False))
        == said(own)
        == said(arm("feature"), arm("single neuron", 1))
        == ""
    )


def board_of(areas: dict[str, Area], gaps: tuple[Gap, ...] = (), shown: bool = True) -> Any:
    rows = tuple(
        BoardRow(name, "baseline" if name == "answer confidence" else "f", "", "", False, 0.5, "", {"2": area}, {},
                 PublishedAreas(), None, None)
        for name, area in areas.items()
    )  # fmt: skip
    tier = TierRow("2", "Tier 2: is it true?", "", 40, 20, 5, 0, "", 0.51, shown, "")
    return SimpleNamespace(rows=rows, tiers=(tier,), differences=gaps)


def test_the_first_line_of_the_leaderboard_trusts_nothing_that_chance_or_confidence_does_as_well() -> None:
    area = Area(0.9, 0.8, 0.95, 0.0, 20, 20, (0.4, 0.6))
    few = Area(0.99, 0.98, 1.0, 0.0, 2, 2, (0.4, 0.6))
    free, gap = Area(0.51, 0.45, 0.55, 0.0, 20, 20, (0.4, 0.6)), Gap("2", "m", "answer confidence", 0.4, 0.3, 0.5)
    good = standing(board_of({"m": area, "answer confidence": free}, (gap,)))
    assert "1 of 1 measures tell" in good[0] and "m 0.90 (0.80 to 0.95)" in good[0] and "Trust" in good[-1]
    weak = Area(0.7, 0.55, 0.8, 0.0, 20, 20, (0.4, 0.6))
    (line, _) = standing(board_of({"m": weak, "n": few, "answer confidence": free}, (gap,)))  # reaches the null
    assert "None of 1 measures" in line and "0.5 is chance" in line and "alone has 0.51" in line
    (line, _) = standing(board_of({"m": area, "n": few, "answer confidence": free}))  # no lead over confidence
    assert "1 of 1 measures lie above shuffled labels, but none clearly above answer confidence" in line
    assert standing(board_of({"m": area}, shown=False)) == [] == standing(board_of({"m": Area(None)}))


def test_a_theme_is_called_by_words_that_tell_something_of_it() -> None:
    def named(*on: str, theme: str = "cooking", label: str = "cooking: x") -> str:
        return label_of({"label": label, "theme": theme, "on": list(on)})

    assert named("␣a", "␣delicious", "eled", "␣of", "␣cake") == "cooking: delicious, cake, eled, a"
    assert named("␣His", "␣my", "'s", "␣her", "␣house") == "cooking: His, my, 's, her"  # it is about these
    assert named("␣a", label="a, the", theme="") == "a, the" and named("␣a", label="“:”") == "“:”"
    assert named("␣the", "␣lemon", label="few texts: the") == "few texts: lemon, the"


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ((0, 0, 2), "They share no neuron."),
        ((1, 0, 2), "They share one neuron."),
        ((1, 1, 2), "They share one neuron, with opposite signs, which work against each other."),
        ((3, 1, 2), "They share 3 neurons, 1 of them with opposite signs, which work against each other."),
        ((3, 0, 4), "The core, neurons that at least half of these 4 features (two or more) keep: 3."),
    ],
)
def test_opposite_signs_are_not_said_to_cancel(numbers: tuple[int, int, int], words: str) -> None:
    assert core_words(*numbers, "neurons") == words


def test_controls_of_another_size_are_not_called_equal() -> None:
    assert "each push has the distance" in size_of_controls(ControlTable((), (), False))
    sentence = size_of_controls(ControlTable((), ("random region",), True))
    assert "but for the set-up's local factors" in sentence and "Left out" in sentence and "random region" in sentence


def test_a_threshold_that_is_not_drawn_is_not_named_and_few_points_correlate_by_chance() -> None:
    points = [(ScorePoint(str(i), True, "R", "", 0, "", 1, {"m": i}, i), float(i), float(i)) for i in range(12)]
    options = TruthOptions("m", "i")
    assert "Dashed" in _truth_caption(points, options, None, 0.5)
    assert "Dashed" not in _truth_caption(points, options, None, None)
    assert _truth_caption(points, options, None, None).endswith("over 12 items.")
    few = _truth_caption(points[:4], options, None, None)
    assert "+1.00 over 4 items, too few to tell it from chance" in few


def test_detection_without_a_theme_on_both_sides_has_no_interval() -> None:
    found = held_out(np.ones((3, 1)), np.zeros(3, np.int64), np.zeros(1, np.int64), draws=5)
    assert np.isnan(found.auc).all() and np.isnan(found.auc_interval).all()
