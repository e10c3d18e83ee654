"""The process that speaks with Ray for a web process: ``python -m analysis.cluster.keeper``.

It gives each node its actor, asks the actors where their workers listen, and writes what it knows to its standard
output, a line of JSON each time. It is a process of its own since a process that is linked to Ray dies when the head of
the cluster stays away, and Ray's threads and its second of import are no business of a web server. It ends when its
standard input closes, and with it end the actors, which it owns.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing import AuthenticationError
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil

from analysis.answer import from_wire
from analysis.cluster.alike import nonce_path, versions
from analysis.cluster.host import WorkerHost
from analysis.cluster.link import VARIABLE, link
from analysis.cluster.seats import Node, Seat, label_of, named, seats
from analysis.engine import protocol
from analysis.engine.own import PLACES
from analysis.errors import UserError
from analysis.home import folder, home
from analysis.status import WorkerStatus

EVERY = 0.25
"""Seconds between two looks at the actors."""
NODES = 1.0
"""Seconds between two looks at the nodes, and between two lines at most."""
AGAIN = 10.0
"""Seconds before an actor is made anew on a node that could have none."""
SILENT = 10.0
"""Seconds after which an actor that does not answer is said not to."""


class Minded:
    """One seat and its actor. ``facts``: what the actor said last; ``text``: why there is no worker."""

    def __init__(self, seat: Seat) -> None:
        self.seat, self.handle, self.asked = seat, None, None
        self.facts: dict[str, Any] = {}
        self.text, self.since, self.retry = "The worker is being started.", time.monotonic(), 0.0

    handle: Any
    asked: Any
    idle: Future[bool] | None = None


class Keeper:
    """Actors on the nodes of a cluster. ``settings``: as :class:`WorkerHost`'s, with ``gpus``, ``cpus`` and ``label``
    of seats."""

    def __init__(self, ray: ModuleType, settings: dict[str, Any]) -> None:
        self._ray, self._settings = ray, settings
        self._gpus, self._label = settings["gpus"], label_of(settings["label"])
        self._home = str(home())
        self._tag = hashlib.sha256(f"{self._home} {_id_of(folder(PLACES) / '.id')}".encode()).hexdigest()[:10]
        self._nonce = _new_nonce()
        nonce_path(self._home, self._nonce).write_text(self._nonce, encoding="utf-8")
        self._versions = versions()
        self._names: dict[str, str] = {}
        self._minded: dict[str, Minded] = {}
        self._leaving = set[str]()  # the nodes whose worker is there until it is idle
        self._first = ""  # the seat whose worker loads the first model by itself
        self._asker = ThreadPoolExecutor(4, "idle")
        self._own = ray.get_runtime_context().get_node_id()

    def close(self) -> None:
        """End the actors that are this process's own."""
        nonce_path(self._home, self._nonce).unlink(missing_ok=True)
        self._ray.shutdown()

    def look_at_nodes(self) -> None:
        """Give new nodes their seats; forget those that are gone."""
        nodes = [
            Node(
                entry["NodeID"], entry["NodeManagerHostname"], entry["NodeManagerAddress"],
                float(entry["Resources"].get("GPU", 0)), float(entry["Resources"].get("CPU", 0)),
                tuple(sorted((entry.get("Labels") or {}).items())),
            )
            for entry in self._ray.nodes()
            if entry["Alive"]
        ]  # fmt: skip
        usual = seats(nodes, self._gpus, self._label)
        ids, there = {seat.id for seat in usual}, {node.id for node in nodes}
        over = [m for m in self._minded.values() if m.seat.id not in ids and m.seat.node.id in there and not m.seat.why]
        kept = {minded.seat.node.id for minded in over if self._works(minded)}
        wanted = named(seats(nodes, self._gpus, self._label, kept) if kept else usual, self._names)
        wanted.sort(key=lambda seat: (seat.node.id != self._own, seat.name))  # what is near comes first
        self._leaving = kept
        able = [seat.id for seat in wanted if not seat.why and seat.node.id not in kept]
        if self._first not in able:
            self._first = able[0] if able else ""
        self._minded = {seat.id: self._minded.get(seat.id) or Minded(seat) for seat in wanted}

    def _works(self, minded: Minded) -> bool:
        """Whether the worker of a seat that its node has no claim to any more computes still, as far as is known: it is
        asked beside the loop, and kept until it has said that it does not."""
        if not minded.facts.get("address"):
            return False
        answer = minded.idle
        if answer is None or answer.done():
            minded.idle = self._asker.submit(idle, dict(minded.facts))
        return answer is None or not answer.done() or not answer.result()

    def look_at_actors(self) -> None:
        """Make the actors that are missing, and hear those that answer; waits for none."""
        for minded in self._minded.values():
            if minded.seat.why:
                minded.text = minded.seat.why
                continue
            try:
                self._look(minded)
            except self._ray.exceptions.RayError as error:
                self._lost(minded, error)

    def _look(self, minded: Minded) -> None:
        now = time.monotonic()
        if minded.handle is None:
            if now < minded.retry:
                return
            minded.handle, minded.asked = self._actor(minded.seat), None
        if minded.asked is None:
            minded.asked, minded.since = minded.handle.where.remote(self._nonce), now
        done, _ = self._ray.wait([minded.asked], timeout=0)
        if not done:
            if now - minded.since > SILENT and not minded.facts.get("address"):
                minded.text = "The worker is not there yet: its node has no room for it, or does not answer."
            return
        asked, minded.asked = minded.asked, None
        facts = json.loads(self._ray.get(asked))
        if facts["refused"]:
            minded.text, minded.facts = facts["refused"], {}
            if not facts["others"]:
                self._ray.kill(minded.handle)
            minded.handle, minded.retry = None, now + AGAIN
        else:
            minded.facts, minded.text = facts, "" if facts.get("address") else "The worker is being started."

    def _lost(self, minded: Minded, error: Exception) -> None:
        """The actor's process is gone: Ray starts it again, unless it says that it does not."""
        minded.asked = None
        reason = "The process that minds the worker has stopped, and the worker with it. Both are started again."
        if minded.facts.get("address"):
            minded.facts = {"ended": {"address": str(minded.facts["address"]), "reason": reason}}
        minded.text = reason
        if not isinstance(error, self._ray.exceptions.ActorUnavailableError):
            minded.handle, minded.retry = None, time.monotonic() + (1.0 if minded.facts else AGAIN)
            if not minded.facts:
                minded.text = f"The worker could not be started on this node: {_short(error)}"

    def _actor(self, seat: Seat) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        given = {
            **{name: self._settings[name] for name in ("threads", "worker", "environment")},
            "home": self._home, "nonce": self._nonce, "versions": self._versions, "place": seat.name,
            "listen": seat.node.address, "preload": self.first_models(seat),
        }  # fmt: skip
        given["environment"] = {**given["environment"], VARIABLE: self._settings["address"]}
        # As many as the node has seats, by GPUs; the actor itself computes nothing, so it takes none of Ray's cores.
        options = {
            "num_cpus": self._settings["cpus"], "num_gpus": seat.gpus, "max_restarts": -1,
            "name": f"worker-{self._tag}-{seat.id}", "get_if_exists": True,
            "scheduling_strategy": NodeAffinitySchedulingStrategy(seat.node.id, soft=False),
        }  # fmt: skip
        return self._ray.remote(WorkerHost).options(**options).remote(json.dumps(given))

    def first_models(self, seat: Seat) -> list[dict[str, Any]]:
        """What the worker of a seat loads by itself: the first one alone does."""
        return list(self._settings["preload"]) if seat.id == self._first else []

    def state(self) -> dict[str, Any]:
        """What is said to the web process."""
        return {"phase": "ready", "places": [self._entry(minded) for minded in self._minded.values()]}

    def _entry(self, minded: Minded) -> dict[str, Any]:
        seat = minded.seat
        kept = {name: minded.facts[name] for name in ("address", "authkey", "pid", "ended") if name in minded.facts}
        return {
            "id": seat.id, "name": seat.name, "host": seat.node.host,
            "gpus": seat.gpus if seat.number else seat.node.gpus,
            "cpus": seat.node.cpus, "able": not seat.why, "leaving": seat.node.id in self._leaving,
            "text": minded.text, "first": self.first_models(seat), "facts": kept,
        }  # fmt: skip


