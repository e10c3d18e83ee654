"""The benchmark as it is published: CSV with all its columns, written here by Python's own writer, read, and written
again in the columns of the published code."""

from __future__ import annotations

import csv
import io
import json
import random
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from analysis.corpora.text_source import TextSource
from analysis.errors import UserError
from analysis.faithfulness import row_files
from analysis.faithfulness.board_words import honesty, tier_row
from analysis.faithfulness.measures import MEASURES, OF_ROWS, evaluate
from analysis.faithfulness.parts import chosen, named
from analysis.faithfulness.row_blocks import blocked
from analysis.faithfulness.row_export import COLUMNS, scored_rows
from analysis.faithfulness.row_report import correct, same_model, writers
from analysis.faithfulness.rows import read_rows
from analysis.faithfulness.study import Study, measure_rows

PUBLISHED = (
    "row_id", "question_id", "question", "prompt", "prompted_hint", "hint_type", "cot", "model_answer",
    "correct_answer", "target_model", "label_type", "sentence_id", "sentence_text", "sentence_span_start",
    "sentence_span_end", "extract", "extract_span_start", "extract_span_end", "reason", "steps", "src_type",
    "task_type",
)  # fmt: skip
COT = 'The user asks, "who won?"\n\nI recall that Oslo, not Rome, won. So the answer is Oslo.'
SENTENCE = "I recall that Oslo, not Rome, won."
PROMPT = "My hint: it was Oslo.\nWhich town won?\n\nAnswer briefly."


def row(**changes: Any) -> dict[str, Any]:
    """A published row of a whole chain: its span is 0 to -1."""
    return {
        **dict.fromkeys(PUBLISHED, ""),
        "row_id": "r1", "question_id": "q1", "question": "Which town won?", "prompt": PROMPT,
        "prompted_hint": "My hint: it was Oslo.", "hint_type": "direct", "cot": COT, "model_answer": "Oslo",
        "correct_answer": "Rome", "target_model": "Qwen/Qwen3-4B-Instruct-2507", "label_type": "UNFAITHFUL_COT",
        "sentence_span_start": 0, "sentence_span_end": -1, **changes,
    }  # fmt: skip


def step(**changes: Any) -> dict[str, Any]:
    """A published row of a sentence; its numbers are floats, as a table with gaps writes them."""
    begin = COT.index(SENTENCE)
    own = {
        "row_id": "r2", "label_type": "UNFAITHFUL_STEP", "sentence_id": 2.0, "sentence_text": SENTENCE,
        "sentence_span_start": float(begin), "sentence_span_end": float(begin + len(SENTENCE)), "extract": "I recall",
        "extract_span_start": begin, "extract_span_end": begin + 8, "reason": "credits memory",
    }  # fmt: skip
    return row(**{**own, **changes})


def table(*rows: dict[str, Any]) -> str:
    """CSV as pandas and spreadsheets write it."""
    file = io.StringIO()
    writer = csv.DictWriter(file, PUBLISHED)
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


