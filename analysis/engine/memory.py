"""Recent values by key within a limit of bytes: passes, opened fits, answers."""

from __future__ import annotations

import contextlib
import ctypes
import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any


class Memory:
    """Recent values by key, the least recently used dropped when their sizes exceed ``limit`` bytes. Thread-safe.

    One that is larger than that alone, such as the pass over a long prompt, is kept beside the others until the next of
    its kind comes: it would else be dropped for whatever small thing comes next, and made again at every click.
    """

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
            large = [k for k, (_, bytes_) in self._items.items() if bytes_ > self.limit]
            for k in large[:-1]:
                self._bytes -= self._items.pop(k)[1]
            beside = self._items[large[-1]][1] if large else 0
            while len(self._items) > 1 and self._bytes - beside > self.limit:
                oldest = next(k for k in self._items if k not in large[-1:])
                self._bytes -= self._items.pop(oldest)[1]

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
