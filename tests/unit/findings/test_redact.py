"""Redaction: what is hidden is nowhere in the handover, and what is not hidden stays."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from urllib.parse import quote

import pytest

from analysis.findings.export.handover import Handover
from analysis.findings.export.redact import redact
from analysis.findings.export.scrub import Scrub
from analysis.findings.export.texts import Leaving, text_id, texts_of
from tests.unit.findings.example_board import PUBLIC, SECRET, handover

WORDS = ("zebra", "quxford", "1984", "ölmühle", "twice", "paid", "%C3%96lm", "\\u00d6lm", "\\u00d6l")
IDS = re.compile(r"(?<!\w)4010\d(?!\w)")
"""Ids of its tokens, which are the text in another spelling."""
PIECES = ("bra", "qux", "ford", "mühle")
"""Tokens that are no words: no string may be one."""


def everything(board: Handover) -> str:
    """All that a handover holds, as one text."""
    held = asdict(board.content), board.figures, board.exhibits, {k: a.data for k, a in board.answers.items()}
    raw = "".join(p.decode("utf-8", "replace") for p in board.pictures.values())
    return (json.dumps(held) + json.dumps(held, ensure_ascii=False) + raw).casefold()


def test_the_texts_that_leave_are_listed_each_once() -> None:
    listed = texts_of(handover())
    assert listed[0].text == SECRET and listed[0].kind == "prompt"
    assert {(t.kind, t.text) for t in listed} >= {
        ("prompt", PUBLIC),
        ("written", SECRET + " and then"),
        ("claim", "Nothing here."),
        ("title", "The zebra board"),
        ("speaker", "Say slowly: zebra!"),
    }
    assert len({t.id for t in listed}) == len(listed)


def test_a_hidden_prompt_is_nowhere() -> None:
    board = handover()
    before = everything(board)
    assert all(word.casefold() in before for word in WORDS)  # so that the test can fail
    hidden = redact(board, {text_id(SECRET): ""})
    after = everything(hidden)
    assert IDS.search(before) and not IDS.search(after)
    assert [word for word in WORDS if word.casefold() in after] == []
    assert [piece for piece in PIECES if piece in after] == []
    assert "[text 1]" in after
    assert hidden.content.pins["pin-a"].numbers["entropy"] == 1.5


def test_a_pin_that_shows_it_loses_what_it_can_be_read_back_from() -> None:
    hidden = redact(handover(), {text_id(SECRET): ""})
    pin = hidden.content.pins["pin-a"]
    assert pin.answers == () and pin.picture == "" and pin.address == "" and hidden.pictures == {}
    assert pin.ref["questions"][0] == {
        "operation": "AttentionRow",
        "params": {"text": "[text 1]", "layer": 3},
        "key": "",
    }
    assert "redacted" in pin.facts and hidden.redacted == {"pin-a"} and hidden.hidden == 1
    trace = hidden.figures[pin.figure]["data"][0]
    assert "customdata" not in trace and "customdata" not in trace["hovertemplate"]
    assert len(set(trace["x"])) == len(trace["x"]) and trace["mode"] == "lines"
    assert hidden.content.items[3].body["address"] == ""


def test_another_pin_stays_whole() -> None:
    board = handover()
    hidden = redact(board, {text_id(SECRET): ""})
    assert hidden.content.pins["pin-b"] == board.content.pins["pin-b"]
    assert hidden.exhibits["pin-b"] == board.exhibits["pin-b"]
    assert hidden.answers.keys() == set(board.content.pins["pin-b"].answers)
    assert hidden.content.items[2] == board.content.items[2]


def test_a_number_keeps_its_name_where_a_note_is_bound_to_it() -> None:
    hidden = redact(handover(), {text_id(SECRET): ""})
    name = next(n for n, value in hidden.content.pins["pin-a"].numbers.items() if value == 0.43)
    assert "{{" + name.casefold() + "}}" in hidden.content.items[1].body["note"].casefold()


def test_a_text_can_be_replaced_and_a_claim_hidden_as_a_whole() -> None:
    hidden = redact(handover(), {text_id(SECRET): "the first prompt", text_id("Nothing here."): ""})
    assert hidden.content.pins["pin-a"].ref["questions"][0]["params"]["text"] == "the first prompt"
    assert hidden.content.items[2].body["claim"] == "[text 2]"
    assert hidden.content.pins["pin-b"].answers != ()


def test_a_text_of_another_view_in_an_address_is_listed_and_goes_with_the_address() -> None:
    board = handover()
    other = "Warm winters"
    pin = replace(
        board.content.pins["pin-b"], address="/steering?text=x&form=" + quote(json.dumps({"positive": other}))
    )
    board.content.pins["pin-b"] = pin
    assert ("prompt", other) in {(t.kind, t.text) for t in texts_of(board)}
    hidden = redact(board, {text_id(other): ""})
    assert hidden.content.pins["pin-b"] == replace(pin, address="")
    assert redact(board, {text_id(SECRET): ""}).content.pins["pin-b"].address == pin.address


def test_the_label_of_a_region_is_no_text_that_was_typed() -> None:
    board = handover()
    strengths = [["region 215", 0.6], ["sweet things", 0.2], ["region of the north", 0.1]]
    board.content.pins["pin-b"].ref["options"] = {"strengths": strengths}
    listed = {t.text for t in texts_of(board)}
    assert {"sweet things", "region of the north"} <= listed and "region 215" not in listed


@pytest.mark.parametrize("choices", [{}, {"0" * 16: ""}])
def test_nothing_hidden_changes_nothing(choices: dict[str, str]) -> None:
    board = handover()
    assert redact(board, choices) == board


def test_numbers_of_a_hidden_text_go_but_measured_ones_stay() -> None:
    text = "Badge 4711 opens room 12 since 0.5"
    scrub = Scrub([Leaving(text_id(text), "prompt", text, ())], {text_id(text): ""})
    assert scrub("4711, (4711) and a4711") == "[…], ([…]) and a4711"
    assert scrub("0.4711 of 4711.5 and 4,711 in room 12") == "0.4711 of 4711.5 and 4,711 in […] 12"


def test_words_of_the_program_stay_words_of_the_program() -> None:
    """A prompt may say what the settings are called."""
    board = handover()
    pin = board.content.pins["pin-b"]
    pin.ref["questions"][0]["params"]["text"] = "The light layer of the table has text in lines"
    hidden = redact(board, {text_id("The light layer of the table has text in lines"): ""})
    after = hidden.content.pins["pin-b"]
    assert after.ref["questions"][0]["params"] == {"text": "[text 1]", "layer": 3}
    assert after.theme == "light" and after.parts[0]["kind"] == "table"
    assert hidden.figures[after.figure]["data"][0]["mode"] == "lines"
    assert hidden.redacted == {"pin-b"}
