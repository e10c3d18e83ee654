"""A sweep as a picture: two maps in one scale, what is not reached, what beats the null, and what a click takes."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest

from analysis.mfa.answers.sweep import Sweep
from analysis.mfa.ops.sweep import KLS, SteerSweep, plain, sweep_from
from analysis.mfa.settings import RegionSetting, SteeringSettings
from components.kit.part import Table
from components.kit.view import NoOptions
from components.mfa.sweep import cells_of, sweep_map

NAN = float("nan")
GAIN = np.array([[0.5, NAN], [2.0, 1.0]], np.float32)
SWEEP = Sweep(
    "blocks", 7, "wine", 10, 0, "add", 0.25, (0, 1), (4.0, 10.0), (0.05, 0.25), np.where(GAIN > 0, 0.3, GAIN), GAIN,
    np.array([[0.6, NAN], [0.1, NAN]], np.float32), np.array([[0.7, NAN], [0.2, NAN]], np.float32),
    (" wine",), "wine", 3,
)  # fmt: skip

ASKED = {"model": {"source": "m"}, "steer": {"fit": "f", "where": "all"}}


def test_the_region_and_its_null_share_one_scale_and_dots_mark_what_beats_it() -> None:
    drawing = sweep_map.draw(SWEEP, NoOptions(), "light")
    own, null, dots = drawing.figure["data"]  # type: ignore[index]
    assert own["coloraxis"] == null["coloraxis"] and (own["xaxis"], null["xaxis"]) == ("x", "x2")
    assert (list(dots["x"]), list(dots["y"])) == ([0.36], [1])
    assert (
        "block 10, KL 0.05<br>strength 0.3<br>random pushes +0.10" in own["hovertext"][1][0]
        and own["hovertext"][0][1] == ""
    )
    assert "no random push reaches" in own["hovertext"][1][1] and own["text"] == [["+0.5", ""], ["+2.0", "+1.0"]]
    assert drawing.control and "+2.00 nats, at block 10, KL 0.05" in drawing.control.text
    assert "1 of 3 cells" in drawing.control.text and drawing.numbers["largest gain"] == 2.0
    table = drawing.parts[0]
    assert isinstance(table, Table) and table.rows[1] == (4.0, 0.25, None, None, None, None)


def test_a_sweep_without_a_cell_has_no_claim() -> None:
    nothing = sweep_from(plain(SWEEP) | {name: [[None] * 2] * 2 for name in ("gain", "strength", "null", "null_high")})
    drawing = sweep_map.draw(nothing, NoOptions(), "dark")
    assert drawing.control is None and drawing.numbers == {}
    assert cells_of(nothing, ASKED)["strength"] == [[None] * 2] * 2


def test_a_growing_sweep_survives_its_way_to_the_page() -> None:
    again = sweep_from(json.loads(json.dumps(plain(SWEEP))))
    assert again.rows == SWEEP.rows and np.array_equal(again.gain, SWEEP.gain, equal_nan=True)


@pytest.mark.parametrize("over", ["blocks", "factors"])
def test_each_level_has_the_cells_of_the_coarser_ones(over: str) -> None:
    steer = SteeringSettings("fit", (RegionSetting(0),))
    grids = [SteerSweep(text="A prompt", steer=steer, over=over, level=n).grid(30, 10) for n in range(3)]  # type: ignore[arg-type]
    for coarse, fine in pairwise(grids):
        assert all(set(a) <= set(b) for a, b in zip(coarse, fine, strict=True))
    if over == "blocks":
        assert all(10.0 in rows for rows, _ in grids) and grids[2][0] == tuple(range(30)) and grids[0][1] == KLS[0]
    assert SteerSweep(text="A prompt", steer=steer, level=2).built_on() == tuple(
        SteerSweep(text="A prompt", steer=steer, level=n) for n in (0, 1)
    )
