"""Names of the 64 squares and the 60 tokens.

The convention of the OthelloGPT papers: square s = 8 * row + column, the letter A to H names the *row* and the digit 1
to 8 the *column*, the reverse of tournament notation (the start position is the same under that exchange, so games
stay legal). The four centre squares are filled from the start and have no token; token 0 is padding. A pass has no
token either. What is hidden here is that numbering; everything else speaks of squares or of tokens.
"""

from __future__ import annotations

import numpy as np

from analysis.errors import UserError

CENTRE = (27, 28, 35, 36)
PLAYABLE = tuple(s for s in range(64) if s not in CENTRE)
VOCABULARY = 61
MOVES = 60
POSITIONS = 59

TOKEN_OF_SQUARE = np.zeros(64, dtype=np.uint8)
TOKEN_OF_SQUARE[list(PLAYABLE)] = np.arange(1, 61)
SQUARE_OF_TOKEN = np.full(VOCABULARY, 255, dtype=np.uint8)
SQUARE_OF_TOKEN[1:] = PLAYABLE

NAMES = tuple("ABCDEFGH"[s // 8] + str(s % 8 + 1) for s in range(64))
PAD = "pad"


def square_name(square: int) -> str:
    """``"D3"`` for square 26: the row's letter, then the column's digit. Raises UserError outside 0..63."""
    if not 0 <= square < 64:
        raise UserError(f"There is no square {square}. Squares run from 0 to 63.", "moves")
    return NAMES[square]


def square_of(name: str) -> int:
    """The square of a name such as ``"D3"`` or ``"d3"``. Raises UserError(field="moves") for anything else."""
    text = name.strip().upper()
    if text not in _SQUARES:
        raise UserError(
            f"{name.strip()[:12]!r} is not a square. A square is a letter from A to H for the row and a digit from 1 "
            "to 8 for the column, such as D3.",
            "moves",
        )
    return _SQUARES[text]


def token_of(square: int) -> int:
    """The token (1..60) of a playable square. Raises UserError(field="moves") for the four centre squares."""
    if square in CENTRE:
        raise UserError(f"{NAMES[square]} is filled from the start, so that nobody can play there.", "moves")
    return int(TOKEN_OF_SQUARE[square])


def squares_of_bits(bits: int) -> list[int]:
    """The squares whose bit is set in a 64-bit word, ascending."""
    return [s for s in range(64) if bits >> s & 1]


_SQUARES = {name: square for square, name in enumerate(NAMES)}
