"""Othello the slow way: a list of lists, eight directions, one step after another.

It shares nothing with the engines it judges: no bits, no shifts, no tables, no numbering beyond square = 8 * row +
column. Passes and the end of a game follow from "whoever has no move loses the turn".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

EMPTY, BLACK, WHITE = ".", "b", "w"
Grid = list[list[str]]


class After(NamedTuple):
    """What is true after a move: the grid, who made it, who moves next and where, and whether somebody had to pass."""

    grid: Grid
    mover: str
    turned: list[int]
    next: str
    legal: list[int]
    passed: bool


def start() -> Grid:
    grid = [[EMPTY] * 8 for _ in range(8)]
    grid[3][3] = grid[4][4] = WHITE
    grid[3][4] = grid[4][3] = BLACK
    return grid


def other(side: str) -> str:
    return WHITE if side == BLACK else BLACK


def turned(grid: Grid, square: int, side: str) -> list[int]:
    """The squares whose discs turn when ``side`` plays there; empty if the move is not legal."""
    row, column = divmod(square, 8)
    if grid[row][column] != EMPTY:
        return []
    found: list[int] = []
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            if down == right == 0:
                continue
            r, c, line = row + down, column + right, []
            while 0 <= r <= 7 and 0 <= c <= 7 and grid[r][c] == other(side):
                line.append(8 * r + c)
                r, c = r + down, c + right
            if 0 <= r <= 7 and 0 <= c <= 7 and grid[r][c] == side:
                found += line
    return sorted(found)


def legal(grid: Grid, side: str) -> list[int]:
    return [square for square in range(64) if turned(grid, square, side)]


def play(grid: Grid, square: int, side: str) -> After:
    """The position after a legal move; the grid given is left alone."""
    flips = turned(grid, square, side)
    if not flips:
        raise ValueError(f"{side} cannot play {square}")
    grid = [list(row) for row in grid]
    for s in [square, *flips]:
        grid[s // 8][s % 8] = side
    for following in (other(side), side):
        moves = legal(grid, following)
        if moves:
            return After(grid, side, flips, following, moves, following == side)
    return After(grid, side, flips, following, [], False)


def replay(squares: list[int]) -> list[After]:
    """All positions of a game."""
    side, grid, found = BLACK, start(), []
    for square in squares:
        found.append(play(grid, square, side))
        grid, side = found[-1].grid, found[-1].next
    return found


def random_game(choose: Callable[[list[int]], int]) -> list[int]:
    """The squares of a whole game in which ``choose`` picks from the legal ones."""
    side, grid, squares, moves = BLACK, start(), [], legal(start(), BLACK)
    while moves:
        squares.append(choose(moves))
        after = play(grid, squares[-1], side)
        grid, side, moves = after.grid, after.next, after.legal
    return squares


def word(grid: Grid, side: str) -> int:
    """The discs of a side as a word of 64 bits."""
    return sum(1 << s for s in range(64) if grid[s // 8][s % 8] == side)


def perft(depth: int, grid: Grid | None = None, side: str = BLACK, passed: bool = False) -> int:
    """Leaves ``depth`` plies below; a pass is a ply, a finished game counts once where it is met."""
    grid = start() if grid is None else grid
    if depth == 0:
        return 1
    moves = legal(grid, side)
    if not moves:
        return 1 if passed or not legal(grid, other(side)) else perft(depth - 1, grid, other(side), True)
    return sum(perft(depth - 1, play(grid, s, side).grid, other(side)) for s in moves)
