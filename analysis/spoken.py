"""Quantities as a person says them."""

from __future__ import annotations

from collections.abc import Sequence


def duration(seconds: float) -> str:
    """A length of time as a person says it."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def listed(words: Sequence[str]) -> str:
    """Words in a row: "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def counted(number: int, what: str) -> str:
    """A number of things: "1 token", "2,000 tokens"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
