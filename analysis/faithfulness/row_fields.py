"""One row of a file by itself: its columns as text, what it is about, and which characters of its chain it labels.

Rows come from outside, so nothing is taken for granted: a column may be absent, of another type, or hold what no text
can hold. Whatever a row lacks is said in a sentence about this row, and never ends the reading of the others.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

from analysis.faithfulness.answer_text import answer_alone
from analysis.faithfulness.splitting import spans, split_steps
from analysis.faithfulness.values import reading

LABELS = ("FAITHFUL_STEP", "UNFAITHFUL_STEP", "FAITHFUL_COT", "UNFAITHFUL_COT")
"""Values of ``label_type`` in the published rows."""
MAX_GIVEN = 26
"""Candidates of one row: as many as there are option letters."""
MAX_SAID = 4_000
"""Characters of a row's answer, with whatever stands around it."""
OF_CHAIN = (
    "question_id", "question", "prompt", "prompted_hint", "hint_type", "hint_dataset", "hinted_answer", "model_answer",
    "correct_answer", "target_model", "steps", "src_type", "task_type",
)  # fmt: skip
"""Published columns of a chain, as far as they are not the chain itself."""
OF_LABEL = (
    "row_id", "id", "sentence_id", "sentence_text", "sentence_span_start", "sentence_span_end", "extract",
    "extract_span_start", "extract_span_end", "reason", "labeling_reason",
)  # fmt: skip
"""Published columns of one label."""
_LONGEST_PROBLEM = 200


def value(row: Mapping[str, Any], name: str) -> str:
    """A column as text; what is absent, null or not a number is ""."""
    found = row.get(name)
    if found is None or isinstance(found, bool) or (isinstance(found, float) and not math.isfinite(found)):
        return ""
    if isinstance(found, float) and found.is_integer():
        found = int(found)
    if name in ("question", "prompt") and isinstance(found, list):
        # A prompt may be given as the messages of a chat.
        parts = [str(m.get("content") or "") for m in found if isinstance(m, dict) and m.get("role") != "assistant"]
        return "\n".join(part for part in parts if part)
    return found if isinstance(found, str) else str(found) if isinstance(found, (int, float)) else ""


def question(row: Mapping[str, Any]) -> str:
    """The question that a row is about, "" if there is none; rows with and without a hint share it."""
    return (value(row, "question") or value(row, "prompt")).strip()


def prompt(row: Mapping[str, Any]) -> tuple[str, str]:
    """What the model was asked, and the hint within it or to be put below it ("" for none).

    A published ``prompt`` is the whole of it, the hint where the authors put it: nothing is added to it.
    """
    hint, whole = value(row, "prompted_hint").strip(), value(row, "prompt").strip()
    if not whole:
        return question(row), hint
    return whole, hint if hint in whole else ""


def kept(row: Mapping[str, Any], names: Sequence[str]) -> dict[str, str]:
    """Those of some columns that hold something, as text."""
    return {name: found for name in names if (found := value(row, name))}


def column(row: Mapping[str, Any], *names: str) -> str:
    """The first of some columns that holds something, as text: files name a few columns in two ways."""
    return next((found for name in names if (found := value(row, name))), "")


def problem(row: Mapping[str, Any]) -> str:
    """What rows of one base problem share: the question, whatever its blank space.

    Neither number would do: ``question_index`` 0 is another question in another task, and ``row_id`` is a row's own. A
    long question is cut and told from others that begin alike by a digest of all of it.
    """
    text = " ".join(question(row).split())
    if len(text) <= _LONGEST_PROBLEM:
        return text
    return f"{text[:_LONGEST_PROBLEM]}… ({hashlib.sha256(text.encode()).hexdigest()[:12]})"


def answer(row: Mapping[str, Any]) -> str:
    """The model's answer, without the tag, JSON or box around it; an option letter without its brackets."""
    return bare(value(row, "model_answer"))


def bare(said: str) -> str:
    """An answer by itself: what stands in its tag, JSON, box or sentence; an option letter without its brackets."""
    alone = answer_alone(said)
    letter = reading(alone).strip("()[].:")
    return letter if len(letter) == 1 and letter.isalpha() else alone


