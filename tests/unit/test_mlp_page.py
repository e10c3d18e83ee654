"""The MLP features page without a model: its address, what its buttons mean, its forms, its stream."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from flask.testing import FlaskClient
from plotly.utils import PlotlyJSONEncoder

from analysis.errors import UserError
from analysis.models.spec import ModelSpec
from analysis.snmf.answers.factorization import Concept, ConceptEdge, ConceptGraph, MethodScore
from analysis.snmf.answers.steering import SteeringArm, TokenChange
from pages.mlp_features import detection, fitting, overlap, pick, steer, tree
from pages.mlp_features.state import MOST, START_TEXT, FeaturesState, Pick, Start, node_of
from pages.state import names_of, read
from tests.unit.snmf.examples import feature_table

# The address


def test_an_empty_address_opens_the_usual_view() -> None:
    state = read(FeaturesState, {})
    assert state == FeaturesState() and state.text == START_TEXT and state.feature is None


def test_a_view_survives_its_address() -> None:
    model = ModelSpec("default", dtype="float32").to_dict()
    query = {
        "model": json.dumps(model), "fit": "block-25", "feature": "7", "with": "[3,1]", "tab": "tree", "text": "Once",
        "threshold": "0.4", "root": "3:12", "prompt": "I", "pole": "-1", "target": "0.1",
        "chat": "true",
    }  # fmt: skip
    assert list(query) == names_of(FeaturesState)
    state = FeaturesState(model, "block-25", 7, (3, 1), "tree", "Once", 0.4, "3:12", "I", -1, 0.1, True)
    assert read(FeaturesState, query) == state


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ({"feature": "-1"}, "feature"), ({"feature": "x"}, "feature"), ({"feature": "1e9"}, "feature"),
        ({"threshold": "nan"}, "threshold"), ({"threshold": "2"}, "threshold"), ({"target": "0"}, "target"),
        ({"target": "inf"}, "target"), ({"pole": "2"}, "pole"), ({"tab": "../"}, "tab"), ({"with": "[1,1]"}, "compare"),
        ({"with": "{"}, "compare"), ({"with": json.dumps(list(range(MOST + 1)))}, "compare"), ({"root": "2:x"}, "root"),
        ({"root": "2:" + "9" * 40}, "root"), ({"text": "@" + "0" * 64}, "text"), ({"with": "[true]"}, "compare"),
        ({"root": "²:1"}, "root"), ({"fit": "x" * 101}, "fit"),
    ],
)  # fmt: skip
def test_what_an_address_cannot_say_is_left_out_and_named(query: dict[str, str], word: str) -> None:
    view = read(FeaturesState, query)
    assert len(view.problems) == 1 and word in view.problems[0] and len(view.problems[0]) < 200
    assert (view.feature, view.threshold, view.target, view.pole) == (None, 0.15, 0.25, 1)
    assert view.tab == "reading" and view.root is None and len(view.members) <= MOST


@pytest.mark.parametrize("value", ["", "null", "{", "NaN", "\x00", "<script>", "١", '{"a": 1}', "[" * 9000])
@pytest.mark.parametrize("name", [*names_of(FeaturesState), "unknown"])
def test_whatever_stands_in_the_address_the_page_opens(name: str, value: str, client: FlaskClient) -> None:
    from pages.mlp_features import page

    laid = json.dumps(page.layout(**{name: value}), cls=PlotlyJSONEncoder)
    assert '"mlp-list"' in laid and client is not None


# What is open


TABLE = feature_table((0.5, 0.9, None))


@pytest.mark.parametrize(
    ("triggers", "pick_of", "node", "now", "start", "feature"),
    [
        ({"mlp-facts"}, Pick(), "", None, Start(), 1),  # the best detected
        ({"mlp-facts"}, Pick(), "", None, Start(feature=0), 0),  # that of the address
        ({"mlp-facts"}, Pick(), "", None, Start(fit="other", feature=0), 1),  # an address of another fit
        ({"mlp-facts"}, Pick(), "", 2, Start(feature=0), 1),  # another fit was opened later
        ({"mlp-facts"}, Pick(2, "f"), "", 0, Start(), 2),  # found by a search in all fits
        ({"mlp-picked"}, Pick(2), "", 0, Start(), 2),
        ({"mlp-picked"}, Pick(2, "other"), "", 0, Start(), 0),  # its facts are on their way
        ({"mlp-node"}, Pick(), "1:2", 0, Start(), 2),
        ({"mlp-node"}, Pick(), "2:1", 0, Start(), 0),  # a larger concept has no card
    ],
)
def test_which_feature_is_open(
    triggers: set[str], pick_of: Pick, node: str, now: int | None, start: Start, feature: int
) -> None:
    assert pick.open_feature(triggers, TABLE, pick_of, node, now, start) == (feature, "")


def test_a_feature_that_the_fit_does_not_have_is_said() -> None:
    start = Start(fit="f", feature=3)
    feature, sentence = pick.open_feature({"mlp-facts"}, TABLE, Pick(), "", None, start)
    assert feature == 1 and "0 to 2" in sentence
    assert pick.open_feature({"mlp-facts"}, None, Pick(), "", None, Start()) == (None, "")


def test_what_the_stores_hold_is_read() -> None:
    assert Pick.from_dict(None) == Pick() and Pick.from_dict({"feature": 2, "fit": None, "turn": 7}) == Pick(2, None, 7)
    assert Start.from_dict(None) == Start() and Start.from_dict({"model": None, "fit": "f"}).names("f")
    assert node_of(None) == "" and node_of({"node": "2:1", "turn": 1}) == "2:1"


def test_the_comparison_takes_up_to_eight() -> None:
    def after(kind: str, now: list[int], **said: Any) -> list[int]:
        return overlap.after_press(now, {"kind": kind, **said})

    assert after("member", [1], feature=5) == [1, 5]
    assert after("member", [1, 5], feature=1) == [5]
    assert after("pair", [1, 5], pair=[4, 2]) == [4, 2]
    assert after("compare", [1], feature=2) == [1, 2] and after("compare", [1, 2], feature=2) == [1, 2]
    assert after("compare", [1], feature=None) == [1]
    assert after("clear", [1, 2]) == []
    assert overlap.members_in(3, [1, 9], None) == [1]  # the address may name features that the fit lacks
    assert overlap.members_in(3, [1], 0) == []  # another fit begins anew
    full = list(range(10, 10 + MOST))
    with pytest.raises(UserError, match="At most 8"):
        after("member", full, feature=1)
    assert after("member", full, feature=12) == [n for n in full if n != 12]


# Forms


def test_levels_are_read_or_refused() -> None:
    assert fitting.levels_of("50, 25") == fitting.levels_of("50 25") == fitting.levels_of(" 50;25 ") == (50, 25)
    assert fitting.levels_of("") == fitting.levels_of(None) == ()
    with pytest.raises(UserError, match="such as 50, 25"):
        fitting.levels_of("fifty")


GOOD = (25, "mlp_hidden", 100, 0.01, "kmeans", 400, 9000, 0, "", "")


def test_the_form_becomes_the_job() -> None:
    job = fitting.job_of(None, (3, "residual", 50, 0.05, "svd", 10, 600, 7, "20, 5", "one\ntwo"))
    assert (job.layer, job.site, job.features, job.kept, job.init) == (3, "residual", 50, 0.05, "svd")
    assert (job.iterations, job.tokens, job.seed, job.levels, job.texts) == (10, 600, 7, (20, 5), "one\ntwo")


@pytest.mark.parametrize(
    ("at", "value"),
    [(0, None), (0, 2.5), (1, "nowhere"), (2, 0), (2, 9001), (3, 2), (3, None), (4, "x"), (5, 0), (6, None), (7, -1)],
)
def test_what_a_form_cannot_say_is_refused_in_a_sentence(at: int, value: Any) -> None:
    values = [*GOOD]
    values[at] = value
    with pytest.raises(UserError) as caught:
        fitting.job_of(None, tuple(values))
    assert caught.value.message.endswith(".") and len(caught.value.message) < 200


# Tables


def arm(name: str, **more: Any) -> SteeringArm:
    return dataclasses.replace(SteeringArm(name, 2.0, 0.25, True, "s", (TokenChange(3, "<b>", 1.5),)), **more)


def test_an_arm_that_misses_its_target_says_why() -> None:
    arms = [arm("shuffled neurons", met=False, strength=None, kl=None, sentence="Cannot be met."), arm("feature")]
    table = steer.arms_table(arms)
    rows = [json.dumps(r, cls=PlotlyJSONEncoder) for r in table.children[1].children]
    assert "this feature" in rows[0] and "null" in rows[1]  # the feature first, whatever the order of the answer
    assert "not met" in rows[1] and "Cannot be met." in rows[1] and "not met" not in rows[0]
    assert [a.usable for a in arms] == [False, True]
    assert not arm("x", strength=float("nan")).usable and not arm("x", strength=0.0).usable


def test_the_table_of_detection_has_features_first_and_nulls_last_in_each_layer() -> None:
    rows = [
        MethodScore(layer, m, 9, auc=0.5, auc_low=0.4, auc_high=0.6)
        for layer in (25, 0)
        for m in ("shuffled neurons", "SVD", "SNMF")
    ]
    body = detection.table(rows).children[1].children
    cells = [[str(c.children) for c in r.children] for r in body]
    assert [c[0] for c in cells] == ["0", "", "", "25", "", ""]
    assert cells[0][1].startswith("SNMF") and cells[2][1].startswith("null") and cells[1][1] == "SVD"
    assert cells[0][2:] == ["0.50 (0.40 to 0.60)", "not measured"]


# The stream


@pytest.mark.parametrize("name", ["LoadModel", "FitFactorization", "", None, 3, ["FeatureText"], "nothing"])
def test_only_texts_can_be_asked_of_the_stream(client: FlaskClient, name: Any) -> None:
    answer = client.post("/steering/stream", json={"operation": name, "params": {}, "session": "s"})
    lines = [json.loads(line) for line in answer.get_data(as_text=True).splitlines()]
    assert answer.status_code == 200 and len(lines) == 1 and "not one that the page makes" in lines[0]["error"]


# The top of the tree


TREE = ConceptGraph(
    levels=(3, 2),
    nodes=tuple(Concept(f"{level}:{n}", level, n, "l", (), ()) for level in (1, 2) for n in range(3)),
    edges=(ConceptEdge("2:0", "1:0", 1.0), ConceptEdge("2:0", "1:1", 1.0), ConceptEdge("2:1", "1:1", 0.5)),
    shared=("1:1",),
    sentence="",
)


@pytest.mark.parametrize(
    ("wanted", "feature", "value", "listed", "said"),
    [
        (["2:1"], None, "2:1", ["2:0", "2:1"], False),
        (["None", "2:0"], None, "2:0", ["2:0", "2:1"], False),
        (["2:1"], 0, "2:0", ["2:0"], False),  # what stood at the top does not hold the feature
        (["2:1"], 1, "2:1", ["2:0", "2:1"], False),
        (["2:1"], 2, "2:1", ["2:0", "2:1"], True),  # no concept holds it: all stay, and it is said
        (["2:2"], None, "2:2", ["2:2", "2:0", "2:1"], False),  # nothing below it, but it was asked for
        (["1:0", "9:9"], None, "2:0", ["2:0", "2:1"], False),
    ],
)
def test_which_concept_stands_at_the_top(
    wanted: list[str], feature: int | None, value: str, listed: list[str], said: bool
) -> None:
    rows, top, problem = tree.top_of(TREE, wanted, feature)
    assert (top, [n.id for n, _ in rows], problem is not None) == (value, listed, said)


def test_a_fit_without_a_tree_has_no_top() -> None:
    assert tree.top_of(dataclasses.replace(TREE, edges=(), shared=()), ["None"], None) == ([], None, None)
