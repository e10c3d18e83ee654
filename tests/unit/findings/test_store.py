"""The store of findings: what is written is there, in order, for everybody; what cannot be kept is refused in words."""

from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from analysis.engine.question import Result
from analysis.errors import UserError
from analysis.findings.records import Body, Check, Pin, QuestionStamp
from analysis.findings.schema import STEPS, open_database
from analysis.findings.store import Conflict, FindingStore, findings
from tests.unit.findings.pinned import png


def pin_named(name: str, **more: object) -> Pin:
    fields = {
        "title": "Spectra",
        "ref": {"view": "validation/spectra", "questions": [], "options": {}},
        "address": "/validation?seed=1",
        "caption": "A caption.",
        "theme": "light",
        "made": 1.0,
        "answers": (),
    }
    return Pin(id=name, **{**fields, **more})  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> FindingStore:
    return FindingStore(tmp_path / "findings")


def test_board_keeps_items_in_order_with_their_pins_and_checks(store: FindingStore) -> None:
    stamp = QuestionStamp("ValidateToy", "", "0123", "")
    control = {"name": "shuffled labels", "text": "0.1", "numbers": {"null": 0.1}}
    pin = store.put_pin(pin_named("p1", control=control, stamps=(stamp,), numbers={"kl": 0.25}, parts=({"kind": "x"},)))
    board = store.new_board("  Heads  ")
    last = store.add(board.id, "note", {"note": "end"})
    first = store.add(board.id, "section", {"title": "Start"}, after="")
    middle = store.add(board.id, "finding", {"claim": "It attends.", "pins": ["p1"]}, after=first.id)
    store.put_check(Check("p1", 2.0, "moved", "by 1"))
    store.put_check(Check("p1", 3.0, "equal", "the same", ("a" * 64,), {"kl": 0.25}))

    content = FindingStore(store.root).board(board.id)
    assert content.board.title == "Heads"
    assert [item.id for item in content.items] == [first.id, middle.id, last.id]
    assert content.pins == {"p1": pin}
    assert content.checks["p1"] == Check("p1", 3.0, "equal", "the same", ("a" * 64,), {"kl": 0.25})
    store.move(last.id, "")
    assert [item.id for item in store.board(board.id).items] == [last.id, first.id, middle.id]


def test_stamp_of_a_board_rises_with_each_change_and_with_what_happens_to_its_pins(store: FindingStore) -> None:
    store.put_pin(pin_named("p1"))
    board, other = store.new_board("a"), store.new_board("b")
    stamps = [board.stamp]

    def note() -> None:
        stamps.append(store.board(board.id).board.stamp)

    item = store.add(board.id, "finding", {"pins": ["p1"]})
    note()
    item = store.change(item.id, {"pins": ["p1"], "claim": "c"}, item.version)
    note()
    store.set_picture("p1", png())
    note()
    store.put_check(Check("p1", 1.0, "equal", ""))
    note()
    store.share(board.id)
    note()
    store.name_board(board.id, "c")
    note()
    store.drop(item.id, item.version)
    note()
    store.undo(board.id)
    note()
    assert stamps == sorted(set(stamps))
    assert store.board(other.id).board.stamp == 0
    assert store.boards()[0].id == board.id


def test_who_writes_on_an_older_version_is_given_the_newer_one(store: FindingStore) -> None:
    board = store.new_board("a")
    item = store.add(board.id, "note", {"note": "1"})
    newer = store.change(item.id, {"note": "2"}, item.version, "ann")
    for attempt in (lambda: store.change(item.id, {"note": "3"}, item.version), lambda: store.drop(item.id, 1)):
        with pytest.raises(Conflict) as conflict:
            attempt()
        assert conflict.value.current == newer
    assert store.item(item.id) == newer


def test_an_order_that_has_no_number_between_two_places_any_more(store: FindingStore) -> None:
    board = store.new_board("a")
    first, moved, last = (store.add(board.id, "note", {"note": text}, author="ann").id for text in "fml")
    store.move(moved, last, "ann")
    between = [store.add(board.id, "note", {"note": str(n)}, after=last, author="bob").id for n in range(60)]
    order = [item.id for item in store.board(board.id).items]
    assert order == [first, last, *reversed(between), moved]  # a float has been halved more often than it has digits
    store.undo(board.id, "ann")
    assert [item.id for item in store.board(board.id).items] == [first, moved, last, *reversed(between)]


