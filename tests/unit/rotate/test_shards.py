"""The null of neurons and their layer map over shards: through the wire what they are in one piece."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.errors import Cancelled
from analysis.rotate.measure import measure
from analysis.rotate.width import Width
from tests.unit.lossy import Lossy
from tests.unit.rotate.test_vectors import loaded, read
from tests.unit.wired import Wired

SMALL = Width("small", 40, 1, 1, 1, 8, 1, 20, 5)


def test_a_null_measured_on_nodes_is_that_of_one_machine() -> None:
    name = "llama"
    alone, spread = measure(read(name), SMALL, seed=3), Lossy(loaded(name), fatal=(2, 9))
    nodes = measure(read(name), SMALL, seed=3, spread=spread)
    assert spread.lost == ["channels_of_rows", "moments_of_block"]
    assert alone.arrays.keys() == nodes.arrays.keys() and alone.manifest == nodes.manifest
    for key, values in alone.arrays.items():
        np.testing.assert_array_equal(values, nodes.arrays[key], err_msg=key)
    mapped = alone.arrays["kurtosis"].astype(float)
    assert (np.isfinite(mapped).sum(-1) == SMALL.neurons).all()


def test_a_null_measured_on_nodes_ends_where_it_is_ended() -> None:
    told: list[float | None] = []
    checks: list[int] = []

    def check() -> None:
        checks.append(len(told))
        if len(checks) == 6:
            raise Cancelled

    def progress(share: float | None, text: str = "", **facts: object) -> None:
        told.append(share)

    with pytest.raises(Cancelled):
        measure(read("llama"), SMALL, progress=progress, check=check, spread=Wired(loaded("llama")))
    assert len(checks) == 6 and None not in told
    shares = [float(share) for share in told if share is not None]
    assert shares and shares == sorted(shares)
