"""The database of boards: its tables as numbered steps, and how it is opened.

The standard library's sqlite3 is enough: five small tables in one dialect, written by two dozen statements. An ORM
would bring its own session, cache and migration tool for objects that are plain frozen dataclasses here.

The version of a database is its ``user_version``: how many of :data:`STEPS` it has been through. Before the first step
that changes an existing one, a copy of it is laid beside it. A commit is on the disk when it returns (WAL, synchronous
FULL), so neither a killed process nor a power cut takes back what was acknowledged.
"""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from analysis.errors import UserError

WAIT = 10.0
"""Seconds that a writer waits for another one."""

STEPS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE board (
            id TEXT PRIMARY KEY, title TEXT NOT NULL, kind TEXT NOT NULL, made REAL NOT NULL, changed REAL NOT NULL,
            stamp INTEGER NOT NULL, share TEXT NOT NULL DEFAULT '')""",
        """CREATE TABLE item (
            id TEXT PRIMARY KEY, board TEXT NOT NULL REFERENCES board(id) ON DELETE CASCADE, kind TEXT NOT NULL,
            place REAL NOT NULL, version INTEGER NOT NULL, body TEXT NOT NULL, changed REAL NOT NULL,
            author TEXT NOT NULL)""",
        "CREATE INDEX item_of_board ON item(board, place)",
        "CREATE TABLE pin (id TEXT PRIMARY KEY, made REAL NOT NULL, data TEXT NOT NULL, picture TEXT NOT NULL)",
        """CREATE TABLE recheck (
            id INTEGER PRIMARY KEY AUTOINCREMENT, pin TEXT NOT NULL REFERENCES pin(id) ON DELETE CASCADE,
            made REAL NOT NULL, data TEXT NOT NULL)""",
        "CREATE INDEX recheck_of_pin ON recheck(pin, id)",
        # AUTOINCREMENT: the number of a change is never given again, also where the newest ones were removed.
        """CREATE TABLE change (
            id INTEGER PRIMARY KEY AUTOINCREMENT, board TEXT NOT NULL REFERENCES board(id) ON DELETE CASCADE,
            item TEXT NOT NULL, author TEXT NOT NULL, made REAL NOT NULL, what TEXT NOT NULL, state TEXT NOT NULL,
            before TEXT NOT NULL, after TEXT NOT NULL)""",
        "CREATE INDEX change_of_author ON change(board, author, state, id)",
    ),
)


def open_database(path: Path, steps: Sequence[Sequence[str]] = STEPS) -> sqlite3.Connection:
    """A connection to the database at a path, made or brought up to date if need be; it may pass between threads.

    Raises UserError for a file that is no such database, is damaged, or was written by a newer version of Attune.
    """
    connection = sqlite3.connect(path, timeout=WAIT, isolation_level=None, check_same_thread=False)
    try:
        connection.execute(f"PRAGMA busy_timeout = {int(WAIT * 1000)}")
        _use_wal(connection)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        if _version(connection) != len(steps):
            _migrate(connection, path, steps)
    except sqlite3.OperationalError:  # a full disk, a lock, a folder that may not be written: says nothing about it
        connection.close()
        raise
    except sqlite3.DatabaseError as error:
        connection.close()
        raise UserError(
            f"The file {path.name}, in which boards are kept, is damaged ({error}). Put it aside, or put the newest "
            "backup beside it in its place, then start again."
        ) from error
    except BaseException:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection, write: bool = True) -> Iterator[None]:
    """All of the statements inside, or none; readers see the board before or after them."""
    connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _use_wal(connection: sqlite3.Connection) -> None:
    """Two processes that open a new database at once: one of them is told that it is locked, without waiting."""
    until = time.monotonic() + WAIT
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.02)


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _migrate(connection: sqlite3.Connection, path: Path, steps: Sequence[Sequence[str]]) -> None:
    version = _version(connection)
    if version > len(steps):
        raise UserError(
            f"The boards in {path.name} were written by a newer version of Attune (format {version}; this one reads "
            f"up to {len(steps)}). Start that version, or name another data folder in ATTUNE_HOME."
        )
    with transaction(connection):
        version = _version(connection)  # another process may have done it meanwhile
        if 0 < version < len(steps):
            _back_up(path, version)
        for number, step in enumerate(steps[version:], start=version + 1):
            for statement in step:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number}")


def _back_up(path: Path, version: int) -> None:
    """A copy of the database as it is: ``findings-format-1.sqlite``; a later one of the same format has a number. The
    caller holds the lock of writers, so nobody else copies or writes; reading goes on beside it."""
    names = [f"{path.stem}-format-{version}{f'-{n}' if n else ''}{path.suffix}" for n in range(1000)]
    target = next(place for place in map(path.with_name, names) if not place.exists())
    scratch = path.with_name(f".part-{secrets.token_hex(8)}")
    source, copy = sqlite3.connect(path, timeout=WAIT), sqlite3.connect(scratch)
    try:
        source.backup(copy)
    finally:
        source.close()
        copy.close()
    scratch.replace(target)
