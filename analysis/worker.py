"""The process that owns the model, with all operations of the house: ``python -m analysis.worker``, started and watched
by the supervisor. The engine itself knows no operation, so this is where the two meet."""

from __future__ import annotations

from analysis import catalogue
from analysis.engine import worker

if __name__ == "__main__":
    assert catalogue.NAMES, "importing the catalogue makes its operations known"
    worker.main()
