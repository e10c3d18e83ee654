"""Operations that change the board inside the model: one edit looked at closely, many for a table, and the stories."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from analysis.engine.context import Context
from analysis.engine.operation import A
from analysis.engine.question import Kind
from analysis.errors import UserError
from analysis.fields import Choice, Real, Text, Whole, whole
from analysis.othello.board import Board
from analysis.othello.squares import CENTRE, square_name
from analysis.tpr.answers.edit import PositionEdit, Story, TrialTable
from analysis.tpr.ops.reading import LABELS, MAX_LAYER, OfGame, OfOthello

METHODS = ("tpr", "linear", "linear-minus", "trilinear", "random", "wrong-square")
MAX_EDITS = 4
STORIES = ("line", "edit", "pass")
UNITS = ("stream", "absolute")


def check_edits(moves: tuple[int, ...], ply: int, edits: Any, labels: str) -> None:
    """Refuse edits that cannot be made: too many, one square twice, nothing to change. UserError(field="edits")."""
    if not isinstance(edits, tuple) or not 1 <= len(edits) <= MAX_EDITS:
        raise UserError("Choose one to four squares to edit: press a square of the board to edit.", "edits")
    rows = [tuple(e) if isinstance(e, (list, tuple)) else () for e in edits]
    if any(len(r) != 2 or any(type(v) is not int for v in r) for r in rows):
        raise UserError("An edit is a square from 0 to 63 and a class: 0 empty, 1 just moved, 2 to move.", "edits")
    squares = [r[0] for r in rows]
    if len(set(squares)) < len(squares):
        raise UserError("Each square can be edited once.", "edits")
    classes = Board.start().after(moves[:ply]).classes(labels)
    for square, target in rows:
        if not 0 <= square < 64 or target not in (0, 1, 2):
            raise UserError("An edit is a square from 0 to 63 and a class: 0 empty, 1 just moved, 2 to move.", "edits")
        if square in CENTRE and target == 0:
            raise UserError(
                f"{square_name(square)} is filled from the start: the probes have never seen it empty.", "edits"
            )
        if classes[square] == target:
            raise UserError(f"{square_name(square)} is that already. Choose another state for it.", "edits")


@dataclass(frozen=True)
class OfEdit(OfGame[A]):
    """Something about an edit of up to four squares of one position.

    ``edits``: (square, target class) pairs. ``scale``: length of the vector added, with ``choose`` "fixed", in tenths
    of the stream's median length or, with ``unit`` "absolute", as it is; with
    "best" the scale of the grid with the fewest errors is taken, by looking at the answer, and the result says so.
    ``first`` and ``last``: the blocks after which it is added.
    """

    edits: tuple[Any, ...] = ()
    method: Annotated[str, Choice(METHODS, words="The method")] = "tpr"
    scale: Annotated[float, Real(0.0, 50.0, words="The scale")] = 1.0
    choose: Annotated[str, Choice(("fixed", "best"), words="The way to choose the scale")] = "fixed"
    first: Annotated[int, Whole(0, MAX_LAYER, words="The first block")] = 0
    last: int = 199
    seed: Annotated[int, Whole(0, 2**31 - 1, words="The seed")] = 0
    unit: Annotated[str, Choice(UNITS, words="The unit of the scale")] = "stream"

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.edits, tuple):  # JSON knows no tuples inside of lists
            object.__setattr__(self, "edits", tuple(tuple(e) if isinstance(e, list) else e for e in self.edits))
        check_edits(self.moves, self.ply, self.edits, self.labels)
        whole(self.last, self.first, MAX_LAYER, "last", "The last block")

    def blocks(self, layers: int) -> list[int]:
        """The blocks after which it is made, in a model of so many. Raises UserError if there is none."""
        blocks = list(range(self.first, min(self.last, layers - 1) + 1))
        if not blocks:
            raise UserError(f"This model has blocks 0 to {layers - 1}.", "layer")
        return blocks


@dataclass(frozen=True)
class OthelloEdit(OfEdit[PositionEdit]):
    """Edit up to four squares of one position and look at everything that follows."""

    def run(self, context: Context) -> PositionEdit:
        from analysis.tpr.editing import edit_position

        room, game, row = self.read(context)
        edits = [(int(s), int(c)) for s, c in self.edits]
        return edit_position(
            room,
            game,
            row,
            edits,
            method=self.method,
            scale=self.scale,
            best=self.choose == "best",
            layers=self.blocks(room.layers),
            labels=self.labels,
            seed=self.seed,
            unit=self.unit,
        )


@dataclass(frozen=True)
class OthelloTrials(OfOthello[TrialTable]):
    """Many edits by all methods: mean errors with intervals, the null, the controls.

    ``given``: the key of cases that were opened from a file (:class:`OpenCases`), which are then all run in place of
    random ones.
    """

    kind: ClassVar[Kind] = "job"
    cases: Annotated[int, Whole(20, 2000, words="The number of cases")] = 200
    squares: Annotated[int, Whole(1, MAX_EDITS, words="The number of squares")] = 1
    seed: Annotated[int, Whole(0, 2**31 - 1, words="The seed")] = 44
    labels: Annotated[str, Choice(LABELS, words="The labels")] = "parity"
    first: Annotated[int, Whole(0, MAX_LAYER, words="The first block")] = 0
    last: int = 199
    unit: Annotated[str, Choice(UNITS, words="The unit of the scale")] = "stream"
    given: Annotated[str, Text(16, words="The cases")] = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        whole(self.last, self.first, MAX_LAYER, "last", "The last block")

    def describe(self) -> str:
        if self.given:
            return "Edits of opened cases"
        return f"{self.cases} edits of {self.squares} square{'s' if self.squares > 1 else ''}"

    def run(self, context: Context) -> TrialTable:
        from analysis.tpr.editing import trial_table
        from analysis.tpr.given_cases import read_cases

        room = self.room(context)
        given = read_cases(self.given, self.labels) if self.given else None
        layers = list(range(self.first, min(self.last, room.layers - 1) + 1))
        return trial_table(
            room,
            cases=self.cases,
            squares=self.squares,
            seed=self.seed,
            labels=self.labels,
            layers=layers,
            unit=self.unit,
            given=given,
            progress=context.progress,
            check=context.check,
        )


@dataclass(frozen=True)
class OthelloStory(OfOthello[Story]):
    """A position worth showing, found for this model by a search whose criterion is said in its text."""

    story: Annotated[str, Choice(STORIES, words="The story")] = "line"

    def run(self, context: Context) -> Story:
        from analysis.tpr.stories import story_of

        return story_of(self.room(context), self.story, context.memory, context.check)
