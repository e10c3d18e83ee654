"""How a page asks: send an operation, hear of its progress, get its result. No torch here.

One connection per question; the connection is the lease. If it is dropped on this side, the worker cancels; if the
worker dies, a question that had not begun is asked again, and one that had begun fails with the reason.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Generic, TypeVar

from analysis.asker import LOOKING, WHO, note_refusal
from analysis.engine import protocol
from analysis.engine.calls import Calls, WorkerGone
from analysis.engine.keys import hash_of
from analysis.engine.memory import Memory
from analysis.engine.operation import Operation, rebuild
from analysis.engine.places import OneMachine, Place, Places
from analysis.engine.question import Result
from analysis.engine.store import ResultStore
from analysis.errors import Cancelled, UserError
from analysis.home import folder, home
from analysis.view_ref import QuestionRef

log = logging.getLogger(__name__)
__all__ = ["Client", "OperationFailed", "Reply", "Superseded", "WorkerGone"]
ATTEMPTS = 5
RECENT = 256 << 20
"""Bytes of recent answers that a client keeps, so that figures which share one do not ask twice."""
_LEAST = 2_000
"""Bytes that the objects of any answer take beside its text and arrays."""
Message = tuple[dict[str, Any], dict[str, Any]]
A = TypeVar("A")


@dataclass(frozen=True)
class Reply(Generic[A]):
    """An answer, and the question that it answers: what a page's store keeps in place of the answer."""

    answer: A
    question: QuestionRef


class Superseded(Exception):
    """A newer request of the same widget has taken the place of this one; there is nothing to show."""


class OperationFailed(Exception):
    """A bug in the worker; the text carries the number under which the log has it."""


