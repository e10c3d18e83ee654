"""Figures, card and tree of the MLP features page, against what they were given."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from plotly.graph_objects import Figure
from plotly.utils import PlotlyJSONEncoder

from components.kit.figure import AFTER, BEFORE
from components.snmf import card as feature_card
from components.snmf import figures as feature_figures
from components.snmf import tree as feature_tree

HOSTILE = "<b>x</b>&<script>"


def checked(figure: dict[str, Any]) -> dict[str, Any]:
    """The figure as the browser gets it, refused if it has a property that plotly does not know."""
    parsed: dict[str, Any] = json.loads(json.dumps(figure, cls=PlotlyJSONEncoder))
    Figure(parsed)
    return parsed


def texts(component: Any) -> str:
    """All text of a component, in order."""
    return json.dumps(component, cls=PlotlyJSONEncoder)


def with_attribute(component: Any, name: str) -> list[str]:
    found = [getattr(c, name, None) for c in component._traverse()]
    return [str(v) for v in found if v is not None]


# Figures


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_kept_iteration_is_marked_where_it_is(theme: str) -> None:
    curve = {"iteration": [1, 10, 20, 30], "explained": [0.1, 0.3, 0.35, 0.34], "best": 20}
    star = checked(feature_figures.explained_curve(curve, theme))["data"][1]
    assert (star["x"], star["marker"]["symbol"]) == ([20], "star") and "iteration 20" in star["name"]
    figure = feature_figures.explained_curve(curve, theme)
    assert np.asarray(figure["data"][1]["y"]).tolist() == [0.35]
    assert len(checked(feature_figures.explained_curve({}, theme))["data"]) == 1


def test_neurons_have_the_colour_of_their_sign() -> None:
    rows = [{"neuron": 7, "weight": 0.5}, {"neuron": 3, "weight": -0.25}]
    bars = feature_figures.neuron_bars(rows, "dark")["data"][0]
    assert bars["x"] == ["7", "3"] and bars["marker"]["color"] == [BEFORE, AFTER]
    assert np.asarray(bars["y"]).tolist() == [0.5, -0.25]
    checked(feature_figures.neuron_bars([], "light"))


def test_each_row_of_a_reading_is_a_share_of_its_own_largest() -> None:
    values = np.array([[0.0, 2.0, 0.0], [5.0, 1.0, 0.0], [10.0, 0.0, 0.0]], np.float32)  # tokens x features
    features = [{"feature": 4, "label": HOSTILE}, {"feature": 9, "label": "b"}, {"feature": 1, "label": "silent"}]
    figure = feature_figures.reading_map(["a", "a", HOSTILE], features, values, "light")
    trace = figure["data"][0]
    np.testing.assert_allclose(trace["z"], [[0, 0.5, 1], [1, 0.5, 0], [0, 0, 0]])
    assert trace["customdata"] == [[4] * 3, [9] * 3, [1] * 3]
    assert len(set(trace["x"])) == 3  # equal tokens keep columns of their own
    assert "<" not in json.dumps(trace["x"] + trace["y"])
    checked(figure)
    checked(feature_figures.reading_map([], [], np.zeros((0, 0)), "light"))


def test_the_diagonal_of_shared_neurons_has_a_number_and_no_colour() -> None:
    shared = np.array([[16, 3], [3, 15]])
    figure = feature_figures.shared_matrix([{"feature": 0, "label": "a"}, {"feature": 1, "label": "b"}], shared, "dark")
    z = np.asarray(figure["data"][0]["z"])
    assert np.isnan(z.diagonal()).all() and z[0, 1] == 3 and figure["data"][0]["zmax"] == 3
    assert [a["text"] for a in figure["layout"]["annotations"]] == ["16", "3", "3", "15"]
    checked(figure)


def test_effects_name_tokens_by_their_ids_and_never_say_minus_zero() -> None:
    effects = {"rows": ["core", "only a"], "columns": ["x", "x", HOSTILE], "ids": [11, 12, 13]}
    values = np.array([[2.0, -0.01, 0.0], [-4.0, 0.04, 1.0]])
    figure = feature_figures.part_effects(effects, values, "light")
    trace = figure["data"][0]
    assert trace["customdata"] == [[11, 12, 13]] * 2 and trace["zmax"] == 4 and trace["zmin"] == -4
    assert [a["text"] for a in figure["layout"]["annotations"]] == ["+2.0", "+0.0", "+0.0", "-4.0", "+0.0", "+1.0"]
    assert len(set(trace["x"])) == 3
    checked(figure)


def row(layer: int, method: str, auc: float | None, **more: Any) -> dict[str, Any]:
    keys = ("score", "score_low", "score_high", "auc_low", "auc_high")
    return {"layer": layer, "method": method, "auc": auc, **dict.fromkeys(keys), **more}


def test_intervals_of_the_detection_figure_reach_their_bounds() -> None:
    rows = [
        row(25, "SNMF", 0.8, auc_low=0.7, auc_high=0.85),
        row(0, "random sparse", 0.5, auc_low=0.4, auc_high=0.6),
        row(0, "SNMF", None),
        row(0, "SVD", 0.6),
    ]
    figure = feature_figures.detection_dots(rows, "auc", "dark")
    traces = {t["name"]: t for t in figure["data"]}
    own = traces["SNMF features"]
    assert own["text"] == ["layer 25"]  # what was not measured is no point
    np.testing.assert_allclose(own["y"] + own["error_y"]["array"], [0.85])
    np.testing.assert_allclose(own["y"] - own["error_y"]["arrayminus"], [0.7])
    svd = traces["SVD"]["error_y"]
    np.testing.assert_allclose([*svd["array"], *svd["arrayminus"]], 0)  # no interval: no bar
    assert figure["layout"]["xaxis"]["ticktext"] == ["0", "25"] and round(own["x"][0]) == 1
    assert any(n.startswith("null") for n in traces)
    checked(figure)
    checked(feature_figures.detection_dots([], "score", "light"))


# The tree


def tree(edges: list[tuple[str, str, float]], extra: tuple[str, ...] = ()) -> dict[str, Any]:
    ids = sorted({i for p, c, _ in edges for i in (p, c)} | set(extra))
    parents: dict[str, int] = {}
    for _, child, _ in edges:
        parents[child] = parents.get(child, 0) + 1
    return {
        "levels": [],
        "nodes": [
            {"id": i, "level": int(i[0]), "number": int(i[2:]), "label": f"{HOSTILE} {i}", "top": [HOSTILE, "b"]}
            | {"contexts": ["one " * 50, HOSTILE]}
            for i in ids
        ],
        "edges": [{"parent": p, "child": c, "weight": w} for p, c, w in edges],
        "shared": [c for c, n in parents.items() if n > 1],
        "sentence": "said.",
    }


FAMILY = tree(
    [
        ("3:0", "2:0", 1.0), ("3:0", "2:1", 0.4), ("2:0", "1:0", 1.0), ("2:0", "1:1", 0.5), ("2:1", "1:1", 0.9),
        ("2:1", "1:2", 0.3), ("3:1", "2:2", 1.0), ("2:2", "1:3", 1.0),
    ],
    ("1:4",),
)  # fmt: skip


def test_a_root_is_drawn_with_all_that_it_reaches_and_nothing_else() -> None:
    drawn = feature_tree.place(FAMILY, "3:0")
    assert set(drawn.x) == {"3:0", "2:0", "2:1", "1:0", "1:1", "1:2"} and drawn.left_out == 0
    assert len(drawn.edges) == 6 and drawn.shared == {"1:1"}
    assert drawn.x["3:0"] == np.mean([drawn.x["2:0"], drawn.x["2:1"]])
    assert sorted(drawn.x[i] for i in ("1:0", "1:1", "1:2")) == [0, 1, 2]
    assert drawn.x["1:0"] < drawn.x["1:1"]  # the heavier child first
    with pytest.raises(KeyError):
        feature_tree.place(FAMILY, "9:9")


def test_roots_are_those_that_reach_a_feature() -> None:
    edges = {(e["parent"], e["child"]) for e in FAMILY["edges"]}

    def reaches(node: str, feature: str) -> bool:
        return node == feature or any(reaches(c, feature) for p, c in edges if p == node)

    for feature in range(5):
        found = [n["id"] for n, _ in feature_tree.roots_of(FAMILY, feature)]
        wanted = {n["id"] for n in FAMILY["nodes"] if n["level"] > 1 and reaches(n["id"], f"1:{feature}")}
        assert set(found) == wanted and len(found) == len(wanted)
    assert [(n["id"], count) for n, count in feature_tree.roots_of(FAMILY)][:2] == [("3:0", 5), ("3:1", 2)]
    assert feature_tree.start_root(FAMILY) == "3:0"
    assert feature_tree.start_root(tree([], ("1:0", "2:0"))) is None


def test_a_tree_too_wide_for_the_page_keeps_the_heaviest_children() -> None:
    wide = tree([("2:0", f"1:{i}", 0.2 + i / 200) for i in range(150)])
    drawn = feature_tree.place(wide, "2:0")
    assert drawn.width == feature_tree.MOST and drawn.left_out == 150 - feature_tree.MOST
    assert set(drawn.x) - {"2:0"} == {f"1:{i}" for i in range(150 - feature_tree.MOST, 150)}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("many", [False, True])
def test_lines_are_as_wide_as_weights_and_shared_children_are_marked(theme: str, many: bool) -> None:
    data = tree([("2:0", f"1:{i}", 0.5) for i in range(30)]) if many else FAMILY
    root = "2:0" if many else "3:0"
    figure = checked(feature_tree.tree_figure(data, root, 1, theme))
    widths = [s["line"]["width"] for s in figure["layout"]["shapes"]]
    drawn = feature_tree.place(data, root)
    assert np.argsort(widths).tolist() == np.argsort([e["weight"] for e in drawn.edges]).tolist()
    nodes = [i for t in figure["data"] for i in t.get("customdata", [])]
    assert sorted(nodes) == sorted(drawn.x)
    shared = [t for t in figure["data"] if t.get("name", "").startswith("shared")]
    assert [t["customdata"] for t in shared] == ([] if many else [["1:1"]])
    assert "<script" not in json.dumps(figure) and "<b>x" not in json.dumps(figure)
    assert any(a.get("textangle") == 90 for a in figure["layout"]["annotations"]) == many


def test_the_list_of_a_tree_names_the_same_nodes() -> None:
    listed = with_attribute(feature_tree.outline(FAMILY, "3:0"), "data-mlp-node")
    assert sorted(listed) == sorted(["3:0", "2:0", "2:1", "1:0", "1:1", "1:1", "1:2"])  # shared: under both parents
    assert "shared" in texts(feature_tree.outline(FAMILY, "3:0"))


# List and card

_KEYS = ("feature", "label", "top", "active", "theme", "purity", "auc", "words")
ROWS: list[dict[str, Any]] = [
    dict(zip(_KEYS, values, strict=True))
    for values in (
        (0, "a", ["x"], 0.2, "sport", 0.4, None, "a"),
        (1, "b", ["y"], 0.1, "", 0.0, 0.6, "b ball"),
        (2, "c", ["z"], 0.3, "art", 0.9, 0.9, "ball c"),
    )
]


def test_orders_and_search() -> None:
    order = {key: [r["feature"] for r in feature_card.ordered(ROWS, key)] for key, _ in feature_card.ORDERS}
    assert order == {"auc": [2, 1, 0], "theme": [2, 0, 1], "active": [2, 0, 1], "feature": [0, 1, 2]}
    assert [r["feature"] for r in feature_card.matching(ROWS, " BALL  c ")] == [2]
    assert len(feature_card.matching(ROWS, None)) == 3 and feature_card.matching(ROWS, "zebra") == []


def test_rows_of_the_list_are_plain_text() -> None:
    rows = feature_card.list_rows(ROWS)
    assert [r["feature"] for r in rows] == [0, 1, 2] and [r["auc"] for r in rows] == ["", "0.60", "0.90"]
    assert [r["active"] for r in rows] == ["20.0%", "10.0%", "30.0%"] and json.loads(json.dumps(rows)) == rows


def test_contexts_keep_tokens_activations_and_places_together() -> None:
    context = {"tokens": ["␣a", "b␣", "c"], "values": [0.0, 1.0, 0.12345], "at": 1, "theme": ""}
    (row,) = feature_card.context_rows([context])
    assert row["tokens"] == [" a", "b ", "c"] and row["values"] == [0.0, 1.0, 0.123] and row["at"] == 1
    assert row["theme"] == "no theme" and row["ids"] is None
    assert feature_card.context_rows([{**context, "ids": [5, 6, 7]}])[0]["ids"] == [5, 6, 7]


def with_class(component: Any, name: str) -> list[Any]:
    return [c for c in component._traverse() if name in str(getattr(c, "className", ""))]


def detected(**more: Any) -> dict[str, Any]:
    return {
        "theme": "sport", "score": 0.4, "auc": 0.8, "interval": [0.7, 0.9], "random_auc": [0.3, 0.65],
        "shuffled_auc": 0.5, **more,
    }  # fmt: skip


def test_detection_says_on_which_side_of_the_null_it_is() -> None:
    assert "Beyond the random band" in texts(feature_card.detection(detected()))
    inside = texts(feature_card.detection(detected(random_auc=[0.3, 0.75])))
    assert "reaches into the random band" in inside and "Beyond" not in inside
    assert "0.30 to 0.75" in inside and "other neurons: 0.50" in inside
    alone = texts(feature_card.detection(detected(random_auc=None)))  # no null, no praise, and no blame either
    assert "no random directions to compare it with" in alone and "Beyond" not in alone and "reaches" not in alone
    worse = texts(feature_card.detection(detected(auc=0.2, interval=[0.1, 0.25])))
    assert "Below the random band" in worse and "reaches" not in worse
    few = feature_card.detection(detected(auc=1.0, interval=[1.0, 1.0], passages=2, others=40))
    assert "on 2 passages only" in texts(few) and not with_class(few, "attune-good")
    assert with_class(feature_card.detection(detected(passages=20, others=40)), "attune-good")
    none = texts(feature_card.detection(detected(auc=None, sentence="Too few.")))
    assert "Too few." in none and "Beyond" not in none


def test_the_card_gives_every_output_token_its_id() -> None:
    tokens = [{"id": 40 + i, "token": HOSTILE, "logit": 2.0 - i} for i in range(3)]
    card = {
        "plus": tokens, "minus": [], "readout": "",
        "themes": [{"theme": "sport", "share": 0.5}], "detection": detected(),
    }  # fmt: skip
    body = feature_card.feature_card(card)
    assert with_attribute(body, "data-token-id") == ["40", "41", "42"]
    focusable = [c for c in body._traverse() if "attune-tok" in str(getattr(c, "className", ""))]
    assert len(focusable) == 3 and all(c.tabIndex == "0" for c in focusable)
    assert "dangerously" not in texts(body)
