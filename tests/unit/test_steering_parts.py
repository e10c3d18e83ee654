"""What leaves the Steering page beside figures: parts, controls and numbers, against the answers that they are of."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path
from typing import Any

import pytest

from analysis.errors import UserError
from analysis.mfa.answers.regions import Effects, TokenValue
from analysis.steering.answers import TokenReading
from components.kit.colouring import SCALES, shades_by_price, shades_of
from components.kit.part import Facts, Table, Texts
from components.kit.written import MEAN_KL, TextsOptions, digest_of
from components.mfa import parts, region_figures, steering_figures
from components.mfa.region_figures import MapOptions, TokenOptions
from components.mfa.steering_figures import ControlOptions, NextOptions
from tests.unit.drawn_again import drawn_again, kind
from tests.unit.test_steering_page import CARD, CONTROLS, FIT, NEXT, PARTS, TEXTS, some_regions, some_text

OPTIONS = TextsOptions("Once", (("region 3", 0.6),), "region", digest_of(TEXTS))
THREE = dataclasses.replace(TEXTS, control=some_text(0.2, 0.4), control_note="9: bread")


def test_the_list_of_regions_is_that_of_the_page_with_the_fits_baseline() -> None:
    drawing = drawn_again(parts.region_table, some_regions(), options=parts.ListOptions("theme", "baking"))
    (table,) = kind(drawing, Table)
    assert [row[0] for row in table.rows[:2]] == [3, 1] and table.rows[0][1] == "label 3 <b>"
    assert drawing.control is not None and drawing.control.name == "diagonal Gaussian"
    assert drawing.control.numbers == {"diagonal Gaussian": -2.0, "held out": -1.0, "activations": 1000.0}
    assert drawing.numbers["theme regions"] == 2.0 and drawing.numbers["regions"] == 6.0
    on_map = drawn_again(region_figures.region_map, some_regions(), options=MapOptions(3))
    assert on_map.control == drawing.control


def test_a_long_list_says_that_it_is_cut() -> None:
    drawing = drawn_again(parts.region_table, some_regions(parts.LISTED + 5), options=parts.ListOptions("size"))
    assert len(kind(drawing, Table)[0].rows) == parts.LISTED and "the first 100 are listed" in drawing.caption


def test_a_region_holds_facts_effects_contexts_and_factors_and_claims_no_control() -> None:
    effects = Effects((TokenValue(8, "sugar", 1.25),), (TokenValue(9, "law", -0.5),))
    drawing = drawn_again(parts.region_parts, CARD, effects)
    assert kind(drawing, Facts)[0].rows == CARD.facts and drawing.control is None
    assert kind(drawing, Table)[0].rows == (("sugar", 1.25),)
    assert drawing.numbers == {"local factors": 6.0, "largest gain": 1.25}
    samples = kind(drawing, Texts)
    assert [len(sample.texts) for sample in samples] == [1, 2, 0]
    assert samples[0].texts[0].text == "…before <b> after…" and samples[0].texts[0].tokens[1] == ("<b>", 1.0)
    more = drawn_again(parts.factor_parts, CARD, effects, Effects(factors=((("x", "y"), ()),)))
    assert next(t for t in kind(more, Table) if "adds" in t.title).rows == ((0, "x, y", ""),)


def test_texts_stand_side_by_side_with_all_their_numbers() -> None:
    drawing = drawn_again(parts.steered_texts, TEXTS, options=OPTIONS)
    (texts,) = kind(drawing, Texts)
    assert [t.title for t in texts.texts] == ["Unsteered", "Steered", "Control: random region"]
    assert {t.prompt for t in texts.texts} == {"Once"} and texts.texts[1].text == "a<i>"
    shades = [shade for _, shade in texts.texts[1].tokens]
    assert shades == pytest.approx([(0.1 / 3) ** 0.5, 0.1**0.5]), "as the boxes of the page are shaded"
    assert drawing.numbers == {
        **{
            "strength": 0.6,
            MEAN_KL: 0.2,
            "repetition": 0.0,
            "tokens": 2.0,
            "perplexity": 5.5,
            "presence": 0.7,
        }
    }
    table, presence = kind(drawing, Table)
    assert table.rows[1] == ("Steered", 2, 0.2, 5.5, 0.0) and presence.rows == (("3: <b>", 0.1, 0.7),)


def test_the_control_of_texts_is_the_third_one_or_the_unsteered_one() -> None:
    third = drawn_again(parts.steered_texts, THREE, options=dataclasses.replace(OPTIONS, digest=""))
    assert third.control is not None and third.control.name == "random region" and "9: bread" in third.control.text
    assert third.control.numbers == {
        MEAN_KL: 0.2,
        "repetition": 0.0,
        "tokens": 2.0,
        "perplexity": 5.5,
    }
    two = dataclasses.replace(TEXTS, control=None)
    alone = drawn_again(parts.steered_texts, two, options=dataclasses.replace(OPTIONS, digest=""))
    assert alone.control is not None and alone.control.name == "unsteered text"
    assert alone.control.numbers == {"presence": 0.1} and "0.100" in alone.control.text
    price = drawn_again(steering_figures.price_per_token, two, options=dataclasses.replace(OPTIONS, digest=""))
    assert price.control is None, "the price is the distance from the unsteered model itself"
    shares = drawn_again(steering_figures.region_presence, TEXTS, options=OPTIONS)
    assert shares.numbers == {"presence": 0.7} and shares.control is not None
    assert shares.control.numbers == {"presence": 0.1}


@pytest.mark.parametrize(
    "view", [parts.steered_texts, steering_figures.price_per_token, steering_figures.region_presence]
)
def test_other_texts_than_those_on_the_screen_are_refused(view: Any) -> None:
    other = dataclasses.replace(TEXTS, steered=dataclasses.replace(TEXTS.steered, ids=(3, 5)))
    with pytest.raises(UserError, match="other texts than those on the screen"):
        view.draw(other, OPTIONS, "light")


def test_the_table_of_controls_and_its_figure_say_the_same() -> None:
    options = ControlOptions("Once", 3)
    table = drawn_again(parts.control_rows, CONTROLS, options=options)
    bars = drawn_again(steering_figures.controls_bars, CONTROLS, options=options)
    assert table.control == bars.control and table.control is not None and table.control.name == "random <b>"
    assert table.control.numbers == {"random <b>": 0.5} and table.numbers == bars.numbers == {"kl": 0.25}
    assert [row[:2] for row in kind(table, Table)[0].rows] == [("the set-up", 0.25), ("random <b>", 0.5)]
    bare = dataclasses.replace(CONTROLS, rows=CONTROLS.rows[:1], left_out=("random region",))
    assert drawn_again(parts.control_rows, bare, options=options).control is None


def test_a_token_has_its_region_and_its_norms() -> None:
    drawing = drawn_again(parts.token_regions, PARTS, options=TokenOptions(1))
    (text,) = kind(drawing, Texts)[0].texts
    assert text.tokens == (("a", 0.0), ("a", 0.8)), "the first lies outside of what the fit has seen"
    assert drawing.numbers["responsibility"] == 0.8 and drawing.numbers["norm of the rest"] == 6.0
    assert drawing.numbers == drawn_again(region_figures.two_segments, PARTS, options=TokenOptions(1)).numbers
    assert dict(kind(drawing, Facts)[0].rows)["region"] == "1: <b>"


def test_other_figures_quote_their_answers() -> None:
    shift = drawn_again(steering_figures.steered_next, NEXT, options=NextOptions("Once"))
    assert shift.numbers == {"kl": 0.3, "entropy unsteered": 1.5, "entropy steered": 1.25} and shift.control is None
    course = drawn_again(region_figures.new_fit, FIT)
    assert course.numbers == {"iterations": 1.0, "fitted": -4.0, "held out": -4.5}


def test_the_browser_shades_by_the_same_scales_as_what_leaves_the_page() -> None:
    script = (Path(__file__).parents[2] / "assets/frame/colouring.js").read_text(encoding="utf-8")
    for name, scale in SCALES.items():
        found = re.search(rf"{name}: {{[^}}]*top: (\d+)(, root: true)?", script)
        assert found is not None and float(found[1]) == scale.top and bool(found[2]) == scale.root
    text = some_text(0.3, 0.0, 12.0)
    texts = dataclasses.replace(TEXTS, readings=(TokenReading("activation of feature 1", 4.0, (0.0, 1.0), (4.0, 9.0)),))
    assert shades_by_price(text) == pytest.approx([math.sqrt(0.1), 0.0, 1.0])
    assert shades_of(texts, "reading-0")[:2] == [[0.0, 0.25], [1.0, 1.0]]
    options = dataclasses.replace(OPTIONS, colour="reading-0", when="on the prompt only")
    drawing = parts.steered_texts.draw(texts, options, "light")
    assert "activation of feature 1" in drawing.caption and drawing.caption.endswith(
        "Steering acts on the prompt only."
    )
    for colour in ("reading-1", "reading-x", "mood"):
        with pytest.raises(UserError, match="no such colouring"):
            shades_of(texts, colour)