class Client(Calls):
    """Asks the worker of this data folder, or those of its ``places``. Safe to use from many threads."""

    def __init__(self, patience: float = 20.0, places: Places | None = None) -> None:
        super().__init__(OneMachine(home()) if places is None else places, patience)
        self.store = ResultStore(folder("results"))
        self._recent = Memory(RECENT)

    def ask(
        self,
        operation: Operation,
        *,
        session: str = "",
        widget: str = "",
        link: str = "",
        token: str | None = None,
        on_progress: Callable[[dict[str, Any]], None] | None = None,
    ) -> Result:
        """Ask and wait for the answer.

        ``session`` and ``widget`` name the slot in which the newest live request wins. ``token`` is what
        :meth:`cancel` takes; ``link`` is where the job tray leads when the job is done.

        Raises:
            UserError: the question cannot be answered as asked. Cancelled, Superseded: no answer is wanted any more.
            WorkerGone: no worker, or it died. OperationFailed: a bug.
        """
        request = self._request(operation, session, widget, link, token)
        for _ in range(ATTEMPTS):
            with self._place(operation) as place:
                answer = self._attempt(place, request, on_progress)
            if answer is not None:
                result = self._end(*answer)
                if operation.writes:
                    self._recent.clear()  # what was read from those files is not what they would say now
                return result
        raise WorkerGone("The worker stopped again and again before it came to this question.")

    def remember(self, operation: Operation[A], result: Result) -> Reply[A]:
        """The typed answer in a result, kept among the recent ones. TypeError if the operation declares no answer."""
        question = QuestionRef(type(operation).__name__, operation.to_params(), result.key)
        reply = Reply(operation.answer_from(result), question)
        size = _LEAST + len(json.dumps(result.data)) + sum(a.nbytes for a in result.arrays.values())
        self._recent.put(hash_of([question.operation, question.params]), reply, size)
        return reply

    def reply(self, question: QuestionRef) -> Reply[Any]:
        """The recent reply to a question; the kept one of a job, which is not run again; for others, asked again.

        Raises UserError where a job's answer is not kept any more, and as :meth:`ask`.
        """
        operation = rebuild(question.operation, question.params)
        recent: Reply[Any] | None = self._recent.get(hash_of([question.operation, operation.to_params()]))
        if recent is not None and recent.question.key == question.key:
            return recent
        if operation.kind != "job":
            return self.remember(operation, self.ask(operation))
        try:
            kept = self.store.get(question.key) if question.key else None
            if kept is not None:
                return self.remember(operation, kept)
        except (TypeError, ValueError) as error:  # no key, or kept by a version that knew another answer
            log.warning("a kept %s cannot be read: %s", question.operation, error)
        raise UserError(f"The answer to “{operation.describe()}” is not kept any more. Run it again.")

    def stream(
        self, operation: Operation, *, session: str = "", widget: str = "", token: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """Ask an operation of kind "stream" and yield its lines as they come; the last one is its result's data. A
        typed answer is remembered, so that :meth:`reply` has it.

        Closing the iterator drops the connection, and so stops the worker at its next safe point. Raises as
        :meth:`ask`.
        """
        request = self._request(operation, session, widget, "", token)
        with self._place(operation) as place:
            connection, address = self._connect(place)
            try:
                protocol.send(connection, request)
                while True:
                    message, arrays = self._hear(place, connection)
                    if message["type"] == "progress":
                        if "line" in message["value"]:
                            yield message["value"]["line"]
                    elif message["type"] not in ("started", "waits"):
                        result = self._end(message, arrays)
                        if operation.answer is not None:
                            self.remember(operation, result)
                        yield result.data
                        return
            except (EOFError, OSError) as error:
                raise WorkerGone(self._why_gone(place, address)) from error
            finally:
                connection.close()

    @staticmethod
    def _request(operation: Operation, session: str, widget: str, link: str, token: str | None) -> dict[str, Any]:
        return {
            "type": "request",
            "operation": type(operation).__name__,
            "params": operation.to_params(),
            "token": token or uuid.uuid4().hex,
            "session": session,
            "widget": widget,
            "link": link,
            "looking": LOOKING.get(),
            "who": WHO.get(),
        }

    def _attempt(
        self, place: Place, request: dict[str, Any], on_progress: Callable[[dict[str, Any]], None] | None
    ) -> Message | None:
        """The answer of the worker that is there now, or None if it died, or its place went, before it had begun."""
        try:
            connection, address = self._connect(place)
        except WorkerGone:
            if place.gone():
                return None
            raise
        began = False
        try:
            if not _sent(connection, request):
                return None
            while True:
                try:
                    message, arrays = self._hear(place, connection)
                except (EOFError, OSError) as error:
                    if not began:
                        return None
                    raise WorkerGone(self._why_gone(place, address)) from error
                if message["type"] == "waits":
                    if on_progress is not None:
                        on_progress({"waits": True, **message["value"]})
                    continue
                began = True
                if message["type"] == "progress":
                    if message["value"].get("wrote"):  # a job that makes several things has made one of them
                        self._recent.clear()
                    if on_progress is not None:
                        on_progress(message["value"])
                elif message["type"] != "started":
                    return message, arrays
        finally:
            connection.close()

    def _end(self, message: dict[str, Any], arrays: dict[str, Any]) -> Result:
        kind = message["type"]
        if kind == "result" and message.get("stored"):
            found = self.store.get(message["key"])
            if found is None:
                raise OperationFailed("The result was made, but could not be read back. Try again.")
            return found
        if kind == "result":
            return Result(message["data"], arrays, message.get("key", ""))
        if kind == "cancelled":
            raise Cancelled
        if kind == "superseded":
            raise Superseded
        if message.get("kind") == "user":
            note_refusal(message["text"])
            raise UserError(message["text"], message.get("field"))
        raise OperationFailed(message.get("text", "The worker gave no answer."))


def _sent(connection: Connection, request: dict[str, Any]) -> bool:
    """Send the request; False if no one is there to take it."""
    try:
        protocol.send(connection, request)
        return True
    except OSError:
        return False
