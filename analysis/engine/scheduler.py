"""One compute thread, three priorities: the part of the worker that decides what runs next.

Live tasks go before streams of text, and those before jobs; a running task lets those above it in at its safe points,
in a fresh context so that no tap of its own can touch them. Streams take turns by steps, each in a strand, so that
nobody waits for another's whole text. Equal requests share one task, which is cancelled when its last subscriber
leaves; a stream is not shared, since who comes late would miss its beginning. In the slot of one widget of one session
the newest request replaces a queued older one, and ends a running stream, for that session alone. Live tasks of a kind
that lately took a moment go before the other ones, and between two parts of a longer one that offers the gap.
``emit`` functions must not block: they are called from the compute thread and under the lock.
"""

from __future__ import annotations

import contextvars
import logging
import math
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from analysis.asker import NOT_IN_MEMORY, ONLY_LOOKING, may_see
from analysis.disk import disk_refusal
from analysis.engine.context import Context
from analysis.engine.jobs import JobBook
from analysis.engine.keys import hash_of
from analysis.engine.memory import Memory
from analysis.engine.operation import Operation
from analysis.engine.question import Kind, Result
from analysis.engine.residents import Residents
from analysis.engine.spread import PAYS, Here, Spread, Surroundings
from analysis.engine.store import ResultStore
from analysis.engine.strands import Strand, Threads
from analysis.engine.task import Emit, Slot, Subscriber, Task
from analysis.engine.turns import Lengths, in_rounds, one_each, waits, why_full
from analysis.errors import Cancelled, UserError
from analysis.shares import Shares
from analysis.status import FROM_STORE, OF_OTHERS, JobRecord

if TYPE_CHECKING:
    from analysis.models.loaded_model import LoadedModel

log = logging.getLogger(__name__)
Spreader = Callable[["LoadedModel | None", Surroundings], Spread]
PRIORITIES: tuple[Kind, ...] = ("live", "stream", "job")
TOGETHER = 8
"""Streams that take turns; further ones wait. Each keeps what the model holds of its text."""
AGAIN = 5.0
"""Seconds after which those whose jobs wait are told anew how long."""
REMEMBERED = 1_000
"""People of whom it is known when they last had a job begun."""
PATIENCE = 5.0
"""Seconds that live questions without end may keep a text or a job from its beginning."""
BESIDE = 0.2
"""Seconds of quick questions that come while others are answered and are let in before them."""


class TaskContext(Context):
    """The context of a task on the compute thread: progress goes to subscribers, safe points to the scheduler."""

    def __init__(self, scheduler: Scheduler, task: Task) -> None:
        super().__init__(scheduler.residents, scheduler.store, scheduler.memory)
        self._scheduler, self._task = scheduler, task
        self.on_progress = self._tell

    def _tell(self, value: dict[str, Any]) -> None:
        self._task.emit({"type": "progress", "value": value})
        share = value.get("share")
        share = float(share) if share is not None and math.isfinite(share) else None
        if self._task.operation.kind == "job":
            for token in list(self._task.subscribers):
                self._scheduler.book.change(token, share=share, text=str(value.get("text", "")))
            self._scheduler.tell_waits(AGAIN)

    def spread(self, model: LoadedModel | None = None, seconds: float = math.inf) -> Spread:
        """What the scheduler was given for it, or this thread for what is done soon."""
        return Here(model, self) if seconds < PAYS else self._scheduler.spread(model, self)

    def check(self) -> None:
        """Let others run whose turn it is; then end here if nobody wants the answer any more."""
        self._scheduler.give_way(self._task)
        self.end_if_unwanted()

    def gap(self) -> None:
        """As :meth:`check`; a live question lets in those that take a moment."""
        if self._task.operation.kind == "live":
            self._scheduler.let_quick_in()
        else:
            self.check()

    def end_if_unwanted(self) -> None:
        """End here if nobody wants the answer any more."""
        if self._task.cancel.is_set():
            raise Cancelled

    def ended(self, part: str) -> bool:
        """Whether a subscriber has ended that part."""
        return part in self._task.ended


