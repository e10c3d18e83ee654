"""Figures, card and tree of the MLP features page, against what they were given."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from plotly.graph_objects import Figure
from plotly.utils import PlotlyJSONEncoder

from analysis.answer import from_wire, to_wire
from analysis.errors import UserError
from analysis.snmf.answers.factorization import (
    Concept,
    ConceptEdge,
    ConceptGraph,
    Detection,
    DetectionComparison,
    EffectAxes,
    ExplainedCurve,
    FeatureContext,
    FeatureFacts,
    FeatureName,
    MethodScore,
    NeuronOverlap,
    NeuronWeight,
    NewFactorization,
    TextReading,
    ThemeShare,
    TokenLogit,
)
from analysis.snmf.answers.steering import SteeringArm, SteeringComparison, TokenChange
from analysis.view_ref import QuestionRef, ViewRef
from components.kit.figure import AFTER, BEFORE
from components.kit.view import NoOptions, View, view_called
from components.snmf import card as feature_card
from components.snmf import figures as feature_figures
from components.snmf import maps as feature_maps
from components.snmf import tree as feature_tree
from tests.unit.snmf.examples import feature_row, feature_table

HOSTILE = "<b>x</b>&<script>"


def checked(figure: dict[str, Any]) -> dict[str, Any]:
    """The figure as the browser gets it, refused if it has a property that plotly does not know."""
    parsed: dict[str, Any] = json.loads(json.dumps(figure, cls=PlotlyJSONEncoder))
    Figure(parsed)
    return parsed


def texts(component: Any) -> str:
    """All text of a component, in order."""
    return json.dumps(component, cls=PlotlyJSONEncoder)


def feature_facts(neurons: tuple[NeuronWeight, ...]) -> FeatureFacts:
    return FeatureFacts(0, "a", "Said.", (), (), neurons, "", (), (), (), detected(), 1.0, (), 0.1)


def overlap(**more: Any) -> NeuronOverlap:
    two, none = (FeatureName(0, "a"), FeatureName(1, "b")), np.zeros((3, 0))
    bare = NeuronOverlap(two, (), ((), ()), EffectAxes((), (), ()), (), "Said.", np.zeros((2, 2)), none, none)
    return dataclasses.replace(bare, **more)


def with_attribute(component: Any, name: str) -> list[str]:
    found = [getattr(c, name, None) for c in component._traverse()]
    return [str(v) for v in found if v is not None]


# Figures


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_kept_iteration_is_marked_where_it_is(theme: str) -> None:
    table = feature_table((0.5,))
    drawing = feature_figures.kept_curve(table, NoOptions(), theme)
    star = checked(drawing.figure)["data"][1]
    assert "that of iteration 20:" in drawing.caption
    assert (star["x"], star["marker"]["symbol"]) == ([20], "star") and "iteration 20" in star["name"]
    made = feature_figures.new_curve(NewFactorization("f", "Kept.", table.curve), NoOptions(), theme)
    figure = feature_figures.explained_curve(table.curve, theme)
    assert made.caption == "Kept." and checked(made.figure) == checked(figure)
    assert np.asarray(figure["data"][1]["y"]).tolist() == [0.35]
    assert len(checked(feature_figures.explained_curve(ExplainedCurve(), theme))["data"]) == 1


def test_neurons_have_the_colour_of_their_sign() -> None:
    facts = feature_facts((NeuronWeight(7, 0.5), NeuronWeight(3, -0.25)))
    drawing = feature_figures.neuron_bars(facts, feature_table((0.5,)), NoOptions(), "dark")
    bars = drawing.figure["data"][0]
    assert "2 of 64 neurons" in drawing.caption and bars["customdata"] == [7, 3]
    assert bars["x"] == ["7", "3"] and bars["marker"]["color"] == [BEFORE, AFTER]
    assert np.asarray(bars["y"]).tolist() == [0.5, -0.25]
    empty = feature_figures.neuron_bars(feature_facts(()), feature_table((0.5,), "residual"), NoOptions(), "light")
    assert "0 of 64 dimensions" in empty.caption
    checked(empty.figure)


def test_each_row_of_a_reading_is_a_share_of_its_own_largest() -> None:
    values = np.array([[0.0, 2.0, 0.0], [5.0, 1.0, 0.0], [10.0, 0.0, 0.0]], np.float32)  # tokens x features
    features = (FeatureName(4, HOSTILE), FeatureName(9, "b"), FeatureName(1, "silent"))
    reading = TextReading(("a", "a", HOSTILE), (5, 5, 6), features, (), "Said.", values)
    drawing = feature_maps.reading_map(reading, NoOptions(), "light")
    assert drawing.caption.startswith("Said.")
    figure = drawing.figure
    trace = figure["data"][0]
    np.testing.assert_allclose(trace["z"], [[0, 0.5, 1], [1, 0.5, 0], [0, 0, 0]])
    assert trace["customdata"] == [[4] * 3, [9] * 3, [1] * 3]
    assert len(set(trace["x"])) == 3  # equal tokens keep columns of their own
    assert "<" not in json.dumps(trace["x"] + trace["y"])
    checked(figure)
    nothing = TextReading((), (), (), (), "", np.zeros((0, 0)))
    checked(feature_maps.reading_map(nothing, NoOptions(), "light").figure)


def test_the_diagonal_of_shared_neurons_has_a_number_and_no_colour() -> None:
    shared = np.array([[16, 3], [3, 15]])
    drawing = feature_maps.shared_matrix(overlap(shared=shared), feature_table((0.5,)), NoOptions(), "dark")
    assert "Two sets of 16 drawn at random from 64 share 3.75 on average" in drawing.caption
    figure = drawing.figure
    z = np.asarray(figure["data"][0]["z"])
    assert np.isnan(z.diagonal()).all() and z[0, 1] == 3 and figure["data"][0]["zmax"] == 16
    assert [a["text"] for a in figure["layout"]["annotations"]] == ["16", "3", "3", "15"]
    checked(figure)


def test_effects_name_tokens_by_their_ids_and_never_say_minus_zero() -> None:
    axes = EffectAxes(("core", "only a"), ("x", "x", HOSTILE), (11, 12, 13))
    values = np.array([[2.0, -0.01, 0.0], [-4.0, 0.04, 1.0]])
    figure = feature_maps.part_effects(overlap(axes=axes, effects=values), NoOptions(), "light").figure
    trace = figure["data"][0]
    assert trace["customdata"] == [[11, 12, 13]] * 2 and trace["zmax"] == 4 and trace["zmin"] == -4
    assert [a["text"] for a in figure["layout"]["annotations"]] == ["+2.0", "+0.0", "+0.0", "-4.0", "+0.0", "+1.0"]
    assert len(set(trace["x"])) == 3
    checked(figure)


def row(layer: int, method: str, auc: float | None, **more: float) -> MethodScore:
    return MethodScore(layer, method, 9, auc=auc, **more)


def test_intervals_of_the_detection_figure_reach_their_bounds() -> None:
    rows = [
        row(25, "SNMF", 0.8, auc_low=0.7, auc_high=0.85),
        row(0, "random sparse", 0.5, auc_low=0.4, auc_high=0.6),
        row(0, "SNMF", None),
        row(0, "SVD", 0.6),
    ]
    comparison = DetectionComparison(tuple(rows), "", "a test")
    figure = feature_figures.detection_areas(comparison, NoOptions(), "dark").figure
    assert feature_figures.detection_scores(comparison, NoOptions(), "dark").caption.endswith("Made by: a test")
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


def tree(edges: list[tuple[str, str, float]], extra: tuple[str, ...] = ()) -> ConceptGraph:
    ids = sorted({i for p, c, _ in edges for i in (p, c)} | set(extra))
    parents: dict[str, int] = {}
    for _, child, _ in edges:
        parents[child] = parents.get(child, 0) + 1
    return ConceptGraph(
        levels=(),
        nodes=tuple(
            Concept(i, int(i[0]), int(i[2:]), f"{HOSTILE} {i}", (HOSTILE, "b"), ("one " * 50, HOSTILE)) for i in ids
        ),
        edges=tuple(ConceptEdge(*edge) for edge in edges),
        shared=tuple(c for c, n in parents.items() if n > 1),
        sentence="said.",
    )


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
    with pytest.raises(UserError, match="no concept 9:9"):
        feature_tree.place(FAMILY, "9:9")


def test_roots_are_those_that_reach_a_feature() -> None:
    edges = {(e.parent, e.child) for e in FAMILY.edges}

    def reaches(node: str, feature: str) -> bool:
        return node == feature or any(reaches(c, feature) for p, c in edges if p == node)

    for feature in range(5):
        found = [n.id for n, _ in feature_tree.roots_of(FAMILY, feature)]
        wanted = {n.id for n in FAMILY.nodes if n.level > 1 and reaches(n.id, f"1:{feature}")}
        assert set(found) == wanted and len(found) == len(wanted)
    assert [(n.id, count) for n, count in feature_tree.roots_of(FAMILY)][:2] == [("3:0", 5), ("3:1", 2)]
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
    drawing = feature_tree.concept_tree(data, feature_tree.TreeOptions(root, 1), theme)
    figure = checked(drawing.figure)
    assert f"Drawn: {root} and" in drawing.caption
    widths = [s["line"]["width"] for s in figure["layout"]["shapes"]]
    drawn = feature_tree.place(data, root)
    assert np.argsort(widths).tolist() == np.argsort([e.weight for e in drawn.edges]).tolist()
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

ROWS = [
    feature_row(0, None, "a", active=0.2, theme="sport", purity=0.4),
    feature_row(1, 0.6, "b", active=0.1, words="b ball"),
    feature_row(2, 0.9, "c", active=0.3, theme="art", purity=0.9, words="ball c"),
]


def test_orders_and_search() -> None:
    order = {key: [r.feature for r in feature_card.ordered(ROWS, key)] for key, _ in feature_card.ORDERS}
    assert order == {"auc": [2, 1, 0], "theme": [2, 0, 1], "active": [2, 0, 1], "feature": [0, 1, 2]}
    assert [r.feature for r in feature_card.matching(ROWS, " BALL  c ")] == [2]
    assert len(feature_card.matching(ROWS, None)) == 3 and feature_card.matching(ROWS, "zebra") == []


def test_rows_of_the_list_are_plain_text() -> None:
    rows = feature_card.list_rows(ROWS)
    assert [r["feature"] for r in rows] == [0, 1, 2] and [r["auc"] for r in rows] == ["", "0.60", "0.90"]
    assert [r["active"] for r in rows] == ["20.0%", "10.0%", "30.0%"] and json.loads(json.dumps(rows)) == rows


def test_contexts_keep_tokens_activations_and_places_together() -> None:
    context = FeatureContext(("␣a", "b␣", "c"), (5, 6, 7), (0.0, 1.0, 0.12345), 1, "", 2.5)
    (row,) = feature_card.context_rows([context])
    assert row["tokens"] == [" a", "b ", "c"] and row["values"] == [0.0, 1.0, 0.123] and row["at"] == 1
    assert row["theme"] == "no theme" and row["ids"] == [5, 6, 7] and json.loads(json.dumps(row)) == row


def with_class(component: Any, name: str) -> list[Any]:
    return [c for c in component._traverse() if name in str(getattr(c, "className", ""))]


def detected(**more: Any) -> Detection:
    return dataclasses.replace(Detection("sport", 0.4, 0.8, (0.7, 0.9), 0.5, (0.3, 0.65), "Scored."), **more)


def test_detection_says_on_which_side_of_the_null_it_is() -> None:
    assert "Beyond the random band" in texts(feature_card.detection(detected()))
    inside = texts(feature_card.detection(detected(random_auc=(0.3, 0.75))))
    assert "reaches into the random band" in inside and "Beyond" not in inside
    assert "0.30 to 0.75" in inside and "other neurons: 0.50" in inside
    alone = texts(feature_card.detection(detected(random_auc=None)))  # no null, no praise, and no blame either
    assert "no random directions to compare it with" in alone and "Beyond" not in alone and "reaches" not in alone
    worse = texts(feature_card.detection(detected(auc=0.2, interval=(0.1, 0.25))))
    assert "Below the random band" in worse and "reaches" not in worse
    few = feature_card.detection(detected(auc=1.0, interval=(1.0, 1.0), passages=2, others=40))
    assert "on 2 passages only" in texts(few) and not with_class(few, "attune-good")
    assert with_class(feature_card.detection(detected(passages=20, others=40)), "attune-good")
    none = texts(feature_card.detection(detected(auc=None, sentence="Too few.")))
    assert "Too few." in none and "Beyond" not in none


def test_the_card_gives_every_output_token_its_id() -> None:
    tokens = tuple(TokenLogit(40 + i, HOSTILE, 2.0 - i) for i in range(3))
    facts = dataclasses.replace(feature_facts(()), plus=tokens, themes=(ThemeShare("sport", 0.5),))
    body = feature_card.feature_card(facts)
    assert with_attribute(body, "data-token-id") == ["40", "41", "42"]
    focusable = [c for c in body._traverse() if "attune-tok" in str(getattr(c, "className", ""))]
    assert len(focusable) == 3 and all(c.tabIndex == "0" for c in focusable)
    assert "dangerously" not in texts(body)


# Views

ARM = SteeringArm("feature", 2.0, 0.25, True, "Met.", (TokenChange(3, "x", 1.5),))
SHIFT = SteeringComparison(("a", "b"), (3, 4), (0.6, 0.1), (0.2, 0.5), (-1.1, 1.6), (ARM,), 3, "l", "site", "Said.")
DOTS = DetectionComparison((row(0, "SNMF", 0.6), row(0, "SVD", None)), "s", "c")
OVERLAP = overlap(
    core=(5,),
    exclusive=((7, 9), ()),
    shared=np.array([[16, 3], [3, 15]]),
    axes=EffectAxes(("core",), ("x",), (3,)),
    effects=np.ones((1, 1)),
)
READING = TextReading(("a", "b"), (3, 4), (FeatureName(4, "c"),), (), "Said.", np.array([[0.5], [2.0]], np.float32))
TABLE = feature_table((0.5, None))
CASES: list[tuple[View[Any], tuple[Any, ...], Any]] = [
    (feature_figures.kept_curve, (TABLE,), None),
    (feature_figures.new_curve, (NewFactorization("f", "Kept.", TABLE.curve),), None),
    (feature_figures.neuron_bars, (feature_facts((NeuronWeight(7, 0.5),)), TABLE), None),
    (feature_figures.steered_next, (SHIFT,), feature_figures.PromptEnd("I think that")),
    (feature_figures.detection_areas, (DOTS,), None),
    (feature_figures.detection_scores, (DOTS,), None),
    (feature_maps.reading_map, (READING,), None),
    (feature_maps.shared_matrix, (OVERLAP, TABLE), None),
    (feature_maps.part_effects, (OVERLAP,), None),
    (feature_tree.concept_tree, (FAMILY,), feature_tree.TreeOptions("3:0", 1)),
]


@pytest.mark.parametrize(("picture", "answers", "options"), CASES, ids=lambda case: getattr(case, "name", ""))
def test_a_view_draws_the_same_from_answers_and_options_that_travelled(
    picture: View[Any], answers: tuple[Any, ...], options: Any
) -> None:
    ref = picture.ref([QuestionRef("Asked", {})] * len(answers), options)
    again = ViewRef.from_dict(json.loads(json.dumps(ref.to_dict())))
    travelled = []
    for answer in answers:
        data, arrays = to_wire(answer)
        travelled.append(from_wire(type(answer), json.loads(json.dumps(data)), arrays))
    first = picture.draw(*answers, options or NoOptions(), "light")
    second = view_called(again.view).draw(*travelled, picture.options_from(again.options), "light")
    assert checked(first.figure) == checked(second.figure) and first.caption == second.caption
    assert first.facts == second.facts == json.loads(json.dumps(first.facts)), "plain data, for an export"


def test_an_export_says_the_facts_of_an_answer() -> None:
    facts = {
        case.name.removeprefix("mlp-features/"): case.draw(*answers, options or NoOptions(), "light").facts
        for case, answers, options in CASES
    }
    assert facts["curve"] == {
        **{"layer": 2, "site": "mlp_hidden", "width": 64, "features": 2, "kept": 0.1, "tokens": 600, "explained": 0.4},
        **{"command": "a test", "levels": [2], "random_auc": [0.3, 0.7], "search": "", "curve": {"best": 20}},
    }
    assert facts["new-curve"] == {"fit": "f"}
    assert facts["neurons"] == {"label": "a", "neurons": [{"neuron": 7, "weight": 0.5}]}
    assert facts["auc"] == facts["score"] and facts["auc"]["command"] == "c"
    assert [(r["layer"], r["method"], r["auc"]) for r in facts["auc"]["rows"]] == [(0, "SNMF", 0.6), (0, "SVD", None)]
    assert facts["reading"] == {"features": [{"feature": 4, "label": "c"}]}
    two = [{"feature": 0, "label": "a"}, {"feature": 1, "label": "b"}]
    assert facts["shared"] == {"features": two, "core": [5], "exclusive": [[7, 9], []]}
    assert facts["effects"] == {"features": two, "effects": {"rows": ["core"], "columns": ["x"], "ids": [3]}}
    edges = facts["tree"]["edges"]
    assert len(edges) == 6 and edges[0] == {"parent": "3:0", "child": "2:0", "weight": 1.0}
    assert facts["next"] == {}, "its questions and its options say all"


def test_the_view_of_the_next_token_names_strength_and_kl() -> None:
    caption = feature_figures.steered_next(SHIFT, feature_figures.PromptEnd("I think that"), "light").caption
    assert "After “I think that”, with the feature at strength 2, KL 0.250 nats." in caption


def test_a_fit_without_a_score_says_so_and_opens_on_what_stands_out_most() -> None:
    assert feature_card.undetected(ROWS) == "" and feature_card.undetected([]) == ""
    rows = [dataclasses.replace(r, auc=None, character="silent", purity=0.9) for r in ROWS]
    rows[-1] = dataclasses.replace(rows[-1], character="token", purity=0.1)
    assert "on a theme" in feature_card.undetected(rows)
    assert feature_card.ordered(rows, "auc")[0].feature == rows[-1].feature
