"""What every job that writes to the data folder holds to: its answer is served only while all its files are there."""

from __future__ import annotations

from analysis.engine.context import Context
from analysis.engine.operation import Operation
from analysis.home import home


def check_served_only_with_its_files(context: Context, operation: Operation) -> None:
    """Take each file of a finished job away and put it back. Fails for a job that names none."""
    kept = context.stored(operation)
    assert kept is not None and len(kept.files) == 2  # arrays and their manifest
    for name in kept.files:
        path = home() / name
        aside = path.rename(path.with_name("aside"))
        assert context.stored(operation) is None, name
        aside.rename(path)
        assert context.stored(operation) is not None, name
