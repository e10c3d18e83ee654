"""State of the Othello page: what stands in its address, and the game that its queue of presses changes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from analysis.errors import UserError
from analysis.fields import Choice, Whole
from analysis.othello.board import Board
from analysis.othello.records import format_moves, parse_moves
from analysis.othello.sources import OthelloSource
from analysis.othello.squares import MOVES, POSITIONS
from analysis.tpr.ops.edit import MAX_EDITS
from analysis.tpr.ops.reading import BINDING_PROBES, LABELS, MAX_LAYER, OthelloFacts
from analysis.view_ref import QuestionRef
from components.kit.types import Json
from pages.state import At, Parsed, Partly

PATH = "/othello"
TABS = ("binding", "attention", "report", "roles", "directions", "edit", "figures", "model")
START = parse_moves("C4C3D3E3F5C5F3D6B5F6E2B4B6G5H5F1A4")
"""A game to open on, in the convention of this page: letter = row."""
_SET = re.compile(r"[a-z0-9][a-z0-9-]{0,80}")
Edits = tuple[tuple[int, int], ...]
"""(square, target class) pairs."""


@dataclass(frozen=True)
class Game:
    """A line of moves, and how many of them have been played at the cursor."""

    moves: tuple[int, ...] = ()
    ply: int = 0

    @classmethod
    def from_dict(cls, data: Json) -> Game:
        """What the page's store holds."""
        return cls(tuple(data["moves"]), int(data["ply"]))

    def to_dict(self) -> Json:
        """As JSON-able data."""
        return {"moves": list(self.moves), "ply": self.ply}

    @property
    def played(self) -> tuple[int, ...]:
        """The moves up to the cursor."""
        return self.moves[: self.ply]

    @property
    def board(self) -> Board:
        """The board at the cursor."""
        return Board.start().after(self.played)

    @property
    def readable(self) -> bool:
        """Whether the model can read the position: it has no token for the empty board, and reads 59 moves."""
        return 1 <= self.ply <= POSITIONS


def probes_of(figures: Json) -> str:
    """The set of probes that the page's facts are of: the name of one of others, empty for the model's own."""
    return OthelloFacts.from_params(QuestionRef.from_dict(figures).params).probes if figures else ""


def label_of(source: str, figures: Json) -> str:
    """The model for a caption or an export, and the probes if they are not its own."""
    probes, model = probes_of(figures), OthelloSource(source).label
    return f"{model}, probes {probes}" if probes else model


def text_of(moves: tuple[int, ...]) -> str:
    """A line in the address; a space stands for the empty one, which else would be left out."""
    return format_moves(moves, "rows").replace(" ", "") or " "


def _moves(text: str) -> tuple[int, ...]:
    try:
        return parse_moves(text) if text.strip() else ()
    except UserError as error:
        raise UserError(f"The game in the address cannot be used. {error.message}") from None


def _source(text: str) -> str:
    return OthelloSource(text).text


def _set_name(text: str) -> str:
    if not _SET.fullmatch(text):
        raise UserError(f"The address names the probes {text[:40]!r}, which is no name of a set.")
    return text


def _edits(data: Json) -> Partly:
    rows = data if isinstance(data, list) else []
    usable = [row for row in rows if _is_edit(row)]
    edits = {square: target for square, target in usable}
    sentence = "Not all edits of the address can be used: an edit is a square 0 to 63 and a class 0 to 2."
    whole = usable == data and len(edits) == len(usable) <= MAX_EDITS
    return Partly(tuple(edits.items())[:MAX_EDITS], () if whole else (sentence,))


def _look(data: Json) -> tuple[int, ...]:
    numbers = isinstance(data, list) and len(data) in (0, 1, 3) and all(type(v) is int for v in data)
    if not numbers or (data and not (-1 <= data[0] < 64 and all(v >= 0 for v in data[1:]))):
        raise UserError("The square and the head of the address cannot be used; the usual ones stand in their place.")
    return tuple(data)


def _is_edit(row: Json) -> bool:
    pair = isinstance(row, list) and len(row) == 2 and all(type(v) is int for v in row)
    return pair and 0 <= row[0] < 64 and 0 <= row[1] < 3


@dataclass(frozen=True)
class OthelloState:
    """``ply`` None: the end of the game; ``layer`` None: the block at which the model's linear probe is best; ``look``:
    the square of the attention on the board, -1 for the usual one, and the head (block, number) if one is chosen."""

    source: Annotated[str, At("othello"), Parsed(_source, ("owner/name", "bundled"), raw=True)] = "bundled"
    moves: Annotated[tuple[int, ...], Parsed(_moves, (START[:5], START), raw=True, form=text_of)] = START
    ply: Annotated[int, Whole(0, MOVES)] | None = None
    layer: Annotated[int, Whole(0, MAX_LAYER)] | None = None
    labels: Annotated[str, Choice(LABELS)] = "parity"
    probe: Annotated[str, Choice(BINDING_PROBES)] = "tpr"
    edits: Annotated[Edits, Parsed(_edits, (((19, 2), (20, 0)), ()))] = ()
    tab: Annotated[str, Choice(TABS)] = "binding"
    look: Annotated[tuple[int, ...], Parsed(_look, ((26, 3, 0), (26,), ()))] = ()
    probes: Annotated[str, Parsed(_set_name, ("opened-probes",), raw=True)] = ""
    problems: tuple[str, ...] = ()

    @property
    def game(self) -> Game:
        """The game to open on; a ply past its end is its end."""
        return Game(self.moves, len(self.moves) if self.ply is None else min(self.ply, len(self.moves)))

    @property
    def refusals(self) -> tuple[str, ...]:
        """What could not be used of an address: ``problems``, and a ply past the end of the game."""
        last = len(self.moves)
        if self.ply is None or self.ply <= last:
            return self.problems
        return (*self.problems, f"The address gives ply as '{self.ply}'; it must be 0 to {last}.")
