"""Nodes of a cluster without one: a stand-in for what Ray answers, the code that uses it as it is, and nodes that die.

All that travels goes through blocks of frames, and functions are found by their names, as on nodes.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from analysis.cluster import hands as hands_module
from analysis.cluster.frames import answer_of, block
from analysis.cluster.hands import Hand, Hands
from analysis.cluster.nodes import function_of
from analysis.cluster.spread import OnNodes
from analysis.engine.context import Context
from analysis.engine.memory import Memory
from analysis.engine.spread import Bench


class Gone(Exception):
    """As Ray says that an actor is no more."""


@dataclass(eq=False)
class Reference:
    """What an actor was asked; it answers once somebody waits for it."""

    answer: Any
    at: Any
    number: int = 0


class Actor:
    """A node's actor, which works in this process when it is asked; ``context``: its own, as a node's."""

    def __init__(self, ray: StandIn, model: Any = None, context: Context | None = None) -> None:
        self.ray, self.alive, self.model = ray, True, model
        self.context = context or Context(memory=Memory())
        self.hold = SimpleNamespace(remote=lambda model: Reference("", self))
        self.end = SimpleNamespace(remote=lambda call: None)
        self.share = SimpleNamespace(remote=lambda call: Reference((0.0, ""), self))
        self.work = SimpleNamespace(remote=self._work)

    def _work(self, call: str, model: Any, name: str, common: Any, shard: Any) -> Reference:
        self.ray.works += 1
        if self.ray.works in self.ray.fatal:
            self.alive = False
            self.ray.lost.append(name.rpartition(":")[2])
            return Reference(None, self)
        if call != self.ray.call:
            self.ray.call, self.ray.first = call, self.ray.works
        function, common_kind, shard_kind, _ = function_of(name)
        bench = Bench(self.model, self.context.memory, context=self.context)
        part = block(function(bench, answer_of(common_kind, common), answer_of(shard_kind, shard)))
        return Reference(('{"type": "part"}', part), self, self.ray.works - self.ray.first + 1)


class StandIn:
    """What is used of Ray's module. ``fatal``: the works, by their number from 1, that kill who is given them;
    ``lost``: the functions that those were at."""

    exceptions = SimpleNamespace(RayError=Gone)

    def __init__(self, *nodes: tuple[str, dict[str, str]], fatal: Collection[int] = ()) -> None:
        self.listed = [
            {"NodeID": id, "Alive": True, "Resources": {"CPU": 1.0}, "Labels": labels} for id, labels in nodes
        ]
        self.fatal, self.lost = fatal, list[str]()
        self.works, self.call, self.first = 0, "", 0
        self.first_is_slow = False
        self.head = threading.Event()
        self.head.set()

    def nodes(self) -> list[dict[str, Any]]:
        self.head.wait(5)
        return list(self.listed)

    def get_runtime_context(self) -> Any:
        return SimpleNamespace(get_job_id=lambda: "job", get_node_id=lambda: "a")

    def is_initialized(self) -> bool:
        return True

    def put(self, value: Any) -> Any:
        return value

    def wait(self, pending: list[Reference], timeout: float) -> tuple[list[Reference], list[Reference]]:
        ready = [reference for reference in pending if not (reference.number == 1 and self.first_is_slow)]
        return ready, []

    def get(self, reference: Reference) -> Any:
        if not reference.at.alive:
            raise Gone("the actor is gone")
        return reference.answer

    def kill(self, actor: Actor) -> None:
        actor.alive = False


class NodeHands(Hands):
    """Hands on the nodes of a stand-in, each with a memory or one of the ``contexts``."""

    def __init__(self, ray: StandIn, model: Any = None, contexts: Sequence[Context] = ()) -> None:
        self._model, self._contexts = model, list(contexts)
        with patch.object(hands_module, "link", lambda: ray):
            super().__init__()

    def begin(self, hand: Hand) -> None:
        """As :class:`Hands`."""
        if hand.actor is None:
            hand.actor = Actor(self.ray, self._model, self._contexts.pop(0) if self._contexts else None)


class Lossy(OnNodes):
    """Shards on nodes of which one dies, with all that it remembers, when it is given a work that is ``fatal``, by its
    number. A new process takes its place in the next call."""

    def __init__(
        self, model: Any = None, hands: int = 3, fatal: Collection[int] = (3,), contexts: Sequence[Context] = ()
    ) -> None:
        self.ray = StandIn(*((f"n{n}", {}) for n in range(hands)), fatal=fatal)
        super().__init__(NodeHands(self.ray, model, contexts), "cpu", model, Context())

    @property
    def lost(self) -> list[str]:
        """The functions that nodes were at when they died."""
        return self.ray.lost
