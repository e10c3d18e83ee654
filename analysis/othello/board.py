"""One game for play: legal moves, forced passes, undo, and sentences for what cannot be played.

Plain integers and nothing heavy to import, since the web process answers a click with it before any model is asked. A
board never changes; playing gives a new one that knows its moves. A callback may replay a whole game several times, so
the legal squares are found by shifting whole words and a game of sixty moves takes about a millisecond. The kernels of
`bitboard` are written apart from this and the tests hold the two against each other and against a slow engine.
"""

from __future__ import annotations

import operator
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from analysis.errors import UserError
from analysis.othello.squares import MOVES, square_name

START_BLACK = 1 << 28 | 1 << 35
START_WHITE = 1 << 27 | 1 << 36
_FULL = (1 << 64) - 1
_INNER = 0x7E7E7E7E7E7E7E7E
_DIRECTIONS = tuple((dr, dc) for dr in (-1, 0, 1) for dc in (-1, 0, 1) if dr or dc)


def _ray(square: int, dr: int, dc: int) -> tuple[int, ...]:
    row, column, found = square // 8 + dr, square % 8 + dc, []
    while 0 <= row < 8 and 0 <= column < 8:
        found.append(8 * row + column)
        row, column = row + dr, column + dc
    return tuple(found)


_RAYS = tuple(tuple(ray for d in _DIRECTIONS if (ray := _ray(s, *d))) for s in range(64))


def turned_by(square: int, own: int, other: int) -> tuple[int, ...]:
    """The squares of ``other`` that a disc of ``own`` on an empty square encloses."""
    found: list[int] = []
    for ray in _RAYS[square]:
        run: list[int] = []
        for s in ray:
            if other >> s & 1:
                run.append(s)
                continue
            if own >> s & 1:
                found.extend(run)
            break
    return tuple(sorted(found))


def legal_word(own: int, other: int) -> int:
    """The squares on which the side with discs ``own`` may play, as a word of 64 bits."""
    found, inner = 0, other & _INNER
    # Runs go through discs of the other side only; without its discs on the left and right edge no run can wrap around.
    for shift, through in ((1, inner), (7, inner), (8, other), (9, inner)):
        run = through & own << shift
        while run:
            run <<= shift
            found |= run
            run &= through
        run = through & own >> shift
        while run:
            run >>= shift
            found |= run
            run &= through
    return found & ~(own | other) & _FULL


def legal_squares(own: int, other: int) -> tuple[int, ...]:
    """Where the side with discs ``own`` may play, ascending."""
    word = legal_word(own, other)
    return tuple(s for s in range(64) if word >> s & 1)


@dataclass(frozen=True)
class Board:
    """A position and how it came about.

    ``black``, ``white``: words of 64 bits. ``side``: who moves next, passes taken into account (when the game is over,
    who would). ``moves``: squares. ``movers``: who made each move. ``flipped``: squares turned by the last move.
    ``passes``: numbers of moves (from 0) before which the other side had to pass.
    """

    black: int = START_BLACK
    white: int = START_WHITE
    side: str = "black"
    moves: tuple[int, ...] = ()
    movers: tuple[str, ...] = ()
    flipped: tuple[int, ...] = ()
    passes: tuple[int, ...] = ()
    before: Board | None = None

    @classmethod
    def start(cls) -> Board:
        """Four discs in the centre, black to move."""
        return cls()

    @property
    def legal(self) -> tuple[int, ...]:
        """Where the side to move may play; empty when the game is over."""
        return legal_squares(*self._sides())

    @property
    def over(self) -> bool:
        """Whether neither side can move."""
        return not legal_word(*self._sides())

    @property
    def discs(self) -> list[int]:
        """64 numbers: 0 empty, 1 black, 2 white."""
        return [(self.black >> s & 1) + 2 * (self.white >> s & 1) for s in range(64)]

    @property
    def score(self) -> tuple[int, int]:
        """Discs of black and of white."""
        return self.black.bit_count(), self.white.bit_count()

    @property
    def just_moved(self) -> str | None:
        """Who made the last move; None at the start."""
        return self.movers[-1] if self.movers else None

    def classes(self, labels: str = "parity") -> list[int]:
        """64 classes: 0 empty, 1 the side that just moved, 2 the side to move.

        ``"parity"``: black is taken to have moved last after 1, 3, 5, ... moves; ``"mover"``: whoever really did. At
        the start white counts as the side that just moved. Raises UserError(field="labels") for another word.
        """
        if labels not in ("parity", "mover"):
            raise UserError("Labels follow 'parity' or 'mover'.", "labels")
        black_moved = len(self.moves) % 2 == 1 if labels == "parity" else self.just_moved == "black"
        return [0 if d == 0 else 1 if (d == 1) == black_moved else 2 for d in self.discs]

    def play(self, square: int) -> Board:
        """The position after a move. Raises UserError(field="moves") with the reason if it is not legal."""
        own, other = self._sides()
        square = _as_int(square)
        turned = turned_by(square, own, other) if 0 <= square < 64 and not (own | other) >> square & 1 else ()
        if not turned:
            raise UserError(self.why_illegal(square), "moves")
        bits = sum(1 << s for s in turned)
        own, other = own | 1 << square | bits, other & ~bits
        black, white = (own, other) if self.side == "black" else (other, own)
        following = "white" if self.side == "black" else "black"
        passes = self.passes
        if not legal_word(other, own) and legal_word(own, other):
            following = self.side
            passes = (*passes, len(self.moves) + 1)
        return Board(black, white, following, (*self.moves, square), (*self.movers, self.side), turned, passes, self)

    def after(self, moves: Iterable[int]) -> Board:
        """The position after some moves more. Raises UserError(field="moves") naming the first that is not legal."""
        board = self
        for square in moves:
            try:
                board = board.play(square)
            except UserError as error:
                raise UserError(f"Move {len(board.moves) + 1}: {error.message}", "moves") from error
        return board

    def undo(self) -> Board:
        """The position before the last move; the start stays the start."""
        return self.before or self

    def line(self) -> Iterator[Board]:
        """All positions from the start to this one."""
        if self.before is not None:
            yield from self.before.line()
        yield self

    def why_illegal(self, square: int, name: Callable[[int], str] = square_name) -> str:
        """Why the side to move cannot play there, or that it can. ``name`` names squares in another notation."""
        square = _as_int(square)
        if not 0 <= square < 64:
            return f"There is no square {str(square)[:12]}. Squares run from 0 (A1) to 63 (H8)."
        side, other = ("Black", "white") if self.side == "black" else ("White", "black")
        if self.over:
            return "The game is over: neither side can move."
        if self.discs[square]:
            return f"{name(square)} already has a disc."
        if square in self.legal:
            return f"{name(square)} is legal."
        could = ", ".join(sorted(name(s) for s in self.legal))
        return (
            f"A disc on {name(square)} would turn nothing: {side} must enclose at least one {other} disc in a "
            f"straight line. {side} can play {could}."
        )

    def _sides(self) -> tuple[int, int]:
        return (self.black, self.white) if self.side == "black" else (self.white, self.black)


def _as_int(square: object) -> int:
    try:
        return operator.index(square)  # type: ignore[arg-type]
    except TypeError:
        raise UserError("A move is the number of a square, from 0 (A1) to 63 (H8).", "moves") from None


def random_continuation(board: Board, plies: int | None, seed: int) -> Board:
    """The board after ``plies`` random legal moves, or at the end of the game (None)."""
    draw = random.Random(seed)  # noqa: S311
    for _ in range(MOVES if plies is None else plies):
        if board.over:
            break
        board = board.play(draw.choice(board.legal))
    return board
