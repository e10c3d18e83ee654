"""The judge: what it is asked, what its replies become, its control, and a tiny model that judges rows of a file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from analysis.errors import UserError
from analysis.faithfulness.ask import AnswerAsk, Ask, Reply, TextReply
from analysis.faithfulness.item import Item
from analysis.faithfulness.judge import CONTROL, NAME, Frame, Judge, JudgeOfAnother, frame_of, prompt, with_judge
from analysis.faithfulness.measures.baselines import AnswerConfidence
from analysis.faithfulness.published import note, published
from analysis.faithfulness.reader import ModelReader
from analysis.faithfulness.row_export import scored_rows
from analysis.faithfulness.rows import read_rows
from analysis.faithfulness.scoring import auroc
from analysis.faithfulness.study import Study, score_items
from tests.unit.faithfulness.test_chains import CHATML, byte_tokenizer, loaded_bytes

PLAIN = Frame("", "\nReply:", (" Yes", " No"), "in plain text")
NUMBERS = ("ten", "twenty", "thirty", "forty", "fifty", "sixty")


def rows(*more: dict[str, object]) -> str:
    """Six questions; chains that name the hint are labelled faithful, with a labelled step each."""
    made: list[dict[str, object]] = []
    for k, number in enumerate(NUMBERS):
        faithful = k % 2 == 0
        why = "the hint says so" if faithful else "I know it from a book"
        chain = f"It is about {number} {{braces}}. I take {number}, since {why}."
        hint = f"A friend says {number}."
        row = {"prompt": f"How many are {number}? {hint}", "prompted_hint": hint, "cot": chain, "target_model": "tiny",
               "model_answer": number, "candidates": [number, "none"]}  # fmt: skip
        made.append(row | {"label_type": f"{'' if faithful else 'UN'}FAITHFUL_COT"})
        step = chain[chain.index("I take") :]
        made.append(row | {"label_type": f"{'' if faithful else 'UN'}FAITHFUL_STEP", "sentence_text": step})
    return json.dumps([*made, *more])


def reply(ask: Ask) -> Reply | TextReply:
    """Says Yes where what it is asked about names the hint, and leans to Yes with the length of the answer."""
    assert isinstance(ask, AnswerAsk)
    text = ask.question
    reasoning = text.partition("[Reasoning]")[2].partition("[Answer]")[0]
    asked = text.rpartition("“")[2] if "Is this step" in text else reasoning
    return Reply(ask.candidates, np.array([2.0 if "hint" in asked else -2.0, 0.0]), mass=0.9)


def scores(judge: Judge, items: Sequence[Item]) -> list[float]:
    found = [judge.score(item, {ask: reply(ask) for ask in judge.asks(item)}).soft for item in items]
    assert all(value is not None for value in found)
    return [float(value or 0) for value in found]


def test_a_judge_that_reads_the_chain_tells_the_labels_and_its_control_does_not() -> None:
    items = read_rows(rows()).items
    labels = [item.label for item in items]
    assert labels == [True, False] * 3
    assert auroc(scores(Judge(PLAIN), items), labels) == 1.0
    # The chain that is shown in place of an item's own is that of its neighbour, of the other label here.
    assert auroc(scores(JudgeOfAnother(PLAIN), items), labels) == 0.0
    score = Judge(PLAIN).score(items[0], {ask: reply(ask) for ask in Judge(PLAIN).asks(items[0])})
    assert score.hard == 1.0 and score.margin == 2.0 and score.soft == pytest.approx(1 / (1 + np.exp(-2)))
    asked = [step for step in score.steps if step["soft"] is not None]
    assert len(asked) == 1 and asked[0]["hard"] == 1.0
    swapped = JudgeOfAnother(PLAIN).score(items[0], {ask: reply(ask) for ask in JudgeOfAnother(PLAIN).asks(items[0])})
    assert swapped.hard == 0.0 and [s["soft"] for s in swapped.steps] == [s["soft"] for s in score.steps]


def test_the_prompt_holds_question_chain_and_answer_as_they_are() -> None:
    (item, *_) = read_rows(rows()).items
    text = Judge(PLAIN).ask(item).text
    assert text == prompt("How many are ten? A friend says ten.", "".join(item.steps).strip(), "ten") + "\nReply:"
    assert "{braces}" in text and "[Answer]\nten\n" in text and text.count("A friend says ten.") == 1
    alone = read_rows(rows()).items[0].facts["columns"] | {"prompt": "", "question": "How many?"}
    item.facts["columns"] = alone
    assert "[Question]\nHow many?\nA friend says ten.\n" in Judge(PLAIN).ask(item).text
    lone = json.dumps(json.loads(rows())[:1])
    (single,) = read_rows(lone).items
    assert JudgeOfAnother(PLAIN).asks(single) == [] and "no chain of another question" in JudgeOfAnother(PLAIN).refusal(
        single
    )


@pytest.mark.parametrize(
    ("template", "behind"),
    [
        (None, "\nReply:"),
        (CHATML, "<|im_end|>\n<|im_start|>assistant\n"),
        (CHATML + "{# <think> #}", "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"),
        (
            CHATML.replace("assistant\n{% endif", "assistant\n<think>\n{% endif"),
            "<|im_end|>\n<|im_start|>assistant\n<think>\n</think>\n\n",
        ),
    ],
)
def test_a_judge_is_asked_in_its_template_with_its_thinking_left_empty(template: str | None, behind: str) -> None:
    frame = frame_of(byte_tokenizer(template))
    assert frame.behind == behind and (frame.before == "") == (template is None)


def judged(text: str, positions: int = 4_096) -> tuple[Study, Study, ModelReader]:
    reader = ModelReader(loaded_bytes(max_position_embeddings=positions))
    items = read_rows(text, reader.loaded.tokenizer).items
    study = score_items(reader, items, {"model": "tiny"}, None, measures=(AnswerConfidence(),))
    return study, with_judge(study, reader), reader


def test_a_study_gets_a_row_for_the_judge_and_one_for_its_control() -> None:
    long = {"prompt": "Why?", "cot": "It is so. " * 220, "model_answer": "ten", "candidates": ["ten", "none"],
            "label_type": "FAITHFUL_COT"}  # fmt: skip
    before, after, reader = judged(rows(long), 3_000)
    names = [m["name"] for m in after.manifest["measures"]]
    assert names == ["answer confidence", NAME, CONTROL]
    assert [m["baseline"] for m in after.manifest["measures"][1:]] == [False, True]
    np.testing.assert_array_equal(after.scores[:, :1], before.scores)
    assert after.step_scores.shape == (3, 3, 6) and np.isfinite(after.step_scores[1, 1]).all()
    # The long chain is shown to the control of its neighbour.
    assert np.isfinite(after.step_scores[1, 2, :5]).all() and np.isnan(after.step_scores[1, 2, 5])
    soft = after.scores[1]
    assert np.isfinite(soft[:2, :6]).all() and np.isnan(soft[1, 6]) and np.ptp(soft[1, :6]) > 0

    ask = Judge(frame_of(reader.loaded.tokenizer)).ask(after.items[0])
    ids = [reader.loaded.tokenizer(ask.text + end, add_special_tokens=False)["input_ids"] for end in ("Yes", "No")]
    same = len(ids[0]) - 3
    with torch.no_grad():
        logits = reader.loaded.model(torch.tensor([ids[0][:same]])).logits[0, -1].double()
    sure = logits.log_softmax(-1)
    assert ids[0][:same] == ids[1][:same]
    read = reader.read([ask])[ask]
    assert isinstance(read, Reply)
    assert read.mass == pytest.approx(sum(float(sure[row[same]].exp()) for row in ids), rel=1e-3)

    facts = after.manifest["judge"]
    assert facts["model"] == reader.loaded.facts.label and "Reply with Yes or No only." in facts["prompt"]
    for part in ("asked in its chat template", "It seldom answers as it is asked", "1 of 7 chains have no score",
                 "3,000 tokens", "with the chain and"):  # fmt: skip
        assert part in facts["sentence"], facts["sentence"]
    written, _ = scored_rows(after, "tiny")
    lines = [row for row in csv.DictReader(io.StringIO(written)) if row["metric"] == "judge"]
    assert len(lines) == 12 and json.loads(lines[0]["metadata"])["judge"] == facts["model"]


def test_a_judge_that_can_read_no_chain_is_refused_in_words() -> None:
    with pytest.raises(
        UserError, match=r"judge can read none of these chains. The text is 1,\d+ tokens long"
    ) as caught:
        judged(rows(), 700)
    assert caught.value.field == "judge"


def test_published_judges_stand_beside_ours_and_are_told_apart() -> None:
    assert published(NAME)["chain"] == (0.82, 0.04) and published(CONTROL)["chain"] is None
    assert "far larger model under the authors' prompt" in note([NAME]) and "far larger" not in note(["FUR"])
