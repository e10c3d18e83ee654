"""What the address of the Othello page says, read defensively: what cannot be used is left out, and said."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from analysis.errors import UserError
from analysis.othello.records import parse_moves
from analysis.othello.sources import OthelloSource
from pages.address import parse_json

PATH = "/othello"
# The state that travels in the address, in the order of the inputs of the address callback.
ADDRESS = ["othello", "moves", "ply", "layer", "labels", "probe", "edits", "tab"]
TABS = ("binding", "roles", "directions", "edit", "figures", "model")
PROBES = ("tpr", "tpr-full", "trilinear")
START = "C4C3D3E3F5C5F3D6B5F6E2B4B6G5H5F1A4"
"""A game to open on, in the convention of this page: letter = row."""
MAX_EDITS = 4


@dataclass(frozen=True)
class View:
    """The page's state at opening. ``layer`` None: the block at which the model's linear probe is best."""

    source: str = "bundled"
    moves: tuple[int, ...] = ()
    ply: int = 0
    layer: int | None = None
    labels: str = "parity"
    probe: str = "tpr"
    edits: list[list[int]] = field(default_factory=list)
    tab: str = "binding"
    problems: list[str] = field(default_factory=list)


def read_address(query: dict[str, Any]) -> View:
    """A view from the query of an address, with a sentence for each entry that could not be used."""
    problems: list[str] = []
    fields: dict[str, Any] = {}
    source = query.get("othello")
    if isinstance(source, str) and source:
        try:
            fields["source"] = OthelloSource(source).text
        except UserError as error:
            problems.append(error.message)
    text = query.get("moves")
    moves = parse_moves(START)
    if isinstance(text, str):
        try:
            moves = parse_moves(text) if text.strip() else ()
        except UserError as error:
            problems.append(f"The game in the address cannot be used. {error.message}")
    fields["moves"] = moves
    fields["ply"] = len(moves)
    for name, high in (("ply", len(moves)), ("layer", 200)):
        if query.get(name) is not None:
            value = _whole(query[name])
            if value is None or not 0 <= value <= high:
                problems.append(f"The address gives {name} as {str(query[name])[:20]!r}; it must be 0 to {high}.")
            else:
                fields[name] = value
    for name, allowed in (("labels", ("parity", "mover")), ("probe", PROBES), ("tab", TABS)):
        if query.get(name) in allowed:
            fields[name] = query[name]
        elif query.get(name) is not None:
            problems.append(f"The address gives {name} as {str(query[name])[:20]!r}; it was left out.")
    if query.get("edits") is not None:
        fields["edits"] = _edits(parse_json(query["edits"]), problems)
    return View(**fields, problems=problems)


def _edits(data: Any, problems: list[str]) -> list[list[int]]:
    rows = data if isinstance(data, list) else []
    good = [
        row
        for row in rows
        if isinstance(row, list)
        and len(row) == 2
        and all(type(v) is int for v in row)
        and 0 <= row[0] < 64
        and 0 <= row[1] < 3
    ]
    if good != data or len(good) > MAX_EDITS or len({row[0] for row in good}) < len(good):
        problems.append("Not all edits of the address can be used: an edit is a square 0 to 63 and a class 0 to 2.")
    seen: dict[int, list[int]] = {row[0]: row for row in good}
    return list(seen.values())[:MAX_EDITS]


def _whole(text: Any) -> int | None:
    try:
        return int(text)
    except (TypeError, ValueError, OverflowError):
        return None
