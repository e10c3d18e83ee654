"""A chat template in use: messages as the text that the model reads, and the token that ends a turn.

Templates are programs of other people. Some walk over the parts of a message and drop a plain string without a word,
some refuse a turn without a system message or tools, some do not parse. So each is tried with a marker in the place of
the text before it is believed, and whatever it raises becomes one sentence with its own message.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from analysis.errors import UserError
from analysis.models.template_limits import TemplateTooMuch, within_limits

Message = Mapping[str, str]
_PLACE = "QUESTION-7F3A-HERE"
_REPLY = "REPLY-5C1D-HERE"
_PRINTED = re.compile(r"""['"]type['"]\s*:\s*['"]text['"]""")


def has_template(tokenizer: Any) -> bool:
    """Whether a tokenizer brings a chat template at all, usable or not."""
    return bool(getattr(tokenizer, "chat_template", None))


def chat_text(tokenizer: Any, messages: Sequence[Message], *, opened: bool = True, field: str = "prompt") -> str:
    """The messages (each ``role`` and ``content``) in the chat template, up to where the model's own turn begins, or
    without that beginning if not ``opened``.

    Contents are handed over as strings; where the template drops those, as lists with one part of type "text".

    Raises:
        UserError: with ``field``, there is no template, it raises (its own message is quoted), or what it makes does
            not hold every content.
    """
    if not has_template(tokenizer):
        raise UserError("This model has no chat template. Switch the chat template off.", field)
    asked = [
        {"role": m["role"], "content": f"{_PLACE}-{k}" if m["content"].strip() else m["content"]}
        for k, m in enumerate(messages)
    ]
    problems: list[str] = []
    for form in (_as_string, _as_parts):
        try:
            tried = _rendered(tokenizer, asked, form, opened)
            # A list that the template only prints is as wrong as a string that it drops.
            if all(m["content"] in tried for m in asked) and not _PRINTED.search(tried):
                text = _rendered(tokenizer, messages, form, opened)
                if all(m["content"].strip() in text for m in messages):
                    return text
        except UserError as error:
            problems.append(error.message)
    if problems:
        raise UserError(
            f"The chat template of this model cannot be used for this: {problems[0]} Switch the chat template off, or "
            "ask in plain text.",
            field,
        )
    raise UserError(
        "The chat template of this model does not show what was typed: it drops or changes the text. Switch the chat "
        "template off, or ask in plain text.",
        field,
    )


def turn_end(tokenizer: Any) -> int | None:
    """The special token that the chat template puts right behind a reply: the end of a turn. None if there is none."""
    if not has_template(tokenizer):
        return None
    try:
        text = chat_text(
            tokenizer, [{"role": "user", "content": _PLACE}, {"role": "assistant", "content": _REPLY}], opened=False
        )
    except UserError:
        return None
    tail = text.rpartition(_REPLY)[2].lstrip()
    if not tail:
        return None
    ids = tokenizer(tail, add_special_tokens=False)["input_ids"]
    return int(ids[0]) if ids and int(ids[0]) in special_ids(tokenizer) else None


def special_ids(tokenizer: Any) -> frozenset[int]:
    """Ids of all tokens that the tokenizer marks as special, named or merely added."""
    added = getattr(tokenizer, "added_tokens_decoder", {})
    marked = {int(i) for i, token in added.items() if getattr(token, "special", False)}
    return frozenset(marked | {int(i) for i in tokenizer.all_special_ids if i is not None})


def _as_string(content: str) -> Any:
    return content


def _as_parts(content: str) -> Any:
    return [{"type": "text", "text": content}]


def _rendered(tokenizer: Any, messages: Sequence[Message], form: Callable[[str], Any], opened: bool) -> str:
    """What the template makes of the messages; UserError with the first line of whatever it raises."""
    shaped = [{"role": m["role"], "content": form(m["content"])} for m in messages]
    try:
        return within_limits(
            lambda: str(tokenizer.apply_chat_template(shaped, tokenize=False, add_generation_prompt=opened)),
            tokenizer.chat_template,
        )
    except TemplateTooMuch as error:
        raise UserError(f"{error}, and a template only writes down a conversation.") from error
    except Exception as error:  # a template is a foreign program: it may raise anything
        lines = str(error).strip().splitlines()
        said = (lines[0] if lines else type(error).__name__)[:300].rstrip(". ")
        raise UserError(f"“{said}”.") from error
