"""Where a model's thinking begins and ends in the tokens that it writes, for models whose template marks it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from analysis.models.loaded_model import LoadedModel

Marks = tuple[int, int]
"""Ids of the token that opens thinking and of the one that closes it."""
_PAIRS = (
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<thinking>", "</thinking>"),
    ("<seed:think>", "</seed:think>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
)
_KEY = "thinking marks"


def thinking_marks(loaded: LoadedModel) -> Marks | None:
    """The marks of a model whose chat template names them and whose tokenizer has one token for each; None for any
    other. Looked for once."""
    known: tuple[Any, Marks | None] | None = loaded.extras.get(_KEY)
    if known is None or known[0] is not loaded.tokenizer:
        known = (loaded.tokenizer, _look(loaded.tokenizer))
        loaded.extras[_KEY] = known
    return known[1]


def without_thinking(text: str) -> str:
    """What a text says after its thinking; the whole text where it holds none."""
    for _, close in _PAIRS:
        _before, mark, after = text.rpartition(close)
        if mark:
            return after.strip()
    return text


def is_thinking(ids: Tensor, real: Tensor, marks: Marks, before: Tensor) -> Tensor:
    """Of each token (B, T) of a pass, whether the text is thinking once it was read: true from the mark that opens on,
    false from the mark that closes on. ``real`` (B, T): false for padding; ``before`` (B,): as it was before the pass.
    """
    steps = torch.arange(ids.shape[1], device=ids.device).expand(ids.shape)
    opened, closed = (torch.where((ids == mark) & real, steps, -1).cummax(1).values for mark in marks)
    return torch.where(torch.maximum(opened, closed) < 0, before[:, None], opened > closed)


def _look(tokenizer: Any) -> Marks | None:
    template = str(getattr(tokenizer, "chat_template", None) or "")
    for pair in _PAIRS:
        if any(mark in template for mark in pair):
            ids = [tokenizer(mark, add_special_tokens=False)["input_ids"] for mark in pair]
            if all(len(one) == 1 for one in ids):
                return int(ids[0][0]), int(ids[1][0])
    return None
