"""Work that is a sum over shards of data: one shard after the other here, or on the nodes of a cluster.

What a fit does with its data is written once, as a function of a shard. Who asks gets the parts in the order of the
shards, whoever computed them, so that the sum of the parts is the same sum. The function stands in a module, and what
it takes and gives are answers in the sense of :mod:`analysis.answer` (frozen dataclasses of plain values and arrays),
so that they can travel to a node as they do between worker and page: never as pickle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from analysis.engine.memory import Memory
from analysis.progress import Check, Progress, no_check, silent

if TYPE_CHECKING:
    from analysis.models.loaded_model import LoadedModel

C = TypeVar("C")
S = TypeVar("S")
P = TypeVar("P")


PAYS = 3.0
"""Seconds on one machine below which work is not given to nodes: what they are told, and what each shard begins with,
takes a good part of a second."""


class Surroundings(Protocol):
    """What a context is to a bench."""

    memory: Memory


@dataclass
class Bench:
    """Where a shard is worked on: the model of the work if it has one, a memory that lasts from one call to the next on
    the same node, how to say how far this shard is (share in [0, 1]), and a point at which it may be ended; and the
    surroundings of an operation, where the work is a piece of one."""

    model: LoadedModel | None = None
    memory: Memory = field(default_factory=Memory)
    progress: Progress = silent
    check: Check = no_check
    context: Surroundings | None = None

    @property
    def loaded(self) -> LoadedModel:
        """The model. RuntimeError if the work has none."""
        if self.model is None:
            raise RuntimeError("this work was spread without a model")
        return self.model

    @property
    def surroundings(self) -> Any:
        """The :class:`~analysis.engine.context.Context`, which builds on this module. RuntimeError if the work has
        none."""
        if self.context is None:
            raise RuntimeError("this work was spread outside of an operation")
        return self.context


class Spread(Protocol):
    """Computes shards. ``hands``: how many at once; a fit that may choose makes a small multiple of so many shards."""

    hands: int

    def __call__(
        self,
        function: Callable[[Bench, C, S], P],
        common: C,
        shards: Sequence[S],
        *,
        progress: Progress = silent,
        check: Check = no_check,
    ) -> Iterator[P]:
        """``function(bench, common, shard)`` of each shard, in their order, as they are had.

        ``function`` stands at the top of a module of ``analysis``; ``common`` goes to each node once. ``progress`` is
        told the mean share of all shards; ``check`` is called at least once a batch, may raise, and then ends them all.
        Raises what the function raises.
        """
        ...


class Here:
    """Shards one after the other in this process, with a model that is loaded here."""

    hands = 1

    def __init__(self, model: LoadedModel | None = None, context: Surroundings | None = None) -> None:
        self._model, self._context = model, context
        self._memory = Memory() if context is None else context.memory

    def __call__(
        self,
        function: Callable[[Bench, C, S], P],
        common: C,
        shards: Sequence[S],
        *,
        progress: Progress = silent,
        check: Check = no_check,
    ) -> Iterator[P]:
        """As :class:`Spread`."""
        for number, shard in enumerate(shards):
            check()

            def told(share: float | None, text: str = "", number: int = number, **facts: Any) -> None:
                whole = None if share is None else (number + share) / len(shards)
                progress(whole, text, **facts)

            yield function(Bench(self._model, self._memory, told, check, self._context), common, shard)


here = Here()
"""For work without a model."""
