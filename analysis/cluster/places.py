"""The places of a cluster, as the client sees them (:class:`analysis.engine.places.Places`).

What is where comes from the keeper, a process of its own that speaks with Ray (:mod:`analysis.cluster.keeper`), over a
pipe; the keys of workers as well, so that they lie in no file. A question goes to its worker by a socket, and neither
Ray nor the keeper has a part in it: while a model's place is known, the choice costs a look into a dict.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from analysis.cluster.link import named_cluster
from analysis.cluster.rule import Ledger
from analysis.cluster.settings import settings_here
from analysis.engine.calls import Calls
from analysis.engine.jobs import ENDED, read_book, rows_for
from analysis.engine.operation import Operation
from analysis.engine.own import PLACES
from analysis.engine.places import Place
from analysis.home import folder, home
from analysis.models.spec import ModelSpec
from analysis.status import JobRow, PlaceStatus, WorkerStatus

log = logging.getLogger(__name__)
STALE = 6.0
"""Seconds without a word of the keeper after which the head of the cluster is said not to answer."""
UNHEARD = 15.0
"""Seconds of asking in vain after which a worker gets no questions until it answers again; Ray notices a machine that
was cut off after about a minute."""
SHOWN = 50
"""Ended jobs that are shown, as one machine's book keeps about as many."""
CONNECTING = "The cluster of {} is being reached; its workers are started then."


@dataclass(frozen=True)
class Seen:
    """A place as the keeper saw it last. ``id``: of its seat; another node under the same name has another one.
    ``leaving``: it has a worker until that is idle."""

    id: str
    name: str
    host: str
    gpus: float = 0.0
    cpus: float = 0.0
    able: bool = True
    leaving: bool = False
    text: str = ""
    first: tuple[ModelSpec, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, entry: dict[str, Any]) -> Seen:
        """From the keeper's line."""
        return cls(**{**entry, "first": tuple(ModelSpec.from_dict(spec) for spec in entry["first"])})


@dataclass(frozen=True)
class ClusterPlace:
    """The worker of one seat."""

    places: ClusterPlaces
    seen: Seen
    notice: float = 5.0

    @property
    def name(self) -> str:
        """Of the place."""
        return self.seen.name

    def facts(self) -> dict[str, Any]:
        """As the keeper has them now. ValueError once the place is gone."""
        now = self.places.seen(self.seen.id)
        if now is None:
            raise ValueError("this place is gone")
        return now.facts

    def gone(self) -> str:
        """Once its node is no part of the cluster any more or is to have no worker, the cluster as a whole is away, or
        the machine has not answered for :data:`UNHEARD` seconds."""
        if self.places.seen(self.seen.id) is None:
            left = f"The machine {self.seen.host} left the cluster while this ran, or before it began."
            return self.places.away(self.seen) or left
        return f"The machine {self.seen.host} does not answer." if self.places.unheard(self.seen.id) else ""

    def lost(self) -> str:
        """The machine may be cut off, or its worker gone and the reason with it."""
        return f"The connection to the machine {self.seen.host} was lost while this ran."


