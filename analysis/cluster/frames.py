"""Answers as one block of bytes: the frames of the wire, one behind the other, for what carries blocks and not frames.

A block is what Ray moves between nodes: bytes to it, so that it pickles nothing of ours.
"""

from __future__ import annotations

from typing import Any, TypeVar, cast

import numpy as np

from analysis.answer import from_wire, to_wire
from analysis.engine import protocol

A = TypeVar("A")
MOST = 1 << 40
"""Bytes of one array: the sums of a large mixture are beyond what a page may be sent."""
_LENGTH = 8


def block(answer: Any) -> np.ndarray:
    """An answer as bytes, (N,) uint8. Raises TypeError or ValueError for what cannot travel."""
    data, arrays = to_wire(answer)
    frames = protocol.encode({"data": data}, arrays, MOST)
    parts = [part for frame in frames for part in (len(frame).to_bytes(_LENGTH, "little"), frame)]
    return np.frombuffer(b"".join(parts), np.uint8)


def answer_of(kind: type[A], data: np.ndarray) -> A:
    """The reverse of :func:`block`; its arrays are views of the block, and read-only where that is. Raises OSError for
    what is no block, TypeError for one of another class."""
    message, arrays = protocol.receive(cast(Any, _Frames(data.data)))
    return from_wire(kind, message["data"], arrays)


class _Frames:
    """What :func:`protocol.receive` reads from: the frames of a block, in their order."""

    def __init__(self, data: memoryview) -> None:
        self._data, self._at = data, 0

    def recv_bytes(self, most: int) -> bytes | memoryview:
        start = self._at + _LENGTH
        self._at = start + int.from_bytes(self._data[start - _LENGTH : start], "little")
        if self._at > len(self._data):
            raise EOFError("the block ends within a frame")
        part = self._data[start : self._at]
        return bytes(part) if start == _LENGTH else part  # the first one is JSON, which wants bytes
