"""How a client reaches workers: a connection for each call, to the place that its places name. Nothing here knows what
a question is; :mod:`analysis.engine.client` does."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from contextvars import copy_context
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection
from typing import Any

from analysis.answer import from_wire
from analysis.asker import LOOKING, WHO
from analysis.engine import protocol
from analysis.engine.operation import Operation
from analysis.engine.places import Place, Places
from analysis.status import JobRow, PlaceStatus, WorkerStatus, together

log = logging.getLogger(__name__)
SAYS = 2.0
"""Seconds that one of several machines has for each thing it says when all are asked; one that hangs (stopped, short of
memory, waiting for a disk) keeps what is said of all for so long at most."""
AT_ONCE = 0.3
"""Seconds for what is shown, or told to all places: those that do not answer by then are left out."""
WATCH = 30.0
"""Seconds without a word on a question after which a machine of a cluster is asked whether it is there."""
HUNG = 90.0
"""Seconds of asking in vain after which what it was at is given up."""


class WorkerGone(Exception):
    """The worker is not there, or died while it worked on this. The text says which, for the reader."""


class Calls:
    """What may be asked of workers besides questions, and the connections to them. Safe to use from many threads.

    ``patience``: seconds that a question waits for a worker to be there.
    """

    def __init__(self, places: Places, patience: float) -> None:
        self.places, self.patience = places, patience

    def cancel(self, token: str) -> bool:
        """Cancel a question by its token, unless one may only look. True if it was still waiting or running."""
        return not LOOKING.get() and self._tell_all({"type": "cancel", "token": token})

    def end_part(self, token: str, part: str) -> bool:
        """End one part of a stream, such as one of several texts; the others go on. True if the stream was there."""
        return self._tell_all({"type": "end part", "token": token, "part": part})

    def jobs(self) -> list[JobRow]:
        """The recent jobs that the asker may see, newest first; from the books on disk where there is no worker."""
        said = dict[str, list[JobRow]]()
        for place, answer in self._ask_all(self.places.all(), {"type": "jobs"}):
            if isinstance(answer, WorkerGone):
                log.debug("no jobs: %s", answer)
            else:
                said[place.name] = [JobRow(**row) for row in answer["jobs"]]
        return self.places.jobs(said, WHO.get())

    def status(self) -> WorkerStatus:
        """What the worker is doing and which models it holds, or all workers together; only a phase while there is
        none."""
        said = list(self.statuses().values())
        return together(said) if said else WorkerStatus(self.places.absence())

    def hosts(self) -> list[PlaceStatus]:
        """Every place of a cluster and what its worker does; nothing on one machine."""
        return self.places.hosts(self.statuses())

    def trouble(self) -> str:
        """What is wrong with a cluster as a whole; "" for nothing, and on one machine."""
        return self.places.trouble()

    def statuses(self) -> dict[str, WorkerStatus]:
        """What every worker says, by its place; the reason as a phase where none answers."""
        said = dict[str, WorkerStatus]()
        for place, answer in self._ask_all(self.places.all(), {"type": "status"}):
            if isinstance(answer, WorkerGone):
                said[place.name] = WorkerStatus(str(answer))
            else:
                said[place.name] = from_wire(WorkerStatus, answer["status"], {})
        self.places.heard(said)
        return said

    def _tell_all(self, message: dict[str, Any]) -> bool:
        """Tell the worker, or all of them, something of a token; True if one of them knew it."""
        places = self.places.all()
        if len(places) == 1:
            return bool(self._control(places[0], message).get("found"))
        said = self._ask_all(places, message)
        return any([not isinstance(answer, WorkerGone) and bool(answer.get("found")) for _, answer in said])

    def _ask_all(self, places: list[Place], message: dict[str, Any]) -> list[tuple[Place, dict[str, Any] | WorkerGone]]:
        """What each place answers, or why it does not; all are asked at the same time."""

        def asked(place: Place) -> dict[str, Any] | WorkerGone:
            try:
                return self._control(place, message, AT_ONCE, SAYS if len(places) > 1 else None)
            except WorkerGone as error:
                return error

        if len(places) < 2:
            return [(place, asked(place)) for place in places]
        with ThreadPoolExecutor(len(places)) as threads:  # each in a context of its own: it knows who asks
            running = [threads.submit(copy_context().run, asked, place) for place in places]
            return [(place, one.result()) for place, one in zip(places, running, strict=True)]

    def _control(
        self, place: Place, message: dict[str, Any], patience: float | None = None, says: float | None = None
    ) -> dict[str, Any]:
        connection, address = self._connect(place, patience, says)
        try:
            protocol.limit(connection, says or protocol.DIALS)
            protocol.send(connection, {**message, "who": WHO.get()})
            return protocol.receive(connection)[0]
        except BlockingIOError as error:  # it is there and silent: nobody will say why it ended
            raise WorkerGone(place.gone() or place.lost()) from error
        except (EOFError, OSError) as error:
            raise WorkerGone(self._why_gone(place, address)) from error
        finally:
            connection.close()

    def _hear(self, place: Place, connection: Connection) -> tuple[dict[str, Any], dict[str, Any]]:
        """The next message on a question. The system of a machine keeps the connections of a worker that hangs
        (stopped, or short of memory), so one that says nothing is asked how it is, and left once it does not answer
        that either for long. Raises WorkerGone then, and EOFError or OSError."""
        silent: float | None = None
        while place.name and not connection.poll(WATCH):
            try:
                self._control(place, {"type": "status"}, AT_ONCE, SAYS)
                silent = None
            except WorkerGone as error:
                silent = time.monotonic() if silent is None else silent
                if time.monotonic() - silent > HUNG:
                    raise WorkerGone(place.gone() or place.lost()) from error
        return protocol.receive(connection)

    def _connect(
        self, place: Place, patience: float | None = None, says: float | None = None
    ) -> tuple[Connection, Any]:
        """A connection, and the address that it goes to: each run of the worker has an address of its own."""
        deadline = time.monotonic() + (self.patience if patience is None else patience)
        while True:
            try:
                facts = place.facts()
                address, key = facts["address"], bytes.fromhex(facts["authkey"])
                return protocol.dial(address, key, deadline, says), address
            except (OSError, ValueError, KeyError, TypeError, EOFError, AuthenticationError) as error:
                if place.gone() or time.monotonic() > deadline:
                    raise WorkerGone(place.gone() or self.places.absence()) from error
                time.sleep(0.05)

    def _why_gone(self, place: Place, address: Any) -> str:
        """The supervisor's reason for the end of the worker at that address, written just after it has died."""
        deadline = time.monotonic() + place.notice
        while time.monotonic() < deadline and not place.gone():
            try:
                ended = place.facts().get("ended") or {}
                if ended.get("address") == str(address):
                    return str(ended["reason"])
            except (OSError, ValueError, KeyError, AttributeError) as error:
                log.debug("no reason yet: %s", error)
            time.sleep(0.05)
        return place.gone() or place.lost()

    @contextmanager
    def _place(self, operation: Operation[Any]) -> Iterator[Place]:
        """The place that answers an operation, once there is one. Raises WorkerGone if there is none."""
        deadline = time.monotonic() + self.patience
        with ExitStack() as stack:
            while True:
                try:
                    place = stack.enter_context(self.places.place_for(operation))
                    break
                except LookupError as error:
                    if time.monotonic() > deadline:
                        raise WorkerGone(self.places.absence()) from error
                    time.sleep(0.05)
            yield place
