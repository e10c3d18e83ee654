"""Recent values by key within a limit of bytes: passes, opened fits, answers."""

from __future__ import annotations

import contextlib
import ctypes
import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any


class Memory:
    """Recent values by key, the least recently used dropped when their sizes exceed ``limit`` bytes. Thread-safe."""

    def __init__(self, limit: int = 600 << 20) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        self._items: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._bytes = 0

    def get(self, key: Hashable) -> Any | None:
        """The value under a key, or None."""
        with self._lock:
            if key not in self._items:
                return None
            self._items.move_to_end(key)
            return self._items[key][0]

    def put(self, key: Hashable, value: Any, size: int) -> None:
        """Remember a value of ``size`` bytes."""
        with self._lock:
            self._bytes += size - self._items.pop(key, (None, 0))[1]
            self._items[key] = (value, size)
            while len(self._items) > 1 and self._bytes > self.limit:
                self._bytes -= self._items.popitem(last=False)[1][1]

    def clear(self) -> None:
        """Forget all of them."""
        with self._lock:
            self._items.clear()
            self._bytes = 0


def give_back() -> None:
    """Give the system back what was freed and lies between what is still used; glibc keeps it for itself otherwise,
    and passes of ever other lengths leave more and more of it. Nothing elsewhere."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
