"""Computations that take turns: each in a thread of its own, of which only one runs at any time.

A text that is written by steps keeps its place deep inside library code, so it cannot be put aside as a value. It is
put aside as a thread that waits. Whoever owns a strand hands over to it and waits until it pauses or ends; so no two of
them compute at once, and nothing between two pauses has to be safe against another. Threads are used again, since each
has its own helpers for matrix products.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

_KEPT = 2
"""Threads that are kept for later strands."""


class Strand:
    """A function without arguments that runs only while its owner waits in :meth:`go_on`."""

    def __init__(self, threads: Threads, body: Callable[[], None]) -> None:
        self._threads, self._body = threads, [body]
        self._turn, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self._started = self.ended = False

    def go_on(self) -> bool:
        """Let it run until it pauses or ends; True if it has ended. For the owner's thread."""
        if self._started:
            self._turn.release()
        else:
            self._started = True
            self._threads.run(self._body.pop(), self._end)  # what has ended is not held here
        self._back.acquire()
        return self.ended

    def pause(self) -> None:
        """Hand back to the owner and wait for the next turn. For the function itself."""
        self._back.release()
        self._turn.acquire()

    def _end(self) -> None:
        self.ended = True
        self._back.release()


class Threads:
    """Daemon threads for strands of one owner."""

    def __init__(self) -> None:
        self._idle: list[_Thread] = []

    def run(self, body: Callable[[], None], end: Callable[[], None]) -> None:
        """Run a function in an idle thread or a new one; ``end`` is called when it is over, whatever it raised."""
        thread = self._idle.pop() if self._idle else _Thread()
        thread.run(body, lambda: self._over(thread, end))

    def _over(self, thread: _Thread, end: Callable[[], None]) -> None:
        # Still in that thread, and its owner still waits: the list is nobody else's now.
        if len(self._idle) < _KEPT:
            self._idle.append(thread)
        else:
            thread.leave()
        end()


class _Thread:
    """One thread and what it is to do next."""

    def __init__(self) -> None:
        self._ready = threading.Semaphore(0)
        self._next: tuple[Callable[[], None], Callable[[], None]] | None = None
        self._leaving = False
        threading.Thread(target=self._loop, name="strand", daemon=True).start()

    def run(self, body: Callable[[], None], over: Callable[[], None]) -> None:
        self._next = (body, over)
        self._ready.release()

    def leave(self) -> None:
        self._leaving = True

    def _loop(self) -> None:
        while not self._leaving:
            self._ready.acquire()
            assert self._next is not None
            (body, over), self._next = self._next, None
            try:
                body()
            finally:
                del body  # a waiting thread holds nothing of what it did last
                over()
                del over
