"""What belongs to one worker alone, where several share a data folder: its book of jobs, its lock, its logs."""

from __future__ import annotations

import os
from pathlib import Path

from analysis.home import folder, home

PLACES = "places"
"""The folder below which each place of a cluster has one of its own."""
VARIABLE = "ATTUNE_PLACE"
"""The environment's name for the place of a worker."""


def own_folder(place: str | None = None) -> Path:
    """The folder of one worker: on one machine the data folder itself; in a cluster one for each ``place`` (default:
    the place that the environment names)."""
    place = os.environ.get(VARIABLE, "") if place is None else place
    return folder(PLACES, place) if place else home()
