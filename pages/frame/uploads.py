"""How many files one person may have on their way at once, and how many bytes in a day, where several share a disk.

The owner, and everybody on a machine that asks for no token, has no such limit.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from analysis.errors import UserError
from analysis.portable.header import FIELD
from analysis.shares import each

AT_ONCE = 3
BYTES = 20 * 10**9
"""Bytes of one person in a day where ``ATTUNE_EACH`` names none."""
DAY = 24 * 3600.0


class Uploads:
    """What each person sent within the last day. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._now: Counter[str] = Counter()
        self._sent: deque[tuple[float, str, int]] = deque()

    @contextmanager
    def one(self, who: str, size: int) -> Iterator[None]:
        """While a file of ``size`` bytes is taken in. Raises UserError("file") for one too many."""
        if not who:
            yield
            return
        with self._lock:
            while self._sent and self._clock() - self._sent[0][0] > DAY:
                self._sent.popleft()
            if self._now[who] >= AT_ONCE:
                raise UserError(f"{AT_ONCE} of your files are on their way. Wait until one has been opened.", FIELD)
            most = each() or BYTES
            sent = sum(bytes_ for _, of, bytes_ in self._sent if of == who)
            if sent + size > most:
                raise UserError(
                    f"You sent {sent / 1e9:.2f} GB of files within a day, and with this one of {size / 1e9:.2f} GB it "
                    f"would be more than the {most / 1e9:g} GB that each person has. Ask the owner, or wait.",
                    FIELD,
                )
            self._now[who] += 1
            self._sent.append((self._clock(), who, size))
        try:
            yield
        finally:
            with self._lock:
                self._now[who] -= 1
                self._now += Counter()  # those without one are forgotten
