"""Set-ups as data from a browser: what is taken comes back the same, all else is refused in a sentence."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from analysis.errors import UserError
from analysis.mfa.settings import MAX_REGIONS, RegionSetting, SteeringSettings

FULL = SteeringSettings(
    "block-10", (RegionSetting(3, 0.25, (1.0, -2.5)), RegionSetting(8)), "clamp", "generated", (4, 7), "varimax"
)


def with_region(**changes: Any) -> dict[str, Any]:
    return {**FULL.to_dict(), "regions": [{"region": 1, "strength": 0.5, "factors": [], **changes}]}


def test_a_set_up_survives_json() -> None:
    data = json.loads(json.dumps(FULL.to_dict(), allow_nan=False))
    assert SteeringSettings.from_dict(data) == FULL and SteeringSettings.from_dict({}) == SteeringSettings()
    assert hash(SteeringSettings.from_dict(data)) == hash(FULL)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 1e9, -0.01, 1.01, 10**400, True, "0.5", None, [0.5]])
def test_a_strength_outside_its_range_is_refused(number: Any) -> None:
    with pytest.raises(UserError, match="from 0 to 1") as caught:
        SteeringSettings.from_dict(with_region(strength=number))
    assert caught.value.field == "strength" and len(caught.value.message) < 120


@pytest.mark.parametrize("number", [math.nan, math.inf, 1e9, -20.5, -(10**400), False, "1", None])
def test_a_factor_outside_its_range_is_refused(number: Any) -> None:
    with pytest.raises(UserError, match="from -20 to 20"):
        SteeringSettings.from_dict(with_region(factors=[0.5, number]))


@pytest.mark.parametrize("number", [-1, 100_000, 1.0, True, "3", None, [3]])
def test_a_region_is_a_whole_number(number: Any) -> None:
    with pytest.raises(UserError, match="named by its number"):
        SteeringSettings.from_dict(with_region(region=number))


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (None, "steer"),
        ([], "steer"),
        ("{}", "steer"),
        ({"evil": 1}, "steer"),
        ({"regions": "3"}, "steer"),
        ({"regions": {"region": 3}}, "steer"),
        ({"layers": 3}, "steer"),
        ({"regions": [3]}, "regions"),
        ({"regions": [{"strength": 1}]}, "regions"),
        ({"regions": [{"region": 1, "evil": 1}]}, "regions"),
        ({"regions": [{"region": 1, "factors": "12"}]}, "factors"),
        ({"regions": [{"region": 1, "factors": [0.0] * 65}]}, "factors"),
        ({"regions": [{"region": 1}, {"region": 1, "strength": 1}]}, "regions"),
        ({"regions": [{"region": k} for k in range(MAX_REGIONS + 1)]}, "regions"),
        ({"layers": [True]}, "layers"),
        ({"layers": [1.5]}, "layers"),
        ({"layers": [-1]}, "layers"),
        ({"layers": list(range(65))}, "layers"),
        ({"mode": "evil"}, "mode"),
        ({"mode": ["add"]}, "mode"),
        ({"where": None}, "mode"),
        ({"rotation": "oblique"}, "mode"),
        ({"fit": 3}, "fit"),
        ({"fit": "x" * 201}, "fit"),
    ],
)
def test_other_data_is_refused_where_it_is_wrong(data: Any, field: str) -> None:
    with pytest.raises(UserError) as caught:
        SteeringSettings.from_dict(data)
    assert caught.value.field == field and caught.value.message.endswith(".")


def test_as_many_regions_as_allowed_are_taken() -> None:
    rows = [{"region": k, "strength": 1, "factors": [20, -20]} for k in range(MAX_REGIONS)]
    assert len(SteeringSettings.from_dict({"regions": rows}).regions) == MAX_REGIONS


def test_idle_means_that_nothing_is_changed() -> None:
    assert SteeringSettings().idle and RegionSetting(1).idle and RegionSetting(1, 0.0, (0.0, 0.0)).idle
    assert not RegionSetting(1, 0.01).idle and not RegionSetting(1, 0.0, (0.0, -0.1)).idle
    assert SteeringSettings(regions=(RegionSetting(1), RegionSetting(2))).idle
    assert not SteeringSettings(regions=(RegionSetting(1), RegionSetting(2, 0.1))).idle


def test_settings_need_no_torch() -> None:
    code = "import sys, analysis.mfa.settings, analysis.mfa.ops.steer; sys.exit('torch' in sys.modules)"
    root = Path(__file__).resolve().parents[3]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
