"""What leaves the MLP features page beside figures: parts, controls, numbers, against their answers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from analysis.errors import UserError
from analysis.snmf.answers.factorization import (
    DetectionComparison,
    EffectAxes,
    FeatureContext,
    NeuronWeight,
    NewFactorization,
    RelatedPair,
    ThemeShare,
    TokenLogit,
)
from analysis.snmf.answers.steering import FeatureTexts, SteeringArm, TokenChange
from analysis.steering.answers import WrittenText
from components.kit.part import Facts, Table, Texts
from components.kit.written import TextsOptions, digest_of
from components.snmf import figures, maps, parts, tree
from tests.unit.drawn_again import drawn_again, kind
from tests.unit.snmf.examples import feature_table
from tests.unit.test_feature_figures import (
    FAMILY,
    OVERLAP,
    READING,
    SHIFT,
    detected,
    feature_facts,
    row,
)

TABLE = feature_table((0.5, None, 0.8))


def test_the_list_says_how_many_features_are_beyond_random_directions() -> None:
    drawing = drawn_again(parts.feature_table, TABLE, options=parts.ListOptions("auc", "label"))
    assert [r[:3] for r in kind(drawing, Table)[0].rows] == [
        (2, "label 2", 0.8),
        (0, "label 0", 0.5),
        (1, "label 1", None),
    ]
    assert drawing.control is not None and drawing.control.text.startswith(
        "1 of 2 scored features have an AUC above 0.70"
    )
    assert drawing.control.numbers == {
        "random low": 0.3, "random high": 0.7, "features above": 1.0, "features scored": 2.0
    }  # fmt: skip
    unscored = dataclasses.replace(TABLE, random_auc=None)
    assert drawn_again(parts.feature_table, unscored).control is None


def test_a_fit_and_its_curves_quote_what_they_explain() -> None:
    about = drawn_again(parts.fit_parts, TABLE)
    assert about.numbers["share explained"] == 0.4 and about.numbers["tokens"] == 600.0 and about.control is None
    assert dict(kind(about, Facts)[0].rows)["made by"] == "a test"
    made = drawn_again(figures.new_curve, NewFactorization("f", "Kept.", TABLE.curve))
    assert made.numbers == {
        "iterations": 30.0, "share explained at the end": 0.34, "kept iteration": 20.0, "share explained": 0.35
    }  # fmt: skip


def test_a_feature_stands_beside_random_directions_and_shuffled_neurons() -> None:
    context = FeatureContext(("␣a", "b"), (3, 4), (0.0, 1.0), 1, "", 2.0)
    facts = dataclasses.replace(
        feature_facts((NeuronWeight(7, 0.5), NeuronWeight(9, -0.8))),
        contexts=(context,),
        plus=(TokenLogit(3, "x", 1.5),),
        themes=(ThemeShare("sport", 0.6),),
        detection=detected(passages=12, others=300),
    )
    drawing = drawn_again(parts.feature_parts, facts)
    largest, sample = kind(drawing, Texts)
    assert largest.texts[0].text == " ab" and largest.texts[0].tokens == ((" a", 0.0), ("b", 1.0)) and not sample.texts
    assert kind(drawing, Table)[0].rows == (("x", 1.5),) and kind(drawing, Table)[2].rows == (("sport", 0.6),)
    control = drawing.control
    assert control is not None and control.name == "random sparse directions, shuffled neurons"
    assert control.numbers == {
        "random low": 0.3, "random high": 0.65, "shuffled": 0.5, "passages": 12.0, "other passages": 300.0
    }  # fmt: skip
    assert "12 passages of the theme and 300 others" in control.text
    assert drawing.numbers == {
        **{"active": 0.1, "neurons": 2.0, "largest weight": -0.8, "share of its first theme": 0.6},
        **{"auc": 0.8, "auc low": 0.7, "auc high": 0.9, "score": 0.4},
    }
    assert drawn_again(figures.neuron_bars, facts, TABLE).control == control
    bare = dataclasses.replace(facts, detection=detected(auc=None, interval=None, score=None))
    assert drawn_again(parts.feature_parts, bare).control is None


def test_shared_neurons_stand_beside_what_chance_shares() -> None:
    overlap = dataclasses.replace(
        OVERLAP,
        axes=EffectAxes(("core", "only a", "only b"), ("x", "y"), (3, 4)),
        direct=np.array([[0.5, -1.0], [0.1, 0.9], [-0.1, -0.2]], np.float32),
        effects=np.array([[0.5, -1.0], [0.0, 2.0], [0.25, 0.0]], np.float32),
        related=(RelatedPair(0, 1, 3, ("a", "b")),),
    )
    drawing = drawn_again(parts.overlap_parts, overlap, TABLE)
    (table,) = kind(drawing, Table)
    assert [r[:2] for r in table.rows] == [("core", 1), ("only 0 a", 2), ("only 1 b", 0)]
    assert [r[3] for r in table.rows] == ["x", "y, x", ""]
    assert drawing.control is not None and drawing.control.numbers["expected shared"] == pytest.approx(15.5**2 / 64)
    assert drawing.control == drawn_again(maps.shared_matrix, overlap, TABLE).control
    assert drawing.numbers["shared by 0 and 1"] == 3.0 and drawing.numbers["largest effect of core"] == -1.0
    pairs = drawn_again(parts.related_pairs, overlap, TABLE)
    assert kind(pairs, Table)[0].rows == ((0, "a", 1, "b", 3),) and pairs.numbers == {"most shared": 3.0}


def test_a_concept_lists_what_is_below_it() -> None:
    options = tree.TreeOptions("3:0", 1)
    drawing = drawn_again(parts.concept_parts, FAMILY, options=options)
    (table,) = kind(drawing, Table)
    assert table.rows[0][1] == "2:0" and table.rows[0][3] == "3:0" and table.rows[0][4] == 1.0
    assert len(table.rows) == 6 and drawing.control is None
    assert drawing.numbers == drawn_again(tree.concept_tree, FAMILY, options=options).numbers
    with pytest.raises(UserError):
        parts.concept_parts.draw(FAMILY, tree.TreeOptions("9:9"), "light")


def test_arms_at_one_price_have_the_null_directions_as_their_control() -> None:
    null = SteeringArm("random sparse", 3.5, 0.26, True, "Met.", (TokenChange(4, "y", 0.2),))
    missing = SteeringArm("shuffled neurons", None, None, False, "Cannot be had.")
    shift = dataclasses.replace(SHIFT, arms=(null, missing, *SHIFT.arms))
    options = figures.PromptEnd("I think")
    drawing = drawn_again(parts.arm_rows, shift, options=options)
    assert [r[:4] for r in kind(drawing, Table)[0].rows] == [
        ("this feature", 2.0, 0.25, "met"),
        ("null: random sparse direction", 3.5, 0.26, "met"),
        ("null: its weights on other neurons", None, None, "not met"),
    ]
    assert drawing.control is not None and drawing.control.name == "random sparse directions"
    assert drawing.control.numbers == {
        "strength of random sparse": 3.5, "kl of random sparse": 0.26, "largest rise of random sparse": 0.2
    }  # fmt: skip
    assert "“y” rises most, by 0.20 nats" in drawing.control.text
    assert (drawing.numbers["strength"], drawing.numbers["kl"], drawing.numbers["largest rise"]) == (2.0, 0.25, 1.5)
    picture = drawn_again(figures.steered_next, shift, options=options)
    assert picture.control == drawing.control and picture.numbers == drawing.numbers
    assert drawn_again(parts.arm_rows, SHIFT, options=options).control is None


def test_texts_of_a_feature_have_the_baseline_as_their_control() -> None:
    def text(*ids: int) -> WrittenText:
        return WrittenText(ids, "ab", ("␣a", "⏎")[: len(ids)], (0.3,) * len(ids), (1.0,) * len(ids), 0.3, 7.5, 0.1)

    texts = FeatureTexts(text(3, 4), text(3, 5), text(4, 5), "a null", 9.0, False, "s", True)
    options = TextsOptions("I think", (("feature 3", 2.0), ("random sparse", 3.5)), "random sparse", digest_of(texts))
    drawing = drawn_again(parts.feature_texts, texts, options=options)
    (shown,) = kind(drawing, Texts)
    assert shown.texts[1].title == "With the feature" and [t for t, _ in shown.texts[1].tokens] == [" a", "\n"]
    assert drawing.control is not None and drawing.control.name == "random sparse directions"
    assert "a null" in drawing.control.text and drawing.numbers["strength of feature 3"] == 2.0
    assert drawing.numbers["mean KL per token, nats"] == 0.3 and drawing.numbers["perplexity"] == 7.5
    with pytest.raises(UserError, match="other texts"):
        parts.feature_texts.draw(dataclasses.replace(texts, base=text(9, 9)), options, "light")


def test_every_method_stands_beside_the_nulls_of_its_block() -> None:
    rows = (row(6, "SNMF", 0.74), row(6, "random sparse", 0.67), row(0, "SNMF", 0.62), row(0, "shuffled neurons", 0.72))
    comparison = DetectionComparison(rows, "On 325 passages.", "made")
    drawing = drawn_again(parts.detection_rows, comparison)
    assert [r[0] for r in kind(drawing, Table)[0].rows] == [0, 0, 6, 6]
    assert drawing.control is not None and drawing.control.name == "random sparse directions, shuffled neurons"
    assert drawing.control.numbers == {"random sparse, block 6": 0.67, "shuffled neurons, block 0": 0.72}
    assert drawing.control.text.endswith("On 325 passages.")
    assert drawing.numbers == {"SNMF, block 6": 0.74, "SNMF, block 0": 0.62}
    assert drawn_again(figures.detection_areas, comparison).control == drawing.control
    scores = drawn_again(figures.detection_scores, comparison)
    assert scores.control is None and scores.numbers == {}, "the paper's score was not measured here"


def test_a_reading_quotes_the_peak_of_each_feature() -> None:
    assert drawn_again(maps.reading_map, READING).numbers == {"peak of 4": 2.0}
