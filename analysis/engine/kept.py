"""Which answers of jobs are kept, so that a page that is opened again has them without a press."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from analysis.engine.context import Context
from analysis.engine.operation import Operation, rebuild
from analysis.engine.question import Kind
from analysis.errors import UserError
from analysis.view_ref import QuestionRef

MOST = 100


@dataclass(frozen=True)
class KeyList:
    """For each question, in order, the key under which its answer is kept; empty where none is."""

    keys: tuple[str, ...]


@dataclass(frozen=True)
class KeptKeys(Operation[KeyList]):
    """Where the answers to some jobs are kept. Nothing is computed and no model is loaded for it."""

    kind: ClassVar[Kind] = "read"
    questions: tuple[QuestionRef, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.questions, tuple) or len(self.questions) > MOST:
            raise UserError(f"At most {MOST} questions can be looked up together.")

    def run(self, context: Context) -> KeyList:
        return KeyList(tuple(_key(context, question) for question in self.questions))


def _key(context: Context, question: QuestionRef) -> str:
    operation = rebuild(question.operation, question.params)
    kept = context.stored(operation) if operation.kind == "job" else None
    return "" if kept is None else context.key_of(operation) or ""
