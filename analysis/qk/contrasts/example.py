"""One example of a contrast: which token asks, which tokens match, which do not.

A contrast is a seeded stream of these. They are token ids and positions only, so that fitting never needs to know
how the text was made, and a preset, a template and a JSONL file are the same thing to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Place(NamedTuple):
    """A token of an example: which of its prompts, and which position in it."""

    prompt: int
    position: int


@dataclass(frozen=True)
class Example:
    """Token ids of one or two prompts, and the places of query, positive keys and negative keys.

    ``prompts`` holds the token ids, without padding. ``negative_query`` is None when the same query serves both
    conditions (the clean definition, dossier 1.2); otherwise the negative keys are paired with that other query
    (the reference code's "coded" pairing of the lexical contrast). A key that shares its prompt with the query it is
    paired with must not come after it. ``label`` is the value of the feature (for colour and grouping);
    ``key_labels`` has one entry for each positive key, then one for each negative key.
    """

    prompts: tuple[tuple[int, ...], ...]
    query: Place
    positive: tuple[Place, ...]
    negative: tuple[Place, ...]
    label: str
    key_labels: tuple[str, ...]
    negative_query: Place | None = None
