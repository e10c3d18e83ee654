"""How much disk the data folder may take, where somebody says so: ``ATTUNE_QUOTA``, in gigabytes.

Kept results leave first, the least recently used before the others: asked again, they are computed again. What people
made (fits, studies, boards, uploads) never leaves by itself; where that alone fills the quota, a job that would write
more of it is refused. Boards hold copies of what is pinned, so that no finding is lost with a result.
"""

from __future__ import annotations

import math
import os
import threading
import time
from pathlib import Path

from analysis.errors import UserError
from analysis.home import home

VARIABLE = "ATTUNE_QUOTA"
GIGABYTE = 10**9
FRESH = 30.0
"""Seconds for which the size of the folder is known."""
_lock = threading.Lock()
_known: dict[Path, tuple[float, int]] = {}


def quota() -> int | None:
    """The quota in bytes; None where none is set. UserError for what is no positive number."""
    return gigabytes(VARIABLE, "how many gigabytes the data folder may take")


def gigabytes(variable: str, words: str) -> int | None:
    """Bytes that a variable of the environment names in gigabytes; None where it is not set. UserError for what is no
    positive number; ``words`` say what it is."""
    text = os.environ.get(variable, "").strip()
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise UserError(f"{variable} is {words}, such as 20, not {text!r}.")
    return round(number * GIGABYTE)


def size_of_folder(path: Path, leave_out: Path | None = None) -> int:
    """Bytes of all files below a folder, but for those of one in it; what is gone or hidden while one looks counts
    nothing."""
    total = 0
    for folder, folders, names in os.walk(path, onerror=lambda error: None):
        folders[:] = [name for name in folders if leave_out is None or Path(folder) / name != leave_out]
        for name in names:
            try:
                total += os.lstat(os.path.join(folder, name)).st_size
            except OSError:
                continue
    return total


def made_by_people(now: float | None = None) -> int:
    """Bytes of the data folder besides kept results, as they were within the last seconds."""
    now = time.monotonic() if now is None else now
    root = home()
    with _lock:
        at, size = _known.get(root, (-math.inf, 0))
        if now - at > FRESH:
            size = size_of_folder(root, leave_out=root / "results")
            _known[root] = now, size
        return size


def room_for_results(limit: int) -> int:
    """Bytes that kept results may take: ``limit``, or what the quota leaves of it."""
    whole = quota()
    return limit if whole is None else max(0, min(limit, whole - made_by_people()))


def check_room() -> None:
    """Raises UserError where what people made fills the quota."""
    whole = quota()
    if whole is None:
        return
    used = made_by_people()
    if used >= whole:
        raise UserError(
            f"Fits, studies, boards and models take {used / GIGABYTE:.1f} GB of the data folder, and its quota is "
            f"{whole / GIGABYTE:.1f} GB ({VARIABLE}). Nothing more is made until some of it is deleted."
        )
