"""Where the workers are, as the client sees it: one on this machine, or several on the nodes of a cluster.

A :class:`Place` is where one worker runs, and another one after it when it dies. :class:`Places` says which place
answers a question. What stands here is the form of one machine; that of a cluster is ``analysis/cluster/places.py``.
"""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from analysis.engine.jobs import read_book, rows_for
from analysis.engine.operation import Operation
from analysis.engine.supervisor import whereabouts
from analysis.status import JobRow, PlaceStatus, WorkerStatus


class Place(Protocol):
    """Where a worker runs. ``name``: unique among the places; "" on one machine. ``notice``: seconds within which it is
    known here that a worker has ended, and why."""

    @property
    def name(self) -> str: ...

    @property
    def notice(self) -> float: ...

    def facts(self) -> dict[str, Any]:
        """What is known of the worker that is there now: ``address`` and ``authkey``; and of the one before it
        ``ended``, its address and the reason. OSError or ValueError while nothing is known."""
        ...

    def gone(self) -> str:
        """Why no worker will be there any more, or none for long; "" as long as one may."""
        ...

    def lost(self) -> str:
        """What is said of a connection that was lost, where nobody knows why."""
        ...


class Places(Protocol):
    """All places of a client."""

    def place_for(self, operation: Operation[Any]) -> AbstractContextManager[Place]:
        """The place that answers an operation, which is counted there until the context ends. LookupError if there is
        none."""
        ...

    def all(self) -> list[Place]:
        """Every place that is there now."""
        ...

    def heard(self, said: dict[str, WorkerStatus]) -> None:
        """Workers have said how they are, by the names of their places."""
        ...

    def jobs(self, said: dict[str, list[JobRow]], who: str) -> list[JobRow]:
        """The jobs that ``who`` is shown, newest first, from what the workers say that answer."""
        ...

    def hosts(self, said: dict[str, WorkerStatus]) -> list[PlaceStatus]:
        """Every place with what its worker has said, and the nodes that have none; nothing on one machine."""
        ...

    def trouble(self) -> str:
        """What is wrong with a cluster as a whole; "" for nothing, and on one machine."""
        ...

    def absence(self) -> str:
        """Why there is no place or no worker, for the reader."""
        ...


@dataclass(frozen=True)
class Here:
    """The worker of a data folder on this machine."""

    home: Path
    name: str = ""
    notice: float = 1.5

    def facts(self) -> dict[str, Any]:
        """As :meth:`Place.facts`, from the file that the supervisor keeps."""
        facts: dict[str, Any] = json.loads(whereabouts(self.home).read_text(encoding="utf-8"))
        return facts

    def gone(self) -> str:
        """Never: another worker comes in its place."""
        return ""

    def lost(self) -> str:
        """The worker's end is the only way to lose it."""
        return "The worker process stopped while this job ran. It is being started again."


@dataclass(frozen=True)
class OneMachine:
    """The one place of a data folder on this machine, which answers everything."""

    home: Path

    def place_for(self, operation: Operation[Any]) -> AbstractContextManager[Place]:
        """The one there is."""
        return nullcontext(Here(self.home))

    def all(self) -> list[Place]:
        """The one there is."""
        return [Here(self.home)]

    def heard(self, said: dict[str, WorkerStatus]) -> None:
        """Nothing follows from it: there is no choice."""

    def jobs(self, said: dict[str, list[JobRow]], who: str) -> list[JobRow]:
        """What the worker says; from the book on disk while there is none."""
        return said[""] if "" in said else rows_for(read_book(self.home / "jobs.json"), who)

    def hosts(self, said: dict[str, WorkerStatus]) -> list[PlaceStatus]:
        """None."""
        return []

    def trouble(self) -> str:
        """Nothing."""
        return ""

    def absence(self) -> str:
        """It is being started."""
        return "The model process is starting; this takes a few seconds."