def test_undo_leaves_what_others_wrote(store: FindingStore) -> None:
    board = store.new_board("a")
    item = store.add(board.id, "finding", {"claim": "mine", "note": "n"}, author="ann")
    item = store.change(item.id, {"claim": "mine, better", "note": "n"}, item.version, "ann")
    item = store.change(item.id, {"claim": "mine, better", "note": "bob's"}, item.version, "bob")
    assert store.undo(board.id, "ann") == "Undone: a finding was changed (“mine, better”)."
    assert store.item(item.id).body == {"claim": "mine", "note": "bob's"}
    with pytest.raises(UserError, match=r"Somebody has written on it since\."):
        store.undo(board.id, "ann")  # would remove bob's note
    with pytest.raises(UserError, match="nothing to undo"):
        store.undo(board.id, "ann")
    assert store.redo(board.id, "ann") == "Redone: a finding was changed (“mine, better”)."
    store.undo(board.id, "bob")
    assert store.item(item.id).body == {"claim": "mine, better", "note": "n"}
    with pytest.raises(UserError, match="nothing to undo"):
        store.undo(board.id, "bob")


def test_a_dropped_item_comes_back_in_a_version_that_nobody_has_seen(store: FindingStore) -> None:
    board = store.new_board("a")
    first, item = store.add(board.id, "note", {}), store.add(board.id, "note", {"note": "x"})
    store.add(board.id, "note", {})
    item = store.change(item.id, {"note": "y"}, item.version)
    store.drop(item.id, item.version)
    with pytest.raises(UserError, match="removed"):
        store.item(item.id)
    store.undo(board.id)
    back = store.item(item.id)
    assert back.body == item.body and back.version > item.version
    assert [i.id for i in store.board(board.id).items][:2] == [first.id, item.id]


def test_inbox_is_one_board_and_is_made_again(store: FindingStore) -> None:
    assert store.inbox() == store.inbox()
    assert store.inbox().title == "My findings"
    store.drop_board(store.inbox().id)
    assert store.board(store.inbox().id).items == ()


def test_link_of_a_board_until_it_is_withdrawn(store: FindingStore) -> None:
    board = store.new_board("a")
    name = store.share(board.id)
    assert len(name) >= 32 and store.share(board.id) == name
    assert FindingStore(store.root).shared(name).board.id == board.id
    store.withdraw(board.id)
    for wrong in (name, "", "é\0", name[:-1]):
        with pytest.raises(UserError, match="no such link"):
            store.shared(wrong)
    assert store.share(board.id) != name


def test_contents_are_kept_once_and_checked(store: FindingStore) -> None:
    arrays = {"w": np.arange(6, dtype=np.float32).reshape(2, 3).T, "n": np.array([], dtype=np.int64)}
    digest = store.put_answer(Result({"b": 1, "a": [1.5, None]}, arrays, key="k", files=("f",)))
    assert store.put_answer(Result({"b": 1, "a": [1.5, None]}, arrays)) == digest
    again = store.answer(digest)
    assert list(again.data) == ["b", "a"]  # some views draw in the order of an answer's names
    assert again.data == {"a": [1.5, None], "b": 1} and again.arrays.keys() == arrays.keys()
    assert all(np.array_equal(again.arrays[n], a) and again.arrays[n].dtype == a.dtype for n, a in arrays.items())
    files = sorted((p for p in (store.root / "blobs").rglob("*") if p.is_file()), key=lambda path: path.suffix)
    assert [path.suffix for path in files] == [".json", ".safetensors"]
    for path in files:
        body = bytearray(path.read_bytes())
        body[-1] ^= 1
        path.write_bytes(body)
        with pytest.raises(UserError, match="damaged"):
            store.answer(digest)
        store.put_answer(Result({"b": 1, "a": [1.5, None]}, arrays))  # whoever has it still puts it right
        assert store.answer(digest).data["b"] == 1
    files[1].unlink()
    with pytest.raises(UserError, match="missing"):
        store.answer(digest)
    for name in ("../../../etc/passwd", "", "A" * 64):
        with pytest.raises(UserError):
            store.json(name)
    with pytest.raises(ValueError):
        store.put_json({"x": float("nan")})


def test_picture_is_a_whole_png_and_no_more(store: FindingStore) -> None:
    store.put_pin(pin_named("p1"))
    store.set_picture("p1", png())
    assert store.picture(store.pin("p1").picture) == png()
    for wrong in (b"", b"<svg/>", png()[:-3], png() + b"<script>", png()[:20] + b"x" + png()[21:], png() * 2):
        with pytest.raises(UserError, match="picture"):
            store.set_picture("p1", wrong)
    with pytest.raises(UserError, match="not there"):
        store.set_picture("p2", png())


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"claim": "a\0"}, "claim"),
        ({"note": "a\ud800"}, "note"),
        ({"claim": "x" * 501}, "claim"),
        ({"speaker": "x" * 200_001}, "speaker"),
        ({"title": 3}, "title"),
        ({"pins": ["absent"]}, "pins"),
        ({"pins": "absent"}, "pins"),
        ({"pins": ["p"] * 25}, "pins"),
        ({"address": "//evil.example/"}, "address"),
        ({"address": "javascript:alert(1)"}, "address"),
        ({"address": "/a\\b"}, "address"),
        ({"address": "/a\nb"}, "address"),
        ({"unknown": "x"}, None),
        ("text", None),
    ],
)
def test_what_cannot_be_kept_is_refused_in_words(store: FindingStore, body: Body, field: str | None) -> None:
    board = store.new_board("a")
    item = store.add(board.id, "note", {"note": "whole"})
    for attempt in (lambda: store.add(board.id, "note", body), lambda: store.change(item.id, body, item.version)):
        with pytest.raises(UserError) as error:
            attempt()
        assert error.value.field == field and error.value.message.endswith(".")
    assert [i.body for i in store.board(board.id).items] == [{"note": "whole"}]


