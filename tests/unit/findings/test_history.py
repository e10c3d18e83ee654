"""Sequences of changes against a model in plain Python: one author gets back each board that there was, and of two
neither takes back what the other wrote."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.errors import UserError
from analysis.findings.records import Item
from analysis.findings.store import FindingStore

TEXTS = ("", "a", "b", "c")
FIELDS = ("claim", "note")
Board = list[tuple[str, dict[str, str]]]

steps = st.tuples(
    st.sampled_from(("add", "change", "change", "move", "drop", "undo", "undo", "redo")),
    st.integers(0, 3),
    st.integers(-2, 3),
    st.sampled_from(FIELDS),
    st.sampled_from(TEXTS),
)


def at(items: tuple[Item, ...], number: int) -> Item | None:
    return items[number % len(items)] if items else None


def make(store: FindingStore, board: str, step: Any, author: str) -> None:
    """One step of an author on the board as it is; of an empty board only an addition is one."""
    what, first, second, field, text = step
    items = store.board(board).items
    item = at(items, first)
    after = None if second == -2 else "" if second == -1 or not items else items[second % len(items)].id
    if what == "add":
        store.add(board, "finding", {field: text}, after, author)  # type: ignore[misc]
    elif what in ("undo", "redo"):
        (store.undo if what == "undo" else store.redo)(board, author)
    elif item is not None and what == "change":
        store.change(item.id, {**item.body, field: text}, item.version, author)  # type: ignore[misc]
    elif item is not None and what == "move":
        store.move(item.id, after or "", author)
    elif item is not None:
        store.drop(item.id, item.version, author)


def expected(board: Board, step: Any, added: str) -> Board:
    """The board after a step that is no undo and no redo."""
    what, first, second, field, text = step
    rows = list(board)
    place = len(rows) if second == -2 else 0 if second == -1 or not rows else second % len(rows) + 1
    if what == "add":
        rows.insert(place, (added, {field: text}))
    elif rows and what == "change":
        name, body = rows[first % len(rows)]
        rows[first % len(rows)] = (name, {**body, field: text})
    elif rows and what == "move":
        row = rows[first % len(rows)]
        before = [r for r in rows[:place] if r != row] if second >= 0 else []
        if second < 0 or rows[second % len(rows)] != row:
            rows = [*before, row, *(r for r in rows if r != row and r not in before)]
    elif rows:
        del rows[first % len(rows)]
    return rows


def shown(store: FindingStore, board: str) -> Board:
    return [(item.id, dict(item.body)) for item in store.board(board).items]  # type: ignore[arg-type]


@settings(max_examples=40, deadline=None)
@given(st.lists(steps, min_size=12, max_size=30))
def test_one_author_gets_back_each_board_that_there_was(sequence: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = FindingStore(Path(folder))
        board = store.new_board("a").id
        now: Board = []
        past: list[Board] = []
        future: list[Board] = []
        for step in sequence:
            refused = ""
            try:
                make(store, board, step, "ann")
            except UserError as error:
                refused = error.message
            if step[0] in ("undo", "redo"):
                source, target = (past, future) if step[0] == "undo" else (future, past)
                assert refused == ("" if source else f"There is nothing to {step[0]}.")
                if source:
                    target.append(now)
                    now = source.pop()
            else:
                known = {name for name, _ in now}
                added = next((name for name, _ in shown(store, board) if name not in known), "")
                after = expected(now, step, added)
                if after != now:
                    past.append(now)
                    future.clear()
                now = after
            assert shown(store, board) == now
        store.close()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(("ann", "bob")), steps), min_size=12, max_size=30))
def test_of_two_authors_neither_takes_back_what_the_other_wrote(sequence: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = FindingStore(Path(folder))
        board = store.new_board("a").id
        written: dict[tuple[str, str, str], set[Any]] = {}
        versions: dict[str, int] = {}
        bodies: dict[tuple[str, int], Any] = {}
        for author, step in sequence:
            before = dict(shown(store, board))
            try:
                make(store, board, step, author)
            except UserError as error:
                assert step[0] in ("undo", "redo") and error.message.endswith(".")
                assert dict(shown(store, board)) == before
            after = dict(shown(store, board))
            for item in store.board(board).items:
                assert item.version >= versions.get(item.id, 0)
                versions[item.id] = item.version
                assert bodies.setdefault((item.id, item.version), item.body) == item.body
                for field in FIELDS:
                    value = item.body.get(field)
                    if step[0] not in ("undo", "redo") and before.get(item.id, {}).get(field) != value:
                        written.setdefault((author, item.id, field), set()).add(value)
            if step[0] == "undo":
                for name, body in before.items():
                    for field in body.keys() & set(FIELDS):
                        if body[field] != after.get(name, {}).get(field):
                            assert body[field] in written.get((author, name, field), set())
        store.close()
