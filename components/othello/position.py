"""A position as boards: what is on the board, what the model would play, what the probes read, what an edit changes.

The page draws the same boards, each in a container of its own; here they are together, as parts that leave the page.
Boards need the moves, which answers do not repeat: they are options of the views.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.othello.board import Board
from analysis.othello.records import format_moves
from analysis.othello.squares import square_name
from analysis.tpr.answers.edit import PositionEdit
from analysis.tpr.answers.model import ModelFigures
from analysis.tpr.answers.reading import GameReading, ProbeDirections
from components.kit.part import Boards, Facts, Table
from components.kit.view import Drawing, NoOptions, view
from components.othello.board import (
    COLOURS,
    BoardData,
    belief_board,
    board_data,
    cosine_board,
    difference_board,
    next_move_board,
    value_board,
)
from components.othello.controls import (
    EDIT_CONTROLS,
    edit_numbers,
    of_edit,
    of_next_move,
    of_no_edit,
    of_probes,
    scale_words,
)

PROBES = {"linear": "Linear probe", "tpr": "Tensor product (TPR), 52 × 2", "trilinear": "Trilinear, 8 × 8 × 2"}
"""The probes of a reading and their titles on the page."""
CLASSES = {"empty": "empty", "moved": "just moved (theirs)", "turn": "to move (mine)"}
"""The classes of the directions and their titles on the page."""
OPACITY = "Opacity is the probe's probability of the disc it reads; a cross marks a square that it reads wrongly."
CROSSTALK = (
    "the change of the log-odds of the target over the source that the probe's own formula predicts on every square, "
    "since squares share their code."
)
EDITED = f"Outlined: legal on the edited board. The fourth board is {CROSSTALK}"
Edits = Sequence[Sequence[int]]
"""(square, target class) pairs; as lists where they come from JSON."""


@dataclass(frozen=True)
class Position:
    """The ``moves`` of a game, the ``ply`` that is read, the block (``layer``) after which the probes read, and their
    ``labels``; and the model's short name."""

    moves: tuple[int, ...]
    ply: int
    layer: int = 0
    labels: str = "parity"
    model: str = ""

    @property
    def board(self) -> Board:
        """The board at the ply."""
        return Board.start().after(self.moves[: self.ply])


@dataclass(frozen=True)
class EditedPosition(Position):
    """``edits``: (square, target class) pairs; ``method``, and whether the ``best`` scale of the grid was taken."""

    edits: tuple[tuple[int, int], ...] = ()
    method: str = "tpr"
    best: bool = False


def colour_just_moved(board: Board, labels: str) -> int:
    """1 if class "just moved" is black under these labels, 2 if it is white."""
    if labels == "parity":
        return 1 if len(board.moves) % 2 == 1 else 2
    return 1 if board.just_moved == "black" else 2


def truth_words(board: Board, labels: str) -> str:
    """Which colour is called mine; after a pass the two conventions may differ, which is said."""
    moved = colour_just_moved(board, labels)
    text = f"theirs (just moved) is {COLOURS[moved]}, mine (to move) is {COLOURS[3 - moved]}"
    if colour_just_moved(board, "parity") != colour_just_moved(board, "mover"):
        other = "parity" if labels == "mover" else "the true mover"
        text += f"; after the pass, {other} says the opposite"
    return text


def next_words(reading: GameReading) -> str:
    """How sure the model is of its next move, in words."""
    return (
        f"probability on illegal moves {reading.illegal_mass:.2%} · entropy {reading.entropy:.2f} nats, "
        f"{reading.log_legal:.2f} if all {len(reading.legal)} legal moves were equally likely"
    )


def true_board(board: Board, legal: bool = False) -> BoardData:
    """The real discs; with the legal moves outlined, if they are wanted."""
    open_squares = set(board.legal) if legal else set()
    last = board.moves[-1] if board.moves else None
    labels = [f"{square_name(s)}, {COLOURS[d]}{', legal' * (s in open_squares)}" for s, d in enumerate(board.discs)]
    return board_data(discs=board.discs, legal=sorted(open_squares), last=last, labels=labels)


