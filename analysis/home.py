"""Where Attune keeps what it makes: models, results, caches, logs. One folder, private to its user."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

import platformdirs


def home() -> Path:
    """The data folder: ``ATTUNE_HOME``, or the platform's user data folder. Made if missing; mode 0700."""
    named = os.environ.get("ATTUNE_HOME")
    path = Path(named).expanduser() if named else platformdirs.user_data_path("attune", appauthor=False)
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    _shut(path)
    return path.resolve()


def folder(*parts: str) -> Path:
    """A folder below :func:`home`, it and those between made if missing, mode 0700."""
    path = home()
    for part in parts:
        path = path / part
        path.mkdir(exist_ok=True, mode=0o700)
    return path


def _shut(path: Path) -> None:
    """Take the data folder from others where it was made open: prompts, uploads and models lie in it.

    Left as they are: a folder that others share (sticky, such as /tmp) or own, the user's own, and the root.
    """
    found = path.stat()
    if not hasattr(os, "getuid") or found.st_uid != os.getuid() or not found.st_mode & 0o077:
        return
    if found.st_mode & stat.S_ISVTX or path.resolve() in (Path.home().resolve(), Path(path.anchor or "/")):
        return
    with contextlib.suppress(OSError):
        path.chmod(0o700)
