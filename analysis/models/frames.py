"""The tokens that a tokenizer puts around a text, and how a text gets them once.

Apart from prompts, since contrasts need them too and are read by components, which know no model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_SAMPLES = ("a", "1", "the", "A1", "C4")  # the last for models of moves


def frame_ids(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The tokens that a tokenizer puts before any text, and those behind it; many put none."""
    for text in _SAMPLES:
        whole = [int(i) for i in tokenizer(text, add_special_tokens=True)["input_ids"]]
        bare = [int(i) for i in tokenizer(text, add_special_tokens=False)["input_ids"]]
        if bare and whole == bare:
            return [], []
        for at in range(len(whole) - len(bare) + 1 if bare else 0):  # a sample that the vocabulary drops says nothing
            if whole[at : at + len(bare)] == bare:
                return whole[:at], whole[at + len(bare) :]
    return [], []


def with_start(start: Sequence[int], ids: Sequence[int]) -> list[int]:
    """Start tokens and a text's own tokens, those with which the text begins itself not doubled."""
    return [*start[: len(start) - brought(start, ids)], *ids]


def brought(start: Sequence[int], ids: Sequence[int]) -> int:
    """How many of the last start tokens a text's own tokens begin with."""
    return max((k for k in range(1, len(start) + 1) if list(ids[:k]) == list(start[-k:])), default=0)


def text_ids(tokenizer: Any, text: str) -> list[int]:
    """Token ids of a text that is to go on: the tokenizer's start tokens before it, once, no end token behind it."""
    start, _ = frame_ids(tokenizer)
    return with_start(start, [int(i) for i in tokenizer(text, add_special_tokens=False)["input_ids"]])