def next_board(reading: GameReading, board: Board) -> BoardData:
    """Probability of each next move on the discs of a position."""
    return next_move_board(reading.next, reading.legal, board.discs, board.moves[-1])


def belief_boards(reading: GameReading, board: Board, labels: str) -> dict[str, BoardData]:
    """The board that each probe reads, by its kind; kinds without a probe are left out."""
    moved = colour_just_moved(board, labels)
    beliefs = {name: belief for name, belief in reading.beliefs.items() if belief is not None}
    return {name: belief_board(belief, reading.truth, moved) for name, belief in beliefs.items()}


def edited_board(board: Board, edits: Edits, labels: str) -> BoardData:
    """The board as edited, by colours; edited squares outlined."""
    discs, moved = list(board.discs), colour_just_moved(board, labels)
    targets = {square: (0, moved, 3 - moved)[target] for square, target in edits}
    words = []
    for square in range(64):
        text = f"{square_name(square)}, {COLOURS[discs[square]]}"
        if square in targets:
            text += f", edited to {COLOURS[targets[square]]}"
            discs[square] = targets[square]
        words.append(text)
    return board_data(discs=discs, selected=list(targets), labels=words)


def classes_with(board: Board, edits: Edits, labels: str) -> list[int]:
    """The true classes with the edits put in."""
    classes = list(board.classes(labels))
    for square, target in edits:
        classes[square] = target
    return classes


def edit_boards(edit: PositionEdit, board: Board, edits: Edits, labels: str) -> tuple[BoardData, ...]:
    """What follows from an edit: next move, change of the probabilities, predicted cross-talk, and the board believed
    after the last block."""
    moved = colour_just_moved(board, labels)
    classes = classes_with(board, edits, labels)
    return (
        next_move_board(edit.after, edit.legal_after, [(0, moved, 3 - moved)[c] for c in classes], None),
        difference_board(edit.before, edit.after, edit.legal_before, edit.legal_after),
        value_board(edit.crosstalk, True, "change of log-odds"),
        belief_board(edit.beliefs[-1], np.asarray(classes), moved),
    )


def _next_numbers(reading: GameReading) -> dict[str, float]:
    return {"illegal mass": reading.illegal_mass, "entropy": reading.entropy, "legal moves": float(len(reading.legal))}


@view("othello/game", GameReading, options=Position)
def game(reading: GameReading, options: Position, theme: str) -> Drawing:
    """The position, its legal moves, and how the game came to it."""
    board = options.board
    black, white = board.score
    rows = (
        ("moves", format_moves(tuple(options.moves[: options.ply]))),
        ("to move", board.side if not board.over else "nobody, the game is over"),
        ("legal moves", ", ".join(square_name(s) for s in board.legal) or "none"),
        ("black", black),
        ("white", white),
    )
    parts = (Boards("", (("True board", true_board(board, legal=True)),)), Facts("", rows))
    numbers = {"ply": float(options.ply), "legal moves": float(len(board.legal))}
    return Drawing(None, f"Position after ply {options.ply}. Outlined: legal moves.", parts=parts, numbers=numbers)


@view("othello/next moves", GameReading, options=Position)
def next_moves(reading: GameReading, options: Position, theme: str) -> Drawing:
    """The model's probability of each next move, on the board."""
    words = next_words(reading)
    return Drawing(
        None,
        f"After ply {options.ply}: {words}. Outlined: legal moves.",
        parts=(Boards("", (("Probability of each next move", next_board(reading, options.board)),)),),
        control=of_next_move(reading),
        numbers=_next_numbers(reading),
    )


def probe_titles(figures: ModelFigures) -> dict[str, str]:
    """The probes of the boards by kind; those of others by their own sizes."""
    if not figures.facts.probes:
        return PROBES
    rows = {kind: r.title for r in reversed(figures.probes) for kind in PROBES if r.title.lower().startswith(kind)}
    return PROBES | {kind: title[:1].upper() + title[1:] for kind, title in rows.items() if kind != "linear"}


