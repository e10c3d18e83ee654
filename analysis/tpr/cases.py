"""Which edits are asked for: random positions, squares and targets, drawn alike for every probe and every number of
squares, and the legal moves that the edited board would have.

The published code filters differently for different probes (dossier 3.11); here one filter holds for all: the legal set
changes, some legal move remains, and the discs stay one connected piece.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from analysis.errors import UserError
from analysis.othello.board import Board, legal_squares
from analysis.othello.squares import CENTRE, POSITIONS, SQUARE_OF_TOKEN
from analysis.tpr.activations import whole_games

FIRST_PLY = 20


@dataclass(frozen=True)
class EditCase:
    """A prefix of a game and what is to be changed in it.

    ``moves``: squares played. ``changes``: (square, source class, target class), classes as 0 empty, 1 just moved,
    2 to move. ``kind``: ``"flip"`` or ``"empty"``. ``legal``: moves of the edited board; ``before``: of the real one.
    """

    moves: tuple[int, ...]
    changes: tuple[tuple[int, int, int], ...]
    kind: str
    legal: tuple[int, ...]
    before: tuple[int, ...]


def moved_black(board: Board, labels: str) -> bool:
    """Whether class 1, just moved, stands for black under these labels."""
    return len(board.moves) % 2 == 1 if labels == "parity" else board.just_moved == "black"


def edited_words(board: Board, changes: tuple[tuple[int, int], ...], labels: str) -> tuple[int, int]:
    """Words of black and white discs with (square, target class) put in."""
    black, white = board.black, board.white
    first_black = moved_black(board, labels)
    for square, target in changes:
        bit = 1 << square
        black, white = black & ~bit, white & ~bit
        if target and (target == 1) == first_black:
            black |= bit
        elif target:
            white |= bit
    return black, white


def edited_side(board: Board, changes: tuple[tuple[int, int], ...], labels: str = "parity") -> str:
    """Who moves on the board with (square, target class) put in: ``"black"`` or ``"white"``.

    The turn goes to the side that did not move last, and back only if that side cannot move on the *edited* board: one
    that had to pass on the real board moves if the edit lets it. If neither can move it is the one whose turn it is.
    """
    black, white = edited_words(board, changes, labels)
    turn = "white" if board.just_moved == "black" else "black"
    own, other = (black, white) if turn == "black" else (white, black)
    if legal_squares(own, other) or not legal_squares(other, own):
        return turn
    return "white" if turn == "black" else "black"


def edited_legal(board: Board, changes: tuple[tuple[int, int], ...], labels: str = "parity") -> tuple[int, ...]:
    """Legal squares of the edited board for the side that moves on it (`edited_side`); empty if neither can."""
    black, white = edited_words(board, changes, labels)
    own, other = (black, white) if edited_side(board, changes, labels) == "black" else (white, black)
    return legal_squares(own, other)


def connected(word: int) -> bool:
    """Whether the set bits form one piece, diagonal steps allowed."""
    if not word:
        return False
    left = 0x7F7F7F7F7F7F7F7F
    right = 0xFEFEFEFEFEFEFEFE
    piece = word & -word
    while True:
        wide = piece | (piece & left) << 1 | (piece & right) >> 1
        grown = (wide | wide << 8 | wide >> 8) & word
        if grown == piece:
            return piece == word
        piece = grown


def is_reasonable(board: Board, changes: tuple[tuple[int, int], ...], labels: str = "parity") -> bool:
    """Whether the board with (square, target class) put in has a legal move and discs in one connected piece."""
    black, white = edited_words(board, changes, labels)
    return bool(edited_legal(board, changes, labels)) and connected(black | white)


def random_cases(
    n: int,
    squares: int = 1,
    seed: int = 44,
    *,
    labels: str = "parity",
    first_ply: int = FIRST_PLY,
    reasonable: bool = True,
) -> list[EditCase]:
    """``n`` cases of ``squares`` squares each, all flipped or all emptied (drawn per case), by dossier 4.3.

    Prefix lengths are uniform in ``first_ply`` to 59. The squares are distinct, hold a disc and lie outside the centre;
    the legal set always changes. ``reasonable``: only boards that pass `is_reasonable`. The same settings give the same
    cases, whatever they are used for.

    Raises UserError: field="squares" outside 1 to 4, "cases" below 1, "first_ply" outside 4 to 59 or "labels".
    """
    if not 1 <= squares <= 4:
        raise UserError("One to four squares can be edited.", "squares")
    if n < 1:
        raise UserError("At least one case is needed.", "cases")
    if not 4 <= first_ply <= POSITIONS:
        raise UserError(f"The first ply must lie between 4 and {POSITIONS}.", "first_ply")
    draw = random.Random(seed)  # noqa: S311
    games = whole_games(max(50, n), 60_000 + seed % 1000)
    cases: list[EditCase] = []
    while len(cases) < n:
        row = games.tokens[draw.randrange(len(games.tokens))]
        moves = tuple(int(SQUARE_OF_TOKEN[t]) for t in row[: draw.randint(first_ply, POSITIONS)])
        board = Board.start().after(moves)
        classes = board.classes(labels)
        discs = [s for s in range(64) if classes[s] and s not in CENTRE]
        kind = draw.choice(("flip", "empty"))
        if len(discs) < squares or board.over:
            continue
        edited = draw.sample(discs, squares)
        changes = tuple((s, classes[s], 3 - classes[s] if kind == "flip" else 0) for s in edited)
        targets = tuple((s, t) for s, _, t in changes)
        legal = edited_legal(board, targets, labels)
        if legal != board.legal and (not reasonable or is_reasonable(board, targets, labels)):
            cases.append(EditCase(moves, changes, kind, legal, board.legal))
    return cases


def null_of_perfect(cases: list[EditCase]) -> float:
    """Mean error of a perfect player that ignores the edits: the size of what the edit changes in the legal set.

    Raises UserError(field="cases") for no cases.
    """
    if not cases:
        raise UserError("At least one case is needed.", "cases")
    return sum(len(set(c.legal) ^ set(c.before)) for c in cases) / len(cases)
