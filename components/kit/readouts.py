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


def _row(title: str, text: WrittenText) -> Node:
    return html.Tr(
        [
            html.Th(title),
            html.Td(f"{text.mean_kl:.3f} nats"),
            html.Td("no text" if text.perplexity is None else f"{text.perplexity:.1f}"),
            html.Td(f"{text.repetition:.0%} of 3-grams"),
        ]
    )
