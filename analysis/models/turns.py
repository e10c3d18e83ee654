"""A conversation as the tokens that a model reads: the prompt of each turn, and what was written in it.

Turns are found in what the chat template makes of the whole conversation: the conversation is rendered once more with
marks in place of its texts, which tells what the template writes between them. So any template that shows the texts in
their order will do. A model without a template gets plain turns. Tokens that the model wrote itself
stay those tokens where the template repeats their text as it was; else the text is read again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from analysis.errors import UserError
from analysis.models.frames import frame_ids, with_start
from analysis.models.legible import check_legible
from analysis.models.loaded_model import LoadedModel
from analysis.models.prompts import check_prompt
from analysis.models.templates import chat_text, has_template
from analysis.models.thinking import without_thinking

MAX_CONVERSATION = 8_192
"""Tokens of a conversation; the model's own limit may be less."""
PLAIN_STOP = "\nUser:"
PLAIN_NOTE = "This model has no chat template: it reads plain turns, “User: …” and “Assistant: …”."
THINKING_NOTE = "The thinking of earlier turns is left out, as the template of such a model does."


@dataclass(frozen=True)
class Spoken:
    """What was said in one turn: by the ``user``, and the ``reply``, with its token ``ids`` if the model wrote it."""

    user: str
    reply: str = ""
    ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class Stretch:
    """Token ids of one turn: ``prompt``, what stands before the reply, and ``reply``, empty where it is to come."""

    prompt: tuple[int, ...]
    reply: tuple[int, ...] = ()


@dataclass(frozen=True)
class Script:
    """The turns of a conversation in order, the last one open. ``stop``: a text at which a reply is over, beside the
    model's own end tokens; ``notes``: sentences on how it is read."""

    turns: tuple[Stretch, ...]
    stop: str
    notes: tuple[str, ...]


def script_of(loaded: LoadedModel, spoken: Sequence[Spoken], system: str = "") -> Script:
    """The tokens of a conversation whose last turn has no reply yet.

    Raises UserError for an empty turn, a template that cannot show it, or more tokens than the model reads.
    """
    tokenizer = loaded.tokenizer
    for number, turn in enumerate(spoken):
        check_prompt(turn.user)
        check_legible(tokenizer, turn.user)
        if number < len(spoken) - 1 and not turn.reply.strip():
            raise UserError(f"The reply of turn {number + 1} is empty. Write it again, or type one.", "turns")
    if has_template(tokenizer):
        texts, notes = _in_template(tokenizer, spoken, system)
        start: list[int] = []
    else:
        texts, notes = _plain(spoken, system), (PLAIN_NOTE,)
        start, _ = frame_ids(tokenizer)
    turns: list[Stretch] = []
    for turn, (prompt, reply) in zip(spoken, texts, strict=True):
        ids = _ids(tokenizer, prompt)
        if not turns and start:
            ids = with_start(start, ids)
        own = bool(turn.ids) and str(tokenizer.decode(list(turn.ids), skip_special_tokens=True)) == reply
        turns.append(Stretch(tuple(ids), turn.ids if own else tuple(_ids(tokenizer, reply)) if reply else ()))
    every = [i for turn in turns for i in (*turn.prompt, *turn.reply)]
    loaded.check_ids(every)
    limit = min(MAX_CONVERSATION, loaded.facts.max_positions or MAX_CONVERSATION)
    if len(every) >= limit:
        raise UserError(
            f"The conversation is {len(every):,} tokens long; the limit here is {limit:,}. Branch off from an earlier "
            "turn.",
            "turns",
        )
    return Script(tuple(turns), "" if has_template(tokenizer) else PLAIN_STOP, notes)


def _in_template(
    tokenizer: Any, spoken: Sequence[Spoken], system: str
) -> tuple[list[tuple[str, str]], tuple[str, ...]]:
    """(prompt, reply) of each turn as the template has them, and notes."""
    replies = [without_thinking(turn.reply) for turn in spoken]
    messages = [{"role": "system", "content": system}] if system.strip() else []
    for turn, reply in zip(spoken, replies, strict=True):
        messages += [{"role": "user", "content": turn.user}, {"role": "assistant", "content": reply}]
    contents = [message["content"] for message in messages[:-1]]
    marked = [{**m, "content": f"TURN-{k}-9E2B-HERE"} for k, m in enumerate(messages[:-1])]
    text = chat_text(tokenizer, messages[:-1], field="turns")
    ends = _ends(chat_text(tokenizer, marked, field="turns"), [m["content"] for m in marked], text, contents)
    found, begun = [], 0
    for start, end in ends[len(ends) % 2 == 0 :][1::2]:
        found.append((text[begun:start], text[start:end]))
        begun = end
    found.append((text[begun:], ""))
    thought = any(reply != turn.reply for turn, reply in zip(spoken[:-1], replies, strict=False))
    return found, (THINKING_NOTE,) if thought else ()


def _ends(marked: str, marks: Sequence[str], text: str, contents: Sequence[str]) -> list[tuple[int, int]]:
    """Where each content begins and ends in ``text``: between the pieces that the template writes itself, which
    ``marked``, the same messages with marks in place of their contents, tells apart. So a short content is never taken
    for a part of the template."""
    any_mark = "|".join(map(re.escape, marks))
    pieces = re.split(any_mark, marked)
    orderly = re.findall(any_mark, marked) == list(marks)
    at = len(pieces[0]) if orderly and text.startswith(pieces[0]) else -1
    found: list[tuple[int, int]] = []
    for number, content in enumerate(contents):
        # As it was given, or with the blanks around it cut off, as many templates do.
        ways = (content, content.strip(), content.lstrip(), content.rstrip()) if at >= 0 else ()
        # The piece behind the last content ends the text.
        behind = pieces[number + 1] if number + 1 < len(pieces) else ""
        way = next((w for w in ways if text.startswith(w + behind, at)), None)
        if way is None or (number + 1 == len(contents) and at + len(way + behind) != len(text)):
            raise UserError(
                "The chat template of this model writes the turns of a conversation in another order or changes them, "
                "so they cannot be told apart.",
                "turns",
            )
        found.append((at, at + len(way)))
        at += len(way + behind)
    return found


def _plain(spoken: Sequence[Spoken], system: str) -> list[tuple[str, str]]:
    found = []
    for number, turn in enumerate(spoken):
        lead = (f"{system.strip()}\n\n" if system.strip() else "") if number == 0 else "\n"
        reply = turn.reply.rstrip()
        spaced = reply if not reply or reply[0].isspace() else f" {reply}"
        # Only the blanks in front count: behind it comes the line end of the next turn.
        found.append((f"{lead}User: {turn.user.strip()}\nAssistant:", spaced))
    return found


def _ids(tokenizer: Any, text: str) -> list[int]:
    return [int(i) for i in tokenizer(text, add_special_tokens=False)["input_ids"]]
