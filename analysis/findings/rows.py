"""Items and boards as rows of the database: reading them, writing them, and where in the order an item stands.

Everything here runs inside a transaction of the caller. The order is a number between those of the neighbours; where
two neighbours have no number between them any more, the board is numbered anew.
"""

from __future__ import annotations

import json
import sqlite3
import time
from typing import Any

from analysis.errors import UserError
from analysis.findings.records import Board, Item
from analysis.findings.texts import json_bytes

_GAP = 1024.0


def text_of(data: Any) -> str:
    """Plain data, names in the order in which a view gave them. Raises as
    :func:`analysis.findings.texts.json_bytes`."""
    return json_bytes(data).decode()


def read_board(connection: sqlite3.Connection, board: str) -> Board:
    """The board of that id; UserError if there is none."""
    row = connection.execute("SELECT * FROM board WHERE id = ?", (board,)).fetchone()
    if row is None:
        raise UserError("This board is not there any more.")
    return Board(*row)


def touch_board(connection: sqlite3.Connection, board: str) -> None:
    """Say that a board or something on it changed."""
    connection.execute("UPDATE board SET stamp = stamp + 1, changed = ? WHERE id = ?", (time.time(), board))


def item_of(row: tuple[Any, ...]) -> Item:
    """An item from its row."""
    ident, board, kind, place, version, body, changed, author = row
    return Item(ident, board, kind, place, version, json.loads(body), changed, author)


def read_item(connection: sqlite3.Connection, item: str) -> Item | None:
    """The item of that id, or None."""
    row = connection.execute("SELECT * FROM item WHERE id = ?", (item,)).fetchone()
    return None if row is None else item_of(row)


def read_items(connection: sqlite3.Connection, board: str) -> tuple[Item, ...]:
    """The items of a board in order."""
    rows = connection.execute("SELECT * FROM item WHERE board = ? ORDER BY place, id", (board,))
    return tuple(map(item_of, rows))


def insert_item(connection: sqlite3.Connection, item: Item) -> None:
    """Write a new item."""
    values = (item.id, item.board, item.kind, item.place, item.version, text_of(item.body), item.changed, item.author)
    connection.execute("INSERT INTO item VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)


def update_item(connection: sqlite3.Connection, item: Item) -> None:
    """Write an item that is there."""
    connection.execute(
        "UPDATE item SET place = ?, version = ?, body = ?, changed = ?, author = ? WHERE id = ?",
        (item.place, item.version, text_of(item.body), item.changed, item.author, item.id),
    )


def delete_item(connection: sqlite3.Connection, item: str) -> None:
    """Remove an item."""
    connection.execute("DELETE FROM item WHERE id = ?", (item,))


def predecessor(connection: sqlite3.Connection, item: Item) -> str:
    """The item that stands before another; empty for the first."""
    row = connection.execute(
        "SELECT id FROM item WHERE board = ? AND (place, id) < (?, ?) ORDER BY place DESC, id DESC LIMIT 1",
        (item.board, item.place, item.id),
    ).fetchone()
    return "" if row is None else str(row[0])


def place_after(connection: sqlite3.Connection, board: str, after: str | None, item: str = "") -> float | None:
    """A place behind ``after`` ("": before all others; None: behind all) for ``item``, a new one or one of this board;
    None if ``after`` is not on the board."""
    others = connection.execute(
        "SELECT id, place FROM item WHERE board = ? AND id != ? ORDER BY place, id", (board, item)
    ).fetchall()
    at = len(others) if after is None else 0 if after == "" else 1 + _index(others, after)
    if after and not at:
        return None
    low = others[at - 1][1] if at else None
    high = others[at][1] if at < len(others) else None
    if low is None:
        return 0.0 if high is None else high - _GAP
    if high is None:
        return float(low + _GAP)
    middle = (low + high) / 2
    if low < middle < high:
        return float(middle)
    numbered = [((n + (n >= at)) * _GAP, ident) for n, (ident, _) in enumerate(others)]
    connection.executemany("UPDATE item SET place = ? WHERE id = ?", numbered)
    return at * _GAP


def _index(rows: list[tuple[str, float]], ident: str) -> int:
    return next((n for n, row in enumerate(rows) if row[0] == ident), -1)
