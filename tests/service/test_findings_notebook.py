"""The notebook of a board, run from top to bottom on the default model: its numbers are the board's."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from analysis.engine.client import Reply
from analysis.engine.context import Context
from analysis.engine.operation import Operation
from analysis.findings.export.handover import Handover
from analysis.findings.export.notebook import notebook_of
from analysis.findings.export.redact import redact
from analysis.findings.export.texts import text_id
from analysis.findings.freeze import freeze
from analysis.findings.records import Board, BoardContent, Item, Pin
from analysis.findings.store import FindingStore
from analysis.models.default import prepare_default
from analysis.models.spec import ModelSpec
from analysis.qk.ops.prompt import TracePrompt
from analysis.view_ref import QuestionRef, ViewRef
from components.findings.drawn import draw

ROOT = Path(__file__).resolve().parents[2]
TEXT = 'one two "three" one\n<b>two</b>'


def pinned(store: FindingStore, context: Context, view: str, options: dict[str, Any], *asked: Operation[Any]) -> Pin:
    """A view of these questions, asked here and pinned."""
    replies = []
    for question in asked:
        answer = question.answer_from(context.perform(question))
        replies.append(Reply(answer, QuestionRef(type(question).__name__, question.to_params())))
    drawing = draw(view, [reply.answer for reply in replies], options)
    ref = ViewRef(view, tuple(reply.question for reply in replies), options)
    return freeze(store, ref, replies, title=f"{view} of a prompt", address="/", numbers=drawing.numbers)


@pytest.mark.slow
def test_the_notebook_runs_and_its_numbers_are_those_of_the_board(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "models").symlink_to(prepare_default().parent)
    monkeypatch.setenv("ATTUNE_HOME", str(home))
    store, context = FindingStore(), Context()
    # In this order the prompt is read once; the notebook reads it again, in another process, from nothing.
    reading = TracePrompt(ModelSpec("default"), TEXT)
    pins = [
        pinned(store, context, "attention/heads", {"score": "induction"}, reading),
        pinned(store, context, "attention/heads", {"score": "sink"}, reading),
    ]
    pins[1].numbers["next.probabilities.0"] += 0.25  # a number that is wrong, so that the test can fail
    items = tuple(
        Item(f"i{n}", "b", "finding", n, 1, {"claim": "Here is *one*.", "note": note, "pins": [pin.id]}, 1.0)
        for n, (pin, note) in enumerate(
            zip(pins, ("<img src=x onerror=alert(1)>", "[x](javascript:alert(1))"), strict=True)
        )
    )
    board = Board("b", "A board", "board", 1.0, 1.0, 1)
    handover = Handover(BoardContent(board, items, {pin.id: pin for pin in pins}, {}))
    (home / "results").rename(home / "results-of-the-test")

    began = time.perf_counter()
    book = nbformat.reads(notebook_of(handover, "0.1.0").decode(), 4)
    monkeypatch.setenv("PLOTLY_RENDERER", "plotly_mimetype")
    NotebookClient(book, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}).execute()
    print(f"executed in {time.perf_counter() - began:.1f} s")

    text = "".join(o.get("text", "") for cell in book.cells for o in cell.get("outputs", []))
    count = len(pins[0].numbers)
    assert count > 10
    assert re.search(rf"attention/heads of a prompt: {count} numbers equal, 0 moved, 0 missing", text)
    assert re.search(rf"{2 * count - 1} numbers equal, 1 moved, 0 missing, in 2 views", text)
    figures = [
        o
        for cell in book.cells
        for o in cell.get("outputs", [])
        if "application/vnd.plotly.v1+json" in o.get("data", {})
    ]
    assert len(figures) == 2
    prose = "\n".join(cell.source for cell in book.cells if cell.cell_type == "markdown")
    assert "<img" not in prose and "javascript:" not in prose

    hidden = redact(handover, {text_id(TEXT): ""})
    written = json.dumps(json.loads(notebook_of(hidden, "0.1.0")), ensure_ascii=False)
    assert "three" not in written and "board.ask(" not in written
