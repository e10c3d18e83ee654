"""A wait with an end: name resolution and retries of a network library know no timeout of their own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def in_time(work: Callable[[], T], seconds: float) -> T:
    """Run ``work`` in a thread and wait so long for its answer. Raises TimeoutError, and whatever ``work`` raises."""
    answers: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue()

    def run() -> None:
        try:
            answers.put((work(), None))
        except BaseException as error:  # handed over to the waiting thread whole
            answers.put((None, error))

    threading.Thread(target=run, name="deadline", daemon=True).start()
    try:
        value, error = answers.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError from None
    if error is not None:
        raise error
    return value  # type: ignore[return-value]
