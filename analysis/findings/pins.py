"""The part of the store that holds pins: as they were made, with their contents, and what became of them later.

One store per process and for all threads: each call takes a connection of its own from a few that are kept open. Small
and often sought things lie in SQLite (:mod:`analysis.findings.schema`), what is large lies beside it by content
(:mod:`analysis.findings.blobs`). A pin is never changed; only its picture comes after it, as the browser makes it.
"""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from analysis.engine.question import Result
from analysis.errors import UserError
from analysis.findings import rows
from analysis.findings.blobs import Blobs
from analysis.findings.records import Check, Pin
from analysis.findings.schema import open_database, transaction
from analysis.findings.texts import MAX_TITLE, check_address, check_text
from analysis.home import folder

MAX_PIN = 16 << 20
_NAME = re.compile(r"[\w-]{1,64}", re.ASCII)


class PinStore:
    """Pins, checks and contents below one folder."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or folder("findings")
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.blobs = Blobs(self.root / "blobs")
        self._idle: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        with self._connection():
            pass  # what is wrong with the file is said now

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        if connection is None:
            connection = open_database(self.root / "findings.sqlite")
        try:
            yield connection
        finally:
            with self._lock:
                self._idle.append(connection)

    @contextlib.contextmanager
    def _transaction(self, write: bool = True) -> Iterator[sqlite3.Connection]:
        with self._connection() as connection, transaction(connection, write):
            yield connection

    def close(self) -> None:
        """Close the connections that are open; the next call opens one again."""
        with self._lock:
            while self._idle:
                self._idle.pop().close()

    def put_pin(self, pin: Pin) -> Pin:
        """Keep a pin, for good. UserError: too large, there already, or a name, an address or a text that cannot be
        kept."""
        if not _NAME.fullmatch(pin.id):
            raise UserError("A pin is named by letters, digits, - and _ only.")
        check_text(pin.title, "title", MAX_TITLE, "title")
        check_text(pin.caption, "caption", MAX_PIN, "caption")
        check_address(pin.address)
        text = rows.text_of(pin.to_dict())
        if len(text) > MAX_PIN:
            raise UserError(f"This view is too large to be pinned ({len(text) / 1e6:.0f} MB of texts and tables).")
        with self._transaction() as connection:
            if connection.execute("SELECT 1 FROM pin WHERE id = ?", (pin.id,)).fetchone() is not None:
                raise UserError("A pin of this name is there already.")
            connection.execute("INSERT INTO pin VALUES (?, ?, ?, ?)", (pin.id, pin.made, text, pin.picture))
        return pin

    def pin(self, pin: str) -> Pin:
        """The pin of that id. UserError if there is none."""
        with self._connection() as connection:
            row = connection.execute("SELECT data, picture FROM pin WHERE id = ?", (pin,)).fetchone()
        if row is None:
            raise UserError("This pin is not there any more.")
        return _pin_of(*row)

    def set_picture(self, pin: str, png: bytes) -> None:
        """Keep the picture of a pin. UserError: no pin, no PNG, or larger than 4 MB."""
        digest = self.blobs.put_picture(png)
        with self._transaction() as connection:
            if not connection.execute("UPDATE pin SET picture = ? WHERE id = ?", (digest, pin)).rowcount:
                raise UserError("This pin is not there any more.")
            _touch_boards_of(connection, pin)

    def put_check(self, check: Check) -> None:
        """Keep what became of a pin. UserError if the pin is gone."""
        with self._transaction() as connection:
            if connection.execute("SELECT 1 FROM pin WHERE id = ?", (check.pin,)).fetchone() is None:
                raise UserError("This pin is not there any more.")
            connection.execute(
                "INSERT INTO recheck (pin, made, data) VALUES (?, ?, ?)",
                (check.pin, check.made, rows.text_of(vars(check))),
            )
            _touch_boards_of(connection, check.pin)

    def check(self, pin: str) -> Check | None:
        """The newest check of a pin; None before the first one."""
        with self._connection() as connection:
            return self._pins(connection, (pin,))[1].get(pin)

    def _pins(self, connection: sqlite3.Connection, wanted: Sequence[str]) -> tuple[dict[str, Pin], dict[str, Check]]:
        """Those of the pins that are there, in that order, and the newest check of each."""
        ids = json.dumps(wanted)
        found = connection.execute(
            "SELECT data, picture FROM pin JOIN json_each(?) AS wanted ON pin.id = wanted.value ORDER BY wanted.key",
            (ids,),
        )
        pins = {pin.id: pin for pin in (_pin_of(*row) for row in found)}
        newest = connection.execute(
            "SELECT data FROM recheck WHERE id IN "
            "(SELECT MAX(id) FROM recheck WHERE pin IN (SELECT value FROM json_each(?)) GROUP BY pin)",
            (ids,),
        )
        return pins, {check.pin: check for check in (_check_of(data) for (data,) in newest)}

    def put_answer(self, result: Result) -> str:
        """Keep an answer; returns its content hash."""
        return self.blobs.put_answer(result)

    def answer(self, digest: str) -> Result:
        """The answer of that hash. UserError if it is missing or damaged."""
        return self.blobs.answer(digest)

    def put_json(self, data: Any) -> str:
        """Keep plain data, such as a figure; returns its content hash. ValueError for numbers that are not finite."""
        return self.blobs.put_json(data)

    def json(self, digest: str) -> Any:
        """The plain data of that hash. UserError if it is missing or damaged."""
        return self.blobs.json(digest)

    def picture(self, digest: str) -> bytes:
        """The PNG of that hash. UserError if it is missing or damaged."""
        return self.blobs.get(digest, "png")


def _touch_boards_of(connection: sqlite3.Connection, pin: str) -> None:
    boards = connection.execute(
        "SELECT DISTINCT item.board FROM item, json_each(item.body, '$.pins') AS named WHERE named.value = ?", (pin,)
    ).fetchall()
    for (board,) in boards:
        rows.touch_board(connection, board)


def _pin_of(data: str, picture: str) -> Pin:
    return replace(Pin.from_dict(json.loads(data)), picture=picture)


def _check_of(data: str) -> Check:
    fields = json.loads(data)
    return Check(**{**fields, "answers": tuple(fields["answers"])})
