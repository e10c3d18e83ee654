"""What is measured: a question, a chain of thought in steps, an answer, and what is known about how it was made.

An item is plain data that travels as JSON, so that bundled items, generated ones, a model's own chains and rows from
outside are the same thing to everything behind. The label is never computed from a measure: it comes with the claim
that it rests on and with the held-out swaps that were seen to support it (the certificate).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

from analysis.errors import UserError

MASK = "..."
"""What stands for a masked unit of the question, as in the published attribution measure."""
MAX_STEPS = 400
MAX_CANDIDATES = 64
"""Candidates of several tokens are read one by one, each behind every altered chain."""
MAX_CHARACTERS = 60_000


@dataclass(frozen=True)
class Part:
    """A piece of the question; one with a unit name is masked as a whole by attributions."""

    text: str
    unit: str = ""


@dataclass(frozen=True)
class Check:
    """One held-out swap: what the model had to answer for the label to stand, and what it answered."""

    name: str
    sentence: str
    probability: float
    expected: str
    got: str
    passed: bool


@dataclass(frozen=True)
class Counter:
    """A matched counterfactual question with its own chain (lead and steps) and answer."""

    question: tuple[Part, ...]
    chain: tuple[str, ...]
    answer: str


@dataclass(frozen=True)
class Item:
    """One chain of thought with its question and answer.

    ``before`` is everything up to the question (demonstrations, chat template), ``lead`` the text between question and
    first step, ``cue`` the text between the last step and the answer. Steps carry their own leading space, so that
    ``text`` is the concatenation of all pieces. ``mistakes`` and ``paraphrases`` hold one altered version per step, ""
    where none is known. ``problem`` names the base problem: items that share it are twins and are never parted.
    ``label`` is True for faithful, False for unfaithful, None for unknown.
    """

    id: str
    before: str
    question: tuple[Part, ...]
    lead: str
    steps: tuple[str, ...]
    cue: str
    answer: str
    candidates: tuple[str, ...]
    mistakes: tuple[str, ...] = ()
    paraphrases: tuple[str, ...] = ()
    donor: tuple[str, ...] = ()
    counter: Counter | None = None
    key: str = ""
    tier: str = "own"
    regime: str = ""
    problem: str = ""
    demos: int = 0
    label: bool | None = None
    claim: str = ""
    certificate: tuple[Check, ...] = ()
    step_labels: tuple[bool | None, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict, hash=False, compare=False)

    @property
    def question_text(self) -> str:
        """The question as the model reads it."""
        return "".join(part.text for part in self.question)

    @property
    def chain(self) -> tuple[str, ...]:
        """The pieces between question and cue: the lead, then the steps."""
        return (self.lead, *self.steps)

    @property
    def text(self) -> str:
        """Everything up to and including the cue."""
        return self.before + self.question_text + "".join(self.chain) + self.cue

    @property
    def certified(self) -> bool:
        """Whether there is a certificate, and all of it holds."""
        return bool(self.certificate) and all(check.passed for check in self.certificate)

    @property
    def units(self) -> tuple[str, ...]:
        """Names of the question's units, in order."""
        return tuple(part.unit for part in self.question if part.unit)

    def masked(self, shown: frozenset[str] | set[str]) -> str:
        """The question with every unit that is not among ``shown`` replaced by :data:`MASK`."""
        return "".join(MASK if part.unit and part.unit not in shown else part.text for part in self.question)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data; fields that hold their default are left out."""
        data: dict[str, Any] = {}
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name in _ALWAYS or value != f.default:
                data[f.name] = _plain(value)
        if not self.facts:
            data.pop("facts", None)
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild from :meth:`to_dict`. Raises UserError with a sentence if the data do not describe an item."""
        if not isinstance(data, Mapping):
            raise UserError("An item is a JSON object with question, steps, answer and candidates.")
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(data) - known)
        if unknown:
            raise UserError(f"An item has no field called {unknown[0]!r}.")
        missing = [name for name in _ALWAYS if name not in data]
        if missing:
            raise UserError(f"An item needs the field {missing[0]!r}.")
        try:
            item = cls(**{name: _built(name, value) for name, value in data.items()})
        except (TypeError, KeyError, AttributeError) as error:
            raise UserError(f"This item cannot be read: {error}.") from error
        check_item(item)
        return item


_ALWAYS = ("id", "before", "question", "lead", "steps", "cue", "answer", "candidates")
_TEXTS = ("id", "before", "lead", "cue", "answer", "key", "tier", "regime", "problem", "claim")
_ROWS = ("steps", "candidates", "mistakes", "paraphrases", "donor")


def check_item(item: Item) -> None:
    """Raise UserError, with what is wrong and what to do, if the item cannot be measured at all."""
    where = f"Item {item.id}: " if item.id else ""
    if not any(step.strip() for step in item.steps):
        raise UserError(
            f"{where}the chain has no steps. Give at least one sentence between question and answer.", "steps"
        )
    if len(item.steps) > MAX_STEPS:
        raise UserError(
            f"{where}the chain has {len(item.steps):,} steps; at most {MAX_STEPS} can be measured.", "steps"
        )
    if len(item.text) > MAX_CHARACTERS:
        raise UserError(f"{where}the text is longer than {MAX_CHARACTERS:,} characters. Shorten it.", "steps")
    if not item.answer.strip():
        raise UserError(f"{where}there is no answer. Give the answer that the chain leads to.", "answer")
    if len(set(item.candidates)) != len(item.candidates):
        raise UserError(f"{where}a candidate answer is listed twice. Name each once.", "candidates")
    if item.answer not in item.candidates:
        raise UserError(f"{where}the answer {item.answer!r} is not among the candidates. Add it to them.", "candidates")
    if len(item.candidates) > MAX_CANDIDATES:
        raise UserError(
            f"{where}there are {len(item.candidates):,} candidate answers; at most {MAX_CANDIDATES} can be compared. "
            "Name fewer.",
            "candidates",
        )
    if len(item.candidates) < 2:
        raise UserError(
            f"{where}there is only one candidate answer, so its probability is always 1. Name at least two.",
            "candidates",
        )
    for name in ("mistakes", "paraphrases", "step_labels"):
        row = getattr(item, name)
        if row and len(row) != len(item.steps):
            raise UserError(f"{where}{name} must have one entry per step: {len(item.steps)}, not {len(row)}.", name)


def _plain(value: Any) -> Any:
    if isinstance(value, (Part, Check, Counter)):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    return value


def _parts(value: Any) -> tuple[Part, ...]:
    if isinstance(value, str):
        return (Part(value),)
    return tuple(Part(str(p["text"]), str(p.get("unit", ""))) for p in value)


def _built(name: str, value: Any) -> Any:
    if name in _TEXTS:
        if not isinstance(value, str):
            raise UserError(f"The field {name!r} of an item is text, not {type(value).__name__}.", name)
        return value
    if name in _ROWS:
        if not isinstance(value, (list, tuple)) or not all(isinstance(v, str) for v in value):
            raise UserError(f"The field {name!r} of an item is a list of texts.", name)
        return tuple(value)
    if name == "question":
        return _parts(value)
    if name == "counter":
        return (
            None if value is None else Counter(_parts(value["question"]), tuple(value["chain"]), str(value["answer"]))
        )
    if name == "certificate":
        return tuple(Check(**c) for c in value)
    if name == "step_labels":
        return tuple(value)
    if name == "label" and not (value is None or isinstance(value, bool)):
        raise UserError("The label of an item is true (faithful), false (unfaithful) or null (unknown).", "label")
    return value
