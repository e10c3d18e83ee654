"""Frames between web process and worker: JSON first, raw array bytes after it. Never pickle.

``multiprocessing.connection`` authenticates and keeps frames apart; its own ``send`` would pickle, so only
``send_bytes`` is used, and a frame that is too large or not JSON ends the conversation.
"""

from __future__ import annotations

import json
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

MAX_FRAME = 1 << 28
_DTYPES = frozenset({"uint8", "int8", "uint16", "int16", "int32", "int64", "float16", "float32", "float64", "bool"})


def send(connection: Connection, message: dict[str, Any], arrays: dict[str, np.ndarray] | None = None) -> None:
    """Send a message and the arrays that belong to it."""
    arrays = {name: np.ascontiguousarray(a) for name, a in (arrays or {}).items()}
    head = {name: [str(a.dtype), list(a.shape)] for name, a in arrays.items()}
    connection.send_bytes(json.dumps({**message, "arrays": head}, allow_nan=False).encode())
    for a in arrays.values():
        if a.nbytes:
            connection.send_bytes(a.data.cast("B"))


def receive(connection: Connection) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Receive a message and its arrays. Raises EOFError or OSError when the other side is gone or talks nonsense."""
    try:
        message = json.loads(connection.recv_bytes(MAX_FRAME))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise OSError("a frame was not JSON") from error
    arrays = {}
    for name, (dtype, shape) in message.pop("arrays", {}).items():
        if dtype not in _DTYPES:
            raise OSError(f"a frame announced an array of type {dtype}")
        size = int(np.prod(shape))
        raw = connection.recv_bytes(MAX_FRAME) if size else b""
        arrays[name] = np.frombuffer(raw, dtype=dtype, count=size).reshape(shape)
    return message, arrays