def idle(facts: dict[str, Any]) -> bool:
    """Whether a worker says that it computes nothing and nothing waits for it; False where it does not answer."""
    try:
        connection = protocol.dial(facts["address"], bytes.fromhex(facts["authkey"]), time.monotonic() + 1.0)
        with connection:
            protocol.limit(connection, protocol.DIALS)
            protocol.send(connection, {"type": "status", "who": ""})
            status = from_wire(WorkerStatus, protocol.receive(connection)[0]["status"], {})
    except (OSError, ValueError, KeyError, TypeError, EOFError, AuthenticationError):
        return False
    return not status.busy and not any(status.waiting) and status.loading is None


def _id_of(path: Path) -> str:
    """The number by which a data folder is known, made at its first use: two folders may have the same path on two
    volumes, and names of actors are for a whole cluster."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(secrets.token_hex(8))
    except FileExistsError:
        pass
    for _ in range(100):
        known = path.read_text(encoding="utf-8")
        if len(known) == 16:
            return known
        time.sleep(0.02)  # another one is just writing it
    raise UserError(f"{path} holds no number of this data folder. Remove it.", "home")


def _new_nonce() -> str:
    """A number that only who sees the data folder as it is now can read; those of keepers that were ended by force on
    this machine are taken away."""
    mine = f"{socket.gethostname()}-"
    for path in folder(PLACES).glob(f".seen-{mine}*"):
        pid = path.name.removeprefix(f".seen-{mine}").partition("-")[0]
        if pid.isdecimal() and not psutil.pid_exists(int(pid)):
            path.unlink(missing_ok=True)
    return f"{mine}{os.getpid()}-{secrets.token_hex(16)}"


def _short(error: Exception) -> str:
    """The last line of an error that Ray hands on, which is the one that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__


