"""Answers of the Faithfulness page, made by hand, and a client that has them."""

from __future__ import annotations

import json
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import pytest

from analysis.answer import from_wire
from analysis.engine.client import Reply
from analysis.engine.operation import REGISTRY
from analysis.errors import UserError
from analysis.faithfulness.answers.item import Intervention, ItemReading
from analysis.view_ref import QuestionRef


def piece(kind: str, text: str, index: int | None = None, unit: str = "") -> dict[str, Any]:
    return {"kind": kind, "text": text, "index": index, "unit": unit}


PIECES = [
    piece("before", "Key: 5\nSum: 6-4\nAnswer: 2\n\nKey: 4\nSum: 6+2\nAnswer: 8\n\n"), piece("question", "Key: "),
    piece("key", "4", unit="key"), piece("question", "\nSum: 1+3\n"), piece("lead", "Steps:"),
    piece("step", " 1+3=4.", 1), piece("step", "\nCheck: <b>.\n", 2), piece("cue", "\nAnswer: "), piece("answer", "4"),
]  # fmt: skip


def reading(**more: Any) -> ItemReading:
    """As FaithItem answers; fields as on the wire, or as they are typed."""
    twins = [
        {"item": "R-0-b", "regime": "R", "label": True, "title": "R: reads its steps"},
        {"item": "K-0-b", "regime": "K", "label": False, "title": "K: copies the key"},
    ]
    fields = {
        "item": "K-0-b", "tier": "1", "regime": "K", "label": False, "claim": "c.", "twins": twins, "pieces": PIECES,
        "steps": [" 1+3=4.", "\nCheck: <b>.\n"], "answer": "4", "key": "4", "text": "whole\nAnswer: ", "demos": 0,
        "problem": "1+3", "step_labels": [], "candidates": [], "several": False, "mass": 1.0, "certified": False,
        "own": {"answer": "4", "values_right": None, "sentence": "s."}, "scores": [], "full": False,
        "passes": {"asked": 5, "distinct": 3}, "sentence": "s.", "z_made": True, "seconds": 3.6,
        "options": [{"candidate": str(n), "probability": 0.9 if n == 4 else 0.0125} for n in range(1, 10)], "p": 0.9,
        "certificate": [
            {"name": "key swapped", "sentence": "s.", "probability": 0.75, "expected": "8", "got": "8", "passed": True},
            {"name": "result", "sentence": "s.", "probability": 0.2, "expected": "4", "got": "5", "passed": False},
        ],
        "claims_not": "It does not claim that.",
    }  # fmt: skip
    return from_wire(ItemReading, _plain(fields | more), {})


def intervention(**more: Any) -> Intervention:
    """As FaithIntervene answers; fields as on the wire."""
    fields = {
        "answer": "4", "before": 0.988, "after": 0.022, "best": "7", "moved": True, "soft": 0.978, "margin": -1.5,
        "passes": 1, "passes_scores": 6, "pieces": PIECES, "kl": 0.5, "key": "4", "options": [], "scores": [],
        "steps": [{"text": " 1+3=7.", "edit": "corrupt"}, {"text": "", "edit": "delete"}], "note": "", "sentence": "",
    }  # fmt: skip
    return from_wire(Intervention, _plain(fields | more), {})


def _plain(data: Any) -> Any:
    return json.loads(json.dumps(data, default=asdict))


class Held:
    """A client that has some replies and asks for nothing."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._replies: dict[str, Reply[Any]] = {}
        monkeypatch.setattr("pages.common.client", lambda: SimpleNamespace(reply=self.reply))

    def reply(self, question: QuestionRef) -> Reply[Any]:
        """The reply that was given; UserError where none was."""
        if repr(question) not in self._replies:
            raise UserError(f"Nobody gave an answer to {question}.")
        return self._replies[repr(question)]

    def hold(self, answer: Any, operation: str, **params: Any) -> Reply[Any]:
        """Keep an answer to a question, and give the reply."""
        assert REGISTRY[operation].answer is type(answer)
        question = QuestionRef(operation, params)
        self._replies[repr(question)] = Reply(answer, question)
        return self._replies[repr(question)]

    def question(self, answer: Any, operation: str, **params: Any) -> dict[str, Any]:
        """Keep an answer, and give its question as a page's store holds it."""
        return asdict(self.hold(answer, operation, **params).question)
