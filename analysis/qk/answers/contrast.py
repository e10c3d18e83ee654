"""Answers about a contrast before it is fitted: what a prompt makes of one, and whether its behaviour holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from analysis.answer import Absent


@dataclass(frozen=True)
class DrawnCheck:
    """What one head and the whole model do on ``examples`` drawn examples.

    ``attention_key`` and ``attention_other``: mean attention on a matching and on another key. ``wins``: share of
    examples whose matching keys all get more than every other one, ``chance``: that share if the order were left to
    chance, ``needed``: what it must reach to be told from chance (two standard deviations above it).
    ``moved_key`` and ``moved_other``: mean KL in nats of the next token after the query when the word of a matching
    key, or of another one, is put in from another example; None where nothing else can be put there. ``copies``: share
    of examples in which the matching word is a more probable next token than all other ones.
    ``sentence`` says it in words, ``refused`` why it does not hold ("" where it does), ``remarks`` what else one must
    know.
    """

    examples: int
    attention_key: float
    attention_other: float
    wins: float
    chance: float
    needed: float
    copies: float
    sentence: str
    refused: str
    remarks: tuple[str, ...]
    moved_key: Annotated[float | None, Absent()] = None
    moved_other: Annotated[float | None, Absent()] = None


@dataclass(frozen=True)
class ProposedContrast:
    """A template contrast made of a prompt: the options of its kind and a ``name``. ``copied``: the model's answer to
    the prompt is the key's own word. ``notes``: what was taken from where; ``check``: whether it holds."""

    template: str
    word_lists: str
    shuffle: bool
    name: str
    copied: bool
    notes: tuple[str, ...]
    check: DrawnCheck
