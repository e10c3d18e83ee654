"""A spread that sends all it takes and gives through the frames of the wire, as a cluster does, in this process.

A test of a fit uses it beside the plain loop: what does not travel, or comes back as something else, shows here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import Any, TypeVar, get_type_hints

from analysis.answer import from_wire, to_wire
from analysis.engine import protocol
from analysis.engine.context import Context
from analysis.engine.spread import Bench, Here
from analysis.progress import Check, Progress, no_check, silent

C = TypeVar("C")
S = TypeVar("S")
P = TypeVar("P")


class Wired(Here):
    """As :class:`Here`, with ``hands`` nodes that take the shards in turn, each with a memory or context."""

    def __init__(self, model: Any = None, hands: int = 3, contexts: Sequence[Context] = ()) -> None:
        super().__init__(model)
        self.hands = len(contexts) or hands
        self._nodes = [Here(model, context) for context in contexts or [None] * hands]

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
        found = getattr(import_module(function.__module__), function.__name__)
        assert found is function, f"{function} does not stand at the top of its module"
        hints = get_type_hints(function)
        for n, shard in enumerate(shards):
            node = self._nodes[n % self.hands]
            for part in node(function, travelled(common), [travelled(shard)], progress=progress, check=check):
                assert isinstance(part, hints["return"])
                yield travelled(part)


def travelled(answer: Any) -> Any:
    """An answer after its way through frames of bytes."""

    class Pipe:
        def __init__(self, frames: list[bytes]) -> None:
            self.frames = frames

        def recv_bytes(self, most: int) -> bytes:
            return self.frames.pop(0)

    frames = protocol.encode(*(lambda data, arrays: ({"data": data}, arrays))(*to_wire(answer)))
    message, arrays = protocol.receive(Pipe(frames))  # type: ignore[arg-type]
    return from_wire(type(answer), message["data"], arrays)
