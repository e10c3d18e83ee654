"""The hands of a cluster: which there are, which of them are up, and which shard was last on which.

A hand is a node for work on the CPU, or a GPU of a node for work on GPUs. Its actor is begun at the first call and
kept for the next ones, with the models and data that it holds, until nothing has been asked for a while. Actors belong
to this process: if it ends, Ray ends them.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import secrets
import threading
import time
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from analysis.cluster.alike import nonce_path, versions
from analysis.cluster.link import link
from analysis.cluster.seats import LABEL, label_of
from analysis.engine.own import PLACES
from analysis.home import folder, home

log = logging.getLogger(__name__)
IDLE = 600.0
"""Seconds without a call after which the actors end, so that their CPUs and GPUs are free for others."""
FRESH = 3.0
"""Seconds for which the list of nodes is believed."""
PATIENCE = 2.0
"""Seconds for which a list of nodes is waited for; a head that is away gives none, and the last one is believed on."""
REST = 60.0
"""Seconds before a hand that could not begin is tried again."""
HOMES = 100_000
HANDED_ON = ("ATTUNE_MODEL_ROOT", "HF_HUB_OFFLINE", "HF_ENDPOINT")
"""What nodes are told of the asker's environment, where it is set."""


@dataclass(eq=False)
class Hand:
    """A place for one shard at a time. ``key``: node, kind ("cpu" or "cuda") and number. ``holds``: models (as JSON)
    that it is known to hold; ``asked``: the loading that was asked for last and has not ended, with its reference."""

    key: tuple[str, str, int]
    actor: Any = None
    holds: set[str] = field(default_factory=set)
    asked: dict[str, Any] = field(default_factory=dict)

    @property
    def node(self) -> str:
        """A short name for logs."""
        return f"{self.key[0][:8]}/{self.key[1]}{self.key[2]}"


