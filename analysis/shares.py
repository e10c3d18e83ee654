"""How much of the disk each person's jobs may fill, where somebody says so: ``ATTUNE_EACH``, in gigabytes.

People are told apart by browser, as everywhere; the owner, and everybody on a machine that asks for no token, is never
refused. What counts is what is still there of the files that one's jobs wrote: who deletes a fit has its room again.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterable
from pathlib import Path

from analysis.artefacts import write_whole
from analysis.home import home
from analysis.quota import GIGABYTE, gigabytes

VARIABLE = "ATTUNE_EACH"
PEOPLE, FILES = 1_000, 10_000
"""People who are remembered, and files of each."""
log = logging.getLogger(__name__)


def each() -> int | None:
    """Bytes that one person may fill; None where no limit is set. UserError for what is no positive number."""
    return gigabytes(VARIABLE, "how many gigabytes the jobs of one person may fill")


class Shares:
    """Who had which files written, kept in one small file. Thread-safe."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        self._files: dict[str, list[str]] = _read(path)

    def note(self, who: str, files: Iterable[str]) -> None:
        """Remember what a job wrote for somebody; a file written anew belongs to the newer one."""
        new = list(files)
        if not who or not new:
            return
        with self._lock:
            for names in self._files.values():
                names[:] = [name for name in names if name not in new]
            names = [*self._files.pop(who, []), *new]
            self._files[who] = [name for name in names if _size(name)][-FILES:]
            while len(self._files) > PEOPLE:
                del self._files[next(iter(self._files))]
            try:
                write_whole(self._path, json.dumps(self._files).encode())
            except OSError as error:  # remembered until this process ends
                log.warning("it is not kept who had which files written: %s", error)

    def bytes_of(self, who: str) -> int:
        """Bytes of what is still there."""
        with self._lock:
            names = list(self._files.get(who, ()))
        return sum(map(_size, names))

    def why_full(self, who: str) -> str:
        """Why nothing more is written for somebody; "" where there is room."""
        limit = each()
        if limit is None or not who or (used := self.bytes_of(who)) < limit:
            return ""
        return (
            f"What your jobs wrote takes {used / GIGABYTE:.2f} GB, and each person has {limit / GIGABYTE:g} GB here "
            f"({VARIABLE}). Delete some of it where it is listed, and ask again."
        )


def _size(name: str) -> int:
    try:
        return (home() / name).stat().st_size
    except (OSError, ValueError):
        return 0


def _read(path: Path) -> dict[str, list[str]]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return {str(who): [str(name) for name in names] for who, names in data.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
