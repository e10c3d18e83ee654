"""A question on its way through the scheduler, and those who wait for its answer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from analysis.engine.operation import Operation
from analysis.engine.question import Result
from analysis.engine.strands import Strand

Emit = Callable[[dict[str, Any], Result | None], None]
Slot = tuple[str, str]


@dataclass(frozen=True)
class Subscriber:
    """One who waits for a task: where its messages go, the slot of its widget, and who it is ("" for the owner)."""

    emit: Emit
    slot: Slot | None
    who: str = ""


class Task:
    """One computation and those who wait for it (by token). ``asker``: whose turn it takes, the first one's of them."""

    def __init__(self, operation: Operation, key: str, asker: str = "") -> None:
        self.operation, self.key, self.title, self.asker = operation, key, operation.describe(), asker
        self.subscribers: dict[str, Subscriber] = {}
        self.cancel = threading.Event()
        self.ended: set[str] = set()
        self.started, self.began = False, 0.0
        self.said = ""  # how long it waits, as was said last
        self.strand: Strand | None = None

    def emit(self, message: dict[str, Any], result: Result | None = None) -> None:
        """Send a message to all who wait."""
        for subscriber in list(self.subscribers.values()):
            subscriber.emit(message, result)
