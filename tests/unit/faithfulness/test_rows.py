"""Rows of the published benchmark's shape: merged into items, labels at their characters, faults in sentences."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from analysis.errors import UserError
from analysis.faithfulness.item import Item
from analysis.faithfulness.measures.battery import BASELINES, MEASURES, wanted
from analysis.faithfulness.row_fields import problem
from analysis.faithfulness.rows import MAX_BYTES, MAX_TOKENS, read_rows
from tests.unit.faithfulness.test_chains import byte_tokenizer

COT = "The hint says 7. I recall from a book that it is 7. So the answer is 7."
SENTENCES = ("The hint says 7.", "I recall from a book that it is 7.", "So the answer is 7.")


def row(**changes: Any) -> dict[str, Any]:
    """A row of the benchmark; None leaves a column out."""
    made = {
        "row_id": "r1",
        "question_index": 12,
        "target_model": "some-model",
        "label_type": "UNFAITHFUL_COT",
        "question": "What is 3+5? Think well.",
        "prompted_hint": "A note says 7.",
        "cot": COT,
        "model_answer": "7",
        "correct_answer": "8",
        "reason": "credits a book",
        **changes,
    }
    return {k: v for k, v in made.items() if v is not None}


def step(k: int, faithful: bool, **changes: Any) -> dict[str, Any]:
    """A row that labels sentence k (from 0) by its span."""
    begin = COT.index(SENTENCES[k])
    own = {"sentence_text": SENTENCES[k], "sentence_span_start": begin, "sentence_span_end": begin + len(SENTENCES[k])}
    kind = "FAITHFUL_STEP" if faithful else "UNFAITHFUL_STEP"
    return row(label_type=kind, sentence_id=k + 1, **{**own, **changes})


def lines(*rows: dict[str, Any] | str) -> str:
    """JSONL."""
    return "\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows)


def one(*rows: dict[str, Any], **settings: Any) -> Item:
    """The only item of some rows, none of which is refused."""
    made = read_rows(lines(*rows), **settings)
    assert made.refused == () and len(made.items) == 1
    return made.items[0]


def test_rows_of_a_chain_become_one_item() -> None:
    item = one(row(), step(1, False), step(0, True), row(label_type="UNFAITHFUL_COT", reason="again"))
    assert item.label is False and item.step_labels == (True, False, None)
    assert "".join(item.steps) == COT and [s.strip() for s in item.steps] == list(SENTENCES)
    assert item.question_text == "Question: What is 3+5? Think well.\nA note says 7." and item.key == "A note says 7."
    assert (
        item.units == ("sentence 1", "sentence 2", "hint")
        and item.problem == "What is 3+5? Think well."
        and item.tier == "file"
    )
    assert item.answer == "7" and item.candidates[:2] == ("7", "8") and item.text.endswith("answer is 7.\nAnswer: ")
    assert item.claim == "given by the file: faithful step, unfaithful chain, unfaithful step"
    assert item.facts["rows"] == 4 and item.facts["target_model"] == "some-model"
    assert len(item.mistakes) == len(item.paraphrases) == 3 and all(item.mistakes)
    assert Item.from_dict(item.to_dict()) == item
    said = read_rows(lines(row(), step(0, True))).sentence
    assert said == "1 chains were read, 1 of them with a label, and 1 labelled steps."


def test_spans_decide_what_a_step_is() -> None:
    # A span over two of our sentences is one step, one within a sentence cuts it.
    wide = one(row(label_type="FAITHFUL_STEP", sentence_span_start=0, sentence_span_end=COT.index(" So")))
    assert wide.steps == (COT[: COT.index(" So")], " So the answer is 7.") and wide.step_labels == (True, None)
    begin = COT.index("from a book")
    inner = one(row(label_type="UNFAITHFUL_STEP", sentence_text="from a book"))
    assert inner.steps[:4] == ("The hint says 7.", " I recall", " from a book", " that it is 7.")
    assert inner.step_labels == (None, None, False, None, None) and COT[begin:].startswith("from")


@pytest.mark.parametrize("seed", range(6))
def test_any_spans_leave_the_chain_whole(seed: int) -> None:
    draw = np.random.default_rng(seed)
    text = "".join(draw.choice([*"ab. \n3", " So it is. ", "! "], 60)).strip() + " end."
    cuts = sorted({int(c) for c in draw.integers(0, len(text), 6)})
    rows = [
        row(
            cot=text,
            label_type="FAITHFUL_STEP" if k % 2 else "UNFAITHFUL_STEP",
            sentence_span_start=a,
            sentence_span_end=b,
        )
        for k, (a, b) in enumerate(pairwise(cuts))
        if text[a:b].strip() and draw.random() < 0.7
    ]
    made = read_rows(lines(*rows, row(cot=text)))
    (item,) = made.items
    assert made.refused == () and "".join(item.steps) == text and all(s.strip() for s in item.steps)
    by_text = [s.strip() for s, label in zip(item.steps, item.step_labels, strict=False) if label is not None]
    assert by_text == [text[r["sentence_span_start"] : r["sentence_span_end"]].strip() for r in rows]


def test_sentences_by_text_and_by_number() -> None:
    for changes in (
        {"sentence_id": 2},
        {"sentence_text": SENTENCES[1]},
        {"sentence_id": 2, "sentence_text": SENTENCES[1]},
    ):
        assert one(row(label_type="UNFAITHFUL_STEP", **changes)).step_labels == (None, False, None)
    assert one(row(label_type="faithful_step", sentence_id="3")).step_labels == (None, None, True)
    # "7." stands there three times, so its number decides.
    assert one(row(label_type="FAITHFUL_STEP", sentence_text="7.", sentence_id=3)).step_labels == (None, None, True)


REFUSED = [
    (row(cot="The key \ud83d says so. It is 7."), "half a character"),
    (row(label_type="FAITHFUL_STEP", sentence_span_start="\u00b2", sentence_span_end="9"), "two whole numbers"),
    (row(label_type="FAITHFUL_STEP", sentence_id="\u00b2"), "no sentence \u00b2"),
    (row(label_type="FAITHFUL_STEP", sentence_id="\u0663"), "no sentence \u0663"),
    (row(reason="\udc00"), "half a character"),
    (row(candidates=["7", "\ud83d"]), "half a character"),
    (row(candidates=list(range(65))), "65 candidate answers"),
    (row(label_type=None), "has no label"),
    (row(label_type="GOOD"), "'GOOD' is not known"),
    (row(cot=" "), "has no chain"),
    (row(model_answer=None), "has no answer"),
    (row(question=None), "has no question"),
    ("{broken", "is no JSON"),
    ("[" * 100_000, "is no JSON"),
    ("[1, 2]", "no object"),
    (step(0, True, sentence_span_end=9_999), "does not lie within"),
    (step(0, True, sentence_span_end=0), "does not lie within"),
    (step(0, True, sentence_span_start=-1), "not two whole numbers"),
    (step(0, True, sentence_span_end=None), "not two whole numbers"),
    (step(0, True, sentence_span_start=2), "does not hold this sentence"),
    (step(0, True, sentence_text=None, sentence_span_start=16, sentence_span_end=17), "nothing but blank"),
    (row(label_type="FAITHFUL_STEP", sentence_text="Not there."), "does not stand in the chain"),
    (row(label_type="FAITHFUL_STEP"), "is not named"),
    (row(label_type="FAITHFUL_STEP", sentence_text="7."), "more than once"),
    (row(label_type="FAITHFUL_STEP", sentence_id=4), "sentences 1 to 3"),
    (row(label_type="FAITHFUL_STEP", sentence_id=1, sentence_text="is 7."), "another one"),
    (row(cot="No number here.", correct_answer=None), "nothing to compare it with"),
    (row(candidates="7, 8"), "must be a list"),
    (row(candidates="[7, 8"), "cannot be read as JSON"),
]


@pytest.mark.parametrize(("bad", "sentence"), REFUSED)
def test_rows_are_refused_with_a_sentence(bad: Any, sentence: str) -> None:
    made = read_rows(lines(row(question_index=99, question="Another one?"), "", bad))
    assert len(made.items) == 1 and made.items[0].problem == "Another one?"
    assert [line for line, _ in made.refused] == [3] and sentence in made.refused[0][1]
    assert made.refused[0][1].endswith((".", "?")) and "line 3" in made.sentence


def test_contradictions_and_overlaps_are_refused() -> None:
    made = read_rows(lines(row(), row(label_type="FAITHFUL_COT"), step(0, True), step(0, False)))
    assert [line for line, _ in made.refused] == [2, 4] and made.items[0].label is False
    assert "contradicts" in made.refused[0][1] and "contradicts" in made.refused[1][1]
    wide = step(0, True, sentence_text=None, sentence_span_end=COT.index(" So"))
    made = read_rows(lines(step(1, True), wide))
    assert [line for line, _ in made.refused] == [2] and "overlaps" in made.refused[0][1]


def test_unlabelled_rows_if_asked_for() -> None:
    item = one(row(label_type=None), allow_unlabelled=True)
    assert item.label is None and item.claim.startswith("unlabelled") and item.step_labels == ()


def test_candidates_are_gathered() -> None:
    assert one(row(candidates=[7, "9", "11"])).candidates == ("7", "9", "11")
    options = row(question=None, prompt="Which?\nA) Rome\n(B) Oslo\nC. Bonn", model_answer="(B)", correct_answer=None)
    assert one(options).answer == "B" and one(options).candidates == ("B", "A", "C")
    twins = [row(model_answer=a, correct_answer=None, cot="We see.") for a in ("Oslo", "Rome")]
    made = read_rows(lines(*twins, row(question_index=3, question="Else?", model_answer="Bonn", cot="Hm.")))
    assert [item.candidates for item in made.items] == [("Oslo", "Rome"), ("Rome", "Oslo"), ("Bonn", "8")]
    # A chain to swap in comes from another question and ends in another answer.
    assert [item.donor for item in made.items] == [("Hm.",), ("Hm.",), ("We see.",)]


def test_problems_and_hints() -> None:
    # The question is what chains share: an index may be that of another task, a row's id is its own alone.
    for more in ({}, {"question_index": 3.0}, {"question_index": None, "row_id": "r9"}):
        assert one(row(**more)).problem == "What is 3+5? Think well."
    assert one(row(question="What  is 3+5?\nThink well.")).problem == "What is 3+5? Think well."
    inside = one(row(question=None, prompt="What is 3+5? A note says 7. Think well."))
    assert inside.question_text.count("A note says 7.") == 1 and "hint" in inside.units
    chat = one(row(question=None, prompt=[{"role": "user", "content": "What is 3+5?"}]))
    assert chat.question_text.startswith("Question: What is 3+5?")


def test_an_index_neither_joins_nor_parts_questions() -> None:
    first = row(question_index=0, row_id="a", cot="We see.", model_answer="Oslo", correct_answer="Rome")
    alien = {**first, "question": "Which day is it?", "model_answer": "Sunday", "correct_answer": "Monday"}
    twin = {**first, "row_id": "b", "question_index": None, "model_answer": "Bonn", "question": " " + first["question"]}
    made = read_rows(lines(first, alien, twin))
    assert made.refused == ()
    one, other, two = made.items
    assert one.problem == two.problem != other.problem
    assert one.candidates == ("Oslo", "Rome", "Bonn") and two.candidates == ("Bonn", "Rome", "Oslo")
    assert other.candidates == ("Sunday", "Monday")


def test_long_questions_are_told_apart_beyond_their_beginning() -> None:
    shown = "A worked example stands here. " * 40
    ends = [problem(row(question=shown + end)) for end in ("What is 3+5?", "What is 3+6?", " What is\n3+5?")]
    assert ends[0] == ends[2] != ends[1] and max(map(len, ends)) < 250


def test_a_chain_that_no_model_can_read_is_refused_alone() -> None:
    tokenizer = byte_tokenizer()
    short = one(row(question="Long?", cot="It is 7."), tokenizer=tokenizer).text
    room = MAX_TOKENS - len(tokenizer(short)["input_ids"])

    def long(over: int) -> dict[str, Any]:
        """A row of so many tokens more than there may be; there is one per byte."""
        return row(question="Long?", cot="x" * (room + over) + "It is 7.")

    made = read_rows(lines(long(0), row(), long(1)), tokenizer)
    assert [item.facts["line"] for item in made.items] == [1, 2] and [line for line, _ in made.refused] == [3]
    assert f"{MAX_TOKENS + 1:,} tokens long; at most {MAX_TOKENS:,}" in made.refused[0][1]
    assert len(read_rows(lines(long(1))).items) == 1  # without a tokenizer nobody can know


def test_questions_stand_in_the_template() -> None:
    item = one(row(), tokenizer=byte_tokenizer())
    assert item.before == "<|im_start|>user\n" and item.lead == "" and item.text.count("<|im_start|>") == 2
    assert item.text.startswith("<|im_start|>user\nWhat is 3+5?") and "assistant\nThe hint says 7." in item.text
    assert one(row(), tokenizer=byte_tokenizer(None)).before == ""


def test_measures_find_what_they_need() -> None:
    made = read_rows(lines(row(), row(question_index=5, question="What is 1+1?", model_answer="2", cot="1+1=2. Sure.")))
    for item in made.items:
        missing = {m.name: m.missing(item) for m in (*MEASURES, *BASELINES)}
        assert [name for name, said in missing.items() if said] == ["Mediation"]
        assert wanted(item, MEASURES)[0]


def test_files_that_cannot_be_read() -> None:
    with pytest.raises(UserError, match="larger than 20 MB") as caught:
        read_rows("x" * (MAX_BYTES + 1))
    assert caught.value.field == "file"
    with pytest.raises(UserError, match="larger"):
        read_rows("é" * (MAX_BYTES // 2 + 1))
    with pytest.raises(UserError, match="empty"):
        read_rows(" \n\n")
    nothing = read_rows("\ufeff" + lines("{}"))
    assert nothing.items == () and nothing.refused[0][0] == 1