class ClusterPlaces:
    """Starts the keeper, hears it, and chooses. ``preload`` are the models that one worker loads at once, ``threads``
    those of each worker (0: all cores), ``worker`` the module that is run."""

    def __init__(self, address: str, home: Path) -> None:
        self.address, self.home = address, home
        self.preload: list[ModelSpec] = []
        self.threads, self.worker = 0, "analysis.worker"
        self._lock, self._choosing = threading.RLock(), threading.Lock()
        self._ledger, self._seen = Ledger(), dict[str, Seen]()
        self._unheard = dict[str, float]()  # by seat: since when its worker has not answered
        self._phase, self._heard = CONNECTING.format(address), 0.0
        self._process: subprocess.Popen[str] | None = None
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._calls = Calls(self, 0.0)

    # The keeper ------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin; returns at once. UserError for settings that say nothing."""
        preload = [model.to_dict() for model in self.preload]
        given = {**settings_here(), "preload": preload, "threads": self.threads, "worker": self.worker}
        self._stop.clear()
        self._thread = threading.Thread(target=self._watch, args=(given,), daemon=True, name="cluster")
        self._thread.start()

    def stop(self) -> None:
        """End the keeper, and with it the workers."""
        self._stop.set()
        process = self._process
        if process is not None and process.stdin is not None:
            process.stdin.close()
        if self._thread is not None:
            self._thread.join(8.0)
        if process is not None and process.poll() is None:
            process.kill()

    def _watch(self, given: dict[str, Any]) -> None:
        pause = 1.0
        while not self._stop.is_set():
            began = time.monotonic()
            self._run(given)
            with self._lock:
                if self._phase == "ready":
                    self._phase = f"The Ray cluster at {self.address} does not answer any more; it is tried again."
                self._set([])
            pause = 1.0 if time.monotonic() - began > 60 else min(10.0, pause * 2)
            self._stop.wait(pause)

    def _run(self, given: dict[str, Any]) -> None:
        logs = folder("logs") / "cluster.err"
        with logs.open("a") as errors:
            logs.chmod(0o600)
            process = subprocess.Popen(
                [sys.executable, "-m", "analysis.cluster.keeper"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
                env={**os.environ, "ATTUNE_HOME": str(self.home)}, cwd=Path(__file__).resolve().parents[2],
            )  # fmt: skip
        with process:
            self._process = process
            assert process.stdin is not None and process.stdout is not None
            try:
                process.stdin.write(json.dumps({**given, "address": self.address}) + "\n")
                process.stdin.flush()
                if self._stop.is_set():
                    process.stdin.close()
                for line in process.stdout:
                    self.take(json.loads(line))
            except (OSError, ValueError) as error:
                if not self._stop.is_set():
                    log.warning("the keeper of the cluster stopped: %s", error)
                    process.kill()

    def take(self, state: dict[str, Any]) -> None:
        """A line of the keeper's."""
        with self._lock:
            self._phase, self._heard = str(state["phase"]), time.monotonic()
            self._set([Seen.of(entry) for entry in state["places"]])

    def _set(self, seen: list[Seen]) -> None:
        self._seen = {place.id: place for place in seen}
        self._unheard = {id: since for id, since in self._unheard.items() if id in self._seen}
        there = [place for place in self._with_worker() if not self.unheard(place.id)]
        runs = {place.name: (str(place.facts["address"]), place.first) for place in there}
        self._ledger.set(runs, {place.name for place in there if place.leaving})

    def _with_worker(self) -> list[Seen]:
        return [place for place in self._seen.values() if place.able and place.facts.get("address")]

    def unheard(self, id: str) -> bool:
        """Whether a worker that is said to be there has not answered for long, so that nothing is sent to it."""
        since = self._unheard.get(id)
        return since is not None and time.monotonic() - since > UNHEARD

    def seen(self, id: str) -> Seen | None:
        """A seat as it is now; None once it is gone."""
        with self._lock:
            return self._seen.get(id)

    def away(self, place: Seen) -> str:
        """Why a seat is there no more, where it is not that its machine has left; "" if it is."""
        with self._lock:
            if self._phase != "ready":
                return self._phase
            node = place.id.rpartition(".")[0]
            why = next((p.text for p in self._seen.values() if p.id.rpartition(".")[0] == node and not p.able), "")
            return f"The machine {place.host} has no worker any more. {why}" if why else ""

    # What the client asks --------------------------------------------------------------------------------------------

    @contextmanager
    def place_for(self, operation: Operation[Any]) -> Iterator[Place]:
        """The place of a question; until the context ends, its model counts as being there."""
        model = getattr(operation, "model", None)
        model, loads = model if isinstance(model, ModelSpec) else None, operation.kind != "read"
        place = self._choose(model, loads)
        if model is None or not loads:
            yield place
            return
        try:
            yield place
        finally:
            with self._lock:
                self._ledger.end(place.name, model)

    def _choose(self, model: ModelSpec | None, loads: bool) -> ClusterPlace:
        with self._lock:
            if model is None or self._ledger.holder(model) is not None:
                return self._begin(model, loads)
        with self._choosing:  # a model that is nowhere as far as is known: the workers are asked, once for all who wait
            with self._lock:
                known = self._ledger.holder(model) is not None
            if not known:
                self._calls.statuses()
            with self._lock:
                return self._begin(model, loads)

    def _begin(self, model: ModelSpec | None, loads: bool) -> ClusterPlace:
        name = self._ledger.choice(model, loads=loads)
        if model is not None and loads:
            self._ledger.begin(name, model)
        return next(ClusterPlace(self, place) for place in self._seen.values() if place.name == name)

    def all(self) -> list[Place]:
        """The places that have a worker."""
        with self._lock:
            return [ClusterPlace(self, place) for place in self._with_worker()]

    def heard(self, said: dict[str, WorkerStatus]) -> None:
        """Enter what workers hold."""
        with self._lock:
            for place in self._with_worker():
                status = said.get(place.name)
                if status is not None and status.pid is None:
                    self._unheard.setdefault(place.id, time.monotonic())
                elif status is not None:
                    self._unheard.pop(place.id, None)
            for name, status in said.items():
                self._ledger.heard(name, status)

    def jobs(self, said: dict[str, list[JobRow]], who: str) -> list[JobRow]:
        """Those of the workers that answer; of the places that are gone, what their books say on disk: nothing runs
        there any more."""
        with self._lock:
            hosts = {place.name: place.host for place in self._seen.values() if place.able}
            away = "" if self._phase == "ready" else self._phase
        rows = {row.id: replace(row, host=hosts.get(name, name)) for name, part in said.items() for row in part}
        for book in sorted((self.home / PLACES).glob("*/jobs.json")):
            name = book.parent.name
            if name in said:
                continue
            for row in rows_for(read_book(book), who):
                lost = row.state not in ENDED and name not in hosts
                if lost:
                    began = "ended" if row.state == "running" else "begun"
                    row.state, row.reason = (
                        "failed",
                        f"{away} This job had not {began}."
                        if away
                        else f"The machine {name} left the cluster before this job had {began}.",
                    )
                known = rows.get(row.id)
                if known is None or known.started < row.started:
                    rows[row.id] = replace(row, host=hosts.get(name, name))
        ordered = sorted(rows.values(), key=lambda row: -row.started)
        ended = {row.id for row in [row for row in ordered if row.state in ENDED][SHOWN:]}
        return [row for row in ordered if row.id not in ended]

    def hosts(self, said: dict[str, WorkerStatus]) -> list[PlaceStatus]:
        """Every node and its worker."""
        with self._lock:
            return [
                PlaceStatus(p.name if p.able else "", p.host, p.gpus, p.cpus, said.get(p.name), self._text(p))
                for p in self._seen.values()
            ]

    def _text(self, place: Seen) -> str:
        return "The machine does not answer." if not place.text and self.unheard(place.id) else place.text

    def absence(self) -> str:
        """Why there is no place, or no worker at one; what is wrong with the cluster otherwise."""
        with self._lock:
            return self.trouble() or next(
                (p.text for p in self._seen.values() if p.text),
                "The model process is starting; this takes a few seconds.",
            )

    def trouble(self) -> str:
        """What is wrong with the cluster as a whole; "" for nothing."""
        with self._lock:
            if self._phase != "ready":
                return self._phase
            if time.monotonic() - self._heard > STALE:
                return (
                    f"The head of the Ray cluster at {self.address} does not answer. Workers that are there go on "
                    "answering; one that stops now is not started again before the head is back."
                )
            return ""


@cache
def _places(address: str, home: Path) -> ClusterPlaces:
    return ClusterPlaces(address, home)


def cluster_places() -> ClusterPlaces | None:
    """The places of the cluster that this process belongs to, one object for all who ask; None where it belongs to
    none. They are there once somebody has called ``start``."""
    address = named_cluster()
    return _places(address, home()) if address else None