class Hands:
    """All hands of one cluster, as this process has them."""

    def __init__(self) -> None:
        self.ray = link()
        self.job, self.own = self.ray.get_runtime_context().get_job_id(), self.ray.get_runtime_context().get_node_id()
        self.homes: OrderedDict[str, tuple[str, str, int]] = OrderedDict()
        self._hands: dict[tuple[str, str, int], Hand] = {}
        self._listed, self._nodes = 0.0, list[dict[str, Any]]()
        self._calls, self._lock = 0, threading.Lock()
        nonce, own = secrets.token_hex(16), str(home())
        folder(PLACES)
        self._shown = nonce_path(own, nonce)
        self._shown.write_text(nonce, encoding="utf-8")
        atexit.register(self._shown.unlink, missing_ok=True)
        given = {name: os.environ[name] for name in HANDED_ON if name in os.environ}
        self._settings = json.dumps({"home": own, "nonce": nonce, "versions": versions(), "environment": given})
        self._timer: threading.Timer | None = None
        self._rest: dict[tuple[str, str, int], float] = {}
        self._label = label_of(os.environ.get(LABEL, ""))
        self._asker = ThreadPoolExecutor(1, "nodes")
        self._asked: Future[list[dict[str, Any]]] | None = None

    def of(self, kind: str) -> list[Hand]:
        """The hands of a kind on nodes that are up and have the label of workers, in a fixed order; their actors may
        not have begun."""
        if time.monotonic() - self._listed > FRESH:
            self._list()
        keys = []
        for node in sorted(self._nodes, key=lambda n: str(n["NodeID"])):
            held = node["Resources"]
            count = int(held.get("GPU", 0)) if kind == "cuda" else int(held.get("CPU", 0) >= 1)
            keys += [(node["NodeID"], kind, n) for n in range(count)]
        for hand in list(self._hands.values()):
            if hand.key[1] == kind and hand.key not in keys:
                self.lose(hand)
        return [self._hands.setdefault(key, Hand(key)) for key in keys]

    def _list(self) -> None:
        """Bring the list of nodes up to date, if the head gives one soon."""
        patience = 0.0
        if self._asked is None:
            self._asked, patience = self._asker.submit(self.ray.nodes), PATIENCE
        self._listed = time.monotonic()
        try:
            nodes = self._asked.result(patience)
        except TimeoutError:
            log.warning("the head of the cluster gives no list of its nodes")
            return
        except Exception:
            log.exception("the list of the cluster's nodes could not be had")
            nodes = self._nodes
        self._asked = None
        self._nodes = [n for n in nodes if n["Alive"] and self._may_have(n)]

    def _may_have(self, node: dict[str, Any]) -> bool:
        return self._label is None or self._label in (node.get("Labels") or {}).items()

    def refresh(self) -> None:
        """Look anew which nodes there are, at the next question."""
        self._listed = 0.0

    def begin(self, hand: Hand) -> None:
        """Begin the actor of a hand, if it is not."""
        if hand.actor is not None:
            return
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        from analysis.cluster.nodes import AT_ONCE, Node

        held = next(n["Resources"] for n in self._nodes if n["NodeID"] == hand.key[0])
        cores, gpus = int(held.get("CPU", 1)), int(held.get("GPU", 0))
        remote = self.ray.remote(Node).options(
            num_cpus=1,
            num_gpus=0,  # the node's worker holds its GPUs in Ray's books; both share them
            max_concurrency=AT_ONCE,
            scheduling_strategy=NodeAffinitySchedulingStrategy(hand.key[0], soft=False),
        )
        threads = max(1, cores // max(1, gpus) if hand.key[1] == "cuda" else cores)
        hand.actor = remote.remote(threads, self._settings, hand.key[2] if hand.key[1] == "cuda" else None)

    def holding(self, hand: Hand, model: dict[str, Any] | None) -> Any | None:
        """The reference to the loading of a model on a hand, None where it is known to be there."""
        self.begin(hand)
        name = json.dumps(model)
        if name in hand.holds:
            return None
        if name not in hand.asked:
            hand.asked[name] = hand.actor.hold.remote(model)
        return hand.asked[name]

    def held(self, hand: Hand, model: dict[str, Any] | None, reason: str) -> None:
        """A loading has ended; ``reason``: why in vain, or ""."""
        name = json.dumps(model)
        hand.asked.pop(name, None)
        if not reason:
            hand.holds.add(name)

    def rests(self, hand: Hand) -> bool:
        """Whether a hand could not begin a moment ago, and is not tried again yet."""
        return time.monotonic() < self._rest.get(hand.key, 0.0)

    def lose(self, hand: Hand) -> None:
        """A hand's node or process is gone."""
        log.warning("the cluster lost %s; its shards are computed elsewhere", hand.node)
        if not hand.holds:
            self._rest[hand.key] = time.monotonic() + REST
        self.end(hand)
        if self._hands.get(hand.key) is hand:
            del self._hands[hand.key]
        self.refresh()

    def end(self, hand: Hand) -> None:
        """End the actor of a hand."""
        actor, hand.actor = hand.actor, None
        hand.holds.clear()
        hand.asked.clear()
        if actor is not None:
            self.ray.kill(actor)

    def settle(self, shard: str, hand: Hand) -> None:
        """A shard (by its hash) has been given to a hand."""
        self.homes[shard] = hand.key
        self.homes.move_to_end(shard)
        while len(self.homes) > HOMES:
            self.homes.popitem(last=False)

    def enter(self) -> None:
        """A call begins."""
        with self._lock:
            self._calls += 1
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def leave(self) -> None:
        """A call has ended."""
        with self._lock:
            self._calls -= 1
            if not self._calls:
                self._timer = threading.Timer(IDLE, self._let_go)
                self._timer.daemon = True
                self._timer.start()

    def _let_go(self) -> None:
        with self._lock:
            if not self._calls and self.ray.is_initialized():
                for hand in self._hands.values():
                    self.end(hand)


_hands: list[Hands] = []


def hands() -> Hands:
    """The hands of the named cluster, the same for all calls of this process. Raises UserError(field="ray")."""
    ray = link()
    if not _hands or _hands[0].job != ray.get_runtime_context().get_job_id():
        _hands[:] = [Hands()]
    return _hands[0]
