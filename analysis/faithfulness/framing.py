"""How a question is put to a model: in its chat template or as plain text, in units, with answers to compare."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from analysis.errors import UserError
from analysis.faithfulness.item import Part
from analysis.faithfulness.splitting import numbers_in, split_steps
from analysis.faithfulness.values import distinct, value_of
from analysis.models.templates import chat_text

INSTRUCTION = (
    "Think about the question in short steps, one sentence each. Then end with a line of its own that reads "
    "“Answer: X”, where X is the answer alone."
)
MAX_CANDIDATES = 8
MAX_UNITS = 5
_PLAIN_LEAD = "\nLet us think step by step.\n"
_PLACE = "QUESTION-7F3A-HERE"
_PAIRS = (("yes", "no"), ("true", "false"), ("correct", "incorrect"), ("valid", "invalid"), ("是", "否"), ("对", "错"))
_OPTION = re.compile(r"(?:^|(?<=[\s(*]))\(?([A-J])[).:](?=\s|\*)", re.M)


def framed(
    parts: Sequence[Part], tokenizer: Any, plain: bool = False, instruction: str = ""
) -> tuple[str, tuple[Part, ...], str]:
    """(before, question, lead) of an item: the parts of a question in the model's chat template, or as plain text.

    In a template everything up to the question is ``before``, and what closes the turn and opens the model's own is the
    question's last part, which has no unit; the lead is "". A template that takes no system message gets the
    instruction at the head of the user's turn. A start token pasted at the head of the question is left out. Raises
    UserError(field="model") if there is no template, or one that cannot be used for this.
    """
    parts = _without_start(parts, getattr(tokenizer, "bos_token", None) or "")
    if plain:
        return f"{instruction}\n\n" if instruction else "", (Part("Question: "), *parts), _PLAIN_LEAD
    if not getattr(tokenizer, "chat_template", None):
        raise UserError(
            "This model has no chat template, so it cannot be asked in its own format. Choose a chat model, or ask it "
            "in plain text.",
            "model",
        )
    text = _templated(tokenizer, instruction)
    if text.count(_PLACE) != 1:
        raise UserError("The chat template of this model does not show the question. Ask it in plain text.", "model")
    head, tail = text.split(_PLACE)
    return head, (*parts, *([Part(tail)] if tail else [])), ""


def question_parts(question: str, hint: str = "") -> tuple[Part, ...]:
    """A question in at most :data:`MAX_UNITS` units, which attributions mask: its sentences (neighbours together where
    there are more; clauses where there is one only), and the hint as the unit "hint".

    A hint that stands in the question stays there; any other is put on a line of its own below. Joined, the parts are
    the text; the blank space before a unit is no part of it, so that masking keeps the layout.
    """
    hint = hint.strip()
    if hint and hint in question:
        front, _, back = question.partition(hint)
        pieces, marked = [front, hint, back], 1
    elif hint:
        pieces, marked = [question, f"\n{hint}"], 1
    else:
        pieces, marked = [question], -1
    room = MAX_UNITS - (marked >= 0)
    cut = [[] if k == marked else [s for s in split_steps(piece) if s] for k, piece in enumerate(pieces)]
    if sum(s.strip() != "" for row in cut for s in row) == 1 and marked < 0:
        cut = [re.split(r"(?<=[,;:])(?=\s)", pieces[0])]
    size = -(-sum(map(len, cut)) // room)
    parts: list[Part] = []
    number = 0
    for k, piece in enumerate(pieces):
        for i in range(0, len(cut[k]), size):
            group = "".join(cut[k][i : i + size])
            number += bool(group.strip())
            parts += _spaced(group, f"sentence {number}")
        if k == marked:
            parts += _spaced(piece, "hint")
    # A hint within the question may leave one group more on its other side than there is room for.
    names = [part.unit for part in parts if part.unit and part.unit != "hint"]
    spare = set(names[room - 1 :]) if len(names) > room else set()
    return tuple(replace(p, unit=names[room - 1]) if p.unit in spare else p for p in parts)


def candidates_for(answer: str, question: str, steps: Sequence[str], others: Sequence[str] = ()) -> tuple[str, ...]:
    """Answers to compare with, the answer first: other answers known, the question's option letters if the answer is
    such a letter, no for a yes, and numbers of the chain if it is a number, or if there is nothing else. At most 8,
    each once; two ways to write the same answer are one."""
    found = [answer, *others, *_opposite(answer)]
    letters = list(dict.fromkeys(_OPTION.findall(question)))
    if re.fullmatch(r"[A-Ja-j]", answer) and letters == list("ABCDEFGHIJ")[: len(letters)]:
        found += letters
    kept = distinct(found, MAX_CANDIDATES)
    if len(kept) < 2 or value_of(answer) is not None:
        kept = distinct([*kept, *(n for step in reversed(steps) for n in reversed(numbers_in(step)))], MAX_CANDIDATES)
    return kept


def _without_start(parts: Sequence[Part], start: str) -> tuple[Part, ...]:
    """The parts without a start token that was pasted at the head of the question: the prompt has one before it."""
    if start and parts and parts[0].text.startswith(start) and parts[0].text != start:
        return (replace(parts[0], text=parts[0].text.removeprefix(start)), *parts[1:])
    return tuple(parts)


def _opposite(answer: str) -> list[str]:
    """The other one of two answers that come as a pair, in the same capitals; none for any other answer."""
    for pair in _PAIRS:
        if answer.casefold() in pair:
            other = pair[1 - pair.index(answer.casefold())]
            return [other.upper() if answer.isupper() else other.capitalize() if answer[:1].isupper() else other]
    return []


def _spaced(text: str, unit: str) -> list[Part]:
    inner = text.strip()
    if not inner:
        return [Part(text)] if text else []
    at = text.index(inner)
    made = [Part(text[:at]), Part(inner, unit), Part(text[at + len(inner) :])]
    return [part for part in made if part.text]


def instruction_for(candidates: Sequence[str]) -> str:
    """What the model is told to do, with the candidates if there are any."""
    return f"{INSTRUCTION} X is one of: {', '.join(candidates)}." if candidates else INSTRUCTION


def _templated(tokenizer: Any, instruction: str) -> str:
    user = {"role": "user", "content": _PLACE}
    if not instruction:
        return chat_text(tokenizer, [user], field="model")
    try:
        return chat_text(tokenizer, [{"role": "system", "content": instruction}, user], field="model")
    except UserError:  # some templates refuse system messages, others drop them
        return chat_text(tokenizer, [{"role": "user", "content": f"{instruction}\n\n{_PLACE}"}], field="model")
