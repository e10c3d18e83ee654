"""The figures of the Othello page: the numbers they were given, titled axes and scales, exact regions, no markup."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from dash._utils import to_json

from analysis.tpr.answers.edit import TrialRow
from analysis.tpr.answers.model import RandomNetwork
from analysis.tpr.answers.reading import CurvePoint, NeighbourRow
from components.kit.theme import TEMPLATES
from components.othello import figures as f
from components.othello import pieces as g
from components.othello import style
from components.othello.board import NAMES

RNG = np.random.default_rng(0)
EVIL = "<img src=x onerror=alert(1)>"
SHARES = RNG.dirichlet(np.full(64, 0.2))
OTHER = RNG.dirichlet(np.full(64, 0.2))
LEGAL = [int(s) for s in np.argsort(-SHARES)[[0, 2, 3]]]
FILLERS = np.array([[1.1, -0.1], [-0.5, 0.9], [-0.6, -0.8]])
UNBOUND = RNG.normal(0, 5, (64, 2))
TRUTH = RNG.integers(0, 3, 64)
POINTS = RNG.normal(size=(64, 3))
GAP = np.where(np.arange(64).reshape(8, 8) == 0, np.nan, RNG.normal(0, 0.2, (8, 8)))
NEAR = [NeighbourRow("roles", 0.5, 0.1, 0.1, 0.1, 0.2), NeighbourRow(EVIL, 0.1, 0.1, 0.1, 0.1, 0.6)]
RANKS = [
    CurvePoint("rank 80", "svd", 25600, 0.85),
    CurvePoint("rank 40", "svd", 12800, 0.7),
    CurvePoint("TPR, 52 × 2", "tpr", 16646, 0.97),
    CurvePoint(EVIL, "linear", 24576, 0.98),
]
EDITS = [
    TrialRow("tpr", title, choice, mean, low, high, 1.4, 1.4, 0.5, 1.0, 1.0, 200)
    for title, choice, mean, low, high in (
        ("TPR", "fixed", 0.5, 0.4, 0.7),
        ("TPR", "best", 0.2, 0.1, 0.3),
        (EVIL, "fixed", 1.6, 1.3, 1.9),
    )
]
ACCURACY = {"linear": [0.8, 0.9], EVIL: [None, 0.85]}


def figures(theme: str) -> dict[str, dict[str, Any]]:
    return {
        "moves": f.move_bars(SHARES, LEGAL, theme),
        "before_after": f.before_after_bars(SHARES, OTHER, LEGAL, LEGAL[:1], theme),
        "legality": f.legality_by_ply([0.0, 0.5], [100, 50], theme, reference=[0.9, 0.9]),
        "training": f.training_curve([1, 2, 3], [1.0, 0.1, -0.01], [0.5, 0.1, 0.0], theme),
        "accuracy": f.accuracy_by_layer(ACCURACY, 0.62, RandomNetwork(1, 1000, 0.7, 0.69), theme),
        "binding": g.binding_heatmap(RNG.normal(size=(52, 2)), theme),
        "plane": g.filler_plane(UNBOUND, FILLERS, TRUTH, NAMES, theme),
        "roles2": g.role_scatter(POINTS[:, :2], list(range(64)), theme),
        "roles3": g.role_scatter(POINTS, list(range(64)), theme),
        "gram": g.gram_heatmap(np.eye(64), theme),
        "gaps": g.gap_heatmaps([("roles", GAP), (EVIL, GAP / 2)], theme),
        "neighbours": g.neighbour_bars(NEAR, theme),
        "ranks": g.rank_curve(RANKS, theme),
        "edits": f.edit_errors(EDITS, theme),
    }


LIGHT = figures("light")


def named(figure: dict[str, Any], name: str) -> dict[str, Any]:
    return next(t for t in figure["data"] if t.get("name") == name)


def meta(figure: dict[str, Any], what: str) -> list[dict[str, Any]]:
    return [t for t in figure["data"] if t.get("meta") == what]


@pytest.mark.parametrize("name", LIGHT)
def test_axes_and_scales_have_titles(name: str) -> None:
    layout, data = LIGHT[name]["layout"], LIGHT[name]["data"]
    axes = layout["scene"] if "scene" in layout else layout
    titles = {k: v["title"]["text"] for k, v in axes.items() if "axis" in k and k != "coloraxis" and "title" in v}
    # Small multiples name their rows once; bars named in words by their categories need no title there.
    needed = {"xaxis", "yaxis"} - ({"yaxis"} if name in ("neighbours", "edits") else set())
    assert all(titles[axis] for axis in needed)
    for trace in data:
        if trace["type"] == "heatmap":
            bar = layout["coloraxis"]["colorbar"] if "coloraxis" in trace else trace["colorbar"]
            assert bar["title"]["text"]


@pytest.mark.parametrize("name", LIGHT)
def test_figures_follow_the_theme_are_json_and_let_no_markup_in(name: str) -> None:
    from plotly.graph_objects import Figure

    assert LIGHT[name]["layout"]["template"] == TEMPLATES["light"]
    text = to_json(LIGHT[name])
    assert "<img" not in text and "NaN" not in text
    parsed = json.loads(text)
    Figure(parsed)  # refuses a property that plotly does not have
    dark = json.loads(to_json(figures("dark")[name]))
    assert dark["layout"]["template"] == TEMPLATES["dark"]


def test_moves_come_in_order_and_illegal_ones_are_hatched() -> None:
    figure = f.move_bars(SHARES, LEGAL, "light", n=5)
    order = [NAMES[s] for s in np.argsort(-SHARES)[:5]]
    assert figure["layout"]["yaxis"]["categoryarray"] == order
    legal, illegal = named(figure, "legal"), named(figure, "illegal")
    assert legal["customdata"] == LEGAL and set(legal["y"]) | set(illegal["y"]) == set(order)
    assert np.allclose(legal["x"], SHARES[LEGAL], atol=1e-4)
    assert not legal["marker"]["pattern"]["shape"] and illegal["marker"]["pattern"]["shape"]
    assert illegal["marker"]["pattern"]["fillmode"] == "overlay", "else the bar is drawn in white lines alone"
    assert figure["layout"]["shapes"][0]["x0"] == 0.01


def test_an_edit_marks_what_became_and_what_ceased_to_be_legal() -> None:
    p, q = np.zeros(64), np.zeros(64)
    p[[3, 4]], q[[3, 5]] = [0.4, 0.6], [0.3, 0.7]
    figure = f.before_after_bars(p, q, [3, 4], [3, 5], "light")
    before, after = figure["data"]
    assert before["x"] == [NAMES[5] + " +", NAMES[4] + " −", NAMES[3]]
    assert before["y"].tolist() == [0, 0.6, 0.4] and after["y"].tolist() == [0.7, 0, 0.3]
    assert before["marker"]["pattern"]["shape"] == ["/", "", ""] and after["customdata"][1] == "illegal"


def test_legality_weighs_plies_by_their_positions() -> None:
    figure = LIGHT["legality"]
    assert figure["layout"]["shapes"][0]["y0"] == pytest.approx(25 / 150)
    assert "16.67%" in figure["layout"]["xaxis"]["title"]["text"]
    assert figure["data"][0]["customdata"] == ["0 of 100", "25 of 50"] and figure["data"][0]["x"] == [1, 2]


def test_a_training_curve_leaves_gaps_where_a_logarithm_has_no_place() -> None:
    loss, illegal = LIGHT["training"]["data"]
    assert loss["y"] == [1.0, 0.1, None] and illegal["y"] == [0.5, 0.1, None] and illegal["yaxis"] == "y2"


def test_accuracy_keeps_gaps_and_shows_both_controls_within_its_range() -> None:
    figure = LIGHT["accuracy"]
    assert figure["data"][1]["y"] == [None, 0.85]
    assert named(figure, "untrained network, linear")["y"] == [0.7]
    low, high = figure["layout"]["yaxis"]["range"]
    assert low < 0.62 < 1 < high and figure["layout"]["shapes"][0]["y0"] == 0.62
    bare = f.accuracy_by_layer({"linear": [0.5]}, None, None, "light")
    assert len(bare["data"]) == 1 and "shapes" not in bare["layout"]


@pytest.mark.parametrize("seed", range(20))
def test_regions_of_the_plane_are_the_classifier_itself(seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Odd seeds hide one class between the others, so that it wins nowhere.
    fillers = rng.normal(size=(3, 2))
    if seed % 2:
        fillers[2] = 0.5 * (fillers[0] + fillers[1])
    found = g.sectors(fillers)
    assert len(found) == (2 if seed % 2 else 3) and sum(b - a for _, a, b in found) == pytest.approx(2 * np.pi)
    assert all(0 < b - a <= np.pi + 1e-9 for _, a, b in found)
    angles = rng.uniform(0, 2 * np.pi, 400)
    slow = (np.stack([np.cos(angles), np.sin(angles)], 1) @ fillers.T).argmax(1)
    for angle, c in zip(angles, slow, strict=True):
        inside = [k for k, a, b in found if a <= angle < b or a <= angle + 2 * np.pi < b]
        assert inside == [c]


def test_equal_fillers_have_no_regions() -> None:
    assert g.sectors(np.ones((3, 2))) == []


def test_the_plane_holds_every_square_with_its_dot_products_and_crosses_the_wrong_ones() -> None:
    figure = LIGHT["plane"]
    dots = UNBOUND @ FILLERS.T
    seen = {}
    for trace in meta(figure, "squares"):
        for s, x, y, text in zip(trace["customdata"], trace["x"], trace["y"], trace["hovertext"], strict=True):
            seen[s] = (x, y, text)
    assert sorted(seen) == list(range(64))
    for s, (x, y, text) in seen.items():
        assert np.allclose((x, y), UNBOUND[s], atol=1e-4) and text.startswith(NAMES[s])
        assert all(f"{dots[s, c]:.2f}" in text for c in range(3))
    wrong = np.flatnonzero(dots.argmax(1) != TRUTH)
    assert np.allclose(meta(figure, "wrong")[0]["x"], UNBOUND[wrong, 0], atol=1e-4) and len(wrong) > 5
    assert len(meta(figure, "lit")) == 1 and meta(figure, "lit")[0]["x"] == []
    assert {t["marker"]["symbol"] for t in meta(figure, "squares")} == set(style.CLASS_SYMBOLS)


def test_stars_are_stretched_by_one_factor_that_is_said() -> None:
    star = meta(LIGHT["plane"], "stars")[0]
    factor = float(star["name"].split(", ")[1].split(" ")[0])
    assert factor > 2 and np.allclose(np.stack([star["x"], star["y"]], 1), FILLERS * factor, atol=1e-3)
    plain = meta(g.filler_plane(UNBOUND / 5, FILLERS, TRUTH, NAMES, "light"), "stars")[0]
    assert plain["name"] == "colours F" and np.allclose(plain["x"], FILLERS[:, 0])
    with pytest.raises(ValueError, match="unbound"):
        g.filler_plane(np.zeros((64, 3)), np.zeros((3, 3)), TRUTH, NAMES, "light")


@pytest.mark.parametrize("n", [2, 3])
def test_roles_stand_at_their_points_with_lines_between_neighbours(n: int) -> None:
    order = [s for s in range(64) if s not in (27, 28, 35, 36)]
    figure = g.role_scatter(POINTS[order][:, :n], order, "light")
    kind = "scatter" if n == 2 else "scatter3d"
    assert {t["type"] for t in figure["data"]} == {kind} and ("scene" in figure["layout"]) == (n == 3)
    seen = {
        s: point
        for t in meta(figure, "squares")
        for s, point in zip(t["customdata"], np.stack([t[a] for a in "xyz"[:n]], 1), strict=True)
    }
    assert sorted(seen) == order and all(np.allclose(seen[s], POINTS[s, :n], atol=1e-4) for s in order)
    ends = np.stack([meta(figure, "lines")[0][a] for a in "xyz"[:n]], 1).reshape(-1, 3, n)
    assert np.isnan(ends[:, 2]).all() and len(ends) == 112 - 12  # 12 of the 112 lines end on the centre squares
    at = {tuple(np.round(POINTS[s, :n], 4)): s for s in order}
    pairs = [(at[tuple(a)], at[tuple(b)]) for a, b, _ in ends]
    assert all(t - s == 8 or (t - s == 1 and s % 8 < 7) for s, t in pairs)


def test_hue_says_the_row_and_shade_the_column() -> None:
    colours = [g.square_colour(s) for s in range(64)]
    assert len(set(colours)) == 64
    light = np.array([sum(int(c[i : i + 2], 16) for i in (1, 3, 5)) for c in colours]).reshape(8, 8)
    assert (np.diff(light, axis=1) > 0).all()
    assert colours[3].upper() == g.ROW_HUES[0] and colours[8 * 7 + 3].upper() == g.ROW_HUES[7]


def test_points_of_another_shape_are_refused() -> None:
    for points, squares in ((np.zeros((64, 1)), range(64)), (np.zeros((60, 2)), range(64)), (np.zeros(64), range(64))):
        with pytest.raises(ValueError, match="points"):
            g.role_scatter(points, list(squares), "light")


def test_signed_maps_are_centred_on_nothing() -> None:
    trace = LIGHT["binding"]["data"][0]
    assert trace["zmin"] == -trace["zmax"] and np.abs(trace["z"]).max() == pytest.approx(trace["zmax"], abs=1e-4)
    scale = LIGHT["gaps"]["layout"]["coloraxis"]
    assert scale["cmin"] == -scale["cmax"] == pytest.approx(-np.nanmax(np.abs(GAP)))
    assert all(t["coloraxis"] == "coloraxis" for t in LIGHT["gaps"]["data"])
    assert np.isnan(LIGHT["gaps"]["data"][0]["z"][0, 0])
    gram = LIGHT["gram"]
    assert gram["data"][0]["zmin"] == -1 and gram["layout"]["yaxis"]["tickvals"] == [r + "1" for r in "ABCDEFGH"]


def test_maps_without_values_still_make_a_figure() -> None:
    assert g.binding_heatmap(np.zeros((4, 2)), "light")["data"][0]["zmax"] == 1
    assert g.gap_heatmaps([("none", np.full((8, 8), np.nan))], "light")["layout"]["coloraxis"]["cmax"] == 1
    assert g.gap_heatmaps([], "light")["data"] == []
    with pytest.raises(ValueError, match="gap map"):
        g.gap_heatmaps([("wrong", np.zeros((7, 8)))], "light")


def test_neighbour_bars_are_whole_and_told_apart_without_colour() -> None:
    data = LIGHT["neighbours"]["data"]
    assert np.allclose(sum(t["x"] for t in data), 1)
    assert data[0]["x"].tolist() == [0.5, 0.1] and data[0]["text"] == ["50%", "10%"]
    assert len({t["marker"]["pattern"]["shape"] for t in data[:4]}) == 4


def test_the_rank_curve_is_sorted_and_rings_its_main_row() -> None:
    figure = LIGHT["ranks"]
    svd = named(figure, "SVD of the linear probe")
    assert svd["x"] == [12800, 25600] and svd["y"] == [0.7, 0.85]
    ring = meta(figure, "main")[0]
    assert (ring["x"], ring["y"]) == ([16646], [0.97])
    note = figure["layout"]["annotations"][0]
    assert 10 ** note["x"] == pytest.approx(16646) and note["y"] == 0.97
    assert not g.rank_curve(RANKS[:2], "light")["layout"]["annotations"]


def test_edits_carry_interval_and_null_of_their_method() -> None:
    fixed = named(LIGHT["edits"], "scale fixed")
    assert fixed["x"].tolist() == [0.5, 1.6]
    assert np.allclose(fixed["x"] - fixed["error_x"]["arrayminus"], [0.4, 1.3])
    assert np.allclose(fixed["x"] + fixed["error_x"]["array"], [0.7, 1.9])
    best = named(LIGHT["edits"], "scale best")
    assert round(fixed["y"][0]) == round(best["y"][0]) == 0 and fixed["y"][0] != best["y"][0]
    null = meta(LIGHT["edits"], "null")[0]
    assert null["x"].tolist() == [1.4, 1.4] and null["y"] == [0, 1]
