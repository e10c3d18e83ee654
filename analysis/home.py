"""Where Attune keeps what it makes: models, results, caches, logs. One folder, private to its user."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def home() -> Path:
    """The data folder: ``ATTUNE_HOME``, or the platform's user data folder. Made with mode 0700 if missing."""
    named = os.environ.get("ATTUNE_HOME")
    path = Path(named).expanduser() if named else platformdirs.user_data_path("attune", appauthor=False)
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path.resolve()


def folder(*parts: str) -> Path:
    """A folder below :func:`home`, made if missing, mode 0700."""
    path = home().joinpath(*parts)
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path
