"""The process that owns the model, with all operations of the house: ``python -m analysis.worker``, started and watched
by the supervisor. The engine itself knows no operation and no cluster, so this is where they meet."""

from __future__ import annotations

from analysis import catalogue
from analysis.cluster.choice import spread
from analysis.cluster.link import link_aside, named_cluster
from analysis.engine import worker

if __name__ == "__main__":
    assert catalogue.NAMES, "importing the catalogue makes its operations known"
    if named_cluster():
        link_aside()
    worker.main(spread)
