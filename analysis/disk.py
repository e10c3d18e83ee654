"""A disk that takes nothing more, whatever it was that noticed it: one sentence for a full one, one for one that may
only be read.

Files are written by Python, by safetensors, by PyTorch and by SQLite, and each says it in another way. None of it is a
bug, and whoever asked can do something about it.
"""

from __future__ import annotations

import errno

FULL = (
    "The disk that holds Attune's data is full, so nothing could be kept. Make room there (or name a folder on another "
    "disk in ATTUNE_HOME) and ask again."
)
READ_ONLY = (
    "The disk that holds Attune's data can only be read at the moment, so nothing could be kept. What is in memory can "
    "still be asked. Make it writable (or name a folder on another disk in ATTUNE_HOME) and ask again."
)
_CODES = {errno.ENOSPC: FULL, getattr(errno, "EDQUOT", errno.ENOSPC): FULL, errno.EROFS: READ_ONLY}
_WORDS = {
    "no space left on device": FULL,
    "disk is full": FULL,
    "disk quota exceeded": FULL,
    "failed writing file": FULL,
    "read-only file system": READ_ONLY,
    "readonly database": READ_ONLY,
}


def disk_refusal(error: BaseException | None) -> str:
    """What to say of an error, or of one that it comes from, that is a disk which takes nothing more; "" of others."""
    for _ in range(10):
        if error is None:
            return ""
        if isinstance(error, OSError) and error.errno in _CODES:
            return _CODES[error.errno]
        text = str(error).lower()
        for words, sentence in _WORDS.items():
            if words in text:
                return sentence
        error = error.__cause__ or error.__context__
    return ""
