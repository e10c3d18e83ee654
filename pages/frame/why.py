"""The line "Why here?" below a written token: on to the heads that matter for it, and what a set-up does to them."""

from __future__ import annotations

from analysis.models.spec import ModelSpec
from analysis.steering.answers import Alternatives
from analysis.steering.steers import Steer
from analysis.token_card.why import why_here
from components.frame.token_card import why_line
from components.kit.types import Node
from pages.frame.token_card import href


def why_row(answer: Alternatives, steer: Steer, model: ModelSpec, *more: Node) -> Node:
    """The line of the token that ``answer`` is about; ``more`` stands before its link."""
    place, said = why_here(answer.before, answer.chosen, steer)
    return why_line(place, said, lambda p: href(p, model), *more)