def test_titles_kinds_and_addresses_of_pins(store: FindingStore) -> None:
    for title in ("", "  ", "x" * 201, None, "a\0b"):
        with pytest.raises(UserError):
            store.new_board(title)  # type: ignore[arg-type]
    with pytest.raises(UserError):
        store.new_board("a", "wall")  # type: ignore[arg-type]
    with pytest.raises(UserError):
        store.add(store.inbox().id, "wall", {})  # type: ignore[arg-type]
    with pytest.raises(UserError, match="leads to a page"):
        store.put_pin(pin_named("p", address="https://example.org/"))
    store.put_pin(pin_named("p"))
    with pytest.raises(UserError, match="there already"):
        store.put_pin(pin_named("p", title="another"))
    with pytest.raises(UserError, match="letters"):
        store.put_pin(pin_named("../p"))
    with pytest.raises(UserError, match="half of a character"):
        store.put_pin(pin_named("q", parts=({"kind": "texts", "text": "\ud800"},)))
    with pytest.raises(UserError, match="half of a character"):
        store.put_json({"text": "\ud800"})
    for attempt in (store.board, store.drop_board, store.share, store.withdraw, store.undo, store.pin, store.item):
        with pytest.raises(UserError):
            attempt("absent")


def test_threads_that_write_at_once_lose_nothing(store: FindingStore) -> None:
    board = store.new_board("a")
    shared = store.add(board.id, "note", {"note": ""})

    def write(author: str) -> None:
        for n in range(10):
            store.add(board.id, "note", {"note": f"{author}{n}"}, author=author)
            item = store.item(shared.id)
            while True:
                try:
                    store.change(item.id, {"note": item.body["note"] + author}, item.version, author)
                    break
                except Conflict as conflict:
                    item = conflict.current

    threads = [threading.Thread(target=write, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    items = store.board(board.id).items
    assert sorted(i.body["note"] for i in items if i.id != shared.id) == sorted(
        f"{a}{n}" for a in "ab" for n in range(10)
    )
    assert sorted(store.item(shared.id).body["note"]) == ["a"] * 10 + ["b"] * 10


def test_store_of_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path / "one"))
    one = findings()
    assert findings() is one and one.root == (tmp_path / "one" / "findings").resolve()
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path / "two"))
    assert findings() is not one


def test_a_new_step_keeps_what_was_there_and_one_copy_of_it(store: FindingStore) -> None:
    board = store.new_board("kept")
    path = store.root / "findings.sqlite"
    steps = (*STEPS, ("ALTER TABLE board ADD COLUMN colour TEXT NOT NULL DEFAULT 'blue'",))
    with ThreadPoolExecutor(4) as threads:
        connections = list(threads.map(lambda _: open_database(path, steps), range(4)))
    for connection in connections:
        assert connection.execute("SELECT title, colour FROM board").fetchall() == [("kept", "blue")]
        connection.close()
    copies = list(store.root.glob("findings-format-*.sqlite"))
    assert [copy.name for copy in copies] == [f"findings-format-{len(STEPS)}.sqlite"]
    copy = sqlite3.connect(copies[0])
    assert copy.execute("SELECT id, title FROM board").fetchall() == [(board.id, "kept")]
    assert copy.execute("PRAGMA user_version").fetchone() == (len(STEPS),)
    copy.close()
    with pytest.raises(UserError, match="newer version of Attune"):
        FindingStore(store.root)


def test_a_step_that_fails_changes_nothing(store: FindingStore) -> None:
    path = store.root / "findings.sqlite"
    steps = (*STEPS, ("ALTER TABLE board ADD COLUMN colour TEXT", "ALTER TABLE absent ADD COLUMN x TEXT"))
    with pytest.raises(sqlite3.OperationalError):
        open_database(path, steps)
    assert FindingStore(store.root).new_board("still works").title == "still works"


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "findings.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(UserError, match="damaged"):
        FindingStore(tmp_path)
