"""The honesty strip of the Faithfulness page: what a reader has to know before believing any figure on it.

It is quiet and always there, because a caveat that has to be opened is not read.
"""

from __future__ import annotations

from collections.abc import Sequence

from dash import html

from components.kit.types import Node


def honesty_strip(sentences: Sequence[str]) -> Node:
    """Model size, whose chains, templates, numbers, seeds, and what this is not, as one line that wraps."""
    return html.Div(
        [
            html.Span("What this rests on", className="fthb-honesty-head"),
            *[html.Span(sentence, className="fthb-honesty-part") for sentence in sentences if sentence],
        ],
        className="fthb-honesty",
        role="note",
        **{"aria-label": "What this rests on"},
    )
