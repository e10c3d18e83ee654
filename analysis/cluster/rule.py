"""Which place answers a question: the one that holds its model.

The ledger knows which models are where, from what workers said and from what was sent to them since, so that two quick
questions do not load one model twice. It asks nobody and has no clock; :mod:`analysis.cluster.places` feeds it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from analysis.models.spec import ModelSpec
from analysis.status import WorkerStatus

STARTING = ("starting", "importing torch", "loading the model")
"""The phases of a worker that has not loaded its first models yet."""


@dataclass
class Room:
    """What is known of a place. ``held``: when each of its models was last asked something, as a running number, 0 if
    never; ``open``: questions that are there now, by model; ``run``: which worker this is of; ``first``: the models
    that it loads by itself; ``leaving``: it is there until it is idle."""

    run: str = ""
    limit: int = 2
    free: int = 0
    held: dict[ModelSpec, int] = field(default_factory=dict)
    open: Counter[ModelSpec] = field(default_factory=Counter)
    first: tuple[ModelSpec, ...] = ()
    leaving: bool = False

    @property
    def oldest(self) -> int:
        """When the model that would leave first was last used."""
        return min(self.held.values(), default=0)


class Ledger:
    """The rooms of all places by name, in the order in which questions without a model prefer them."""

    def __init__(self) -> None:
        self.rooms: dict[str, Room] = {}
        self._count = 0

    def set(self, runs: dict[str, tuple[str, tuple[ModelSpec, ...]]], leaving: Collection[str] = ()) -> None:
        """The places there are now, each with the run of its worker and what that loads by itself. A worker that has
        taken the place of another holds nothing of what that held. ``leaving``: those that end once they are idle."""
        rooms = {}
        for name, (run, first) in runs.items():
            room = self.rooms.get(name)
            if room is None or room.run != run:
                room = Room(run, held=dict.fromkeys(first, 0), first=first)
            room.leaving = name in leaving
            rooms[name] = room
        self.rooms = rooms

    def heard(self, name: str, status: WorkerStatus) -> None:
        """A worker has said what it holds. What it was sent and has not ended stays its own."""
        room = self.rooms.get(name)
        if room is None or status.pid is None:
            return
        there = [model.spec for model in status.loaded if not model.apart]
        if status.loading is not None:
            there.append(status.loading.spec)
        if status.phase in STARTING:
            there += room.first
        there += [model for model, count in room.open.items() if count > 0]
        room.held = {model: room.held.get(model, 0) for model in there}
        room.limit, room.free = status.limit or room.limit, status.free_bytes

    def holder(self, model: ModelSpec) -> str | None:
        """The place that holds a model or loads it; None if there is none. One that is leaving, where others are,
        counts only while it is asked something of that model: else it would never be idle."""
        staying = any(not room.leaving for room in self.rooms.values())
        there = [name for name, room in self.rooms.items() if model in room.held]
        kept = [n for n in there if not (staying and self.rooms[n].leaving and not self.rooms[n].open[model])]
        return min(kept, key=lambda name: self.rooms[name].leaving, default=None)

    def choice(self, model: ModelSpec | None, *, loads: bool = True) -> str:
        """The place of a question: the holder of its model. Else, if the question loads it, the place with the fewest
        models below its limit, of those the one with most free memory; where all are full, the one whose least recently
        used model was used longest ago, which leaves there. Without a model, the first place. Places that are leaving
        get nothing new while there are others. LookupError without places."""
        if not self.rooms:
            raise LookupError("there is no place")
        names = [name for name, room in self.rooms.items() if not room.leaving] or list(self.rooms)
        first = names[0]
        if model is None:
            return first
        held = self.holder(model)
        if held is not None or not loads:
            return held or first
        roomy = [name for name in names if len(self.rooms[name].held) < self.rooms[name].limit]
        if roomy:
            return min(roomy, key=lambda name: (len(self.rooms[name].held), -self.rooms[name].free))
        return min(names, key=lambda name: self.rooms[name].oldest)

    def begin(self, name: str, model: ModelSpec) -> None:
        """A question of a model is sent to a place, where the model will be in memory, and another one may not be."""
        room = self.rooms[name]
        self._count += 1
        room.held[model] = self._count
        room.open[model] += 1
        while len(room.held) > room.limit:
            idle = [other for other in room.held if not room.open[other]]
            if not idle:
                return
            del room.held[min(idle, key=room.held.__getitem__)]

    def end(self, name: str, model: ModelSpec) -> None:
        """A question has ended, one way or another."""
        room = self.rooms.get(name)
        if room is not None and room.open[model] > 0:
            room.open[model] -= 1
