"""A board of forty findings of bundled results, as a bundle from another machine: no model is needed to make it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import analysis.catalogue
from analysis.engine.client import Reply
from analysis.engine.context import Context
from analysis.engine.operation import rebuild
from analysis.findings.export.bundle import write_bundle
from analysis.findings.export.handover import gather
from analysis.findings.records import Pin
from analysis.findings.store import FindingStore
from analysis.view_ref import QuestionRef, ViewRef
from components.findings.drawn import draw
from tests.unit.findings.pinned import frozen

COUNT = 40
CLAIM = "The zebra of Quxford is read in game"
VIEWS = (
    "othello/accuracy",
    "othello/edits",
    "othello/edits by squares",
    "othello/training",
    "othello/legality",
    "othello/probes",
    "othello/model",
)
assert analysis.catalogue.NAMES


def claim_of(n: int) -> str:
    """The claim of the finding of that place, without a numeral."""
    return f"{CLAIM} {chr(65 + n // 26)}{chr(65 + n % 26)}."


def bundle_of_forty(root: Path) -> bytes:
    """The bundle; ``root``: an empty folder for the store that it is made in."""
    store = FindingStore(root)
    question = rebuild("OthelloFacts", {})
    reply = Reply(question.answer_from(Context().perform(question)), QuestionRef("OthelloFacts", question.to_params()))
    pins = [store.put_pin(_pin(store, view, reply)) for view in VIEWS]
    board = store.new_board("Forty findings on OthelloGPT")
    store.add(board.id, "section", {"title": "All of them"})
    for n in range(COUNT):
        pin = pins[n % len(pins)]
        number = next(iter(pin.numbers))
        note = f"A *note* with {{{{{number}}}}} and [a link](https://example.org/).\n\n<img src=x onerror=alert({n})>"
        body: Any = {"claim": claim_of(n), "pins": [pin.id], "note": note, "speaker": "Slowly."}
        store.add(board.id, "finding", body)
    return write_bundle(gather(store, board.id), {}, "0.1.0")


def _pin(store: FindingStore, view: str, reply: Reply[Any]) -> Pin:
    drawing = draw(view, [reply.answer], {})
    title = f"{view.partition('/')[2].capitalize()} of OthelloGPT"
    height = 360 if drawing.figure else 0
    return frozen(
        store, ViewRef(view, (reply.question,), {}), [reply], drawing, title=title, address="/othello", height=height
    )