def fault(row: Mapping[str, Any], allow_unlabelled: bool) -> str:
    """What a row lacks to be used at all, in a sentence; "" if nothing."""
    if not question(row):
        return "This row has no question. Give it in the column question or prompt."
    if not value(row, "cot").strip():
        return "This row has no chain. Give the model's reasoning in the column cot."
    if not answer(row):
        return "This row has no answer. Give the model's final answer in the column model_answer."
    if len(value(row, "model_answer")) > MAX_SAID:
        return f"The answer of this row is longer than {MAX_SAID:,} characters. Give the final answer alone."
    given = row.get("candidates")
    if isinstance(given, list) and len(given) > MAX_GIVEN:
        return f"This row names {len(given):,} candidate answers; at most {MAX_GIVEN} can be compared. Name fewer."
    kind = label_type(row)
    if not kind and not allow_unlabelled:
        return (
            f"This row has no label. Give one of {', '.join(LABELS)} in the column label_type, or read the file as "
            "unlabelled."
        )
    if kind and kind not in LABELS:
        return f"The label_type {kind[:40]!r} is not known. It must be one of {', '.join(LABELS)}."
    return ""


def label_type(row: Mapping[str, Any]) -> str:
    """The kind of label, in capitals."""
    return value(row, "label_type").strip().upper()


def span(row: Mapping[str, Any], cot: str) -> tuple[int, int] | str:
    """The characters of the chain that a row labels, without blank space around them; a sentence if they do not fit.

    Where a row names no sentence, but an extract of one, the sentence around the extract is meant.
    """
    told = value(row, "sentence_text").strip()
    ends = [_plain(value(row, f"sentence_span_{name}")) for name in ("start", "end")]
    if any(ends):
        return _named_span(cot, ends[0], ends[1], told)
    if told:
        if cot.count(told) == 1:
            return _tight(cot, cot.index(told), cot.index(told) + len(told))
        if told not in cot:
            return "This sentence does not stand in the chain. Give the sentence as it is written in cot."
    number = _plain(value(row, "sentence_id"))
    steps = spans(split_steps(cot))
    if not number:
        around = "" if told else _around_extract(row, cot, steps)
        if around:
            return around
        lacks = "stands in the chain more than once, and has no span" if told else "is not named"
        return f"The labelled sentence {lacks}. Give sentence_span_start and sentence_span_end, or sentence_id."
    if not _whole(number) or len(number) > 6 or not 1 <= int(number) <= len(steps):
        return f"The chain has sentences 1 to {len(steps)}, and no sentence {number[:20]}."
    begin, end = steps[int(number) - 1]
    if told and told not in cot[begin:end]:
        return f"Sentence {number} of the chain is another one than sentence_text. Give the span of the sentence."
    return _tight(cot, begin, end)


def _named_span(cot: str, start: str, stop: str, told: str) -> tuple[int, int] | str:
    """The span of two numbers as text, if it lies in the chain and holds the sentence ``told`` where there is one."""
    if not all(_whole(end) and len(end) < 10 for end in (start, stop)):
        return "The span of this sentence is not two whole numbers. Give the characters of cot where it stands."
    begin, end = int(start), int(stop)
    if not begin < end <= len(cot):
        return f"The span {begin} to {end} of this sentence does not lie within the chain of {len(cot):,} characters."
    piece = cot[begin:end]
    if not piece.strip():
        return f"The span {begin} to {end} of this sentence holds nothing but blank space."
    if told and " ".join(told.split()) != " ".join(piece.split()):
        return f"The chain does not hold this sentence at its span {begin} to {end}; it holds {piece.strip()[:40]!r}."
    return _tight(cot, begin, end)


def _around_extract(row: Mapping[str, Any], cot: str, steps: Sequence[tuple[int, int]]) -> tuple[int, int] | None:
    """The sentence of ``steps`` that holds the row's extract, found by its span or as text that stands there once."""
    said = value(row, "extract").strip()
    ends = [_plain(value(row, f"extract_span_{name}")) for name in ("start", "end")]
    if all(_whole(end) and len(end) < 10 for end in ends):
        begin, end = map(int, ends)
    elif said and cot.count(said) == 1:
        begin = cot.index(said)
        end = begin + len(said)
    else:
        return None
    holds = [_tight(cot, a, b) for a, b in steps if a <= begin < end <= b]
    return holds[0] if holds else None


def _plain(number: str) -> str:
    """A whole number as text; tables that lack some of a column write the others as 12.0."""
    return number.strip().removesuffix(".0")


def _whole(text: str) -> bool:
    """Whether a text is digits that int() reads: ² is a digit, too, and no number."""
    return text.isascii() and text.isdecimal()


def _tight(text: str, begin: int, end: int) -> tuple[int, int]:
    piece = text[begin:end]
    return begin + len(piece) - len(piece.lstrip()), end - len(piece) + len(piece.rstrip())
