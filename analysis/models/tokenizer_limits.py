"""Tokenizers of other people: what a tokenizer.json may make of a text, and the failures of the library that runs it.

The library is written in Rust. Where a tokenizer contradicts itself, or its pattern finds no end on some text, it does
not raise an exception of Python's but panics, and that passes every handler of exceptions: the process that computes
for everybody would stop answering. And a chain of replacements can make a gigabyte of one word.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from analysis.errors import UserError

log = logging.getLogger(__name__)
_MAX_GROWTH = 1000
_MAX_STEPS = 64
_SAMPLE = "The cat sat on 12 mats."


def check_tokenizer(folder: Path, field: str = "model") -> None:
    """Raises UserError(field) for a ``tokenizer.json`` in a folder whose normalizer makes a text a thousand times
    longer, or that is nested too deep to be read."""
    file = folder / "tokenizer.json"
    if not file.is_file():
        return
    try:
        saved = json.loads(file.read_bytes())
    except RecursionError as error:
        raise UserError(
            f"{file.name} is nested deeper than any such file. It is damaged or made to do harm.", field
        ) from error
    except ValueError:
        return  # the library says what is wrong with it
    steps = _steps(saved.get("normalizer") if isinstance(saved, dict) else None)
    growth = 1
    for step in steps[:_MAX_STEPS]:
        content = step.get("content")
        growth *= max(1, len(content)) if isinstance(content, str) and step.get("type") == "Replace" else 1
    if growth > _MAX_GROWTH or len(steps) > _MAX_STEPS:
        raise UserError(
            f"The normalizer in {file.name} replaces characters by texts that grow with each of its {len(steps):,} "
            "steps, beyond any text that is meant. It is damaged or made to do harm.",
            field,
        )


def _steps(normalizer: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    waiting = [normalizer]
    while waiting and len(found) <= _MAX_STEPS:
        step = waiting.pop()
        if isinstance(step, dict):
            inner = step.get("normalizers")
            found.append(step)
            waiting += inner if isinstance(inner, list) else []
    return found


def guarded(tokenizer: Any, label: str) -> Any:
    """The same tokenizer, whose panics are sentences: of a text (field "prompt"), and of any text at all.

    Raises UserError(field="model") where it cannot read an ordinary sentence.
    """
    for name, doing in (("_encode_plus", "read this text"), ("_decode", "write these tokens")):
        inner = getattr(tokenizer, name, None)
        if callable(inner):
            setattr(tokenizer, name, _without_panic(inner, label, doing))
    try:
        tokenizer(_SAMPLE)
        tokenizer(_SAMPLE, add_special_tokens=False)
    except UserError as error:
        raise UserError(f"{error.message} It is damaged; download it again.", "model") from error
    return tokenizer


def _without_panic(inner: Callable[..., Any], label: str, doing: str) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return inner(*args, **kwargs)
        except BaseException as error:
            if not is_panic(error):
                raise
            log.warning("the tokenizer of %s panicked", label, exc_info=True)
            said = str(error).strip().partition("\n")[0][:200].rstrip(". ")
            raise UserError(f"The tokenizer of {label} cannot {doing}: “{said}”.", "prompt") from error

    return call


def is_panic(error: BaseException) -> bool:
    """Whether a library written in Rust has given up: an exception that is no Exception, and of no importable class."""
    return type(error).__name__ == "PanicException"
