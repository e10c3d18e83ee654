"""Token text on its way into a figure. plotly reads pseudo-HTML, so every label is escaped here and nowhere else."""

from __future__ import annotations

import html
from collections.abc import Sequence


def escaped(text: str, limit: int = 24) -> str:
    """The text with plotly's markup made harmless, shortened to ``limit`` characters."""
    short = text if len(text) <= limit else text[: limit - 1] + "…"
    return html.escape(short, quote=False)


def numbered(labels: Sequence[str], limit: int = 16) -> list[str]:
    """Tick labels that stay apart when tokens repeat: position and token, escaped."""
    return [f"{i} {escaped(label, limit)}" for i, label in enumerate(labels)]
