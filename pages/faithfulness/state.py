"""The state of the Faithfulness page, and what its stores say of the open item and of the points that tabs share."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Annotated

from dash import ctx
from dash.exceptions import MissingCallbackContextException

from analysis.engine.client import Reply
from analysis.errors import UserError
from analysis.faithfulness.answers.board import TierScores
from analysis.faithfulness.ops.study import TIERS
from analysis.fields import Choice
from components.kit.types import Json
from pages.address import short
from pages.common import reply_of
from pages.state import Model, Parsed

PATH = "/faithfulness"
TABS = ("trace", "intervene", "board", "truth", "bias", "scores", "cost", "study")
EDITS = ("keep", "delete", "corrupt", "paraphrase", "fill", "block")
"""What can be done to a step; besides, ``text:`` and words of one's own."""
MOST_STEPS, MOST_TEXT = 200, 2_000
_STUDY = re.compile(r"[a-z0-9][a-z0-9-]{0,60}")


def is_edit(edit: object) -> bool:
    """Whether a value is one of the edits, or a text of one's own that is not too long."""
    if not isinstance(edit, str):
        return False
    return edit in EDITS or (edit.startswith("text:") and len(edit) <= MOST_TEXT + 5)


def _study(text: str) -> str:
    if text != "default" and not _STUDY.fullmatch(text):
        raise UserError(f"The address gives study as {short(text)}, which is no study's name; the usual one is open.")
    return "" if text == "default" else text


def _words(name: str, most: int) -> Parsed:
    def parse(text: str) -> str:
        if len(text) > most or not text.isprintable():
            raise UserError(f"The address gives {name} as {short(text)}; it was left out.")
        return text

    return Parsed(parse, survive=("a b, +1: c", "x" * most), raw=True)


def _edits(data: Json) -> tuple[str, ...]:
    if not isinstance(data, list) or len(data) > MOST_STEPS or not all(is_edit(edit) for edit in data):
        raise UserError("The edits in the address cannot be used: there must be one word for each step.")
    return tuple(data)


@dataclass(frozen=True)
class FaithState:
    """``study`` "": the usual one; ``item`` "": the first of the tier; ``edits``: one per step, () for none."""

    model: Annotated[Json, Model()] = None
    study: Annotated[str, Parsed(_study, survive=("own-1a", "x"), raw=True)] = ""
    item: Annotated[str, _words("item", 200)] = ""
    tab: Annotated[str, Choice(TABS)] = "trace"
    tier: Annotated[str, Choice(TIERS)] | None = None
    measure: Annotated[str, _words("measure", 60)] | None = None
    edits: Annotated[tuple[str, ...], Parsed(_edits, survive=(("keep", "text:So 5."), ()))] = ()
    key: Annotated[str, _words("key", MOST_TEXT)] = ""
    problems: tuple[str, ...] = ()

    @classmethod
    def from_dict(cls, data: Json) -> FaithState:
        """What the store of the page's start holds; the usual state for None."""
        values: dict[str, Json] = {k: tuple(v) if isinstance(v, list) else v for k, v in (data or {}).items()}
        return cls(**values)

    def to_dict(self) -> Json:
        """As JSON-able data."""
        return asdict(self)


@dataclass(frozen=True)
class OpenItem:
    """The open item and the study that it is of; "" for none, and for the usual study."""

    item: str = ""
    study: str = ""

    @classmethod
    def from_dict(cls, data: Json) -> OpenItem:
        """What the page's store holds."""
        held = data or {}
        return cls(str(held.get("item") or ""), str(held.get("study") or ""))


@dataclass(frozen=True)
class TierPoints:
    """Which points the tabs on items show: study, its source and tier, and the question that gives them (None where
    they are withheld)."""

    study: str
    source: str
    tier: str
    question: Json = None

    @classmethod
    def from_dict(cls, data: Json) -> TierPoints | None:
        """What the page's store holds."""
        return cls(**data) if data else None

    def reply(self) -> Reply[TierScores] | None:
        """The points, None where they are withheld. Raises as :func:`pages.common.reply_of`."""
        return None if self.question is None else reply_of(self.question)


def points_of(data: Json) -> Reply[TierScores] | None:
    """The points that a store names, None for none."""
    points = TierPoints.from_dict(data)
    return None if points is None else points.reply()


def awaits_model(start: Json, model: Json) -> bool:
    """Whether a page has just been opened whose address names another model than the window's: that one is coming, and
    what the address names must not be looked for in the old one."""
    named = FaithState.from_dict(start).model
    try:
        return bool(named) and named != model and ctx.triggered_id is None
    except MissingCallbackContextException:  # called by hand
        return False
