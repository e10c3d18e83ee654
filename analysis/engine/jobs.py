"""The book of jobs: what was asked for, how far it is, how it ended. What the job tray shows.

It is a small JSON file, rewritten whole at each change of state, so that it survives the worker that keeps it: when a
new worker opens the book, whatever was running in the old one is marked failed, with the reason.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
import threading
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from analysis.asker import may_see
from analysis.engine.own import own_folder
from analysis.home import home
from analysis.status import JobRecord, JobRow

log = logging.getLogger(__name__)
KEPT, KEPT_QUICK = 40, 10
ENDED = ("done", "failed", "cancelled")


def row_of(record: JobRecord) -> JobRow:
    """The record as it is shown."""
    return JobRow(**asdict(record), gone=any(not (home() / str(name)).is_file() for name in record.files))


def rows_for(records: Iterable[JobRecord], who: str) -> list[JobRow]:
    """The records that ``who`` may see, as they are shown, newest first."""
    seen = [row_of(r) for r in records if r.common or may_see(who, r.who)]
    return sorted(seen, key=lambda row: -row.started)


class JobBook:
    """All recent jobs of a worker; thread-safe."""

    def __init__(self, path: Path | None = None, died: str = "") -> None:
        self.path = path or own_folder() / "jobs.json"
        self._lock = threading.Lock()
        self._records: dict[str, JobRecord] = {r.id: r for r in read_book(self.path)}
        self._written = 0.0
        for part in self.path.parent.glob(".jobs-*"):  # left by a worker that was killed while it wrote
            part.unlink(missing_ok=True)
        for record in self._records.values():
            if record.state == "running":
                record.state, record.reason = "failed", died or "The worker stopped before this job had ended."
            elif record.state not in ENDED:
                record.state, record.reason = "failed", "The worker stopped before this job had begun."
        self._write()

    def add(self, record: JobRecord) -> None:
        """Enter a new job and forget the oldest ended ones; those that nobody has waited for push none of the others
        out."""
        with self._lock:
            record.started = record.changed = time.time()
            self._records.pop(record.id, None)  # asked again: it belongs at the end
            self._records[record.id] = record
            ended = [r for r in self._records.values() if r.state in ENDED]
            for quick, kept in ((False, KEPT), (True, KEPT_QUICK)):
                for old in [r.id for r in ended if r.quick == quick][:-kept]:
                    del self._records[old]
            self._write()

    def change(self, job: str, **changes: Any) -> None:
        """Change fields of a job. Progress is written to disk at most twice a second; states at once."""
        with self._lock:
            record = self._records.get(job)
            if record is None:
                return
            for name, value in changes.items():
                setattr(record, name, value)
            record.changed = time.time()
            if "state" in changes or record.changed - self._written > 0.5:
                self._write()

    def listing(self, who: str = "") -> list[JobRow]:
        """The records that ``who`` may see, newest first."""
        return rows_for(self.records(), who)

    def records(self) -> list[JobRecord]:
        """All records, as they are now."""
        with self._lock:
            return list(self._records.values())

    def _write(self) -> None:
        """Rewrite the file. A full disk costs the tray its memory, not the worker its life."""
        self._written = time.time()
        try:
            descriptor, name = tempfile.mkstemp(dir=self.path.parent, prefix=".jobs-")
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    json.dump([asdict(r) for r in self._records.values()], file)
                os.replace(name, self.path)
            except BaseException:
                os.unlink(name)
                raise
        except OSError as error:
            log.warning("the book of jobs could not be written: %s", error)


def read_book(path: Path) -> list[JobRecord]:
    """The records in a book on disk; none if it is missing or damaged."""
    try:
        return [JobRecord(**row) for row in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError, RecursionError):
        return []
