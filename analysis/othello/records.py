"""Games as text: pasted move lists in, move lists out, and a sentence for the first thing that is wrong.

Two notations are in use. The papers' code names the row by the letter, tournaments name the column by it; the start
position is the same under that exchange, so the same text is a legal game in both, and a page must say which it means.
"""

from __future__ import annotations

import re

from analysis.errors import UserError
from analysis.othello.board import Board
from analysis.othello.squares import MOVES, NAMES, square_name

MAX_CHARACTERS = 2000
_PASSES = ("--", "PASS", "PA")
_JOINED = re.compile(r"(?:[A-Ha-h][1-8])+")


def transposed(square: int) -> int:
    """The square with row and column exchanged."""
    return square % 8 * 8 + square // 8


def parse_moves(text: str, notation: str = "rows") -> tuple[int, ...]:
    """The squares of a pasted game, checked move by move.

    Names like ``F5 d6``, joined ``f5d6c3``, with any separators and move numbers, or square numbers in brackets
    ``[37, 43]``. ``notation``: ``"rows"`` if the letter names the row (the papers), ``"columns"`` if it names the
    column (tournaments). A forced pass may be written ``--``, ``pass`` or ``PA``.

    Raises UserError(field="moves") with the number and name of the first move that is wrong.
    """
    if notation not in ("rows", "columns"):
        raise UserError("The notation is 'rows' or 'columns'.", "notation")
    if len(text) > MAX_CHARACTERS:
        raise UserError(f"A move list has at most {MAX_CHARACTERS:,} characters.", "moves")
    board = Board.start()
    passed_at = -1
    for name in _names(text):
        number = len(board.moves) + 1
        if name.upper() in _PASSES:
            if number - 1 not in board.passes or passed_at == number:
                side = "Black" if board.side == "black" else "White"
                raise UserError(
                    f"Before move {number} nobody has to pass: {side} can move. Leave the pass out.", "moves"
                )
            passed_at = number
            continue
        square = _square(name, number)
        if notation == "columns":
            square = transposed(square)
        if number > MOVES:
            raise UserError("A game has at most sixty moves, and this list has more. Leave the rest out.", "moves")
        if square not in board.legal:
            where = f"Move {number}, {name.upper()}: "
            shown = board.why_illegal(square)
            if notation == "columns":
                shown += " (Squares in this sentence are named with the letter for the row.)"
            raise UserError(where + shown, "moves")
        board = board.play(square)
    if not board.moves:
        raise UserError("There is no move in this text. Paste a list such as F5 D6 C3.", "moves")
    return board.moves


def _names(text: str) -> list[str]:
    """The words of a list, move numbers left out, joined names parted."""
    stripped = text.strip()
    numbers = stripped.startswith("[") or (stripped and re.fullmatch(r"[\d\s,;]+", stripped) is not None)
    if numbers:
        return re.findall(r"-?\d+", stripped)
    names: list[str] = []
    for word in re.split(r"[\s,;|/>\[\]()]+|(?<=\d)[-–—](?=[A-Za-z])", re.sub(r"\b\d+\s*\.", " ", text)):
        if not word:
            continue
        if word in ("-", "–", "—"):
            continue
        if len(word) > 2 and _JOINED.fullmatch(word):
            names += [word[i : i + 2] for i in range(0, len(word), 2)]
        else:
            names.append(word)
    return names


def _square(name: str, number: int) -> int:
    if re.fullmatch(r"-?\d+", name):
        value = int(name)
        if 0 <= value < 64:
            return value
        raise UserError(f"Move {number}: {name[:12]} is not a square. Square numbers run from 0 to 63.", "moves")
    upper = name.upper()
    if upper in NAMES:
        return NAMES.index(upper)
    shown = name[:12]
    if re.fullmatch(r"[A-Z]\d+", upper):
        hint = "An Othello board has the letters A to H and the digits 1 to 8."
    elif re.fullmatch(r"[KQRBN]?[A-H][1-8][X-]?[A-H][1-8].*|O-O.*", upper):
        hint = "That looks like chess. An Othello move is one square, such as D3."
    else:
        hint = "A move is a letter from A to H and a digit from 1 to 8, such as D3."
    raise UserError(f"Move {number}: {shown!r} is not a square. {hint}", "moves")


def format_moves(moves: tuple[int, ...], notation: str = "rows") -> str:
    """``"D3 C5 ..."``: the game's squares by name in a notation."""
    return " ".join(square_name(transposed(m) if notation == "columns" else m) for m in moves)
