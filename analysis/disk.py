"""A full disk, whatever it was that noticed it: one sentence for all of them.

Files are written by Python, by safetensors, by PyTorch and by SQLite, and each says it in another way. None of it is a
bug, and whoever asked can do something about it.
"""

from __future__ import annotations

import errno

FULL = (
    "The disk that holds Attune's data is full, so nothing could be kept. Make room there (or name a folder on another "
    "disk in ATTUNE_HOME) and ask again."
)
_CODES = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
_WORDS = ("no space left on device", "disk is full", "disk quota exceeded", "failed writing file")


def full_disk(error: BaseException | None) -> bool:
    """Whether an error, or one that it comes from, is that a disk or a quota is full."""
    for _ in range(10):
        if error is None:
            return False
        if isinstance(error, OSError) and error.errno in _CODES:
            return True
        if any(words in str(error).lower() for words in _WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False
