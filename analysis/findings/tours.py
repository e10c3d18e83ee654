"""Tours: guided sequences through the app. Three come with Attune, a file each in ``analysis/data/tours``; every board
of the kind "tour" is another.

A step leads to an address and says what is seen there. In the files an address is written as the page and the entries
of its query, as plain values; this module knows no page, and a test reads each address by the page's own state.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from analysis.errors import UserError
from analysis.findings.prose import numbers_of, plain
from analysis.findings.records import BoardContent, Item

FOLDER = Path(__file__).resolve().parents[1] / "data" / "tours"


@dataclass(frozen=True)
class Step:
    """``address``: path and query; ``card``: the name of a card on that page, or the id of an element, to point at;
    empty for none. ``note``: the commentary, plain text."""

    address: str
    note: str
    card: str = ""


@dataclass(frozen=True)
class Tour:
    """``about``: one sentence on what it shows."""

    name: str
    title: str
    about: str
    steps: tuple[Step, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able data."""
        return asdict(self)


@cache
def bundled_tours() -> tuple[Tour, ...]:
    """The tours that come with Attune, in their order."""
    files = [(path, tomllib.loads(path.read_text(encoding="utf-8"))) for path in FOLDER.glob("*.toml")]
    return tuple(_tour(path.stem, data) for path, data in sorted(files, key=lambda pair: pair[1]["order"]))


def tour_of(content: BoardContent) -> Tour:
    """A board as a tour: its steps, and each finding with a view as a step to where that was pinned."""
    if content.board.kind != "tour":
        raise UserError(f"The board “{content.board.title}” is no tour.")
    steps = tuple(step for item in content.items if (step := _step_of(item, content)) is not None)
    if not steps:
        raise UserError(f"The tour “{content.board.title}” has no step yet.")
    return Tour(content.board.id, content.board.title, "", steps)


def _step_of(item: Item, content: BoardContent) -> Step | None:
    body = item.body
    pin = next((content.pins[name] for name in body.get("pins", []) if name in content.pins), None)
    address = body.get("address", "") or (pin.address if pin else "")
    if item.kind not in ("step", "finding") or not address:
        return None
    numbers = numbers_of(content, item)
    note = "\n\n".join(plain(text, numbers) for text in (body.get("claim", ""), body.get("note", "")) if text)
    return Step(address, note, body.get("card", ""))


def _tour(name: str, data: dict[str, Any]) -> Tour:
    common = data.get("state", {})
    steps = [
        Step(_address(step["page"], {**common.get(step["page"], {}), **step.get("state", {})}), *_words(step))
        for step in data["steps"]
    ]
    return Tour(name, data["title"], data["about"], tuple(steps))


def _words(step: dict[str, Any]) -> tuple[str, str]:
    return " ".join(step["note"].split()), step.get("card", "")


def _address(page: str, state: dict[str, Any]) -> str:
    query = {k: v if isinstance(v, str) else json.dumps(v, separators=(",", ":")) for k, v in state.items()}
    return f"{page}?{urlencode(query)}" if query else page
