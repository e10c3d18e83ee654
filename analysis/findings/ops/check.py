"""Still true? Pins computed again, each held against the answers that it was made from.

Nothing that was remembered answers: models stay where they are, but what operations keep beside them or in memory is
put aside for the time of a check. Other jobs that an answer is built on (a fitted feature) are taken from the store
where they are kept, as they were then, and made where they are not, such as in a new version.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from analysis.engine.context import Context
from analysis.engine.memory import Memory
from analysis.engine.operation import Operation, rebuild
from analysis.engine.question import Kind, Result
from analysis.engine.residents import Load
from analysis.engine.scheduler import bug
from analysis.errors import Cancelled, UserError
from analysis.findings.compare import TOLERANCE, Difference, differences
from analysis.findings.numbers import number_words, pin_numbers
from analysis.findings.ops.stamps import stamp_of
from analysis.findings.records import Check, Pin
from analysis.findings.stale import stale
from analysis.findings.store import FindingStore, findings
from analysis.models.spec import ModelSpec
from analysis.progress import Progress, portion
from analysis.view_ref import QuestionRef, ViewRef

if TYPE_CHECKING:
    from analysis.models.loaded_model import LoadedModel

MOST = 2_000
_MEMORY = 200 << 20
_KEPT = " Its product is a file of the data folder, which a check does not write anew, so the kept answer was compared."


@dataclass(frozen=True)
class CheckedPin:
    """What became of one pin, as :class:`analysis.findings.records.Check` has it."""

    pin: str
    title: str
    state: str
    text: str


@dataclass(frozen=True)
class CheckReport:
    """Every pin that was checked, in order, and all of it as a ``sentence``."""

    pins: tuple[CheckedPin, ...]
    sentence: str


@dataclass(frozen=True)
class CheckPins(Operation[CheckReport]):
    """Compute pins again and keep what became of each at once, so that a cancelled check keeps those that are done.

    ``again``: any text that no check had before; it makes this another question, which no kept answer serves.
    """

    kind: ClassVar[Kind] = "job"
    pins: tuple[str, ...] = ()
    again: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.pins, tuple) or not all(isinstance(pin, str) for pin in self.pins):
            raise UserError("The findings to check cannot be read.", "pins")
        if len(self.pins) > MOST:
            raise UserError(f"At most {MOST:,} views can be checked together.", "pins")
        if not isinstance(self.again, str) or len(self.again) > 64:
            raise UserError("The name of a check has at most 64 characters.", "again")

    def describe(self) -> str:
        return f"Check {len(self.pins)} pinned view{'s' if len(self.pins) != 1 else ''}"

    def run(self, context: Context) -> CheckReport:
        store, rows = findings(), list[CheckedPin]()
        anew = Anew(context)
        for n, ident in enumerate(self.pins):
            share = n / len(self.pins)
            try:
                pin = store.pin(ident)
                where = f"{n + 1} of {len(self.pins)}: {pin.title}"
                anew.tell = portion(context.progress, share, (n + 1) / len(self.pins), f"{where}: ")
                context.progress(share, where)
                check = check_pin(store, anew, pin)
                store.put_check(check)
            except UserError as error:  # the pin itself is gone
                rows.append(CheckedPin(ident, "", "failed", error.message))
                continue
            rows.append(CheckedPin(ident, pin.title, check.state, check.text))
            context.progress((n + 1) / len(self.pins), where, check=vars(rows[-1]))
        return CheckReport(tuple(rows), _summary(rows))


class Anew(Context):
    """A context in which everything is computed again. ``tell``: where the progress of the pin at hand goes."""

    def __init__(self, outer: Context) -> None:
        super().__init__(outer.residents, outer.store, Memory(_MEMORY))
        self._outer = outer
        self._bare: tuple[LoadedModel, LoadedModel] | None = None
        self.tell: Progress = outer.progress
        self.on_progress = self._relay

    def _relay(self, value: dict[str, Any]) -> None:
        if "line" not in value:  # lines of a text that nobody reads
            self.tell(value.get("share"), str(value.get("text", "")))

    def model(self, spec: ModelSpec, *, fresh: bool = False, load: Load | None = None) -> LoadedModel:
        """The model without what operations keep beside it. One at a time, so that none is held that had to go."""
        loaded = self._outer.model(spec, fresh=fresh, load=load)
        if self._bare is None or self._bare[0] is not loaded:
            self._bare = loaded, replace(loaded, extras={})
        return self._bare[1]

    def check(self) -> None:
        """A safe point of the job."""
        self._outer.check()


def check_pin(store: FindingStore, context: Context, pin: Pin) -> Check:
    """Compute a pin again: equal, moved, or failed with the reason. Raises Cancelled."""
    answers: list[Any] = []
    digests: list[str] = []
    rows: list[Difference] = []
    compared, note = 0, ""
    try:
        ref = ViewRef.from_dict(pin.ref)
        if len(ref.questions) != len(pin.answers):
            raise UserError("The pin does not have an answer to each of its questions.")
        for n, (question, digest) in enumerate(zip(ref.questions, pin.answers, strict=True), start=1):
            operation = rebuild(question.operation, question.params)
            then = _answer(operation, store.answer(digest))
            result = _made(operation, context)
            now = _answer(operation, result)
            found, count = differences(then, now)
            rows += [row if n == 1 else replace(row, where=f"{n}.{row.where}") for row in found]
            compared += count
            note = _KEPT if operation.writes else note
            answers.append(now)
            digests.append(store.put_answer(result))
    except Cancelled:
        raise
    except UserError as error:
        return _failed(context, pin, error.message)
    except Exception as error:
        return _failed(context, pin, bug(error, f"the check of {pin.ref.get('view')}")["text"])
    worst = max(rows, key=lambda row: row.excess, default=None)
    state = "moved" if worst is not None and worst.excess > 1 else "equal"
    text = _text(worst, rows, compared) + note
    if state == "moved":
        text += _reason(context, pin)
    return Check(pin.id, time.time(), state, text, tuple(digests), pin_numbers({}, answers, {}))


def _made(operation: Operation[Any], context: Context) -> Result:
    """The answer computed again; of what writes files, the kept one. UserError where there is none."""
    operation.load(context)
    for other in operation.built_on():
        context.perform(other)
    if not operation.writes:
        return operation.result(context)
    if operation.kind != "job":
        raise UserError("This question changes something in the data folder, so a check does not ask it.")
    kept = context.stored(operation)
    if kept is None:
        raise UserError(
            "Its product is a file of the data folder, which a check does not write anew, and its answer is not kept "
            "any more. Run it again from its page."
        )
    return kept


def _answer(operation: Operation[Any], result: Result) -> Any:
    try:
        return operation.answer_from(result)
    except (TypeError, KeyError) as error:
        raise UserError("It was pinned by a version of Attune whose answers had other parts. Pin it again.") from error


def _failed(context: Context, pin: Pin, why: str) -> Check:
    return Check(pin.id, time.time(), "failed", f"It cannot be made again: {why}{_reason(context, pin)}")


def _reason(context: Context, pin: Pin) -> str:
    """What changed since the pin was made, where stamps say so."""
    try:
        questions: Sequence[QuestionRef] = ViewRef.from_dict(pin.ref).questions
    except UserError:
        return ""
    sentence = stale(pin, [stamp_of(context, question) for question in questions])
    return f" {sentence}" if sentence else ""


def _text(worst: Difference | None, rows: Sequence[Difference], compared: int) -> str:
    if worst is None:
        return f"Equal: all {compared:,} numbers and arrays are the same to the last bit."
    place = number_words(worst.where)
    if worst.excess <= 1:
        return (
            f"Equal within the tolerance ({TOLERANCE}): the largest difference is {worst.size:.2g}, in “{place}” "
            f"({worst.then} then, {worst.now} now)."
        )
    moved = sum(row.excess > 1 for row in rows)
    by = f", {worst.size:.3g} away; {worst.allowed:.2g} is tolerated" if math.isfinite(worst.size) else ""
    return (
        f"Moved: “{place}” is {worst.now} now and was {worst.then}{by} (tolerance: {TOLERANCE}). {moved:,} of "
        f"{compared:,} numbers and arrays moved, this one most."
    )


def _summary(rows: Sequence[CheckedPin]) -> str:
    counts = {state: sum(row.state == state for row in rows) for state in ("equal", "moved", "failed")}
    return f"{counts['equal']} equal, {counts['moved']} moved, {counts['failed']} could not be made again."
