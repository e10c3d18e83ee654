"""State of the MLP features page, in its address and in its stores.

Stores hold the questions whose answers are shown, and never the answers: what goes up at a click stays small.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from analysis.engine.client import Reply
from analysis.errors import UserError
from analysis.fields import Choice, Flag, Text, Whole
from analysis.snmf.answers.factorization import FeatureTable
from analysis.snmf.ops.factorization import Threshold
from analysis.snmf.ops.steer import Target
from components.kit.types import Json
from pages.address import short
from pages.common import reply_of
from pages.state import At, Model, Parsed, Partly, Prompt

PATH = "/mlp-features"
TABS = ("reading", "output", "overlap", "tree", "steer", "detection", "about", "fit")
START_TEXT = "The surgeon washed her hands, and on Monday they flew to Paris for dinner."
START_PROMPT = "I think that"
START_CHAT = "Tell me what you think of the weather today."
"""On which a chat model opens, in its template."""
FEWEST, MOST = 2, 8
"""How many features can be compared with one another."""


def _members(data: Json) -> Partly:
    """The numbers that can be used, each once."""
    rows = data if isinstance(data, list) else []
    usable = tuple(dict.fromkeys(n for n in rows if type(n) is int and 0 <= n <= 1_000_000))
    sentence = f"Not all features to compare in the address can be used: at most {MOST} different numbers."
    return Partly(usable[:MOST], () if list(usable) == data and len(usable) <= MOST else (sentence,))


def _pole(data: Json) -> int:
    if type(data) is int and data in (1, -1):
        return data
    raise UserError(f"The address gives pole as {short(data)}; it was left out.")


def _root(text: str) -> str:
    level, _, number = text.partition(":")
    if not (level.isdecimal() and number.isdecimal() and len(text) < 16):
        raise UserError(f"The address gives root as {short(text)}; a concept is named like 2:37.")
    return text


@dataclass(frozen=True)
class FeaturesState:
    """The page's state at opening. ``fit`` "": the first of the model; ``feature`` None: the best detected one;
    ``members``: the features compared; ``root``: the concept at the top of the tree."""

    model: Annotated[dict[str, Any] | None, Model()] = None
    fit: Annotated[str, Text(100)] = ""
    feature: Annotated[int, Whole(0, 1_000_000)] | None = None
    members: Annotated[tuple[int, ...], At("with"), Parsed(_members, survive=((3, 1),))] = ()
    tab: Annotated[str, Choice(TABS)] = "reading"
    text: Annotated[str, Prompt()] = START_TEXT
    threshold: Threshold = 0.15
    root: Annotated[str, Parsed(_root, ("3:12",), raw=True)] | None = None
    prompt: Annotated[str, Prompt()] = START_PROMPT
    pole: Annotated[int, Parsed(_pole, (1, -1))] = 1
    target: Target = 0.25
    chat: Annotated[bool, Flag()] = False
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Start:
    """What the address names, for the callbacks that open it once the fits are there. ``fresh``: it names no prompt."""

    model: Json = None
    fit: str = ""
    feature: int | None = None
    root: str | None = None
    fresh: bool = False

    @classmethod
    def from_dict(cls, data: Json) -> Start:
        """What the page's store holds."""
        return cls(**data) if data else cls()

    def names(self, fit: str) -> bool:
        """Whether feature and root are of that fit."""
        return self.fit in ("", fit)


@dataclass(frozen=True)
class Pick:
    """A feature that was clicked; ``fit`` None: of the fit that is open. ``turn`` tells equal clicks apart."""

    feature: int | None = None
    fit: str | None = None
    turn: float = 0

    @classmethod
    def from_dict(cls, data: Json) -> Pick:
        """What the page's store holds."""
        return cls(**data) if data else cls()


def node_of(data: Json) -> str:
    """The concept of the tree that was clicked, "level:number"; "" for none."""
    return str(data.get("node", "")) if data else ""


def table_of(question: Json) -> Reply[FeatureTable] | None:
    """The factorization that is open, and all its features; None before there is one."""
    return reply_of(question) if question else None
