"""Two writers are killed at any moment: all that the store acknowledged is there, and the database is whole."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from analysis.findings.store import FindingStore

ROUNDS = 20


@pytest.mark.skipif(not hasattr(os, "fork"), reason="writers are forked")
def test_nothing_acknowledged_is_lost_when_writers_are_killed(tmp_path: Path) -> None:
    store = FindingStore(tmp_path)
    board = store.new_board("a")
    shared = store.add(board.id, "note", {"note": ""})
    seed = random.randrange(10**6)
    moments, counts = random.Random(seed), []
    command = [sys.executable, "-m", "tests.unit.findings.writer", str(tmp_path), board.id, shared.id]
    maker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert maker.stdin is not None and maker.stdout is not None
    try:
        assert maker.stdout.readline() == "ready\n"
        for number in range(ROUNDS):
            names = [f"{letter}{number}" for letter in "ab"]
            writers = []
            for name in names:
                print(name, file=maker.stdin, flush=True)
                writers.append(int(maker.stdout.readline()))
            time.sleep(moments.uniform(0.01, 0.2))
            for writer in writers:
                os.kill(writer, signal.SIGKILL)
            lines = [line.split() for name in names for line in _lines(tmp_path / f"{name}.txt")]
            _check(FindingStore(tmp_path), board.id, shared.id, lines)
            counts.append(len(lines))
    finally:
        maker.stdin.close()
        maker.wait(10)
    assert sum(counts) > ROUNDS, f"the writers hardly wrote: {counts} (seed {seed})"


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def _check(store: FindingStore, board: str, shared: str, lines: list[list[str]]) -> None:
    content = store.board(board)
    items = {item.id: item for item in content.items}
    words = items[shared].body["note"].split()
    for what, name, *version in lines:
        if what == "pin":
            answer = store.answer(store.pin(name).answers[0])
            assert answer.arrays["a"].tolist() == [answer.data["n"]] * 8
        elif what == "word":
            assert words.count(name) == 1
        else:
            item = items[name]
            assert item.body["pins"][0] in content.pins
            if what == "change":
                assert item.version == int(version[0]) and item.body["note"].startswith("note of ")
    assert len(set(words)) == len(words)
    connection = sqlite3.connect(store.root / "findings.sqlite")
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()
    store.close()
