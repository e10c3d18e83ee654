"""Shards of a fit on the nodes of a Ray cluster, in the sense of :class:`analysis.engine.spread.Spread`.

One loop in the asker's thread gives shards to hands, hears of their parts, and stops at a safe point fifty times a
second, so that live questions go first and an end reaches every shard. A shard goes to the hand that had it last, where
its data are; a free hand takes any that waits. What is lost with a hand is given to another. While no hand is up (none
has loaded the model yet, or all are lost), the asker works too; and where its own GPU has no room for the model twice.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from analysis.cluster.frames import answer_of, block
from analysis.cluster.hands import Hand, Hands, hands
from analysis.cluster.link import link_aside
from analysis.cluster.nodes import function_of, name_of, wanted
from analysis.engine.spread import Bench, Here, Spread, Surroundings
from analysis.errors import UserError
from analysis.progress import Check, Progress, no_check, silent

if TYPE_CHECKING:
    from analysis.models.loaded_model import LoadedModel

log = logging.getLogger(__name__)
C = TypeVar("C")
S = TypeVar("S")
P = TypeVar("P")
SLICE = 0.02
"""Seconds between two safe points."""
ASK = 0.3
"""Seconds between two questions how far a shard is."""
AHEAD = 4
"""Shards for each hand that may be done before the first one whose part is waited for."""
WAITING = 1 << 30
"""Bytes of parts that may wait for an earlier one; beyond them only that one is given to a hand."""


def spread_of(model: LoadedModel | None, context: Surroundings) -> Spread:
    """What computes shards on the named cluster; this process, with its context, where it does not answer, is not
    linked yet, or has no second hand. Waits for no cluster: live questions are answered by the same thread."""
    try:
        if not link_aside():
            log.warning("the work is not spread: this worker is not linked to the cluster yet")
            return Here(model, context)
        held = hands()
        kind = "cuda" if model is not None and model.device.type == "cuda" else "cpu"
        if len(held.of(kind)) > 1:
            return OnNodes(held, kind, model, context)
    except UserError as error:
        log.warning("the work is not spread: %s", error.message)
    return Here(model, context)


class OnNodes:
    """Shards on the hands of a cluster. ``hands``: how many there are."""

    def __init__(self, held: Hands, kind: str, model: LoadedModel | None, context: Surroundings) -> None:
        self._held, self._kind, self._model = held, kind, model
        self._here = Here(model, context)
        self.hands = len(held.of(kind))

    def __call__(
        self,
        function: Callable[[Bench, C, S], P],
        common: C,
        shards: Sequence[S],
        *,
        progress: Progress = silent,
        check: Check = no_check,
    ) -> Iterator[P]:
        """As :class:`Spread`. RuntimeError with the node's traceback for an error of the function that is a bug."""
        model = None if self._model is None else wanted(self._model, check)
        call = _Call(self._held, self._kind, model, function, common, shards)
        self._held.enter()
        try:
            for number in range(len(shards)):
                while number not in call.parts:
                    call.go_on()
                    check()
                    if call.told():
                        progress(call.share, call.text)
                    if call.wants_help and number not in call.parts:
                        call.alone(self._here, progress, check)
                yield call.hand_over(number)
        finally:
            call.end()
            self._held.leave()


