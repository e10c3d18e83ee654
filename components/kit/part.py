"""What a view draws beside figures: tables, texts, boards and facts, as plain values.

A page lays these out in its own way; what leaves the page (a pin, a board, a talk, a static page, a bundle) is drawn
from these values, by one script (assets/frame/exhibit.js) wherever it is shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

Cell = str | float | int | None


@dataclass(frozen=True)
class Table:
    """Rows below named columns; a column is of numbers where all its cells are numbers or None."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Text:
    """One text with a title: what was asked (``prompt``) and what was written. ``tokens`` may shade it: (text, shade in
    [-1, 1]) pairs whose texts make up ``text``. ``numbers``: those that belong to it."""

    title: str
    text: str
    prompt: str = ""
    tokens: tuple[tuple[str, float], ...] = ()
    numbers: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Texts:
    """Texts that stand side by side, such as the steered one and the plain one."""

    title: str
    texts: tuple[Text, ...]


@dataclass(frozen=True)
class Boards:
    """Othello boards, each a title and the data that ``components.othello.board`` makes."""

    title: str
    boards: tuple[tuple[str, Mapping[str, Any]], ...]


@dataclass(frozen=True)
class Facts:
    """Names and values, such as the certificate of an item."""

    title: str
    rows: tuple[tuple[str, Cell], ...]


Part = Table | Texts | Boards | Facts
KINDS: dict[str, type[Part]] = {"table": Table, "texts": Texts, "boards": Boards, "facts": Facts}


def part_to_dict(part: Part) -> dict[str, Any]:
    """A part as JSON-able data with its ``kind``."""
    kind = next(name for name, of in KINDS.items() if isinstance(part, of))
    return {"kind": kind, **asdict(part)}


def table_of(title: str, rows: Sequence[Mapping[str, Cell]]) -> Table:
    """A table from rows that name their columns, in the order in which the names first come."""
    columns = tuple(dict.fromkeys(name for row in rows for name in row))
    return Table(title, columns, tuple(tuple(row.get(name) for name in columns) for row in rows))
