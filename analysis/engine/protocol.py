"""Frames between web process and worker: JSON first, raw array bytes after it. Never pickle.

``multiprocessing.connection`` authenticates and keeps frames apart; its own ``send`` would pickle, so only
``send_bytes`` is used, and a frame that is too large or not as expected ends the conversation. Encoding is a step of
its own, so that what cannot be said is known before the first byte of it has left.
"""

from __future__ import annotations

import json
import math
import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Client as connect
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge
from typing import Any

import numpy as np

MAX_FRAME = 1 << 28
DIALS = 5.0
"""Seconds that a machine has to take a connection, and then for the whole proof that it knows the key."""
SILENCE = 24
"""Seconds after which a machine that does not even acknowledge is taken for lost."""
_WHOLE = {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
_DTYPES = frozenset(_WHOLE | {"float16", "float32", "float64", "bool"})


def encode(message: dict[str, Any], arrays: dict[str, np.ndarray] | None = None, most: int = MAX_FRAME) -> list[bytes]:
    """The frames of a message and its arrays, each of at most ``most`` bytes.

    Raises:
        TypeError, ValueError: the message is not JSON, an array has a type that does not travel, or one is too large.
    """
    head, bodies = {}, []
    for name, array in (arrays or {}).items():
        native = np.asarray(array, dtype=array.dtype.newbyteorder("="), order="C")
        if str(native.dtype) not in _DTYPES:
            raise ValueError(f"the array {name} has type {native.dtype}, which does not travel")
        head[name] = [str(native.dtype), list(native.shape)]
        if native.nbytes:
            bodies.append(native.tobytes())
    frames = [json.dumps({**message, "arrays": head}, allow_nan=False).encode(), *bodies]
    if any(len(frame) > most for frame in frames):
        raise ValueError(f"a frame is larger than {most >> 20} MiB")
    return frames


def send(connection: Connection, message: dict[str, Any], arrays: dict[str, np.ndarray] | None = None) -> None:
    """Send a message and the arrays that belong to it. Raises as :func:`encode`, or OSError if no one listens."""
    for frame in encode(message, arrays, MAX_FRAME):
        connection.send_bytes(frame)


def receive(connection: Connection) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Receive a message and its arrays. Raises EOFError or OSError when the other side is gone or talks nonsense."""
    try:
        message = json.loads(connection.recv_bytes(MAX_FRAME))
        head = [(str(n), str(dtype), [int(size) for size in shape]) for n, (dtype, shape) in _head(message).items()]
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise OSError("a frame was not a message") from error
    arrays = {}
    for name, dtype, shape in head:
        if dtype not in _DTYPES or min(shape, default=0) < 0:
            raise OSError(f"a frame announced an array of type {dtype} and shape {shape}")
        count = math.prod(shape)
        raw = connection.recv_bytes(MAX_FRAME) if count else b""
        if len(raw) != count * np.dtype(dtype).itemsize:
            raise OSError(f"the array {name} does not have the announced size")
        arrays[name] = np.frombuffer(raw, dtype=dtype, count=count).reshape(shape)
    return message, arrays


def dial(address: Any, authkey: bytes, deadline: float = math.inf, proof: float | None = None) -> Connection:
    """A connection to a worker: at a socket's path, or in a cluster at a machine and a port, which has until a time of
    ``time.monotonic`` to take it, but at least a moment, and ``proof`` seconds (default: DIALS) for the proof.
    Raises OSError, EOFError or AuthenticationError."""
    if isinstance(address, str):
        return connect(address, authkey=authkey)
    host, port = address
    seconds = min(DIALS, max(0.1, deadline - time.monotonic()))
    with socket.create_connection((str(host), int(port)), timeout=seconds) as made:
        made.settimeout(None)
        connection = Connection(made.detach())
    try:
        ready(connection)
        with within(connection, DIALS if proof is None else proof):
            answer_challenge(connection, authkey)
            deliver_challenge(connection, authkey)
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def within(connection: Connection, seconds: float) -> Iterator[None]:
    """What stands in this context ends with EOFError or OSError after so many seconds, and the connection with it: a
    limit on each wait would never end one who sends a byte now and then. Nothing for a socket within one machine."""
    with _tcp(connection) as ours:
        if ours is None:
            yield
            return
        _ends.add(ours, time.monotonic() + seconds)
        try:
            yield
        finally:
            _ends.drop(ours)


class _Ends:
    """Shuts connections whose time is up: one thread for all of them."""

    def __init__(self) -> None:
        self._until: dict[socket.socket, float] = {}
        self._changed = threading.Condition()
        self._wakes = 0.0  # when the thread looks next; 0: there is none yet

    def add(self, ours: socket.socket, until: float) -> None:
        with self._changed:
            self._until[ours] = until
            if not self._wakes:
                threading.Thread(target=self._run, daemon=True, name="ends").start()
                self._wakes = math.inf
            if until < self._wakes:
                self._changed.notify()

    def drop(self, ours: socket.socket) -> None:
        with self._changed:
            self._until.pop(ours, None)

    def _run(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                for ours in [one for one, until in self._until.items() if until <= now]:
                    del self._until[ours]
                    with suppress(OSError):  # the other side has just gone
                        ours.shutdown(socket.SHUT_RDWR)
                self._wakes = min(self._until.values(), default=math.inf)
                self._changed.wait(None if self._wakes == math.inf else max(0.0, self._wakes - time.monotonic()))


_ends = _Ends()


def limit(connection: Connection, seconds: float) -> None:
    """Let a wait for the other machine's next bytes end with OSError after so many seconds; 0: wait for ever. Nothing
    changes for a socket within one machine."""
    with _tcp(connection) as ours:
        if ours is not None:
            whole, rest = divmod(round(seconds * 1e6), 1_000_000)
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", whole, rest))


def ready(connection: Connection, answers: bool = False) -> None:
    """Prepare a connection between machines, on either side: a small frame leaves at once, and a machine that is silent
    (unplugged, cut off) is noticed after about SILENCE seconds. Nothing to do for a socket within one machine.

    ``answers``: the worker's side. Its reader may pause (a process that was stopped, a page that reads no stream), and
    the system's limit on unacknowledged bytes would count a full buffer as silence; so there only an idle connection is
    noticed soon, and one on which bytes wait after the system's own limit, about a quarter of an hour.
    """
    with _tcp(connection) as ours:
        if ours is None:
            return
        ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (
            ("TCP_KEEPIDLE", SILENCE // 3), ("TCP_KEEPINTVL", SILENCE // 6), ("TCP_KEEPCNT", 4),
            ("TCP_USER_TIMEOUT", 0 if answers else SILENCE * 1000),
        ):  # fmt: skip
            if hasattr(socket, name):
                ours.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


@contextmanager
def _tcp(connection: Connection) -> Iterator[socket.socket | None]:
    """The socket of a connection between machines; None for any other one."""
    try:
        ours = socket.socket(fileno=os.dup(connection.fileno()))
    except OSError:
        yield None  # a pipe
        return
    with ours:
        yield ours if ours.family in (socket.AF_INET, socket.AF_INET6) else None


def _head(message: Any) -> dict[str, Any]:
    if not isinstance(message, dict):
        raise TypeError("a message is an object")
    head = message.pop("arrays", {})
    if not isinstance(head, dict):
        raise TypeError("the announced arrays are an object")
    return head
