"""Whose turn it is among several people, how many questions each may have waiting, and how long a job waits.

Those who ask are told apart by browser where a token is asked for, else by window. Each round has one question of each,
so that nobody's many questions keep another's one waiting; in a round, those that take a moment come before the others.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from analysis.engine.task import Task
from analysis.spoken import duration
from analysis.status import JobRecord

TOTAL = {"live": 64, "stream": 16, "job": 32}
"""Questions that may wait, of all people together."""
EACH = {"live": 32, "stream": 6, "job": 8}
"""Questions of one person that may wait, where several share the model."""
NOUNS = {"live": "questions", "stream": "texts", "job": "jobs"}
QUICK, RECENT = 0.06, 0.3
"""Seconds up to which a live question is a quick one, and the weight of the newest in how long its kind takes."""
LEAST_SHARE = 0.02
"""Share of a job from which its end can be told."""


class Lengths:
    """How long questions take, by their kind; a kind that nobody has asked yet is taken for a long one."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    def note(self, task: Task, seconds: float) -> None:
        """A question took so long. What is asked for the first time loads more than all that come after it, so that the
        last few count."""
        name = type(task.operation).__name__
        before = self._seconds.get(name, seconds)
        self._seconds[name] = before + RECENT * (seconds - before)

    def is_quick(self, task: Task) -> bool:
        """Whether a question takes a moment, as far as is known."""
        return self._seconds.get(type(task.operation).__name__, math.inf) <= QUICK


def in_rounds(
    tasks: Iterable[Task], taken: Mapping[str, int] | None = None, quick: Callable[[Task], bool] | None = None
) -> list[Task]:
    """Tasks in the order of their turns: the first of each person, then the second of each, and so on; in each round
    the ``quick`` ones first.

    ``taken``: how many turns somebody has had already.
    """
    seen = Counter(taken or {})

    def turn(task: Task) -> tuple[int, bool]:
        seen[task.asker] += 1
        return seen[task.asker], quick is not None and not quick(task)

    return sorted(tasks, key=turn)


def one_each(tasks: Sequence[Task], last: Mapping[str, int]) -> list[Task]:
    """Tasks in the order of their turns where one runs at a time: whose last turn was longest ago comes first.

    ``last``: the number of the last turn of those who had one.
    """
    rest, had, order = list(tasks), dict(last), []
    turn = max(had.values(), default=0)
    while rest:
        task = min(rest, key=lambda t: had.get(t.asker, 0))
        turn += 1
        had[task.asker] = turn
        rest.remove(task)
        order.append(task)
    return order


def why_full(kind: str, waiting: Sequence[Task], who: str) -> str:
    """Why no further question of a kind is taken in; "" where there is room."""
    if len(waiting) >= TOTAL[kind]:
        return "The model is busy: its queue is full. Wait until something has ended and try again."
    if who and sum(task.asker == who for task in waiting) >= EACH[kind]:
        mend = ", or cancel one in the tray" if kind == "job" else ""
        return f"{EACH[kind]} of your {NOUNS[kind]} wait already. Wait until one has begun{mend}, and ask again."
    return ""


def usual_seconds(records: Iterable[JobRecord], operation: str) -> float | None:
    """How long jobs of an operation took, on average of those in the book; None where none of it has ended yet, since
    others say nothing of it."""
    own = [r for r in records if r.operation == operation and r.state == "done" and r.began and not r.quick]
    return sum(r.changed - r.began for r in own) / len(own) if own else None


def seconds_left(record: JobRecord, usual: float | None, now: float) -> float | None:
    """How long a running job still takes: by its share, else by what is usual; None where neither says."""
    gone = now - record.began if record.began else 0.0
    if record.share is not None and record.share >= LEAST_SHARE:
        return gone * (1 - record.share) / record.share
    return None if usual is None else max(0.0, usual - gone)


def waits(
    records: Sequence[JobRecord], running: Sequence[JobRecord], queued: Sequence[JobRecord], now: float | None = None
) -> dict[str, str]:
    """What those are told whose jobs wait for others, by the id of the job. ``records``: the book; ``running`` and
    ``queued``: one record for each job, however many wait for it, those that wait in the order of their turns."""
    now = time.time() if now is None else now
    usual = {name: usual_seconds(records, name) for name in {r.operation for r in (*running, *queued)}}
    before, seconds, said = len(running), 0.0, {}
    for record in running:
        left = seconds_left(record, usual[record.operation], now)
        seconds += math.nan if left is None else left
    for record in queued:
        if before:
            said[record.id] = _words(before, seconds)
        length = usual[record.operation]
        seconds += math.nan if length is None else length
        before += 1
    return said


def _words(before: int, seconds: float) -> str:
    which = "1 job comes" if before == 1 else f"{before} jobs come"
    return f"waiting: {which} first" + ("" if math.isnan(seconds) else f", about {duration(max(1.0, seconds))}")
