"""What the answers to some questions would depend on if they were asked now, without asking them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from analysis.engine.context import Context
from analysis.engine.keys import code_version
from analysis.engine.operation import Operation, rebuild
from analysis.engine.question import Kind
from analysis.errors import UserError
from analysis.findings.records import QuestionStamp
from analysis.findings.stale import UNKNOWN
from analysis.view_ref import QuestionRef

MOST = 5_000


@dataclass(frozen=True)
class StampList:
    """One stamp for each question, in order."""

    stamps: tuple[QuestionStamp, ...]


@dataclass(frozen=True)
class Stamps(Operation[StampList]):
    """The stamps of some questions as they are now. Nothing is computed and no model is loaded for it: what depends on
    a model that is not in memory is :data:`analysis.findings.stale.UNKNOWN`."""

    kind: ClassVar[Kind] = "read"
    questions: tuple[QuestionRef, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.questions, tuple) or len(self.questions) > MOST:
            raise UserError(f"At most {MOST:,} questions can be looked at together.")

    def run(self, context: Context) -> StampList:
        return StampList(tuple(stamp_of(context, question) for question in self.questions))


def stamp_of(context: Context, question: QuestionRef) -> QuestionStamp:
    """The stamp of a question now. Without code where this version does not know the question."""
    try:
        operation = rebuild(question.operation, question.params)
    except (UserError, TypeError, ValueError):
        return QuestionStamp(question.operation, UNKNOWN, "", UNKNOWN)
    spec = getattr(operation, "model", None)
    identity = "" if spec is None else context.residents.identity(spec)
    code = code_version(type(operation).__module__)
    if identity is None:
        return QuestionStamp(question.operation, UNKNOWN, code, UNKNOWN)
    try:
        files = operation.reads(context)
    except UserError:  # what it reads from is gone, or cannot be opened
        files = ""
    return QuestionStamp(question.operation, identity, code, files)