@view("othello/position", GameReading, ModelFigures, options=Position)
def position(reading: GameReading, figures: ModelFigures, options: Position, theme: str) -> Drawing:
    """The true board, the board that each probe reads after a block, and the model's next move."""
    board = options.board
    beliefs = belief_boards(reading, board, options.labels)
    titles = probe_titles(figures)
    boards = [("True board", true_board(board)), *((titles[name], data) for name, data in beliefs.items())]
    columns = ("probe", *(f"block {layer}" for layer in range(reading.layers)))
    rows = tuple((titles[name], *reading.right_by_layer[name]) for name in beliefs)
    return Drawing(
        None,
        f"After ply {options.ply} and block {options.layer}: {truth_words(board, options.labels)}. {OPACITY}",
        {"missing": dict(reading.missing)} if reading.missing else {},
        parts=(
            Boards(f"The board that the model believes after block {options.layer}", tuple(boards)),
            Boards("What the model would play next", (("Probability of each next move", next_board(reading, board)),)),
            Table("Squares right of 64, by block", columns, rows),
        ),
        control=of_probes(figures),
        numbers={f"squares right, {name}": float(reading.right[name]) for name in beliefs} | _next_numbers(reading),
    )


@view("othello/edited position", PositionEdit, PositionEdit, PositionEdit, options=EditedPosition)
def edited_position(
    edit: PositionEdit, random: PositionEdit, wrong: PositionEdit, options: EditedPosition, theme: str
) -> Drawing:
    """An edit before and after, beside a random direction and the same edit on wrong squares."""
    board, last = options.board, options.moves[options.ply - 1]
    after, change, crosstalk, _ = edit_boards(edit, board, options.edits, options.labels)
    before = next_move_board(edit.before, edit.legal_before, board.discs, last)
    parts = (
        Boards("Before the edit", (("True board", true_board(board)), ("Next move", before))),
        Boards(
            "After the edit",
            (
                ("The board as edited", edited_board(board, options.edits, options.labels)),
                ("Next move after the edit", after),
                ("Change of the probabilities", change),
                ("How much other squares should move along", crosstalk),
            ),
        ),
    )
    best = ", the best of the grid for this case, chosen by looking at the answer" if options.best else ""
    name = EDIT_CONTROLS.get(options.method)
    way = f"control: {name}" if name else options.method
    return Drawing(
        None,
        f"After ply {options.ply}, method {way}, {scale_words(edit, options.method)}{best}. {EDITED}",
        parts=parts,
        control=of_edit(edit, random, wrong, options.method),
        numbers=edit_numbers(edit),
    )


@view("othello/lasting edit", PositionEdit, options=EditedPosition)
def lasting_edit(edit: PositionEdit, options: EditedPosition, theme: str) -> Drawing:
    """Whether later blocks undo an edit: the board believed after the last block, and the squares by block."""
    board = options.board
    moved, classes = colour_just_moved(board, options.labels), np.asarray(board.classes(options.labels))
    boards = (
        ("Without the edit", belief_board(edit.clean[-1], classes, moved)),
        ("With the edit", edit_boards(edit, board, options.edits, options.labels)[3]),
    )
    rows = tuple((r.layer, r.target, r.edited, r.same, r.others) for r in edit.repair)
    columns = ("after block", "edited squares read as the target", "edited squares", "others read as before", "others")
    numbers = {}
    if edit.repair:
        last = edit.repair[-1]
        numbers = {"edited squares read as the target": float(last.target), "others read as before": float(last.same)}
    return Drawing(
        None,
        "A cross marks a square that is read differently from the board named above it.",
        parts=(Boards("Believed after the last block", boards), Table("By block", columns, rows)),
        control=of_no_edit(edit),
        numbers=numbers,
    )


@view("othello/cosines", ProbeDirections)
def cosines(directions: ProbeDirections, options: NoOptions, theme: str) -> Drawing:
    """Cosines of a probe's directions with those of the linear probe, a board for each class."""
    values = directions.cosines
    boards = tuple((title, cosine_board(values[:, i], name)) for i, (name, title) in enumerate(CLASSES.items()))
    return Drawing(
        None,
        directions.caption,
        {"probe": directions.words},
        parts=(Boards("", boards),),
        numbers={"mean cosine": float(values.mean()), "least cosine": float(values.min())},
    )
