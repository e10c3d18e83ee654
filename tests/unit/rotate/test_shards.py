"""The null of neurons and their layer map over shards: through the wire what they are in one piece."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.errors import Cancelled
from analysis.rotate.measure import measure
from analysis.rotate.width import Width
from tests.unit.rotate.test_vectors import loaded, read
from tests.unit.wired import Wired

SMALL = Width("small", 40, 1, 1, 1, 8, 1, 20, 5)


def test_a_null_measured_on_nodes_is_that_of_one_machine() -> None:
    name = "llama"
    alone = measure(read(name), SMALL, seed=3)
    nodes = measure(read(name), SMALL, seed=3, spread=Wired(loaded(name)))
    assert alone.arrays.keys() == nodes.arrays.keys() and alone.manifest == nodes.manifest
    for key, values in alone.arrays.items():
        np.testing.assert_array_equal(values, nodes.arrays[key], err_msg=key)
    mapped = alone.arrays["kurtosis"].astype(float)
    assert (np.isfinite(mapped).sum(-1) == SMALL.neurons).all()


def test_a_null_measured_on_nodes_ends_where_it_is_ended() -> None:
    told: list[float | None] = []

    def progress(share: float | None, text: str = "", **facts: object) -> None:
        told.append(share)
        if len(told) == 6:
            raise Cancelled

    with pytest.raises(Cancelled):
        measure(read("llama"), SMALL, progress=progress, spread=Wired(loaded("llama")))
    assert len(told) == 6
