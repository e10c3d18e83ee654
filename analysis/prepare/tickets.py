"""Runs of Prepare that have not come to their end, kept so that they outlive what carries them.

A run needs somebody who waits for it: a thread of the web process. Whoever begins a run takes a ticket, a small file
that says what was asked, and holds its lock. The lock goes with the process, by whatever way that dies; so a ticket
whose lock is free belongs to a run that nobody carries on, and the next program that starts may take it up.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import time
import uuid
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from analysis.artefacts import write_whole
from analysis.errors import UserError
from analysis.home import folder
from analysis.prepare.ops.prepare import PrepareModel

log = logging.getLogger(__name__)
PATIENCE = 3
"""How often a run is begun without that a part of it comes to its end: who kills the worker each time is given up."""
_COUNTS = ("parts", "spent", "left", "tries")


class Ticket:
    """A run that goes on until :meth:`end`. ``asked``: as it was pressed; ``link``: where the job tray leads;
    ``parts``: how many were made; ``spent``: seconds up to the last of them; ``left``: seconds that were predicted then
    for what was promised still; ``tries``: how often it was begun since then."""

    def __init__(self, path: Path, lock: FileLock, asked: PrepareModel, link: str, **counts: float) -> None:
        self.path, self.lock, self.asked, self.link = path, lock, asked, link
        self.parts, self.tries = int(counts.get("parts", 0)), int(counts.get("tries", 0))
        self.spent, self.left = float(counts.get("spent", 0.0)), float(counts.get("left", 0.0))
        self._since: float | None = None

    def next_try(self) -> PrepareModel | None:
        """What is to be asked now: the question with what is left of its budget, but with no less than what was
        promised still takes. None where it was begun too often in vain."""
        if self.tries >= PATIENCE:
            return None
        self.tries += 1
        self._since = None
        self._write()
        budget = max(1.0, self.asked.budget - self.spent, self.left)
        return self.asked if not self.parts else dataclasses.replace(self.asked, budget=min(budget, self.asked.budget))

    def hear(self, value: dict[str, Any]) -> None:
        """Take in progress of the run. Its time begins with the first that is heard: to wait costs none."""
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        part = value.get("part")
        if not part:
            return
        self.spent, self._since = self.spent + now - self._since, now
        self.left, self.tries = float(value.get("seconds", 0.0)), 0
        self.parts += part["state"] == "made"
        self._write()

    def end(self) -> None:
        """The run has ended, or is given up."""
        self.path.unlink(missing_ok=True)
        self._leave()

    def _leave(self) -> None:
        self.lock.release()
        with contextlib.suppress(OSError):  # where another process has just opened it
            Path(self.lock.lock_file).unlink(missing_ok=True)

    def _write(self) -> None:
        """A full disk costs the ticket, not the run."""
        counts = {name: getattr(self, name) for name in _COUNTS}
        text = json.dumps({"params": self.asked.to_params(), "link": self.link, **counts})
        try:
            write_whole(self.path, text.encode())
        except OSError as error:
            log.warning("a run of Prepare could not be noted: %s", error)


def begin(asked: PrepareModel, link: str) -> Ticket:
    """The ticket of a run that begins now."""
    path = folder("prepare") / f"{uuid.uuid4().hex}.json"
    lock = _lock(path)
    lock.acquire(timeout=0)
    ticket = Ticket(path, lock, asked, link)
    ticket._write()
    return ticket


def left_over() -> list[Ticket]:
    """Tickets of runs that were going when the program that carried them ended; they belong to the caller from now on.
    One that cannot be read is thrown away."""
    tickets = []
    for path in sorted(folder("prepare").glob("*.json")):
        lock = _lock(path)
        try:
            lock.acquire(timeout=0)
        except (Timeout, OSError):
            continue  # somebody carries it
        if (ticket := _read(path, lock)) is not None:
            tickets.append(ticket)
        else:
            Ticket(path, lock, PrepareModel(), "").end()
    return tickets


def _read(path: Path, lock: FileLock) -> Ticket | None:
    try:
        row = json.loads(path.read_text(encoding="utf-8"))
        asked = PrepareModel.from_params(dict(row["params"]))
        counts = {name: float(row[name]) for name in _COUNTS}
        return Ticket(path, lock, asked, str(row["link"]), **counts)
    except FileNotFoundError:
        return None  # ended between the look and the lock
    except (OSError, ValueError, TypeError, KeyError, RecursionError, UserError) as error:
        log.warning("a note of a run of Prepare cannot be read: %s", error)
        return None


def _lock(path: Path) -> FileLock:
    return FileLock(path.with_suffix(".lock"), thread_local=False)
