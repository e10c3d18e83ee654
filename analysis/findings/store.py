"""The store of findings: boards, what is on them in which order, and who may look.

Each call is one transaction. Whoever writes says which version of an item he has seen; if it is another by now, nothing
is written and he is given the other one (:class:`Conflict`). Pins and what they are made of, which belong to no board,
are in the part below this one (:mod:`analysis.findings.pins`).
"""

from __future__ import annotations

import hmac
import secrets
import sqlite3
import threading
import time
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

from analysis.errors import UserError
from analysis.findings import history, rows
from analysis.findings.pins import PinStore
from analysis.findings.records import Board, BoardContent, BoardKind, Body, Item, ItemKind
from analysis.findings.texts import (
    MAX_ITEMS,
    check_board_kind,
    check_body,
    check_title,
)
from analysis.home import folder

INBOX = "inbox"
MAX_PIN = 16 << 20


class Conflict(Exception):
    """Somebody else has changed the item since it was read; ``current`` is the item as it is now."""

    def __init__(self, current: Item) -> None:
        super().__init__("Somebody else has changed this since you opened it.")
        self.current = current


class FindingStore(PinStore):
    """Boards, items, pins, checks and share links below one folder."""

    # -- boards

    def boards(self) -> tuple[Board, ...]:
        """All boards, the newest change first."""
        with self._connection() as connection:
            found = connection.execute("SELECT * FROM board ORDER BY changed DESC, made DESC, id").fetchall()
        return tuple(Board(*row) for row in found)

    def new_board(self, title: str, kind: BoardKind = "board") -> Board:
        """An empty board. UserError for no title."""
        board, now = uuid.uuid4().hex, time.time()
        values = (board, check_title(title), check_board_kind(kind), now, now, 0, "")
        with self._transaction() as connection:
            connection.execute("INSERT INTO board VALUES (?, ?, ?, ?, ?, ?, ?)", values)
        return Board(*values)

    def board(self, board: str) -> BoardContent:
        """A board with its items, their pins and the newest check of each. UserError if there is none."""
        with self._transaction(write=False) as connection:
            return self._content(connection, rows.read_board(connection, board))

    def name_board(self, board: str, title: str) -> Board:
        """Give a board another title. UserError for no title or no board."""
        text = check_title(title)
        with self._transaction() as connection:
            rows.read_board(connection, board)
            connection.execute("UPDATE board SET title = ? WHERE id = ?", (text, board))
            rows.touch_board(connection, board)
            return rows.read_board(connection, board)

    def drop_board(self, board: str) -> None:
        """Remove a board with its items and its history, for good; pins and their contents stay. UserError for none."""
        with self._transaction() as connection:
            rows.read_board(connection, board)
            connection.execute("DELETE FROM board WHERE id = ?", (board,))

    def inbox(self) -> Board:
        """The board to which pins go when none is named; made if it is missing."""
        with self._transaction() as connection:
            now = time.time()
            values = (INBOX, "My findings", "board", now, now, 0, "")
            connection.execute("INSERT OR IGNORE INTO board VALUES (?, ?, ?, ?, ?, ?, ?)", values)
            return rows.read_board(connection, INBOX)

    def _content(self, connection: sqlite3.Connection, board: Board) -> BoardContent:
        items = rows.read_items(connection, board.id)
        wanted = tuple(dict.fromkeys(pin for item in items for pin in item.body.get("pins", [])))
        pins, checks = self._pins(connection, wanted)
        return BoardContent(board, items, pins, checks)

    # -- items

    def item(self, item: str) -> Item:
        """The item of that id. UserError if there is none."""
        with self._connection() as connection:
            return _there(rows.read_item(connection, item))

    def add(self, board: str, kind: ItemKind, body: Body, after: str | None = None, author: str = "") -> Item:
        """A new item behind ``after`` ("": first; None, or one that is gone: last). UserError: no board, a full one, a
        content that cannot be kept, a pin that is not there."""
        kind, body = check_body(kind, body)
        with self._transaction() as connection:
            rows.read_board(connection, board)
            (count,) = connection.execute("SELECT COUNT(*) FROM item WHERE board = ?", (board,)).fetchone()
            if count >= MAX_ITEMS:
                raise UserError(f"A board holds at most {MAX_ITEMS:,} items. Begin another one.")
            _check_pins(connection, body)
            place = rows.place_after(connection, board, after)
            if place is None:
                place = rows.place_after(connection, board, None) or 0.0
            item = Item(uuid.uuid4().hex, board, kind, place, 1, body, time.time(), author)
            rows.insert_item(connection, item)
            after_state = history.state_of(connection, item)
            history.note_change(connection, item, author, f"a {kind} was added{_quoted(body)}", None, after_state)
            rows.touch_board(connection, board)
            return item

    def change(self, item: str, body: Body, version: int, author: str = "") -> Item:
        """Give an item another content, all of it. Raises Conflict if it is not in that version any more, UserError as
        :meth:`add` or if it is gone."""
        with self._transaction() as connection:
            current = _there(rows.read_item(connection, item))
            _, body = check_body(current.kind, body)
            if current.version != version:
                raise Conflict(current)
            if body == current.body:
                return current
            _check_pins(connection, body)
            new = replace(current, body=body, version=version + 1, changed=time.time(), author=author)
            rows.update_item(connection, new)
            what = f"a {current.kind} was changed{_quoted(body)}"
            history.note_change(connection, new, author, what, *history.touched(current.body, body))
            rows.touch_board(connection, current.board)
            return new

    def move(self, item: str, after: str, author: str = "") -> Item:
        """Put an item behind another of its board ("": first); its version stays. UserError if one is gone."""
        with self._transaction() as connection:
            current = _there(rows.read_item(connection, item))
            if after == item:
                return current
            before_state = history.place_of(connection, current)
            if before_state["after"] == after:
                return current
            place = rows.place_after(connection, current.board, after, item)
            if place is None:
                raise UserError("The item that it should stand behind is not there any more.")
            new = replace(current, place=place)
            rows.update_item(connection, new)
            what = f"a {current.kind} was moved{_quoted(current.body)}"
            history.note_change(connection, new, author, what, before_state, history.place_of(connection, new))
            rows.touch_board(connection, current.board)
            return new

    def drop(self, item: str, version: int, author: str = "") -> None:
        """Take an item off its board. Raises Conflict and UserError as :meth:`change`."""
        with self._transaction() as connection:
            current = _there(rows.read_item(connection, item))
            if current.version != version:
                raise Conflict(current)
            what = f"a {current.kind} was removed{_quoted(current.body)}"
            history.note_change(connection, current, author, what, history.state_of(connection, current), None)
            rows.delete_item(connection, item)
            rows.touch_board(connection, current.board)

    def undo(self, board: str, author: str = "") -> str:
        """Take back the author's newest change that stands: a sentence on what it was. UserError if there is none, or
        if it would take away what somebody else did since; the next undo passes that one over."""
        return self._step(history.take_back, board, author)

    def redo(self, board: str, author: str = "") -> str:
        """Make the change again that was taken back last. As :meth:`undo`."""
        return self._step(history.make_again, board, author)

    def _step(self, step: Any, board: str, author: str) -> str:
        with self._transaction() as connection:
            rows.read_board(connection, board)
            sentence, done = step(connection, board, author)
        if not done:
            raise UserError(sentence)
        return str(sentence)

    # -- share links

    def share(self, board: str) -> str:
        """The name of a board's read-only link, the same until it is withdrawn. UserError for no board."""
        with self._transaction() as connection:
            known = rows.read_board(connection, board)
            if known.share:
                return known.share
            name = secrets.token_urlsafe(24)
            connection.execute("UPDATE board SET share = ? WHERE id = ?", (name, board))
            rows.touch_board(connection, board)
            return name

    def withdraw(self, board: str) -> None:
        """Let the link of a board lead nowhere. UserError for no board."""
        with self._transaction() as connection:
            if rows.read_board(connection, board).share:
                connection.execute("UPDATE board SET share = '' WHERE id = ?", (board,))
                rows.touch_board(connection, board)

    def shared(self, name: str) -> BoardContent:
        """The board that a link shows. UserError if there is none; how long it takes says nothing about names."""
        wanted = str(name).encode("utf-8", "replace")
        with self._transaction(write=False) as connection:
            names = connection.execute("SELECT id, share FROM board WHERE share != ''").fetchall()
            found = [board for board, share in names if hmac.compare_digest(share.encode(), wanted)]
            if not found:
                raise UserError("There is no such link, or it was withdrawn.")
            return self._content(connection, rows.read_board(connection, found[0]))


_stores: dict[Path, FindingStore] = {}
_stores_lock = threading.Lock()


def findings() -> FindingStore:
    """The store of this data folder."""
    root = folder("findings")
    with _stores_lock:
        if root not in _stores:
            _stores[root] = FindingStore(root)
        return _stores[root]


def _there(item: Item | None) -> Item:
    if item is None:
        raise UserError("This is not on the board any more: somebody has removed it.")
    return item


def _check_pins(connection: sqlite3.Connection, body: Body) -> None:
    for pin in body.get("pins", []):
        if connection.execute("SELECT 1 FROM pin WHERE id = ?", (pin,)).fetchone() is None:
            raise UserError("A pin of this finding is not there any more.", "pins")


def _quoted(body: Body) -> str:
    """The first words of an item, for a sentence on it."""
    text = next((t for t in (body.get("claim"), body.get("title"), body.get("note")) if t), "")
    words = " ".join(text.split())
    return f" (“{words[:60]}{'…' if len(words) > 60 else ''}”)" if words else ""
