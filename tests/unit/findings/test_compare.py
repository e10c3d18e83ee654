"""Figures beside each other have the same axes, and their difference is that of their values or a refusal in words."""

from __future__ import annotations

import base64
import copy
from typing import Any

import numpy as np
import pytest

from analysis.errors import UserError
from components.findings.compare import difference, numeric, shared_axes


def bars(*heights: float | None, **layout: Any) -> dict[str, Any]:
    return {"data": [{"type": "bar", "x": ["a", "b", "c"][: len(heights)], "y": list(heights)}], "layout": layout}


def grid(values: Any, **trace: Any) -> dict[str, Any]:
    return {"data": [{"type": "heatmap", "z": values, **trace}], "layout": {}}


def test_axes_hold_the_data_of_both_and_bars_stand_on_zero() -> None:
    one, two = shared_axes([bars(1, 2), bars(4, None)])
    assert one["layout"]["yaxis"] == two["layout"]["yaxis"] == {"range": [0, pytest.approx(4.2)], "autorange": False}
    assert "range" not in one["layout"].get("xaxis", {})  # words


def test_lines_errors_logs_stacks_and_given_ranges() -> None:
    lines = [
        {"data": [{"x": [0, top], "y": [1, top], "error_y": {"array": [0, 2]}}], "layout": {"yaxis": {}}}
        for top in (3, 9)
    ]
    one, _ = shared_axes(lines)
    assert one["layout"]["yaxis"]["range"] == [pytest.approx(-1 - 0.6), pytest.approx(11.6)]
    logs = [{"data": [{"x": [0], "y": [v]}], "layout": {"yaxis": {"type": "log"}}} for v in (10, 1000)]
    assert shared_axes(logs)[0]["layout"]["yaxis"]["range"] == [pytest.approx(0.95), pytest.approx(3.05)]
    stack = {
        "data": [{"type": "bar", "x": [1, 2], "y": [3, -1]}, {"type": "bar", "x": [1, 2], "y": [2, -4]}],
        "layout": {"barmode": "relative"},
    }
    assert shared_axes([stack, stack])[0]["layout"]["yaxis"]["range"] == [pytest.approx(-5.5), pytest.approx(5.5)]
    given = [bars(1, yaxis={"range": [5, 0]}), bars(9, yaxis={"autorange": "reversed"})]
    assert shared_axes(given)[1]["layout"]["yaxis"]["range"] == [pytest.approx(9.45), 0]


def test_an_axis_of_another_scale_is_left_alone() -> None:
    pair = [bars(1, yaxis={"type": "log"}), bars(9)]
    before = copy.deepcopy(pair)
    assert shared_axes(pair) == before == pair


def test_grids_share_their_colours() -> None:
    for figure in shared_axes([grid([[0, 1]]), grid([[-2, None]]), grid([[0.5]], zmin=0, zmax=3)]):
        assert (figure["data"][0]["zmin"], figure["data"][0]["zmax"]) == (-2, 3)
    axis = {"coloraxis": {"colorscale": "Cividis"}}
    pair = [{"data": [{"type": "heatmap", "z": [[v]], "coloraxis": "coloraxis"}], "layout": axis} for v in (1, 5)]
    assert [f["layout"]["coloraxis"]["cmax"] for f in shared_axes(pair)] == [5, 5]


def test_the_difference_is_new_minus_old() -> None:
    minus = difference(bars(1, 2), bars(4, None, yaxis={"title": {"text": "KL"}, "range": [0, 4]}))
    assert minus["data"][0]["y"] == [3, None] and minus["layout"]["yaxis"]["title"] == {"text": "KL, new − old"}
    assert "range" not in minus["layout"]["yaxis"]
    flat = {"type": "bar", "orientation": "h", "y": ["a"], "x": [3], "customdata": [[1]], "hovertemplate": "%{x}"}
    lying = difference({"data": [flat | {"x": [1]}], "layout": {}}, {"data": [flat], "layout": {}})["data"][0]
    assert lying["x"] == [2] and lying["y"] == ["a"] and "hovertemplate" not in lying
    cells = difference(grid([[1, 2], [3, 4]]), grid([[1, 1], [1, 1]]))["data"][0]
    assert cells["z"] == [[0, -1], [-2, -3]] and (cells["zmin"], cells["zmax"]) == (-3, 3)


@pytest.mark.parametrize(
    ("old", "new"),
    [(bars(1), bars(1, 2)), (grid([[1]]), grid([[1, 2]])), (grid([[1]], x=["a"]), grid([[1]], x=["b"])),
     (bars(1), grid([[1]])),
     ({"data": [{"type": "scatter3d", "x": [1]}], "layout": {}},) * 2, ({"data": [], "layout": {}},) * 2,
     (bars(1), {"data": [{"type": "bar", "x": ["a"], "y": ["high"]}], "layout": {}})],
)  # fmt: skip
def test_what_has_no_difference_says_why(old: Any, new: Any) -> None:
    with pytest.raises(UserError, match="There is no difference"):
        difference(old, new)


def test_lines_are_held_against_those_of_their_name() -> None:
    def lines(**heights: float) -> dict[str, Any]:
        return {"data": [{"name": name, "x": [0], "y": [y]} for name, y in heights.items()], "layout": {}}

    minus = difference(lines(theme=1, token=10), lines(token=11, theme=3))
    assert [(t["name"], t["y"]) for t in minus["data"]] == [("token", [1]), ("theme", [2])]
    assert [t["y"] for t in difference(lines(rank2=1, null=5), lines(rank8=4, null=5))["data"]] == [[3], [0]]
    with pytest.raises(UserError, match="There is no difference"):
        difference(lines(theme=1, token=10), lines(token=11, grammar=3))


def test_packed_arrays_are_read() -> None:
    packed = {"dtype": "f8", "bdata": base64.b64encode(np.arange(6.0).tobytes()).decode(), "shape": "2, 3"}
    found = numeric(packed)
    assert found is not None and found.tolist() == [[0, 1, 2], [3, 4, 5]] and numeric(["a"]) is None
    assert difference(grid(packed), grid(packed))["data"][0]["z"] == [[0, 0, 0], [0, 0, 0]]
