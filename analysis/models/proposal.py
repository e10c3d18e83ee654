"""What a form proposes for the model in use, where the usual value was chosen on the bundled model.

A block of the bundled model need not exist in another one, and more regions, features or local factors than an
activation has numbers say nothing. So a usual value is carried over here, by what it means: a block by its depth, a
count by the width of the residual stream, tokens by the time that reading them takes.
"""

from __future__ import annotations

from analysis.models.model_facts import ModelFacts

USUAL_LAYERS = 30
"""Blocks of the bundled model."""
READING_SECONDS = 600.0
"""The longest that a form proposes to read texts."""


def same_depth(layer: int, facts: ModelFacts) -> int:
    """The block as deep in this model as ``layer`` is in the bundled one, counted from 0."""
    return round(layer * (facts.layers - 1) / (USUAL_LAYERS - 1))


def most_groups(count: int, facts: ModelFacts) -> int:
    """``count`` regions or features, or as many as the residual stream has numbers."""
    return min(count, facts.hidden)


def most_factors(count: int, facts: ModelFacts) -> int:
    """``count`` local factors, or an eighth of the numbers of the residual stream."""
    return min(count, facts.hidden // 8)


def readable_tokens(count: int, least: int, facts: ModelFacts) -> int:
    """``count`` tokens, or as many whole thousands as this machine reads in ten minutes, but ``least``."""
    in_time = int(READING_SECONDS / max(facts.seconds_per_token, 1e-9)) // 1000 * 1000
    return min(count, max(least, in_time))
