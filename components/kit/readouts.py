"""The numbers beside texts that were written under steering."""

from __future__ import annotations

from dash import html

from analysis.steering.answers import WrittenText, WrittenTexts
from components.kit.types import Node

_TITLES = ("", "mean KL per token", "perplexity, unsteered model", "repetition")


def readouts(texts: WrittenTexts, steered: str, control: str) -> Node:
    """A row for each text: price, perplexity, repetition. ``steered`` and ``control``: what these texts are called."""
    rows = [_row("unsteered", texts.base), _row(steered, texts.steered)]
    if texts.control is not None:
        rows.append(_row(control, texts.control))
    head = html.Thead(html.Tr([html.Th(title) for title in _TITLES]))
    return html.Table([head, html.Tbody(rows)], className="attune-table")


def figures_of(text: WrittenText, lead: str = "") -> str:
    """The same numbers on one line, for the head of a text's box; the unsteered text costs nothing, and does not say
    so."""
    parts = [lead] if lead else []
    if text.mean_kl:
        parts.append(f"KL {text.mean_kl:.2f} per token")
    parts.append("no text" if text.perplexity is None else f"perplexity {text.perplexity:.1f}")
    if text.repetition:
        parts.append(f"repeats {text.repetition:.0%}")
    return " · ".join(parts)


def _row(title: str, text: WrittenText) -> Node:
    return html.Tr(
        [
            html.Th(title),
            html.Td(f"{text.mean_kl:.3f} nats"),
            html.Td("no text" if text.perplexity is None else f"{text.perplexity:.1f}"),
            html.Td(f"{text.repetition:.0%} of 3-grams"),
        ]
    )
