"""Games as text: pasted move lists in, move lists out, and a sentence for the first thing that is wrong.

Two notations are in use. The papers' code names the row by the letter, tournaments name the column by it; the start
position is the same under that exchange, so the same text is a legal game in both, and a page must say which it means.
What is hidden here is how text from a chat, a table, a score sheet or a Python list is cut into moves. Whether a move
may be played is for `board`, which also gives the reason, here in the notation of the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from analysis.errors import UserError
from analysis.othello.board import Board
from analysis.othello.squares import CENTRE, MOVES, NAMES, square_name, square_of

MAX_CHARACTERS = 2000
_PASSES = ("--", "PASS", "PA")
_PASS_WORD = re.compile(r"\bpa(?:ss)?\b", re.IGNORECASE)
_JOINED = re.compile(r"(?:[A-H][1-8]|PA)+")
_NUMBERING = re.compile(r"(?<![A-Za-z0-9])\d+\s*[.):]+")
_SEPARATORS = re.compile(r"[\s,;:.|/>+'\"\[\](){}]+|(?<=\w)[-–—]+(?=\w)")
_CHESS = re.compile(r"[KQRBN]?[A-H]?[1-8]?X?[A-H][1-8](?:=?[QRBN])?[+#]?|[O0](?:-[O0]){0,2}")


def transposed(square: int) -> int:
    """The square with row and column exchanged."""
    return square % 8 * 8 + square // 8


def parse_moves(text: str, notation: str = "rows") -> tuple[int, ...]:
    """The squares of a pasted game, checked move by move.

    Names like ``F5 d6``, joined ``f5d6c3``, with any separators and move numbers, or square numbers ``[37, 43]``.
    ``notation``: ``"rows"`` if the letter names the row (the papers), ``"columns"`` if it names the column
    (tournaments); numbers are 8 * row + column in both. A forced pass may be written ``--``, ``pass`` or ``PA``, or be
    left out; so may those of both sides when the game is over.

    Raises UserError(field="moves") with the number and name of the first move that is wrong, and what could be played.
    """
    name_of = _namer(notation)
    if not isinstance(text, str):
        raise UserError("A move list is a text, such as F5 D6 C3.", "moves")
    if len(text) > MAX_CHARACTERS:
        raise UserError(f"A move list has at most {MAX_CHARACTERS:,} characters. Paste one game only.", "moves")
    words, numbers = _words(text)
    board, passed = Board.start(), 0
    for word in words:
        number = len(board.moves) + 1
        if word in _PASSES:
            allowed = 2 if board.over else int(number - 1 in board.passes)
            if passed == allowed:
                raise UserError(_no_pass(board, passed, name_of), "moves")
            passed += 1
            continue
        if not numbers and word.isdecimal() and int(word) in (number, (number + 1) // 2):
            continue  # a move number without its full stop
        square = _square(word, number, numbers, notation)
        if square not in board.legal:
            raise UserError(_refusal(board, square, words, name_of), "moves")
        board, passed = board.play(square), 0
    if not board.moves:
        raise UserError("There is no move in this text. Paste a list such as F5 D6 C3.", "moves")
    return board.moves


def format_moves(moves: tuple[int, ...], notation: str = "rows") -> str:
    """``"D3 C5 ..."``: the squares by name in a notation. Raises UserError(field="moves") for more than sixty."""
    if len(moves) > MOVES:
        raise UserError(_TOO_MANY, "moves")
    name_of = _namer(notation)
    return " ".join(name_of(m) for m in moves)


_TOO_MANY = f"A game has at most {MOVES} moves, and this list has more. Leave the rest out."


def _namer(notation: str) -> Callable[[int], str]:
    if notation not in ("rows", "columns"):
        raise UserError("The notation is 'rows' or 'columns'.", "notation")
    return square_name if notation == "rows" else lambda square: square_name(transposed(square))


def _words(text: str) -> tuple[list[str], bool]:
    """Upper-case names and passes, or numbers and passes, and which of the two it is."""
    if not re.search(r"[^\W\d_]", _PASS_WORD.sub(" ", text)):
        # A dash after a digit parts two numbers; one in front of a digit else is a minus.
        found = re.findall(r"\bpa(?:ss)?\b|--|(?<!\d)-?\d+", text, re.IGNORECASE)
        return [word.upper() for word in found], True
    words: list[str] = []
    for word in _SEPARATORS.split(_NUMBERING.sub(" ", text)):
        upper = word.upper()
        if not upper or upper in ("-", "–", "—"):
            continue
        words += re.findall("..", upper) if _JOINED.fullmatch(upper) else [upper]
    return words, False


def _square(word: str, number: int, numbers: bool, notation: str) -> int:
    if numbers:
        if 0 <= int(word) < 64:
            return int(word)
        raise UserError(f"Move {number}: {word[:12]} is not a square. Square numbers run from 0 to 63.", "moves")
    if word in NAMES:
        return square_of(word) if notation == "rows" else transposed(square_of(word))
    if re.fullmatch(r"[1-8][A-H]", word):
        hint = f"The letter comes first: {word[1]}{word[0]}."
    elif re.fullmatch(r"[A-Z]\d+", word):
        go = " Boards of other sizes, as in Go, do not fit." if word[0] > "I" or len(word) > 2 else ""
        hint = f"An Othello board has the letters A to H and the digits 1 to 8.{go}"
    elif _CHESS.fullmatch(word):
        hint = "That looks like chess. A move in Othello is one square, such as D3."
    elif word.isdecimal():
        hint = "Give either names such as D3 or square numbers, not both."
    else:
        hint = "A move is a letter from A to H and a digit from 1 to 8, such as D3."
    raise UserError(f"Move {number}: {word[:12]!r} is not a square. {hint}", "moves")


def _no_pass(board: Board, passed: int, name_of: Callable[[int], str]) -> str:
    if board.over:
        return f"The game is over after {len(board.moves)} moves. Leave out the passes that follow."
    side = "Black" if board.side == "black" else "White"
    again = " again" if passed else ""
    could = ", ".join(sorted(name_of(s) for s in board.legal))
    return (
        f"Before move {len(board.moves) + 1} nobody passes{again}: {side} can play {could}, and who can move must. "
        "Leave the pass out."
    )


def _refusal(board: Board, square: int, words: list[str], name_of: Callable[[int], str]) -> str:
    if len(board.moves) == MOVES:
        return _TOO_MANY
    said = f"Move {len(board.moves) + 1}, {name_of(square)}: {board.why_illegal(square, name_of)}"
    centre = next((word for word in words if word in [NAMES[s] for s in CENTRE]), None)
    if centre is not None:
        said += f" This list names {centre}, which is filled from the start: is it of another game, such as chess?"
    return said