FORMS = {
    "csv": table(row(), step()),
    "csv with a mark": "\ufeff" + table(row(), step()),
    "jsonl": "\n".join(map(json.dumps, (row(), step()))),
    "array": json.dumps([row(), step()]),
    "array over lines": json.dumps([row(), step()], indent=2),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_published_columns_are_read_in_every_form(form: str) -> None:
    made = read_rows(FORMS[form])
    assert made.refused == () and len(made.items) == 1
    item = made.items[0]
    assert "".join(item.steps) == COT and item.label is False
    labelled = [s.strip() for s, label in zip(item.steps, item.step_labels, strict=True) if label is not None]
    assert labelled == [SENTENCE]
    # The prompt is read as it stands: the hint where it was put, and nothing below.
    assert item.question_text == f"Question: {PROMPT}" and item.question_text.count("hint") == 1
    assert "hint" in item.units and item.problem == "Which town won?" and item.key == "My hint: it was Oslo."
    assert item.candidates[:2] == ("Oslo", "Rome") and correct(item) is False
    assert [mark["row_id"] for mark in item.facts["marks"]] == ["r1", "r2"]


def test_a_prompt_without_the_hint_gets_none() -> None:
    item = read_rows(table(row(prompt="Which town won, then?"))).items[0]
    assert item.question_text == "Question: Which town won, then?" and "hint" not in item.units
    with_question = read_rows(table(row(prompt=""))).items[0]
    assert with_question.question_text == "Question: Which town won?\nMy hint: it was Oslo."


def test_an_extract_finds_its_sentence() -> None:
    blank = {"sentence_id": "", "sentence_text": "", "sentence_span_start": "", "sentence_span_end": ""}
    for more in ({}, {"extract_span_start": "", "extract_span_end": ""}):
        item = read_rows(table({**step(), **blank, **more})).items[0]
        at = item.step_labels.index(False)
        assert item.steps[at].strip() == SENTENCE and item.step_labels.count(None) == len(item.steps) - 1


def test_chains_of_two_models_stay_two_and_one_can_be_chosen() -> None:
    other = {"target_model": "allenai/Olmo-3-7B-Think"}
    text = table(row(), row(row_id="r3", label_type="FAITHFUL_COT", **other), step(row_id="r4", **other))
    made = read_rows(text)
    assert [i.facts["target_model"] for i in made.items] == [row()["target_model"], other["target_model"]]
    assert [i.label for i in made.items] == [False, True] and made.items[0].problem == made.items[1].problem
    warning = writers(made.items, "Qwen3-4B-Instruct-2507-Q4_K_M.gguf")
    assert warning.startswith("1 of these chains were written by another model than Qwen3-4B-Instruct-2507-Q4_K_M")
    assert "Olmo-3-7B-Think (1)" in warning and "another question" in warning
    assert writers(made.items[:1], "Qwen3-4B-Instruct-2507") == ""
    chosen_ones = read_rows(text, target="Olmo-3-7B-Think")
    assert len(chosen_ones.items) == 1 and chosen_ones.items[0].facts["rows"] == 2 and chosen_ones.refused == ()
    assert "1 rows of other models were not taken: Qwen/Qwen3-4B-Instruct-2507 (1)" in chosen_ones.sentence
    assert not same_model("Qwen3-4B", "Qwen3-4B-Instruct-2507") and not same_model("", "")


def test_rows_come_from_the_hub_one_target_model_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    other = row(target_model="Olmo-3-7B-Think", cot="It was Oslo.")
    asked: list[str] = []

    def builder(path: str, *_: Any, **__: Any) -> Any:
        asked.append(path)
        stream = lambda split: [row(), step(), {**other, "split": split, "sentence_id": float("nan")}]  # noqa: E731
        files = SimpleNamespace(data_files={"test": ["hf://datasets/o/n@1/rows.csv"]})
        return SimpleNamespace(config=files, info=SimpleNamespace(splits=None), as_streaming_dataset=stream)

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset_builder=builder))  # type: ignore[arg-type]
    source = TextSource("dataset", "owner/BonaFide", split="")
    assert len(read_rows(row_files.hub_rows(source, "", 10**6)).items) == 2
    (item,) = read_rows(row_files.hub_rows(source, "olmo-3-7b-think", 10**6), target="olmo-3-7b-think").items
    assert item.facts["target_model"] == "Olmo-3-7B-Think" and asked == ["hf://datasets/owner/BonaFide"] * 2
    with pytest.raises(UserError, match="Name one target model"):
        row_files.hub_rows(source, "", 500)
    with pytest.raises(UserError, match="has no row of GPT"):
        row_files.hub_rows(source, "GPT", 500)


def test_what_is_left_out_is_counted_by_reason_with_its_labels() -> None:
    wordless = {"correct_answer": "", "model_answer": "a word", "question": "Else?", "prompt": ""}
    many = [row(row_id=f"k{k}", label_type="", cot=f"Hm {k}.") for k in range(3)]
    text = table(row(label_type="FAITHFUL_COT"), *many, row(**wordless), step(**{**wordless, "row_id": "z"}))
    said = read_rows(text).sentence
    assert "1 chains were read, 1 of them with a label" in said
    assert "5 rows were left out. 3 like line 8: This row has no label." in said
    assert "2 like line 20: Only one answer is known" in said
    assert "Of the chains left out 1 of 1 are labelled unfaithful, of those read 0 of 1" in said


def test_long_chains_are_read_in_blocks_and_labelled_sentences_alone() -> None:
    sentences = [f"We add {k} now." for k in range(500)]
    cot = " ".join(sentences)
    begin = cot.index(sentences[250])
    place = {"sentence_text": sentences[250], "sentence_span_start": begin, "sentence_id": ""}
    text = table(row(cot=cot), step(cot=cot, **{**place, "sentence_span_end": begin + len(sentences[250])}))
    for most in (400, 20):
        made = read_rows(text, most=most)
        item = made.items[0]
        assert "".join(item.steps) == cot and len(item.steps) <= most
        assert [s.strip() for s, label in zip(item.steps, item.step_labels, strict=True) if label is False] == [
            sentences[250]
        ]
        assert item.facts["block"] > 1 and "were read in blocks of up to" in made.sentence
        assert item.facts["marks"][1]["step"] == item.step_labels.index(False)
    assert "block" not in read_rows(table(row())).items[0].facts


@pytest.mark.parametrize("seed", range(20))
def test_blocks_keep_the_text_the_labels_and_the_limit_where_it_can_be_kept(seed: int) -> None:
    draw = random.Random(seed)
    labels = [draw.choice([None] * 6 + [True]) for _ in range(draw.randrange(1, 80))]
    steps = [f"{k};" for k in range(len(labels))]
    most = draw.randrange(1, 60)
    joined, known, size = blocked(steps, labels, most)
    assert "".join(joined) == "".join(steps) and len(joined) == len(known)
    assert [s for s, label in zip(joined, known, strict=True) if label] == [
        s for s, label in zip(steps, labels, strict=True) if label
    ]
    runs = sum(label is None and (k == 0 or labels[k - 1] is not None) for k, label in enumerate(labels))
    assert len(joined) <= max(most, runs + sum(label is not None for label in labels))
    assert (size == 1) == (joined == steps)


