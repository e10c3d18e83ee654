"""Watch memory and time while a hostile file is read."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SELF = Path("/proc/self")


@contextmanager
def watched(megabytes: int = 400, seconds: float = 10) -> Iterator[None]:
    """Fails if the process grew by more than that above where it stood, or the time was longer.

    Growth is of resident memory at its highest, which Linux counts anew from when it is told to; elsewhere only the
    time is watched.
    """
    before = _reset()
    began = time.perf_counter()
    yield
    assert time.perf_counter() - began < seconds
    if before:
        assert _megabytes("VmHWM") - before < megabytes


def _reset() -> float:
    """Resident memory now in MB, the highest from now on counted anew; 0 where that cannot be had."""
    try:
        (_SELF / "clear_refs").write_text("5")
        return _megabytes("VmRSS")
    except OSError:
        return 0.0


def _megabytes(name: str) -> float:
    lines = (_SELF / "status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(name + ":")) / 1024