class _Call(Generic[C, S, P]):
    """One call: what waits, what is worked on where, and the parts that have come."""

    def __init__(
        self,
        held: Hands,
        kind: str,
        model: dict[str, Any] | None,
        function: Callable[[Bench, C, S], P],
        common: C,
        shards: Sequence[S],
    ) -> None:
        self.held, self.kind, self.ray = held, kind, held.ray
        self.function, self.common, self.shards = function, common, shards
        self.name, self.id = name_of(function), uuid.uuid4().hex
        self.part_kind: type[P] = function_of(self.name)[3]
        self.model = model
        self.parts: dict[int, P] = {}
        self._sizes: dict[int, int] = {}
        self.done, self.text, self.whole = 0, "", 0.0
        self.up: list[Hand] = []
        self._out: set[tuple[str, str, int]] = set()
        self._loading: dict[Any, Hand] = {}
        self._working: dict[Any, tuple[Hand, int]] = {}
        self._asking: dict[Any, Hand] = {}
        self._shares: dict[Hand, float] = {}
        self._waiting: list[int] = []
        self._packed: dict[int, tuple[Any, str]] = {}
        self._next, self._asked, self._news = 0, time.monotonic(), False
        self._common = self.ray.put(block(common))
        self._begin()

    @property
    def share(self) -> float:
        """The mean share of all shards, which never goes back."""
        ready = self.done + len(self.parts) + sum(self._shares.get(hand, 0.0) for hand, _ in self._working.values())
        self.whole = max(self.whole, min(1.0, ready / max(1, len(self.shards))))
        return self.whole

    @property
    def wants_help(self) -> bool:
        """Whether this process works on shards too: no hand is up, or none on the GPUs of its own node."""
        own = self.held.own
        return not self.up or (self.kind == "cuda" and all(hand.key[0] != own for hand in self.up))

    def hand_over(self, number: int) -> P:
        """The part of the next shard, which from here on is the asker's own."""
        self._sizes.pop(number, None)
        self.done = number + 1
        return self.parts.pop(number)

    def told(self) -> bool:
        """Whether there is something new to say, once."""
        news, self._news = self._news, False
        return news

    def go_on(self, slice_: float = SLICE) -> None:
        """Give shards to free hands, wait for so many seconds at most, and take in what has come."""
        self._give()
        pending = [*self._loading, *self._working, *self._asking]
        if not pending:
            return
        ready, _ = self.ray.wait(pending, timeout=slice_)
        for reference in ready:
            if reference in self._loading:
                self._loaded(reference)
            elif reference in self._working:
                self._worked(reference)
            else:
                self._heard(reference)
        if time.monotonic() - self._asked > ASK:
            self._asked = time.monotonic()
            busy = {hand for hand in self._asking.values()}
            for hand, _ in self._working.values():
                if hand not in busy and hand.actor is not None:
                    self._asking[hand.actor.share.remote(self.id)] = hand

    def alone(self, here: Here, progress: Progress, check: Check) -> None:
        """Work on the next shard in this process, and let the hands begin meanwhile."""
        number = self._take(None)
        if number is None:
            return

        heard = [time.monotonic()]

        def between() -> None:
            check()
            if time.monotonic() - heard[0] > SLICE:
                self.go_on(0.0)
                heard[0] = time.monotonic()

        def told(share: float | None, text: str = "", **facts: Any) -> None:
            progress(min(1.0, self.share + (share or 0.0) / len(self.shards)), text, **facts)

        try:
            for part in here(self.function, self.common, [self.shards[number]], progress=told, check=between):
                self.parts[number] = part
        finally:
            self._packed.pop(number, None)

    def end(self) -> None:
        """End what is still worked on."""
        for hand in {hand for hand, _ in self._working.values()}:
            if hand.actor is not None:
                hand.actor.end.remote(self.id)
        self._working.clear()

    def _begin(self) -> None:
        listed = self.held.of(self.kind)
        self._forget()
        for hand in listed:
            if hand.key in self._out or hand in self.up or hand in self._loading.values() or self.held.rests(hand):
                continue
            reference = self.held.holding(hand, self.model)
            if reference is None:
                self.up.append(hand)
            else:
                self._loading[reference] = hand

    def _forget(self) -> None:
        """Another hand may have gone unnoticed here: its node when the nodes were listed, or in another call."""
        self.up = [hand for hand in self.up if hand.actor is not None]

    def _give(self) -> None:
        self._forget()
        busy = {hand for hand, _ in self._working.values()}
        for hand in self.up:
            if hand in busy:
                continue
            number = self._take(hand)
            if number is None:
                return
            shard, digest = self._packed[number]
            self.held.settle(digest, hand)
            reference = hand.actor.work.remote(self.id, self.model, self.name, self._common, shard)
            self._working[reference], self._shares[hand] = (hand, number), 0.0

    def _take(self, hand: Hand | None) -> int | None:
        """The shard for a free hand: one that it had before, else one that nobody had who is up, else any."""
        room = AHEAD * max(1, len(self.up))
        while self._next < len(self.shards) and self._next < self.done + room and len(self._waiting) < room:
            data = block(self.shards[self._next])
            self._packed[self._next] = (data, hashlib.sha256(data.data).hexdigest())
            self._waiting.append(self._next)
            self._next += 1
        full = sum(self._sizes.values()) > WAITING
        allowed = [number for number in self._waiting if number == self.done] if full else self._waiting
        if not allowed:
            return None
        keys = {h.key for h in self.up}

        def strange(number: int) -> tuple[int, int]:
            home = self.held.homes.get(self._packed[number][1])
            if hand is not None and home == hand.key:
                return 0, number
            return (1 if home not in keys else 2), number

        number = min(allowed, key=strange)
        self._waiting.remove(number)
        return number

    def _loaded(self, reference: Any) -> None:
        hand = self._loading.pop(reference)
        try:
            reason = str(self.ray.get(reference))
        except self.ray.exceptions.RayError as error:
            self._lost(hand, error)
            return
        self.held.held(hand, self.model, reason)
        if reason:
            log.warning("%s of the cluster is left out: %s", hand.node, reason)
            self._out.add(hand.key)
        else:
            self.up.append(hand)

    def _worked(self, reference: Any) -> None:
        hand, number = self._working.pop(reference)
        self._shares[hand] = 0.0
        try:
            told, part = self.ray.get(reference)
        except self.ray.exceptions.RayError as error:
            self._waiting.insert(0, number)
            self._lost(hand, error)
            return
        message = json.loads(told)
        if message["type"] == "user":
            raise UserError(str(message["text"]), message["field"])
        if message["type"] == "bug":
            log.error("a shard of %s failed on %s of the cluster:\n%s", self.name, hand.node, message["text"])
            raise RuntimeError(f"{message['kind']} on {hand.node} of the cluster:\n{message['text']}")
        if message["type"] == "part":
            self.parts[number], self._sizes[number] = answer_of(self.part_kind, part), part.nbytes
            self._packed.pop(number, None)
            self._news = True

    def _heard(self, reference: Any) -> None:
        hand = self._asking.pop(reference)
        try:
            self._shares[hand], self.text = self.ray.get(reference)
            self._news = True
        except self.ray.exceptions.RayError:
            pass  # its work says so too

    def _lost(self, hand: Hand, error: Exception) -> None:
        text = " ".join(str(error).split())[-300:]  # Ray puts the reason last
        log.warning("%s of the cluster does not answer: %s: %s", hand.node, type(error).__name__, text)
        self.up = [h for h in self.up if h is not hand]
        self._out.add(hand.key)
        self.held.lose(hand)
        self._begin()  # those that have come meanwhile
