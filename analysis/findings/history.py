"""What was changed on a board, by whom, and back again.

Each change is kept with what it found and what it left, and taken back by the one who made it, the newest first. What
somebody else wrote since is never lost by that: of a changed content only the fields that the change touched go back,
and only while they are as it left them; an item that others wrote on since is not removed. Such a change is refused
once, in words, and passed over from then on.

All of it runs inside a transaction of the caller.
"""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import replace
from typing import Any, cast

from analysis.errors import UserError
from analysis.findings.records import Body, Item
from analysis.findings.rows import (
    delete_item,
    insert_item,
    place_after,
    predecessor,
    read_board,
    read_item,
    text_of,
    touch_board,
    update_item,
)

DEPTH = 200
"""Changes of one author on one board that can be taken back."""
State = dict[str, Any] | None
"""What a change found or left: None where there was no item, else "body" (of a changed content only the fields that
were touched), "place" and "after" (the item before it), and of a whole item its kind."""


def state_of(connection: sqlite3.Connection, item: Item) -> dict[str, Any]:
    """A whole item."""
    return {"kind": item.kind, "body": item.body, **place_of(connection, item)}


def place_of(connection: sqlite3.Connection, item: Item) -> dict[str, Any]:
    """Where an item stands."""
    return {"place": item.place, "after": predecessor(connection, item)}


def touched(before: Body, after: Body) -> tuple[State, State]:
    """The fields in which two contents differ, as each of them has these."""
    old, new = cast(dict[str, Any], before), cast(dict[str, Any], after)
    names = {n for n in old.keys() | new.keys() if (n in old, old.get(n)) != (n in new, new.get(n))}
    return {"body": {n: old[n] for n in names & old.keys()}}, {"body": {n: new[n] for n in names & new.keys()}}


def note_change(
    connection: sqlite3.Connection, item: Item, author: str, what: str, before: State, after: State
) -> None:
    """Keep a change; what this author had taken back can then not be had again."""
    connection.execute("DELETE FROM change WHERE board = ? AND author = ? AND state != 'done'", (item.board, author))
    connection.execute(
        "INSERT INTO change (board, item, author, made, what, state, before, after) "
        "VALUES (?, ?, ?, ?, ?, 'done', ?, ?)",
        (item.board, item.id, author, time.time(), what, text_of(before), text_of(after)),
    )
    connection.execute(
        "DELETE FROM change WHERE board = ? AND author = ? AND id <= (SELECT id FROM change WHERE board = ? AND "
        "author = ? ORDER BY id DESC LIMIT 1 OFFSET ?)",
        (item.board, author, item.board, author, DEPTH),
    )


def take_back(connection: sqlite3.Connection, board: str, author: str) -> tuple[str, bool]:
    """Undo the newest change of an author that stands: a sentence, and whether it was done. UserError for none."""
    return _apply(connection, board, author, "done")


def make_again(connection: sqlite3.Connection, board: str, author: str) -> tuple[str, bool]:
    """Redo the change that was taken back last: as :func:`take_back`."""
    return _apply(connection, board, author, "undone")


def _apply(connection: sqlite3.Connection, board: str, author: str, state: str) -> tuple[str, bool]:
    undo = state == "done"
    row = connection.execute(
        "SELECT id, item, what, before, after FROM change WHERE board = ? AND author = ? AND state = ? "
        "ORDER BY id * ? LIMIT 1",
        (board, author, state, -1 if undo else 1),
    ).fetchone()
    if row is None:
        raise UserError(f"There is nothing to {'undo' if undo else 'redo'}.")
    number, ident, what, before, after = row
    source, target = (after, before) if undo else (before, after)
    obstacle = _turn(connection, board, ident, author, json.loads(source), json.loads(target))
    new = "passed" if obstacle else "undone" if undo else "done"
    connection.execute("UPDATE change SET state = ? WHERE id = ?", (new, number))
    if obstacle:
        return f"This cannot be {'undone' if undo else 'redone'}: {what}. {obstacle}", False
    touch_board(connection, board)
    return f"{'Undone' if undo else 'Redone'}: {what}.", True


def _turn(connection: sqlite3.Connection, board: str, ident: str, author: str, source: State, target: State) -> str:
    """Bring an item from one state to another; a sentence if that would lose what somebody else did."""
    item = read_item(connection, ident)
    if source is None:
        if item is not None or target is None:
            return "It is there already."
        place = _place(connection, board, ident, target)
        version = read_board(connection, board).stamp + 1  # higher than any that the item ever had
        insert_item(connection, Item(ident, board, target["kind"], place, version, target["body"], time.time(), author))
        return ""
    if item is None:
        return "Somebody has removed the item since."
    if target is None:
        if item.body != source["body"]:
            return "Somebody has written on it since."
        delete_item(connection, ident)
        return ""
    if "body" in target:
        body, old, new = cast(dict[str, Any], dict(item.body)), source["body"], target["body"]
        for name in old.keys() | new.keys():
            if (name in body, body.get(name)) != (name in old, old.get(name)):
                return "Somebody has changed it since."
            body.pop(name, None)
        content = cast(Body, {**body, **new})
        update_item(
            connection, replace(item, body=content, version=item.version + 1, changed=time.time(), author=author)
        )
        return ""
    update_item(connection, replace(item, place=_place(connection, board, ident, target)))
    return ""


def _place(connection: sqlite3.Connection, board: str, ident: str, state: dict[str, Any]) -> float:
    """Behind the item that it stood behind; where that is gone, at the number that it had."""
    place = place_after(connection, board, state["after"], ident)
    return float(state["place"]) if place is None else place
