"""Logs that stay small and hold no prompts.

A log is read by other people than the one who typed: it goes into bug reports. So it has where something failed and of
what kind, but not what was asked. The text of an exception may quote its input, so what stands between quotation marks
in it is left out, and the rest is cut.
"""

from __future__ import annotations

import contextlib
import json
import logging
import logging.handlers
import os
import re
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

MAX_BYTES = 2 << 20
_LONGEST = 300
_QUOTED = re.compile(r"(['\"`“])(?:(?!\1|”).){25,}?(\1|”|$)", re.DOTALL)


class PrivateFormatter(logging.Formatter):
    """Time, level, logger, message; of an exception its places and kinds, and its text without what it quotes."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatException(self, ei: Any) -> str:
        """The traceback of an exception and of those it comes from, with their texts made private."""
        return "".join(_chain(ei[1])).rstrip("\n")


class LineFormatter(PrivateFormatter):
    """The same as one JSON object a line, for programs that collect logs: ``time`` (UTC), ``level``, ``logger``,
    ``process``, ``message`` and, of a failure, ``trace``."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        facts = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
        }
        if record.exc_info and record.exc_info[1] is not None:
            facts["trace"] = self.formatException(record.exc_info)
        return json.dumps(facts, ensure_ascii=False)


def _chain(error: BaseException | None, depth: int = 0) -> list[str]:
    if error is None or depth > 5:
        return []
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    lines = _chain(before, depth + 1)
    if lines:
        lines.append("which led to:\n")
    lines += ["Traceback (most recent call last):\n", *traceback.format_tb(error.__traceback__)]
    return [*lines, f"{type(error).__name__}: {private(str(error))}\n"]


def private(text: str) -> str:
    """A message of an exception without longer quotations, on one line, cut."""
    return _QUOTED.sub("“…”", " ".join(text.split()))[:_LONGEST]


class LogFile(logging.handlers.RotatingFileHandler):
    """Two megabytes with two older ones kept. What the disk does not take goes to the standard error, a line each."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Say what could not be written, and why; of a bug with its traceback."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        with contextlib.suppress(OSError, ValueError):
            print(f"not in the log ({error.strerror}): {self.format(record)}", file=sys.stderr)


def log_to(path: Path) -> None:
    """Let this process log into ``path``, private to its user, begun anew at two megabytes with two older ones kept.

    ``ATTUNE_LOG`` set to "json" makes each line a JSON object.
    """
    handler = LogFile(path, maxBytes=MAX_BYTES, backupCount=2, encoding="utf-8")
    handler.setFormatter(LineFormatter() if os.environ.get("ATTUNE_LOG") == "json" else PrivateFormatter())
    path.chmod(0o600)
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def cut(descriptor: int) -> None:
    """Begin a file anew that a descriptor appends to, if it has grown beyond two megabytes."""
    if os.fstat(descriptor).st_size > MAX_BYTES:
        os.ftruncate(descriptor, 0)
