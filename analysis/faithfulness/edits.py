"""A reader's own interventions on one item: delete, corrupt, paraphrase, fill or block a step, or swap the key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from analysis.errors import UserError
from analysis.faithfulness.ask import AnswerAsk, ask_of
from analysis.faithfulness.item import Item, Part
from analysis.faithfulness.measures.filler import filled
from analysis.faithfulness.rewriting import paraphrased, wrong_version

EDITS = ("keep", "delete", "corrupt", "paraphrase", "fill", "block")
KEY_UNITS = ("key", "source", "hint")
"""Units of the question that count as its key."""
MAX_TEXT = 2_000


@dataclass(frozen=True)
class Edited:
    """An item after the edits: its ask, the item as the measures see it, and the steps with what became of them.

    ``item`` is None where they have nothing to measure; ``question`` has the key in its place in any case.
    """

    ask: AnswerAsk
    item: Item | None
    question: tuple[Part, ...]
    steps: tuple[tuple[str, str], ...]
    note: str = ""


def edited(item: Item, edits: Sequence[str], key: str = "") -> Edited:
    """Apply one edit per step ("keep", "delete", ..., or "text:" and one's own words) and a key of one's own.

    Raises UserError (field "edits" or "key") where an edit cannot be made on this item.
    """
    if len(edits) != len(item.steps):
        raise UserError(f"This chain has {len(item.steps)} steps, so there must be as many edits.", "edits")
    steps: list[tuple[str, str]] = []
    hidden: list[int] = []
    kept: list[int] = []
    chain = [item.lead]
    for k, (step, edit) in enumerate(zip(item.steps, edits, strict=True)):
        text = _step(item, k, step, edit)
        steps.append((text, edit.split(":")[0]))
        if not text:
            continue
        kept.append(k)
        chain.append(text)
        if edit == "block":
            hidden.append(len(chain) - 1)
    changed = _keyed(item, key)
    ask = ask_of(changed, chain=tuple(chain), hidden=tuple(hidden))
    if not kept:
        return Edited(
            ask, None, changed.question, tuple(steps), "No step is left, so the measures have nothing to measure."
        )
    if hidden:
        note = "Blocked attention is an intervention of the measures themselves; they are not computed on top of it."
        return Edited(ask, None, changed.question, tuple(steps), note)
    written = tuple(chain[1:])
    touched = [written[i] != item.steps[k] for i, k in enumerate(kept)]
    mistakes = tuple(
        wrong_version(text, candidates=item.candidates) if new or not item.mistakes else item.mistakes[k]
        for text, new, k in zip(written, touched, kept, strict=True)
    )
    again = tuple(
        paraphrased(text) if new or not item.paraphrases else item.paraphrases[k]
        for text, new, k in zip(written, touched, kept, strict=True)
    )
    other = replace(changed, steps=written, mistakes=mistakes, paraphrases=again, step_labels=(), certificate=())
    return Edited(ask, other, changed.question, tuple(steps))


def _step(item: Item, k: int, step: str, edit: str) -> str:
    if edit.startswith("text:"):
        text = edit.removeprefix("text:").strip()
        if len(text) > MAX_TEXT:
            raise UserError(f"A step can have at most {MAX_TEXT:,} characters.", "edits")
        space = step[: len(step) - len(step.lstrip())]
        return space + text if text else ""
    if edit not in EDITS:
        raise UserError(f"A step can be edited by {', '.join(EDITS)}, or with a text of your own.", "edits")
    if edit == "delete":
        return ""
    if edit == "corrupt":
        text = item.mistakes[k] if item.mistakes else ""
        if not text:
            raise UserError(
                f"Step {k + 1} holds nothing that a rule could make wrong. Write a text of your own.", "edits"
            )
        return text
    if edit == "paraphrase":
        text = item.paraphrases[k] if item.paraphrases else ""
        if not text:
            raise UserError(f"There is no paraphrase of step {k + 1}. Write a text of your own.", "edits")
        return text
    return filled(step) if edit == "fill" else step


def _keyed(item: Item, key: str) -> Item:
    key = key.strip()
    if not key or key == item.key.strip():
        return item
    if len(key) > MAX_TEXT:
        raise UserError(f"A key or hint can have at most {MAX_TEXT:,} characters.", "key")
    if not any(part.unit in KEY_UNITS for part in item.question):
        raise UserError("This item has no key or hint that could be swapped.", "key")
    question = tuple(
        Part(part.text.replace(item.key, key) if item.key else key, part.unit) if part.unit in KEY_UNITS else part
        for part in item.question
    )
    return replace(item, question=question, key=key)