class Scheduler:
    """Queues, the compute thread, and the book of jobs. ``spread``: what computes shards for the operations, made with
    a model and the context of a task."""

    def __init__(
        self,
        book: JobBook,
        store: ResultStore | None = None,
        residents: Residents | None = None,
        spread: Spreader = Here,
    ) -> None:
        self.shares = Shares(book.path.with_name("shares.json"))
        self.book, self.store, self.spread = book, store or ResultStore(), spread
        self.residents, self.memory = residents or Residents(), Memory()
        self._ready = threading.Condition()
        self._queues: dict[Kind, deque[Task]] = {kind: deque() for kind in PRIORITIES}
        self._tasks: dict[str, Task] = {}
        self._threads, self._lengths, self._inside = Threads(), Lengths(), False
        self._streams: list[Task] = []  # those that take turns
        self._first: set[Task] = set()  # of them, those that a job waits for
        self._last: dict[str, int] = {}  # by asker: the number of the last job that was begun for that one
        self._told = 0.0  # when those whose jobs wait were last told how long
        self._since = 0.0  # when the next text or job could have begun, if nothing else were asked
        self.at: Task | None = None

    def submit(
        self, operation: Operation, token: str, emit: Emit, slot: Slot | None, link: str, *, looking: bool = False,
        who: str = "",
    ) -> None:  # fmt: skip
        """Enter a request under a unique token; ``emit`` gets its messages, from whichever thread has them.

        ``looking``: for somebody who may only look. Raises UserError for what would start, load or write something.
        ``who``: the browser that asks; "" for the owner.
        """
        session = slot[0] if slot else ""
        if looking:
            self._look(operation)
        if not self._is_free(token, who):
            raise UserError("This question has the number of another one. Reload the page and ask again.")
        if operation.kind == "read":
            emit({"type": "started"}, None)
            emit(*self._answer(operation, Context(self.residents, self.store, self.memory)))
            return
        job = operation.kind == "job"
        if job:
            record = JobRecord(token, type(operation).__name__, operation.describe(), link, session)
            self.book.add(replace(record, who=who, common=operation.common))
            found = Context(self.residents, self.store, self.memory).stored(operation)
            if found is not None:
                self.book.change(token, state="done", share=1.0, text=FROM_STORE, files=list(found.files))
                emit({"type": "result", "cached": True, "stored": True}, found)
                return
        key = hash_of([type(operation).__name__, operation.to_params(), token if operation.kind == "stream" else ""])
        subscriber = Subscriber(emit, slot if slot and slot[1] and not job else None, who)
        with self._ready:
            task = self._tasks.get(key)
            if task is None or task.cancel.is_set():
                task = self._enqueue(Task(operation, key, who or session), token, subscriber)
            else:
                task.subscribers[token] = subscriber
                self._replace_older(subscriber)
            if task.started:
                self._note(task, token, state="running", began=task.began)
        if task.started:
            emit({"type": "started"}, None)

    def _is_free(self, token: str, who: str) -> bool:
        """Whether nobody waits under a token, and no job of somebody else had it."""
        with self._ready:
            waits = any(token in task.subscribers for task in self._tasks.values())
        return not waits and all(may_see(who, r.who) for r in self.book.records() if r.id == token)

    def _look(self, operation: Operation) -> None:
        if operation.writes or operation.kind == "stream":
            raise UserError(ONLY_LOOKING)
        if operation.kind == "read":
            return
        model = getattr(operation, "model", None)
        if model is not None and self.residents.fingerprint(model) is None:
            raise UserError(NOT_IN_MEMORY)
        if operation.kind == "job" and Context(self.residents, self.store, self.memory).stored(operation) is None:
            raise UserError(ONLY_LOOKING)

    def _enqueue(self, task: Task, token: str, subscriber: Subscriber) -> Task:
        self._replace_older(subscriber)
        kind = task.operation.kind
        queue = self._queues[kind]
        text = why_full(kind, queue, subscriber.who)
        if not text and task.operation.writes:
            text = self.shares.why_full(subscriber.who)
        if text:
            self.book.change(token, state="failed", reason=text)
            subscriber.emit({"type": "error", "kind": "user", "text": text, "field": None}, None)
            return task
        if kind != "live" and not self._queues["stream"] and not self._queues["job"]:
            self._since = time.monotonic()
        self._tasks[task.key] = task
        task.subscribers[token] = subscriber
        queue.append(task)
        if kind == "job":
            self.tell_waits()
        self._ready.notify()
        return task

    def _note(self, task: Task, token: str, **changes: Any) -> None:
        # The book is of jobs: what else has a token, such as a text, is none of them.
        if task.operation.kind == "job":
            self.book.change(token, **changes)

    def tell_waits(self, every: float = 0.0) -> None:
        """Say to those whose jobs wait how many come first, and about how long they take; what was said already is not
        said again. ``every``: at most once in so many seconds."""
        with self._ready:
            now = time.monotonic()
            if not self._queues["job"] or now - self._told < every:
                return
            self._told = now
            order = one_each(list(self._queues["job"]), self._last)
            jobs = [task for task in self._tasks.values() if task.operation.kind == "job" and task.subscribers]
            records = {r.id: r for r in self.book.records()}
            first = {task: records.get(next(iter(task.subscribers))) for task in jobs}
            running = [record for task, record in first.items() if record is not None and task.started]
            queued = [record for task in order if (record := first.get(task)) is not None]
            said = waits(list(records.values()), running, queued)
            for task in order:
                text = said.get(next(iter(task.subscribers), ""), "next to begin" if task.said else "")
                if text and text != task.said:
                    task.said = text
                    for token in task.subscribers:
                        self.book.change(token, text=text)
                    task.emit({"type": "waits", "value": {"text": text}})

    def _replace_older(self, newest: Subscriber) -> None:
        if newest.slot is None:
            return
        streams = [t for t in self._tasks.values() if t.operation.kind == "stream"]
        for task in {*self._queues["live"], *streams}:
            for token, older in list(task.subscribers.items()):
                if older.slot == newest.slot and older is not newest:
                    del task.subscribers[token]
                    older.emit({"type": "superseded"}, None)
            self._abandon(task)

    def _abandon(self, task: Task) -> None:
        """End a task that nobody waits for any more: at once if it is queued, at its next safe point if it runs."""
        if task.subscribers:
            return
        task.cancel.set()
        for queue in self._queues.values():
            if task in queue:
                queue.remove(task)
                self._tasks.pop(task.key, None)
                if task.operation.kind == "job":
                    self.tell_waits()

    def leave(self, token: str, reason: str = "cancelled", who: str = "", emit: Emit | None = None) -> bool:
        """A subscriber goes: cancelled by ``who``, or its connection was lost. True if it was there and may be.

        ``emit``: only one that is answered there. A page asks several jobs under one token, one after the other, and
        the end of the first one's connection may be noticed when the next has begun.
        """
        with self._ready:
            for task in list(self._tasks.values()):
                subscriber = task.subscribers.get(token)
                if subscriber is None or not may_see(who, subscriber.who):
                    continue
                if emit is not None and subscriber.emit != emit:
                    continue
                del task.subscribers[token]
                self._note(task, token, state="cancelled", reason=reason)
                self._abandon(task)
                subscriber.emit({"type": "cancelled"}, None)
                return True
        return False

    def end_part(self, token: str, part: str, who: str = "") -> bool:
        """A subscriber wants no more of one part of a stream; the others go on. True if the stream was there."""
        with self._ready:
            for task in self._tasks.values():
                subscriber = task.subscribers.get(token)
                if subscriber and may_see(who, subscriber.who) and task.operation.kind == "stream":
                    task.ended.add(part)
                    return True
        return False

    def run_forever(self) -> None:
        """The compute thread's body."""
        while True:
            with self._ready:
                while not self._streams and not any(self._queues.values()):
                    self._ready.wait()
                only_live = bool(self._queues["live"]) and not self._streams and not self._is_late()
            if only_live:
                self._serve_live()
            else:
                self._serve()
            task = self._next_job()
            if task is not None:
                self._run(task)

    def _is_late(self) -> bool:
        waiting = self._queues["stream"] or self._queues["job"]
        return bool(waiting) and time.monotonic() - self._since > PATIENCE

    def _next_job(self) -> Task | None:
        """The job whose turn it is, taken from the queue; None while anything above it waits, but not for ever."""
        with self._ready:
            jobs = self._queues["job"]
            if not jobs or (not self._is_late() and (self._queues["live"] or self._joining() is not None)):
                return None
            task = one_each(list(jobs), self._last)[0]
            jobs.remove(task)
            self._last[task.asker] = max(self._last.values(), default=0) + 1
            if len(self._last) > REMEMBERED:
                del self._last[min(self._last, key=self._last.__getitem__)]
            return task

    @property
    def busy(self) -> str:
        """What is computed; "" for nothing."""
        return self.at.title if self.at is not None else ""

    def busy_for(self, who: str) -> str:
        """What is computed, in words for one who may not see what others ask."""
        task = self.at
        if task is None:
            return ""
        mine = any(may_see(who, s.who) for s in list(task.subscribers.values()))
        return task.title if not who or mine or task.operation.common else OF_OTHERS

    def waiting(self) -> tuple[int, int, int]:
        """How many live questions, streams and jobs wait."""
        with self._ready:
            live, stream, job = (len(self._queues[kind]) for kind in PRIORITIES)
        return live, stream, job

    def give_way(self, task: Task) -> None:
        """A safe point of a running task. A stream pauses if another's turn has come; a job serves all above it."""
        if task.strand is not None:
            with self._ready:
                others = len(self._streams) > 1 or task not in self._first or self._joining() is not None
                others = others or any(self._may_run(live) for live in self._queues["live"])
            if others:
                task.strand.pause()
        elif task.operation.kind == "job":
            self._serve()

    def _serve(self) -> None:
        """Answer live tasks and let streams take turns, until those have ended that are here now.

        So no job is stopped for good: a stream that comes in meanwhile takes part at once, and if it is still there
        then, it pauses for one step of the job. While a model is being loaded, tasks that need another load wait.
        """
        self._let_in()
        self._first = set(self._streams)
        while self._first:
            for task in list(self._streams):
                self._take_turn(task)
                self._serve_live()
            self._let_in()
            self._first &= set(self._streams)

    def _serve_live(self, *, quick: bool = False) -> None:
        # Those that come in meanwhile wait for the next safe point, so that a busy slider stops nobody for good; but
        # for those that take a moment, as long as all of them take no more than BESIDE. ``quick``: these alone.
        with self._ready:
            waiting = set() if quick else {task for task in self._queues["live"] if self._may_run(task)}
        left, taken = BESIDE, Counter[str]()
        while True:
            with self._ready:
                here = [t for t in self._queues["live"] if self._may_run(t)]
                here = [t for t in here if t in waiting or (left > 0 and self._lengths.is_quick(t))]
                if not here:
                    return
                task = in_rounds(here, taken, self._lengths.is_quick)[0]
                self._queues["live"].remove(task)
            taken[task.asker] += 1
            began = time.monotonic()
            contextvars.Context().run(self._run, task)
            if task not in waiting:
                left -= time.monotonic() - began

    def let_quick_in(self) -> None:
        """A safe point of a live task: those run that take a moment, and let nobody in themselves."""
        if self._inside:
            return
        self._inside = True
        try:
            self._serve_live(quick=True)
        finally:
            self._inside = False

    def _let_in(self) -> None:
        """Begin the streams that may take part, one after the other: the first step of each may load a model."""
        while True:
            self._serve_live()
            with self._ready:
                task = self._joining()
                if task is None:
                    return
                self._queues["stream"].remove(task)
                self._since = time.monotonic()
            task.strand = Strand(self._threads, partial(contextvars.Context().run, self._run, task))
            self._streams.append(task)
            self._take_turn(task)

    def _take_turn(self, task: Task) -> None:
        outer, self.at = self.at, task
        assert task.strand is not None
        if task.strand.go_on():
            self._streams.remove(task)
        self.at = outer

    def _joining(self) -> Task | None:
        """The next stream that may take part. One whose model would be one too many waits, and all behind it."""
        if len(self._streams) >= TOGETHER:
            return None
        for task in in_rounds(self._queues["stream"], Counter(t.asker for t in self._streams)):
            if self._may_run(task):
                models = {getattr(t.operation, "model", None) for t in (*self._streams, task)} - {None}
                return task if len(models) <= max(1, self.residents.limit) else None
        return None

    def _may_run(self, task: Task) -> bool:
        return self.residents.may_use(getattr(task.operation, "model", None))

    def _run(self, task: Task) -> None:
        with self._ready:
            task.started, task.began = True, time.time()
            for token in task.subscribers:
                self._note(task, token, state="running", text="", began=task.began)
            if task.operation.kind == "job":
                self.tell_waits()
        before, self.at = self.at, task
        task.emit({"type": "started"})
        began = time.monotonic()
        message, result = self._answer(task.operation, TaskContext(self, task), task)
        self.at = before
        if task.operation.kind == "live":
            self._lengths.note(task, time.monotonic() - began)
        if task.operation.kind == "job":
            self._since = time.monotonic()
        changes: dict[str, Any] = {"state": "failed", "reason": message.get("text", "")}
        if message["type"] == "result":
            changes = {"state": "done", "share": 1.0, "files": list(result.files) if result is not None else []}
            with self._ready:
                who = next((s.who for s in task.subscribers.values()), "")
            self.shares.note(who, changes["files"])
        elif message["type"] == "cancelled":
            changes = {"state": "cancelled", "reason": "cancelled"}
        with self._ready:
            if self._tasks.get(task.key) is task:
                del self._tasks[task.key]
            for token in task.subscribers:
                self._note(task, token, **changes)
            if task.operation.kind == "job":
                self.tell_waits()
        task.emit(message, result)

    def _answer(
        self, operation: Operation, context: Context, task: Task | None = None
    ) -> tuple[dict[str, Any], Result | None]:
        try:
            if task is not None and task.cancel.is_set():
                raise Cancelled
            result = context.perform(operation)
            return {"type": "result", "stored": operation.kind == "job"}, result
        except Cancelled:
            return {"type": "cancelled"}, None
        except UserError as error:
            return {"type": "error", "kind": "user", "text": error.message, "field": error.field}, None
        except BaseException as error:  # a library in Rust panics with what is no Exception; the one thread lives on
            return bug(error, f"{type(operation).__name__} {_numbers(operation)}"), None


def _numbers(operation: Operation) -> dict[str, Any]:
    """The settings of an operation that are no text: a log holds nothing that was typed."""
    return {k: v for k, v in operation.to_params().items() if v is None or isinstance(v, (bool, int, float))}


def bug(error: BaseException, where: str) -> dict[str, Any]:
    """The message for a failure that is not the asker's fault; the log has its traceback under the same number.

    A disk that takes nothing more is no bug, and said.
    """
    refusal = disk_refusal(error)
    if refusal:
        log.warning("the disk takes nothing: %s", where)
        return {"type": "error", "kind": "user", "text": refusal, "field": None}
    number = uuid.uuid4().hex[:8]
    log.error("failure %s in %s", number, where, exc_info=error)
    text = f"Something failed inside Attune ({number}, {type(error).__name__}). The log has the details."
    if "out of memory" in str(error).lower() or isinstance(error, MemoryError):
        text = "This needs more memory than the device has. Shorten the prompt or choose a smaller model."
    return {"type": "error", "kind": "bug", "text": text, "field": None}
