"""Cases of an intervention that somebody else has published: which game, which square.

The benchmark of arXiv 2210.13382 is a list of {``history``, ``pos_int``, ``ori_color``}: squares played, the square
that is flipped, its colour before (0 white, 2 black). Each is replayed, so that a case that is no legal game or says
another colour than the board has is refused by its number. The file is kept under the hash of its content.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from analysis import foreign
from analysis.errors import UserError
from analysis.home import folder
from analysis.othello.board import Board
from analysis.othello.squares import POSITIONS
from analysis.tpr.cases import EditCase, edited_legal

MAX_BYTES = 16 << 20
MAX_CASES = 5_000
KEY = re.compile(r"[0-9a-f]{16}")
_COLOURS = {0: "white", 2: "black"}


def keep_cases(name: str, body: bytes) -> tuple[str, int]:
    """Check a file of cases and keep it; its key and how many there are. Raises UserError(field="given")."""
    rows = _rows(name, body)
    plain = json.dumps([[list(moves), square] for moves, square in rows], separators=(",", ":")).encode()
    key = hashlib.sha256(plain).hexdigest()[:16]
    path = _path(key)
    if not path.exists():
        part = path.with_suffix(".part")
        part.write_bytes(plain)
        part.replace(path)
    return key, len(rows)


def read_cases(key: str, labels: str = "parity") -> list[EditCase]:
    """The cases that were kept under a key: each flips one disc. Raises UserError(field="given") if they are gone."""
    if not KEY.fullmatch(key):
        raise UserError("These cases were not opened here. Open their file again.", "given")
    rows = foreign.read_json(_path(key), MAX_BYTES, "given", "The file of cases")
    cases = []
    for moves, square in rows:
        board = Board.start().after(tuple(moves))
        source = board.classes(labels)[square]
        changes = ((square, source, 3 - source),)
        legal = edited_legal(board, ((square, 3 - source),), labels)
        cases.append(EditCase(tuple(moves), changes, "flip", legal, board.legal))
    return cases


def _path(key: str) -> Path:
    return folder("othello-cases") / f"{key}.json"


def _rows(name: str, body: bytes) -> list[tuple[tuple[int, ...], int]]:
    name = Path(name).name[:120] or "The file"
    if len(body) > MAX_BYTES:
        raise _bad(f"{name} is larger than {MAX_BYTES >> 20} MB; a thousand cases take a tenth of one.")
    if body[:1] == b"\x80":
        raise _bad(
            f"{name} is a pickle, which is not read since it could run code. Where you trust it, write it as JSON: "
            "json.dump(pickle.load(open(…, “rb”)), open(“cases.json”, “w”)), as the manual page of Othello shows."
        )
    data = foreign.parse_json(body, "given", name)
    if not isinstance(data, list) or not data:
        raise _bad(
            f"{name} is no list of cases; each is {{“history”: [squares], “pos_int”: square, “ori_color”: 0 or 2}}."
        )
    if len(data) > MAX_CASES:
        raise _bad(f"{name} holds {len(data):,} cases; at most {MAX_CASES:,} are run.")
    return [_case(f"Case {i} of {name}", row) for i, row in enumerate(data)]


def _case(where: str, row: Any) -> tuple[tuple[int, ...], int]:
    if not isinstance(row, dict) or not {"history", "pos_int", "ori_color"} <= set(row):
        raise _bad(f"{where} lacks “history”, “pos_int” or “ori_color”.")
    history, square, colour = row["history"], row["pos_int"], row["ori_color"]
    if not isinstance(history, list) or not 1 <= len(history) <= POSITIONS or any(type(m) is not int for m in history):
        raise _bad(f"{where}: “history” must be 1 to {POSITIONS} squares, each a number from 0 to 63.")
    if type(square) is not int or not 0 <= square < 64:
        raise _bad(f"{where}: “pos_int” must be a square from 0 to 63.")
    if isinstance(colour, bool) or not isinstance(colour, (int, float)) or colour not in _COLOURS:
        raise _bad(f"{where}: “ori_color” must be 0 for white or 2 for black.")
    try:
        board = Board.start().after(tuple(history))
    except UserError as error:
        raise _bad(f"{where}: its history is no game. {error.message}") from error
    disc = (None, "black", "white")[board.discs[square]]
    if disc != _COLOURS[int(colour)]:
        raise _bad(f"{where}: the square holds {disc or 'no disc'}, and not {_COLOURS[int(colour)]}.")
    return tuple(history), square


def _bad(message: str) -> UserError:
    return UserError(message, "given")
