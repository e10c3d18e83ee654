"""Token text on its way into a figure. plotly reads pseudo-HTML, so every label is escaped here and nowhere else."""

from __future__ import annotations

import html
from collections.abc import Sequence

_SIGNS = str.maketrans({"␣": " ", "⏎": "\n", "⇥": "\t", "␍": "\r"})


def escaped(text: str, limit: int = 24) -> str:
    """The text with plotly's markup made harmless, shortened to ``limit`` characters."""
    short = text if len(text) <= limit else text[: limit - 1] + "…"
    return html.escape(short, quote=False)


def numbered(labels: Sequence[str], limit: int = 16) -> list[str]:
    """Tick labels that stay apart when tokens repeat: position and token, escaped."""
    return [f"{i} {escaped(label, limit)}" for i, label in enumerate(labels)]


def as_text(label: str) -> str:
    """The text that the label of a token stands for: spaces, tabs and ends of lines where it has signs for them."""
    return label.translate(_SIGNS)
