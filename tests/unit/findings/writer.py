"""A process that makes writers: for each name on its standard input it forks one, and says its number.

A writer works on one board until it is killed, and notes in a file of its own what the store has acknowledged, a line
each, right after the call has come back.
"""

from __future__ import annotations

import os
import signal
import sys
from itertools import count
from pathlib import Path

import numpy as np

from analysis.engine.question import Result
from analysis.findings.records import Pin
from analysis.findings.store import Conflict, FindingStore


def write(root: Path, board: str, shared: str, name: str) -> None:
    """Add findings with pins and change them, and add words to the item that all writers share."""
    store = FindingStore(root)
    acknowledged = os.open(root / f"{name}.txt", os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def say(*words: object) -> None:
        os.write(acknowledged, (" ".join(map(str, words)) + "\n").encode())

    for n in count():
        digest = store.put_answer(Result({"n": n}, {"a": np.full(8, n, np.float32)}))
        pin = store.put_pin(Pin(f"{name}-{n}", "t", {}, "/", "", "light", 0.0, (digest,)))
        say("pin", pin.id)
        item = store.add(board, "finding", {"claim": f"{name} {n}", "pins": [pin.id]}, author=name)
        say("add", item.id)
        item = store.change(item.id, {**item.body, "note": f"note of {n}"}, item.version, name)
        say("change", item.id, item.version)
        store.move(item.id, shared, name)
        say("move", item.id)
        there = store.item(shared)
        while True:
            try:
                store.change(shared, {"note": f"{there.body['note']} {name}:{n}"}, there.version, name)
                break
            except Conflict as conflict:
                there = conflict.current
        say("word", f"{name}:{n}")


if __name__ == "__main__":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("ready", flush=True)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            write(Path(sys.argv[1]), sys.argv[2], sys.argv[3], line.strip())
        print(child, flush=True)
