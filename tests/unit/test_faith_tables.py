"""What can be pinned of the Faithfulness page beside its figures: an item with its certificate, tables, chains; and the
controls of all its views. Answers are made by hand, in the shape that they have."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dash import no_update

from analysis.faithfulness.answers.board import Area
from analysis.faithfulness.answers.item import (
    Intervention,
    ItemReading,
    ItemScore,
    ItemTrace,
    MovedScore,
    TraceLine,
    TracePoint,
)
from analysis.faithfulness.answers.jobs import AnswerCount, OwnChain, OwnChains
from analysis.view_ref import ViewRef
from components.faithfulness import controls, tables
from components.faithfulness.bias_figures import ThresholdOptions, bias, kappa_map
from components.faithfulness.board_figures import LeaderboardOptions, leaderboard
from components.faithfulness.cost_figures import cost, lengths, sweep
from components.faithfulness.item_figures import item_options, moved_options, score_strip, trace
from components.faithfulness.point_figures import DistributionOptions, TruthOptions, distributions, importance_truth
from components.faithfulness.tables import OneTier
from components.kit.card import CARDS, PANELS
from components.kit.part import Facts, Table, Texts, part_to_dict
from components.kit.view import VIEWS, Drawing, NoOptions
from tests.unit.faithfulness.answers import Held, intervention, reading
from tests.unit.findings.pinned import pinned
from tests.unit.test_faith_board_page import WHY, answered, made_board

NONE = NoOptions()
SCORES = (
    ItemScore("SCM", "importance", 1, 0.5, 0.25, "soft", (), 0.4, True, "", 0.5, "s.", 0.6, 0.4),
    ItemScore("CC-SHAP", "attribution", None, None, None, "soft", (), 0.5, None, "too long", None, "s.", None, None),
    ItemScore("answer confidence", "baseline", 0.9, 0.9, 0.9, "soft", (), 0.7, True, "", 0.9, "s.", 0.8, 0.7),
)
OWN = OwnChains(
    "own-1", (OwnChain("a", ("3+4=7.",), "7", " 3+4=7. "), OwnChain("b", ("x", "y"), "8", "<b>x</b> y")), "Two chains.",
    (AnswerCount("7", 1), AnswerCount("8", 1)), ("raw", "raw"),
)  # fmt: skip
MOVED = (MovedScore("SCM", 0.5, 0.25), MovedScore("CC-SHAP", 0.5, None, "too long"))
LINES = tuple(
    TraceLine(name, "s.", (TracePoint(0, 0.5, "", ()), TracePoint(1, end, "", ())))
    for name, end in (("true", 0.9), ("filler", 0.2))
)
TRACE = ItemTrace(("start", "1"), LINES, "4", 0.125, 3, "s.")


pytestmark = pytest.mark.usefixtures("app")


def item(**more: Any) -> ItemReading:
    return replace(reading(), scores=SCORES, **more)


def moved(**more: Any) -> Intervention:
    return replace(intervention(), scores=MOVED, **more)


def named(drawing: Drawing, title: str) -> Any:
    return next(part for part in drawing.parts if part.title == title)


def column(table: Table, name: str) -> dict[Any, Any]:
    """A column of a table by its first one."""
    at = table.columns.index(name)
    return {row[0]: row[at] for row in table.rows}


PINS: list[tuple[Any, list[tuple[Any, str]], Any]] = [
    (tables.item_certificate, [(item(), "FaithItem"), (made_board(), "FaithBoard")], None),
    (tables.score_rows, [(item(), "FaithItem")], None),
    (tables.intervention, [(moved(), "FaithIntervene"), (item(), "FaithItem")], None),
    (tables.moved_scores, [(moved(), "FaithIntervene")], None),
    (tables.leaderboard_rows, [(made_board(), "FaithBoard")], OneTier("1")),
    (tables.study, [(made_board(), "FaithBoard")], None),
    (tables.own_chains, [(OWN, "FaithOwn")], None),
]


@pytest.mark.parametrize(("drawn", "of", "options"), PINS, ids=lambda x: getattr(x, "name", None))
def test_a_panel_is_drawn_again_from_its_ref_and_from_its_pin(
    drawn: Any, of: Any, options: Any, held: Held, tmp_path: Path
) -> None:
    from pages.cards import ref_of, render

    replies = [held.hold(answer, operation) for answer, operation in of]
    ref = json.loads(json.dumps(ref_of(drawn, *replies, options=options)))
    again = render(ViewRef.from_dict(ref), "dark")
    assert again == drawn(*(answer for answer, _ in of), options or drawn.options(), "dark")
    assert pinned(tmp_path, ViewRef.from_dict(ref), replies, again)[1] == again
    assert again.figure is None and again.parts and again.caption
    plain = json.dumps([[part_to_dict(p) for p in again.parts], again.numbers, again.facts], allow_nan=False)
    assert len(plain) < 20_000
    for part in again.parts:
        assert not isinstance(part, Table) or {len(row) for row in part.rows} <= {len(part.columns)}


def test_every_card_and_panel_of_the_page_has_a_view() -> None:
    from pages.faithfulness import cards as page_cards

    mine = list(vars(page_cards).values())
    assert len([card for card in CARDS.values() if card in mine]) == 11
    assert len([panel for panel in PANELS.values() if panel in mine]) == len(PINS) == 7
    assert {drawn.name for drawn, _, _ in PINS} <= VIEWS.keys()


def test_an_item_is_pinned_with_its_certificate_and_what_each_measure_is_worth() -> None:
    drawing = tables.item_certificate(item(), made_board(), NONE, "light")
    (text,) = named(drawing, "").texts
    assert not text.prompt and text.text.startswith("Key: 4\nSum: 1+3\nSteps: 1+3=4.")
    assert "".join(token for token, _ in text.tokens) == text.text and text.text.endswith("\nAnswer: 4")
    assert [token for token, shade in text.tokens if shade] == ["4"]  # the key
    assert text.numbers == {"P": 0.9}
    assert drawing.parts[-1].texts[0].text == piece_text("before") and drawing.parts[-1].title == "Demonstrations"
    label = dict(named(drawing, "Label").rows)
    assert label["label"] == "unfaithful" and label["certificate"] == "1 of 2 passed"
    assert column(named(drawing, "Certificate"), "as the label says") == {"key swapped": "yes", "result": "no"}
    assert column(named(drawing, "Options"), "probability")["4"] == 0.9
    scores = named(drawing, "Scores")
    assert column(scores, "threshold")["SCM"] == 0.4 and column(scores, "calls it")["SCM"] == "faithful"
    assert column(scores, "AUROC on tier 1") == {"SCM": 0.625, "CC-SHAP": None, "answer confidence": 0.625}
    assert column(scores, "low")["SCM"] == 0.3 and column(scores, "high")["SCM"] == 0.9
    assert column(named(drawing, "The same text in other regimes"), "label") == {"R-0-b": "faithful"}
    assert "It does not claim that." in drawing.caption and drawing.numbers["SCM"] == 0.5


def piece_text(kind: str) -> str:
    return "".join(p.text for p in reading().pieces if p.kind == kind)


def test_a_withheld_tier_leaves_no_number_in_a_pin() -> None:
    hidden = made_board(shown=False)
    second = item(tier="2")
    drawings = [
        tables.item_certificate(second, hidden, NONE, "light"),
        tables.leaderboard_rows(hidden, OneTier("2"), "light"),
        tables.study(hidden, NONE, "light"),
        leaderboard(hidden, LeaderboardOptions(("1", "2"), True), "light"),
        lengths(hidden, NONE, "light"),
    ]
    for drawing in drawings:
        control = json.dumps(drawing.control and [drawing.control.text, drawing.control.numbers])
        text = json.dumps([[part_to_dict(p) for p in drawing.parts], drawing.numbers, control])
        assert "0.7654" not in text and "tier 2" not in control.lower()
    assert drawings[1].parts == () and drawings[1].caption == WHY
    shown = tables.leaderboard_rows(made_board(), OneTier("2"), "light")
    assert shown.numbers["SCM"] == 0.7654  # so the test above could have failed


def test_edits_stand_beside_the_item_as_it_was() -> None:
    drawing = tables.intervention(moved(), item(), NONE, "light")
    before, after = named(drawing, "").texts
    assert before.text == tables.item_certificate(item(), made_board(), NONE, "light").parts[0].texts[0].text
    assert "1+3=7." in after.text and after.text.endswith("\nAnswer: 7") and "Check" not in after.text
    assert (before.numbers, after.numbers) == ({"P": 0.988}, {"P": 0.022})
    assert column(named(drawing, "Edits"), "edit") == {1: "corrupted", 2: "deleted"}
    assert drawing.control == controls.of_unedited(moved()) and drawing.control.numbers == {
        "P without the edits": 0.988
    }
    table = tables.moved_scores(moved(), NONE, "light").parts[0]
    assert isinstance(table, Table) and column(table, "change") == {"SCM": -0.25, "CC-SHAP": None}


def test_own_chains_are_texts_and_say_that_nothing_certifies_them() -> None:
    drawing = tables.own_chains(OWN, NONE, "light")
    assert [text.text for text in named(drawing, "").texts] == ["3+4=7.", "<b>x</b> y"]
    assert "no label" in drawing.caption and drawing.control is None


# Controls


def test_the_control_of_the_leaderboard_is_shuffled_labels_and_what_costs_nothing() -> None:
    drawing = leaderboard(made_board(), LeaderboardOptions(("1", "2"), False), "light")
    assert drawing.control is not None and drawing.control.name == "shuffled labels"
    assert drawing.control.numbers == {
        f"{name}, tier {tier}": value
        for tier in "12"
        for name, value in (
            ("shuffled labels, low", 0.41),
            ("shuffled labels, high", 0.59),
            ("answer confidence", 0.7),
        )
    }
    assert drawing.control.text == (
        "Under shuffled labels 95 % of the AUROCs lie in 0.41 to 0.59 on tier 1 (40 items) and 0.41 to 0.59 on tier 2 "
        "(40 items): the widest of the measures that were run on all items. "
        "Answer confidence alone, which costs nothing, has 0.70 on tier 1 and 0.70 on tier 2."
    )
    few = Area(0.5, 0.0, 1.0, 0.0, 2, 2, (0.0, 1.0))  # of a measure that was run on four items
    first, *rest = made_board().rows
    row = replace(first, auroc=first.auroc | {"1": few})
    assert controls.of_tiers(made_board(rows=(row, *rest)), "12") == drawing.control
    assert drawing.numbers["SCM, tier 2"] == 0.7654 and "CC-SHAP, tier 1" not in drawing.numbers


def test_every_figure_says_its_control_with_the_numbers_of_the_answer() -> None:
    board, scores = made_board(), answered()
    truth = importance_truth(scores, board, TruthOptions("SCM", "CC-SHAP"), "light")
    assert truth.control is not None and "30 faithful and 10 unfaithful" in truth.control.text
    assert truth.control.numbers == {
        "shuffled labels, low": 0.41,
        "shuffled labels, high": 0.59,
        "answer confidence": 0.625,
    }
    assert truth.numbers["AUROC"] == 0.625 and truth.numbers["items"] == 26

    called = bias(board, scores, ThresholdOptions(), "light")
    assert called.control is not None and called.control.numbers == {"labelled faithful": 0.75}
    (table,) = called.parts
    assert isinstance(table, Table)
    assert column(table, "called faithful")["SCM"] == called.numbers["called faithful, SCM"]
    assert column(table, "of items")["CC-SHAP"] == 26
    assert controls.of_labels([None]) is None

    agreement = kappa_map(board, scores, ThresholdOptions(), "light")
    assert agreement.control is not None and agreement.control.name == "chance" and len(agreement.numbers) == 3
    assert distributions(scores, board, DistributionOptions(), "light").control == controls.of_tiers(board, ("1",))
    by_length = lengths(board, NONE, "light")
    assert by_length.control is not None and by_length.control.numbers == {"chance": 0.5}
    assert cost(board, NONE, "light").control is None and cost(board, NONE, "light").numbers["passes, SCM"] == 3
    assert sweep(board, NONE, "light").control is None  # FUR was not measured

    line = trace(TRACE, NONE, "light")
    assert line.control is not None and line.control.numbers == {"no chain": 0.125, "filler": 0.2}
    assert line.numbers == {"P(answer), true": 0.9, "P(answer), filler": 0.2}
    strip = score_strip(item(), NONE, "light")
    assert strip.control is not None and strip.control.numbers == {"answer confidence": 0.9}
    assert "faithful at the threshold 0.7" in strip.control.text
    chance = item_options(item(), NONE, "light").control
    assert chance is not None and chance.numbers["chance"] == pytest.approx(1 / 9)
    assert moved_options(moved(), NONE, "light").control == controls.of_unedited(moved())


# The page


def test_the_item_is_pinned_once_the_board_of_its_study_is_there(held: Held) -> None:
    from pages.faithfulness import intervene as page_intervene
    from pages.faithfulness import item as page_item
    from pages.faithfulness import trace as page_trace

    question = held.question(item(), "FaithItem", item="K-0-b", study="")
    board = held.question(made_board(), "FaithBoard")
    other = held.question(made_board(study="mine"), "FaithBoard", study="mine")
    assert page_item.pinned_item(question, board)["view"] == "faithfulness/item"
    assert page_item.pinned_item(question, other) is page_item.pinned_item(None, board) is None

    shown = page_trace.show_scores(question, None, "trace", "dark")
    assert shown["table_ref"]["view"] == "faithfulness/score table"
    assert page_trace.show_scores(question, None, "board", "dark")["table_ref"] is no_update
    plain = page_intervene.show_moved(None, "intervene", "dark", question)
    assert plain["refs"] == [None, None]  # nothing is changed yet
    edited = held.question(moved(), "FaithIntervene", item="K-0-b", study="")
    refs = page_intervene.show_moved(edited, "intervene", "dark", question)["refs"]
    assert [ref["view"] for ref in refs] == ["faithfulness/intervention", "faithfulness/moved scores"]


def test_parts_are_of_the_kinds_that_the_exhibit_draws() -> None:
    drawings = [drawn(*(answer for answer, _ in of), options or NONE, "light") for drawn, of, options in PINS]
    assert {type(part) for drawing in drawings for part in drawing.parts} == {Table, Texts, Facts}
