"""An edit of the Othello board as what steers, as plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any, ClassVar

from analysis.errors import UserError
from analysis.fields import Choice, Real, Text, Whole, check_fields, whole
from analysis.othello.squares import square_name
from analysis.steering.steers import Steer, fields_of
from analysis.tpr.ops.edit import METHODS, UNITS, check_edits
from analysis.tpr.ops.reading import LABELS, MAX_LAYER, check_moves

STATES = ("empty", "just moved", "to move")


@dataclass(frozen=True)
class BoardSteer(Steer):
    """An edit of up to four squares of the position after ``ply`` of ``moves``, added at that move's token behind each
    of the blocks ``first`` to ``last``, as of :class:`analysis.tpr.ops.edit.OfEdit`. ``scale`` None: the method's
    fixed one in the kept table of edits."""

    kind: ClassVar[str] = "board"
    page: ClassVar[str] = "/othello"

    moves: tuple[int, ...] = ()
    ply: int = 1
    edits: tuple[tuple[int, int], ...] = ()
    method: Annotated[str, Choice(METHODS, words="The method")] = "tpr"
    scale: Annotated[float, Real(0.0, 50.0, words="The scale")] | None = None
    first: Annotated[int, Whole(0, MAX_LAYER, words="The first block")] = 0
    last: int = 199
    labels: Annotated[str, Choice(LABELS, words="The labels")] = "parity"
    unit: Annotated[str, Choice(UNITS, words="The unit of the scale")] = "stream"
    probes: Annotated[str, Text(81, words="The set of probes")] = ""

    def __post_init__(self) -> None:
        try:
            check_fields(self)
            for name in ("moves", "edits"):
                rows = getattr(self, name)
                rows = tuple(rows) if isinstance(rows, (list, tuple)) else ()
                object.__setattr__(self, name, tuple(tuple(r) if isinstance(r, list) else r for r in rows))
            check_moves(self.moves)
            whole(self.ply, 1, max(1, len(self.moves)), "ply", "The ply")
            whole(self.last, self.first, MAX_LAYER, "last", "The last block")
            check_edits(self.moves, self.ply, self.edits, self.labels)
        except UserError as error:
            raise UserError(error.message, "steer") from error

    @property
    def idle(self) -> bool:
        """Whether nothing is added."""
        return self.scale == 0

    @property
    def played(self) -> tuple[int, ...]:
        """The moves up to the edited position."""
        return self.moves[: self.ply]

    @property
    def title(self) -> str:
        """As of :class:`Steer`."""
        squares = ", ".join(f"{square_name(s)} {STATES[t]}" for s, t in self.edits)
        scale = "the fixed scale" if self.scale is None else f"scale {self.scale:g}"
        return f"the board after {self.ply} moves with {squares} ({self.method} at {scale}, at the last move’s token)"

    def to_dict(self) -> dict[str, Any]:
        """As of :class:`Steer`."""
        data = asdict(self) | {"moves": list(self.moves), "edits": [list(e) for e in self.edits]}
        return {"kind": self.kind, **data}

    @classmethod
    def from_dict(cls, data: Any) -> BoardSteer:
        """As of :class:`Steer`."""
        known = {"moves", "ply", "edits", "method", "scale", "first", "last", "labels", "unit", "probes"}
        return cls(**fields_of(cls, data, known, "An edit of the board"))
