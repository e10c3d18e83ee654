"""What boards are made of, as plain data.

A **pin** is a view as it stood, and never changes. An **item** of a board is a section, a note, a finding (a claim with
its pins) or a step of a tour; its content is a dict of plain values (``Body``), and each change gives it the next
version, so that two people who write at once see a conflict instead of losing one of the texts. Times are seconds since
1970, UTC.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypedDict

ItemKind = Literal["section", "finding", "note", "step"]
BoardKind = Literal["board", "tour"]


class Body(TypedDict, total=False):
    """The content of an item. ``title``: of a section; ``claim``: one sentence; ``pins``: ids, in order; ``note``,
    ``counter`` (a counter-example) and ``speaker``: Markdown; ``address`` and ``card``: where a step of a tour leads,
    and the card that it points at, with ``note`` as its commentary."""

    title: str
    claim: str
    pins: list[str]
    note: str
    counter: str
    speaker: str
    address: str
    card: str


@dataclass(frozen=True)
class QuestionStamp:
    """What a frozen answer depends on: ``model`` (``Residents.identity``; empty for a question without one),
    ``code`` (``code_version``) and ``files`` (``Operation.reads``) at the time."""

    operation: str
    model: str
    code: str
    files: str


@dataclass(frozen=True)
class Pin:
    """A view as it stood.

    ``ref``: its ViewRef as data, without facts; ``address``: path and query of the page at this view; ``answers``: one
    content hash of a kept answer for each question; ``figure``: the content hash of the figure as it was drawn,
    empty where the view has none; ``parts``: what it draws beside a figure (``components.kit.part`` as data);
    ``control``: {"name", "text", "numbers"}, None where the view has none; ``numbers``: what prose may be bound to, by
    name; ``facts``: what the drawing says beside its questions; ``picture``: the content hash of a PNG, or empty;
    ``window``: axis ranges and camera as they stood, by the names of plotly's layout; ``models``: label, source,
    revision, dtype, device and fingerprint of each model asked; ``stamps``: one of each question.
    """

    id: str
    title: str
    ref: dict[str, Any]
    address: str
    caption: str
    theme: str
    made: float
    answers: tuple[str, ...]
    figure: str = ""
    height: int = 0
    parts: tuple[dict[str, Any], ...] = ()
    control: dict[str, Any] | None = None
    numbers: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    picture: str = ""
    window: dict[str, Any] = field(default_factory=dict)
    models: tuple[dict[str, Any], ...] = ()
    stamps: tuple[QuestionStamp, ...] = ()
    version: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Pin:
        """Rebuild from :meth:`to_dict`; TypeError for what is none."""
        listed = {name: tuple(data.get(name, ())) for name in ("answers", "parts", "models")}
        return cls(**{**data, **listed, "stamps": tuple(QuestionStamp(**s) for s in data.get("stamps", ()))})


@dataclass(frozen=True)
class Check:
    """What became of a pin when it was computed again: ``state`` is "equal", "moved" or "failed"; ``text`` says by how
    much and against which tolerance, or why it could not be made; ``answers``: the hashes of the new ones."""

    pin: str
    made: float
    state: str
    text: str
    answers: tuple[str, ...] = ()
    numbers: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Item:
    """One thing on a board. ``place``: items are shown in rising order of it. ``author``: the session that wrote it."""

    id: str
    board: str
    kind: ItemKind
    place: float
    version: int
    body: Body
    changed: float
    author: str = ""


@dataclass(frozen=True)
class Board:
    """A board. ``stamp`` rises with every change of the board or one of its items; ``share``: the name of its
    read-only link, empty while it has none."""

    id: str
    title: str
    kind: BoardKind
    made: float
    changed: float
    stamp: int
    share: str = ""


@dataclass(frozen=True)
class BoardContent:
    """A board with its items in order, the pins that these name, and the newest check of each pin."""

    board: Board
    items: tuple[Item, ...]
    pins: dict[str, Pin]
    checks: dict[str, Check]
