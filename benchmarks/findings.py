"""What it costs to keep a finding, and to open a board of forty, against plain files in the same run.

``python -m benchmarks.findings``: a pin as the Attention page makes one (an answer with 30 heads as arrays, a figure of
some 250 kB), frozen and put on a board; the baseline writes the same bytes to plain files and flushes them. Then the
board is read, against parsing the same content from one JSON file.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from analysis.engine.client import Reply
from analysis.findings.freeze import freeze
from analysis.findings.records import QuestionStamp
from analysis.findings.store import FindingStore
from analysis.view_ref import QuestionRef, ViewRef
from benchmarks.timing import interleaved

FINDINGS, PINS = 40, 2
HEADS, TOKENS = 30, 64


@dataclass(frozen=True)
class Attended:
    """An answer of the size that a page pins."""

    labels: tuple[str, ...]
    shares: tuple[float, ...]
    cells: np.ndarray


def main() -> dict[str, dict[str, Any]]:
    """Median milliseconds, and the ratios to the baselines."""
    rng = np.random.default_rng(0)
    question = QuestionRef("HeadAttention", {"model": {"source": "default"}, "text": "a prompt " * 20})
    ref = ViewRef("attention/heads", (question,))
    figure = {"data": [{"type": "heatmap", "z": rng.random((160, 80)).tolist()}], "layout": {"title": "a head"}}
    note = "What this shows, in some sentences. " * 20

    def answer() -> Attended:
        labels = tuple(f"token {n}" for n in range(TOKENS))
        cells = rng.integers(0, 255, (HEADS, TOKENS, TOKENS)).astype(np.uint8)
        return Attended(labels, tuple(rng.random(HEADS).tolist()), cells)

    with tempfile.TemporaryDirectory() as folder:
        store, plain = FindingStore(Path(folder) / "store"), Path(folder) / "plain"
        plain.mkdir()
        board = store.new_board("a board")

        def pinned() -> str:
            stamp = QuestionStamp("HeadAttention", "fingerprint float32 cpu", "0" * 16, "")
            drawn = {**figure, "id": uuid.uuid4().hex}
            reply = Reply(answer(), question)
            pin = freeze(store, ref, [reply], title="A head", address="/", figure=drawn, stamps=[stamp])
            return store.put_pin(pin).id

        def on_board() -> None:
            store.add(board.id, "finding", {"claim": "It attends there.", "note": note, "pins": [pinned()]})

        def on_files() -> None:
            made, name = answer(), uuid.uuid4().hex
            text = json.dumps([made.labels, made.shares, {**figure, "id": name}, note, asdict(ref)])
            for path, body in ((plain / f"{name}.json", text.encode()), (plain / f"{name}.bin", made.cells.tobytes())):
                with path.open("wb") as file:
                    file.write(body)
                    file.flush()
                    os.fsync(file.fileno())

        pin = interleaved(on_files, on_board, rounds=15)
        store.drop_board(board.id)
        board = store.new_board("a board of forty")
        for _ in range(FINDINGS):
            store.add(board.id, "finding", {"claim": "c", "note": note, "pins": [pinned() for _ in range(PINS)]})
        copy = plain / "board.json"
        copy.write_text(json.dumps(asdict(store.board(board.id))), encoding="utf-8")
        read = interleaved(lambda: json.loads(copy.read_bytes()), lambda: store.board(board.id), rounds=15)
        figures = [p.figure for p in store.board(board.id).pins.values()]
        whole = []
        for _ in range(5):
            began = time.perf_counter()
            for digest in figures:
                store.json(digest)
            whole.append(time.perf_counter() - began)
        store.close()
    return {
        "findings": {
            "pin frozen and put on a board, ms": 1000 * pin["candidate_s"],
            "the same bytes as plain files, flushed, ms": 1000 * pin["baseline_s"],
            "pin over plain files": pin["ratio"],
            f"board of {FINDINGS} findings with {PINS} pins each read, ms": 1000 * read["candidate_s"],
            "its content parsed from one JSON file, ms": 1000 * read["baseline_s"],
            "board over one JSON file": read["ratio"],
            f"its {len(figures)} figures read and verified, ms": 1000 * median(whole),
        }
    }


if __name__ == "__main__":
    for name, facts in main().items():
        print(name)
        for what, value in facts.items():
            print(f"  {what}: {value:.3g}")
