"""Shards on a real Ray cluster of three nodes on this machine: the same sums, whatever is lost on the way."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.cluster.hands import hands
from analysis.cluster.link import VARIABLE
from analysis.cluster.spread import OnNodes, spread_of
from analysis.cluster.trial import Rows, Trial, add_rows
from analysis.engine.memory import Memory
from analysis.engine.spread import here
from analysis.errors import Cancelled, UserError

COMMON = Trial(np.array([1.0, 0.5]))
SHARDS = [Rows(n * 50, n * 50 + 50) for n in range(12)]
SLOW = Trial(COMMON.weights, 0.02)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Three nodes of one CPU each, of which this process is on the first."""
    import ray
    from ray.cluster_utils import Cluster

    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    for _ in range(2):
        made.add_node(num_cpus=1)
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = made.address
    try:
        yield made
    finally:
        os.environ.pop(VARIABLE)
        if before is not None:
            os.environ[VARIABLE] = before
        ray.shutdown()
        made.shutdown()


@pytest.fixture
def nodes(cluster: Any) -> OnNodes:
    """The spread over the nodes that are up."""
    found = spread_of(None, Memory())
    assert isinstance(found, OnNodes)
    return found


def test_the_sums_are_those_of_the_loop_and_shards_go_back_to_their_node(nodes: OnNodes) -> None:
    shares: list[float] = []
    expected = list(here(add_rows, COMMON, SHARDS))
    t = time.time()
    first = list(nodes(add_rows, COMMON, SHARDS, progress=lambda share, text="", **facts: shares.append(float(share or 0))))
    print("first", time.time() - t)
    while len(nodes._held._hands) and any(not h.holds for h in nodes._held.of("cpu")):
        list(nodes(add_rows, SLOW, SHARDS[:3]))
    t = time.time()
    parts = list(nodes(add_rows, COMMON, SHARDS))
    print("again", time.time() - t, [p.process for p in parts], [p.before for p in parts])
    assert all(np.array_equal(a.total, b.total) for a, b in zip(parts, expected, strict=True))
