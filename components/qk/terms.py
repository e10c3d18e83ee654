"""What the terms of the method mean, said where they stand: shown under the pointer, and under the keyboard's focus."""

from __future__ import annotations

from dash import html

from components.kit.types import Node

TERMS = {
    "Attention on": (
        "Mean over the examples: how much of its attention the query gives to a key that has the feature, and to one "
        "that has not."
    ),
    "Mean": (
        "How much larger the logit of a matching key is than that of another one, on average. Raw: as the dot product "
        "of query and key. In nats: as the softmax sees it, where 1 multiplies the attention by 2.7."
    ),
    "Matching keys win": "In how many examples every matching key gets more attention than every other one.",
    "Rank by": (
        "How many directions hold 99 % of the squared singular values. It is nearly the same for shuffled labels, so "
        "it says how spread out the estimate is, not that there is a feature."
    ),
    "Singular values above": "How many directions are stronger than in examples whose labels were shuffled.",
    "Split-half": (
        "How alike the first direction is when fitted on each half of the examples: 1 is the same, and in a wide space "
        "two random directions have nearly 0."
    ),
    "Sampling noise": (
        "Which part of the squared size of the estimate is chance of the draw. The energy rule needs less than 1 %."
    ),
}
"""By the beginning of a figure's name."""


def term(name: str) -> Node:
    """A name with its explanation, if it has one."""
    said = next((text for start, text in TERMS.items() if name.startswith(start)), None)
    if said is None:
        return name
    return html.Span(name, title=said, tabIndex="0", className="attune-term", **{"data-says": said})
