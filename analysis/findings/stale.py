"""Whether a pin may not hold any more: said from its stamps, without computing anything."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.findings.records import Pin, QuestionStamp

UNKNOWN = "?"
"""In a stamp: it cannot be told, as the model is not in memory."""
UNSTAMPED = (
    "It was not kept which model, fit and code this came from, so nobody can tell whether they changed. Ask for it "
    "again with “Still true?”, or pin it anew."
)
"""Of a pin without stamps: the process of the model was not there when it was made."""


def stale(pin: Pin, now: Sequence[QuestionStamp]) -> str | None:
    """A sentence on what changed since the pin was made; None where nothing did, as far as it can be told. ``now``: the
    stamps of the same questions, in the same order."""
    if not pin.stamps:
        return UNSTAMPED
    changes: list[str] = []
    for then, today in zip(pin.stamps, now, strict=False):
        for change in _changes(then, today):
            if change not in changes:
                changes.append(change)
    return f"Changed since it was pinned: {'; '.join(changes)}." if changes else None


def _changes(then: QuestionStamp, now: QuestionStamp) -> list[str]:
    if then == now:
        return []
    if not now.code:
        return ["this version of Attune does not know the question any more"]
    changes = []
    if UNKNOWN not in (then.model, now.model) and then.model != now.model:
        changes.append(_of_model(then.model.split(), now.model.split()))
    if UNKNOWN not in (then.files, now.files) and then.files != now.files:
        gone = then.files and not now.files
        changes.append(
            "the fit, the null or the measurements that it was read from are not there any more"
            if gone
            else "the fit, the null or the measurements that it was read from were made again"
        )
    if then.code != now.code:
        changes.append("the code that computes it")
    return changes


def _of_model(then: list[str], now: list[str]) -> str:
    """Which part of a model's identity (``Residents.identity``) is another one."""
    parts = ("the model's files: its weights", "the model's number format", "the device that computes it")
    for name, old, new in zip(parts, then, now, strict=False):
        if old != new:
            return name if name == parts[0] else f"{name} ({old} then, {new} now)"
    return "the model's files: its tokenizer or settings"
