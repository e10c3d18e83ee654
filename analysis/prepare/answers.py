"""Answers of Prepare: what is there and what can be made for a model, and what became of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from analysis.answer import Incidental

NOT_MADE = "Not made:"
"""How the sentence on a part that failed begins; the card looks for it."""


@dataclass(frozen=True)
class LevelFacts:
    """A level of a product: predicted ``seconds``, bytes of ``memory`` and ``disk``, and one sentence on its
    ``quality``."""

    name: str
    seconds: Annotated[float, Incidental()]
    memory: int
    disk: int
    quality: str


@dataclass(frozen=True)
class ProductFacts:
    """A product for this model. ``shows``: what the page shows with it. ``present``: how many levels, from the first,
    the shelf covers: 0 for nothing, all for nothing better to make. ``refusal``: why this model cannot have it, else
    empty. ``sentence``: where it stands, for the page."""

    page: str
    name: str
    shows: str
    levels: tuple[LevelFacts, ...]
    present: int
    refusal: str
    sentence: str


@dataclass(frozen=True)
class Budget:
    """What a budget of ``seconds`` gives. ``takes``: predicted seconds of what would be made, in ``parts`` (noun
    phrases in their order); ``memory``: most bytes of any, ``disk``: bytes of all. ``sentence``: quality that it gives
    and what it leaves out. ``enough``: nothing better could be made with more."""

    name: str
    seconds: float
    takes: Annotated[float, Incidental()]
    memory: int
    disk: int
    parts: tuple[str, ...]
    sentence: str
    enough: bool


@dataclass(frozen=True)
class PageFacts:
    """What a page needs. ``ready``: it has something to show of this model. ``products`` is empty for a page that needs
    none; ``sentence`` says so, or what is to be made. ``budgets`` for this page alone, from small to large; empty where
    nothing can be made or improved."""

    page: str
    ready: bool
    products: tuple[ProductFacts, ...]
    budgets: tuple[Budget, ...]
    sentence: str


@dataclass(frozen=True)
class Preparation:
    """Every page, the ``budgets`` for all of them together, and the machine: free bytes and a ``machine`` sentence."""

    pages: tuple[PageFacts, ...]
    budgets: tuple[Budget, ...]
    memory: Annotated[float, Incidental()]
    disk: Annotated[float, Incidental()]
    machine: Annotated[str, Incidental()]


@dataclass(frozen=True)
class Part:
    """What became of one part of a run: ``state`` is "made" or "failed", with the reason in ``text``."""

    page: str
    name: str
    level: str
    state: str
    text: str
    seconds: Annotated[float, Incidental()]


@dataclass(frozen=True)
class Prepared:
    """A run that came to its end: its parts in order, and a sentence."""

    parts: tuple[Part, ...]
    sentence: str
