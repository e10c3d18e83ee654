"""Work over shards: the parts in their order, progress summed, an end at any point; and the same over the wire."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from analysis.engine.spread import Bench, Here, here
from analysis.errors import Cancelled
from tests.unit.wired import Wired


@dataclass(frozen=True)
class Scale:
    by: float
    weights: np.ndarray


@dataclass(frozen=True)
class Rows:
    first: int
    last: int


@dataclass(frozen=True)
class Sums:
    total: np.ndarray
    rows: int


def sums(bench: Bench, common: Scale, shard: Rows) -> Sums:
    """Weighted sums of numbers, told row by row."""
    total = np.zeros(3)
    for n in range(shard.first, shard.last):
        bench.check()
        total += common.by * n * common.weights
        bench.progress((n + 1 - shard.first) / (shard.last - shard.first), f"row {n}")
    bench.memory.put("rows", (bench.memory.get("rows") or 0) + shard.last - shard.first, 1)
    return Sums(total, shard.last - shard.first)


COMMON = Scale(2.0, np.array([1.0, 2.0, 3.0]))
SHARDS = [Rows(0, 4), Rows(4, 5), Rows(5, 9)]


@pytest.mark.parametrize("spread", [here, Here(), Wired()])
def test_parts_come_in_the_order_of_their_shards(spread: Here) -> None:
    parts = list(spread(sums, COMMON, SHARDS))
    assert [part.rows for part in parts] == [4, 1, 4]
    assert np.array_equal(sum(part.total for part in parts), 2.0 * 36 * COMMON.weights)


def test_progress_is_that_of_all_shards_and_never_goes_back() -> None:
    shares: list[float] = []
    list(here(sums, COMMON, SHARDS, progress=lambda share, text="", **facts: shares.append(float(share or 0))))
    assert shares == sorted(shares) and shares[-1] == 1.0 and shares[0] == pytest.approx(1 / 12)


def test_a_check_that_raises_ends_it_within_a_shard() -> None:
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        list(here(sums, COMMON, SHARDS, check=check))
    assert calls == 3


def test_a_bench_remembers_from_shard_to_shard_and_has_no_model_unless_given() -> None:
    own = Here()
    list(own(sums, COMMON, SHARDS))
    assert own._memory.get("rows") == 9
    with pytest.raises(RuntimeError, match="without a model"):
        _ = Bench().loaded


LOST = {
    "falls_of_parts": "unit/test_falls.py", "falls_of_sites": "unit/test_falls.py",
    "add_run": "unit/test_fit.py", "read_chunk": "unit/test_activations.py",
    "e_step": "unit/mfa/test_spread.py", "held_score": "unit/mfa/test_spread.py",
    "nearest_means": "unit/mfa/test_spread.py", "step": "unit/snmf/test_spread.py",
    "channels_of_rows": "unit/rotate/test_shards.py", "moments_of_block": "unit/rotate/test_shards.py",
    "part_of_study": "unit/faithfulness/test_shards.py", "scores_of_items": "unit/faithfulness/test_shards.py",
    "cell_of_sweep": "service/test_steering_operations.py", "add_rows": "unit/test_cluster_hands.py",
}  # fmt: skip
"""Where each function of shards is computed on nodes of which one dies in the middle, and compared with the loop."""


def test_each_function_of_shards_is_tried_with_a_node_that_dies() -> None:
    root = Path(__file__).parents[2]
    shards = re.compile(r"^def (\w+)\(\s*bench: Bench, \w+: \w+, \w+: \w+\s*\)", re.MULTILINE)
    there = {name for path in (root / "analysis").rglob("*.py") for name in shards.findall(path.read_text())}
    assert there - {"_captured", "_batches"} == set(LOST)
    for name, path in LOST.items():
        text = (root / "tests" / path).read_text()
        assert "lossy import" in text and (name in text or path == "unit/mfa/test_spread.py"), name