def main() -> None:
    """Read the settings from standard input; keep actors and say where workers are, until it closes."""
    settings = json.loads(sys.stdin.readline())
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is no line of ours

    def say(state: dict[str, Any]) -> None:
        lines.write(json.dumps(state) + "\n")
        lines.flush()

    ended = threading.Event()
    threading.Thread(target=_hear_end, args=(ended,), daemon=True).start()
    try:
        ray = link(settings["address"])
        # Workers may stand on other nodes than this process, so they are told the address that all nodes know.
        keeper = Keeper(ray, {**settings, "address": ray.get_runtime_context().gcs_address})
    except UserError as error:
        say({"phase": error.message, "places": []})
        sys.exit(1)
    threading.Thread(target=_leave_when, args=(ended,), daemon=True).start()
    try:
        _keep(keeper, say, ended)
    finally:
        keeper.close()


def _keep(keeper: Keeper, say: Callable[[dict[str, Any]], None], ended: threading.Event) -> None:
    looked, spoke, last = 0.0, 0.0, None
    while not ended.is_set():
        now = time.monotonic()
        if now - looked > NODES:
            keeper.look_at_nodes()
            looked = now
        keeper.look_at_actors()
        state = keeper.state()
        if state != last or now - spoke > NODES:
            say(state)
            last, spoke = state, now
        ended.wait(EVERY)


def _hear_end(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


def _leave_when(ended: threading.Event) -> None:
    """A cluster that does not answer must not keep this process."""
    ended.wait()
    time.sleep(5.0)
    os._exit(0)


if __name__ == "__main__":
    main()
