"""Numbers of an answer: what prose may be bound to, and what a later answer to the same question is held against."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from analysis.answer import leaves

MOST = 300
"""Numbers that one pin offers; what lies deepest in the answer is left out first."""
LONGEST = 24
"""Rows of a list whose numbers are offered; of a longer list none is, as nobody could tell them apart by name."""


def scalars(answer: Any) -> dict[str, float]:
    """The single numbers of an answer by dotted name, such as "arms.0.kl"; at most :data:`MOST`.

    Left out are arrays, truth values, numbers that are not finite, and rows of lists longer than :data:`LONGEST`.
    """
    rows: dict[str, float] = {}
    for name, value in leaves(answer):
        if isinstance(value, (int, float, np.number)) and not isinstance(value, bool) and math.isfinite(value):
            rows[name] = float(value)
    long = {list_name for name in rows for list_name, number in _places(name) if number >= LONGEST}
    short = [n for n in rows if not any(list_name in long for list_name, _ in _places(n))]
    return {name: rows[name] for name in sorted(short, key=lambda n: n.count("."))[:MOST]}


def pin_numbers(own: Mapping[str, float], answers: Sequence[Any], control: Mapping[str, float]) -> dict[str, float]:
    """The numbers of a pin: the view's own first, then those of the answers (of a second one as "2.…"), then those of
    the control."""
    of_answers = {
        name if n == 1 else f"{n}.{name}": value
        for n, answer in enumerate(answers, start=1)
        for name, value in scalars(answer).items()
    }
    rows = [*own.items(), *of_answers.items(), *((f"control.{name}", value) for name, value in control.items())]
    numbers: dict[str, float] = {}
    for name, value in rows:
        if value is not None and math.isfinite(value):
            numbers.setdefault(name, float(value))
    return numbers


def number_words(name: str) -> str:
    """A dotted name in words: "arms.0.kl" is "arms 1, kl"."""
    words: list[str] = []
    for part in name.split("."):
        if part.isdecimal() and words:
            words[-1] += f" {int(part) + 1}"
        else:
            words.append(part.replace("_", " "))
    return ", ".join(words)


def _places(name: str) -> list[tuple[str, int]]:
    """The lists that a dotted name goes through, each with the row in it."""
    parts = name.split(".")
    return [(".".join(parts[:at]), int(part)) for at, part in enumerate(parts) if part.isdecimal()]
