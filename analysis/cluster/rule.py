"""Which place answers a question: the one that holds its model.

The ledger knows which models are where, from what workers said and from what was sent to them since, so that two quick
questions do not load one model twice. It asks nobody and has no clock; :mod:`analysis.cluster.places` feeds it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from analysis.models.spec import ModelSpec
from analysis.status import WorkerStatus

STARTING = ("starting", "importing torch", "loading the model")
"""The phases of a worker that has not loaded its first models yet."""


@dataclass
class Room:
    """What is known of a place. ``held``: when each of its models was last asked something, as a running number, 0 if
    never; ``open``: questions that are there now, by model; ``run``: which worker this is of; ``first``: the models
    that it loads by itself."""

    run: str = ""
    limit: int = 2
    free: int = 0
    held: dict[ModelSpec, int] = field(default_factory=dict)
    open: Counter[ModelSpec] = field(default_factory=Counter)
    first: tuple[ModelSpec, ...] = ()

    @property
    def oldest(self) -> int:
        """When the model that would leave first was last used."""
        return min(self.held.values(), default=0)


class Ledger:
    """The rooms of all places by name, in the order in which questions without a model prefer them."""

    def __init__(self) -> None:
        self.rooms: dict[str, Room] = {}
        self._count = 0

    def set(self, runs: dict[str, tuple[str, tuple[ModelSpec, ...]]]) -> None:
        """The places there are now, each with the run of its worker and what that loads by itself. A worker that has
        taken the place of another holds nothing of what that held."""
        rooms = {}
        for name, (run, first) in runs.items():
            room = self.rooms.get(name)
            if room is None or room.run != run:
                room = Room(run, held=dict.fromkeys(first, 0), first=first)
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
        """The place that holds a model or loads it; None if there is none."""
        return next((name for name, room in self.rooms.items() if model in room.held), None)

    def choice(self, model: ModelSpec | None, *, loads: bool = True) -> str:
        """The place of a question: the holder of its model. Else, if the question loads it, the place with the fewest
        models below its limit, of those the one with most free memory; where all are full, the one whose least recently
        used model was used longest ago, which leaves there. Without a model, the first place. LookupError without
        places."""
        if not self.rooms:
            raise LookupError("there is no place")
        first = next(iter(self.rooms))
        if model is None:
            return first
        held = self.holder(model)
        if held is not None or not loads:
            return held or first
        roomy = [name for name, room in self.rooms.items() if len(room.held) < room.limit]
        if roomy:
            return min(roomy, key=lambda name: (len(self.rooms[name].held), -self.rooms[name].free))
        return min(self.rooms, key=lambda name: self.rooms[name].oldest)

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