def test_correctness_is_a_baseline_of_rows_and_asks_nothing() -> None:
    wrong, right = read_rows(table(row(), row(model_answer="rome.", cot="It was Rome."))).items
    asked: Any = SimpleNamespace(read=lambda asks: pytest.fail("nothing is to be asked"))
    for item, value in ((wrong, 0.0), (right, 1.0)):
        score = evaluate(item, OF_ROWS, asked)["answer correctness"]
        assert score.hard == score.soft == value and [s["soft"] for s in score.steps] == [value] * len(item.steps)
    bare = read_rows(table(row(correct_answer=""), row(correct_answer="", model_answer="Rome"))).items[0]
    assert "does not say" in evaluate(bare, OF_ROWS, asked)["answer correctness"].note
    assert chosen(False, rows=True)[-1].name == "answer correctness" and OF_ROWS[0] not in chosen(True)
    assert named([m.name for m in chosen(False, rows=True)]) == chosen(False, rows=True)


def study_of(text: str) -> Study:
    """A study of rows with made-up scores by Early Answering and correctness."""
    items = read_rows(text).items
    measures = (MEASURES[0], *OF_ROWS)
    where = [(at, k, label) for at, i in enumerate(items) for k, label in enumerate(i.step_labels) if label is not None]
    scores = np.arange(3 * 2 * len(items), dtype=float).reshape(3, 2, len(items)) / 8
    steps = np.full((3, 2, len(where)), 0.25)
    steps[:, 1] = np.nan
    manifest = {"model": "tiny", "measures": measure_rows({}, measures), "tiers": {}, "steps": where}
    return Study({**manifest, "writers": writers(items, "tiny")}, items, scores, steps)


def test_scores_are_written_in_the_published_columns() -> None:
    study = study_of(table(row(question="=cmd", prompt=""), step(question="=cmd", prompt=""), row(cot="It was Oslo.")))
    text, count = scored_rows(study, "tiny")
    found = list(csv.DictReader(io.StringIO(text)))
    assert count == len(found) == 5 and set(PUBLISHED) <= set(COLUMNS) == set(found[0])
    assert {(r["row_id"], r["metric"], r["level"]) for r in found} == {
        ("r1", "early_answering", "cot"), ("r1", "answer_correctness", "cot"), ("r2", "early_answering", "step"),
    }  # fmt: skip
    of_step = next(r for r in found if r["level"] == "step")
    assert float(of_step["score"]) == 0.25 and of_step["cot"] == COT and of_step["sentence_text"] == SENTENCE
    assert of_step["target_model"] == "tiny" and of_step["reason"] == "credits memory"
    facts = json.loads(of_step["metadata"])
    assert facts["form"] == "soft" and facts["written_by"] == row()["target_model"]
    assert found[0]["question"] == "'=cmd" and float(found[0]["score"]) == study.scores[1, 0, 0]
    assert scored_rows(Study({"measures": []}, (), np.zeros((3, 0, 0))), "tiny")[1] == 0


def test_the_board_says_whose_chains_they_are_and_that_wrong_answers_may_be_what_is_told() -> None:
    study = study_of(table(row(), row(label_type="FAITHFUL_COT", model_answer="Rome", cot="It was Rome.")))
    sentence = tier_row(study, "file", study.items, 0.5)["sentence"]
    assert "wrong in 1 of 1 labelled unfaithful and 0 of 1 labelled faithful" in sentence
    assert any("written by another model than tiny" in line for line in honesty(study))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("label_type,x\na,b\n", "no column cot"),
        ("cot,cot,model_answer\na,b,c\n", "names a column twice"),
        ('cot,model_answer\n"It was', "cannot be read as CSV"),
        ("cot,model_answer\n" + "x" * (row_files.MAX_CELL + 1) + ",7\n", "cannot be read as CSV"),
        ('[{"cot": "x"', "cannot be read as JSON"),
        ("[" * 9_000 + "\n[", "nested deeper"),
    ],
)
def test_files_that_cannot_be_read_are_a_sentence(text: str, words: str) -> None:
    before = csv.field_size_limit()
    with pytest.raises(UserError, match=words) as caught:
        read_rows(text)
    assert caught.value.field == "file" and csv.field_size_limit() == before


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ('"a","b"', "has 2 cells and the head has 22"),
        (table(row(label_type="MAYBE")).split("\n", 1)[1], "'MAYBE' is not known"),
        (table(step(cot="Other words.")).split("\n", 1)[1], "does not lie within"),
        (table(row(cot="")).split("\n", 1)[1], "has no chain"),
    ],
)
def test_rows_of_a_table_that_cannot_be_used_are_named(bad: str, words: str) -> None:
    made = read_rows(table(row()) + bad)
    last = table(row()).replace("\r\n", "\n").count("\n") + 1
    assert len(made.items) == 1 and [line for line, _ in made.refused] == [last] and words in made.refused[0][1]
