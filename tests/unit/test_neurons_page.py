"""The Neurons page without a model: its address, which neuron and channel are open, its form, what it says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from plotly.utils import PlotlyJSONEncoder

from analysis.errors import UserError
from analysis.models.spec import ModelSpec
from app import create_app
from pages.neurons import ablation, channels, layermap, pick, vector
from pages.neurons.state import ADDRESS, SETTINGS, View, asked, read_address


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATTUNE_HOME", str(tmp_path_factory.mktemp("home")))
        yield create_app().server.test_client()


# The address


def test_an_empty_address_opens_the_usual_view() -> None:
    assert read_address({}) == View() and View().layer is None and View().channel is None


def test_a_view_survives_its_address() -> None:
    model = ModelSpec("default", dtype="float32").to_dict()
    query = {
        "model": json.dumps(model), "layer": "27", "vector": "gate", "neuron": "5", "channels": "3", "lk": "0.5",
        "lf": "2", "mask": "6", "optimiser": "adamw", "seed": "7", "without": "[9,4]", "channel": "2", "text": "Once",
        "tab": "geometry", "order": "layer",
    }  # fmt: skip
    assert list(query) == ADDRESS
    wanted = View(
        model, 27, "gate", 5, 3, 0.5, 2.0, 6.0, "adamw", 7, [9, 4], 2, "Once", "geometry", "layer", []
    )  # fmt: skip
    assert read_address(query) == wanted


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ({"layer": "-1"}, "layer"), ({"layer": "2.5"}, "layer"), ({"neuron": "1e9"}, "neuron"), ({"lk": "nan"}, "lk"),
        ({"lk": "-1"}, "lk"), ({"lf": "0"}, "lf"), ({"lf": "inf"}, "lf"), ({"mask": "0.5"}, "mask"),
        ({"channels": "0"}, "channels"), ({"channels": "51"}, "channels"), ({"seed": "x"}, "seed"),
        ({"vector": "side"}, "vector"), ({"optimiser": "sgd"}, "optimiser"), ({"tab": []}, "tab"),
        ({"order": "../"}, "order"), ({"without": "[1,1]"}, "tokens"), ({"without": "{"}, "tokens"),
        ({"without": "[true]"}, "tokens"), ({"without": json.dumps(list(range(201)))}, "tokens"),
        ({"channel": "0"}, "channel"), ({"text": "@" + "0" * 64}, "text"),
    ],
)  # fmt: skip
def test_what_an_address_cannot_say_is_left_out_and_named(query: dict[str, Any], word: str) -> None:
    view = read_address(query)
    assert len(view.problems) == 1 and word in view.problems[0] and len(view.problems[0]) < 200
    assert (view.layer, view.neuron, view.kurtosis_weight, view.tab) == (None, None, 0.3, "channels")
    assert len(view.excluded) <= 200 and len(set(view.excluded)) == len(view.excluded)


@pytest.mark.parametrize("value", ["", "null", "{", "NaN", "\x00", "<script>", "١", '{"a": 1}', "[" * 9000])
@pytest.mark.parametrize("name", [*ADDRESS, "unknown"])
def test_whatever_stands_in_the_address_the_page_opens(name: str, value: str, client: FlaskClient) -> None:
    from pages.neurons import page

    laid = json.dumps(page.layout(**{name: value}), cls=PlotlyJSONEncoder)
    assert '"nrn-list"' in laid and '"nrn-histogram"' in laid and client is not None


def test_all_that_is_drawn_has_its_place_and_its_tree(client: FlaskClient) -> None:
    from pages.neurons import page

    ids = [getattr(c, "id", None) for c in page.layout()._traverse()]
    for host in page.DRAWN:
        assert ids.count(host) == 1 and ids.count(f"{host}-tree") == 1 and client is not None


# Which neuron


FACTS = {
    "model": {"source": "a"},
    "neurons": 8,
    "measured": True,
    "start": {"layer": 27, "vector": "down", "neuron": 6},
    "bundled": [{"layer": 27, "vector": "down", "neuron": 6, "channels": 5}],
}
OPEN = {"layer": 3, "vector": "up", "neuron": 4, "model": {"source": "a"}}
NOWHERE = {"layer": None, "vector": None, "neuron": None}


def place(layer: Any, vector: Any, neuron: Any) -> dict[str, Any]:
    return {"layer": layer, "vector": vector, "neuron": neuron}


USUAL = place(27, "down", 6)


@pytest.mark.parametrize(
    ("trigger", "typed", "picked", "now", "start", "wanted"),
    [
        ({"nrn-facts"}, NOWHERE, None, None, NOWHERE, [USUAL]),
        ({"nrn-facts"}, NOWHERE, None, None, place(5, "gate", 1), [place(5, "gate", 1), USUAL]),
        ({"nrn-facts"}, NOWHERE, None, None, place(5, None, None), [place(5, "down", 6), USUAL]),
        ({"nrn-facts"}, NOWHERE, None, OPEN, place(5, "gate", 1), [place(3, "up", 4), USUAL]),  # measured meanwhile
        ({"nrn-facts"}, NOWHERE, None, {**OPEN, "model": {"source": "b"}}, NOWHERE, [USUAL]),  # another model
        ({"nrn-picked"}, NOWHERE, {**place(9, "down", 2), "channel": 1}, OPEN, NOWHERE, [place(9, "down", 2)]),
        ({"nrn-picked"}, NOWHERE, {"layer": 9, "vector": "down"}, OPEN, NOWHERE, [place(9, "down", 4)]),  # a layer
        (set(), place(3, "up", 4), None, OPEN, NOWHERE, None),  # the echo of what the server set
        (set(), place(3, "up", 5), None, OPEN, NOWHERE, [place(3, "up", 5)]),
        (set(), place(3, "up", None), None, OPEN, NOWHERE, [place(3, "up", None)]),  # an empty field is refused
    ],
)
def test_which_neuron_is_asked_for(
    trigger: set[str], typed: Any, picked: Any, now: Any, start: Any, wanted: Any
) -> None:
    assert pick.asked_neuron(trigger, FACTS, typed, picked, now, start) == wanted


def test_a_random_neuron_is_one_of_its_layer() -> None:
    drawn = [pick.asked_neuron({"nrn-random"}, FACTS, NOWHERE, None, OPEN, NOWHERE) for _ in range(60)]
    assert {(d[0]["layer"], d[0]["vector"]) for d in drawn if d} == {(3, "up")}
    assert {d[0]["neuron"] for d in drawn if d} <= set(range(8)) and len({d[0]["neuron"] for d in drawn if d}) > 3


# Which channels


FORM = (5, 0.3, 1.0, 4.0, "lbfgs", 0)


def found(**more: Any) -> dict[str, Any]:
    rows = [{"number": n, "beyond": n == 3} for n in (1, 2, 3)]
    fields = {**place(3, "up", 4), **dict(zip(SETTINGS, FORM, strict=True)), "excluded": []}
    return {"of": OPEN, "channels": rows, "fields": fields, "source": "computed here", **more}


def test_what_was_found_in_another_neuron_is_not_shown() -> None:
    assert channels.found_of(found(), OPEN) is not None
    for other in ({**OPEN, "neuron": 5}, {**OPEN, "vector": "down"}, {**OPEN, "model": {"source": "b"}}, None):
        assert channels.found_of(found(), other) is None
    assert channels.found_of(None, OPEN) is None


@pytest.mark.parametrize(
    ("triggers", "pressed", "picked", "now", "start", "number"),
    [
        ({"nrn-found"}, None, None, None, NOWHERE, 3),  # the first beyond the null
        ({"nrn-found"}, None, None, 1, NOWHERE, 1),
        ({"nrn-found"}, None, None, 9, NOWHERE, 3),  # there are no nine
        ({"nrn-found"}, None, None, None, {**NOWHERE, "channel": 2}, 2),
        ({"nrn-found"}, None, None, None, {**place(3, "up", 7), "channel": 2}, 3),  # the address is of another neuron
        ({"nrn-found"}, None, {**place(3, "up", 4), "channel": 2}, 1, NOWHERE, 2),  # found by its token
        ({"nrn-found"}, None, {**place(3, "up", 7), "channel": 2}, 1, NOWHERE, 1),
        ({"nrn-asked"}, {"channel": 1}, {**place(3, "up", 4), "channel": 2}, 3, NOWHERE, 1),
        ({"nrn-asked"}, {"channel": 0}, None, 2, NOWHERE, 2),
    ],
)
def test_which_channel_is_open(
    triggers: set[str], pressed: Any, picked: Any, now: int | None, start: Any, number: int
) -> None:
    assert channels.chosen_channel(triggers, found(), pressed, picked, OPEN, now, start) == number


def test_what_is_ready_is_shown_unasked_and_nothing_else() -> None:
    here = {**USUAL, "model": {"source": "a"}}
    fields = asked(FORM, [])
    assert channels.ready(FACTS, here, fields)
    assert channels.ready(FACTS, here, {**fields, "channels": 2})
    assert not channels.ready(FACTS, OPEN, fields)
    for change in ({"channels": 6}, {"seed": 1}, {"mask_z": 5.0}, {"excluded": (3,)}, {"optimiser": "adamw"}):
        assert not channels.ready(FACTS, here, {**fields, **change})


def test_the_form_becomes_an_operations_fields() -> None:
    made = asked((3, 0.5, 2.0, 6.0, "adamw", 9), [{"id": 7, "token": "x"}])
    assert made == {
        "channels": 3, "kurtosis_weight": 0.5, "cosine_weight": 2.0, "mask_z": 6.0, "optimiser": "adamw", "seed": 9,
        "excluded": (7,),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("at", "value"), [(0, None), (0, 0), (0, 51), (0, 2.5), (1, None), (1, -1), (2, 0), (3, 0.5), (4, "sgd"), (5, None)]
)
def test_what_a_form_cannot_say_is_refused_in_a_sentence(at: int, value: Any) -> None:
    values = [*FORM]
    values[at] = value
    with pytest.raises(UserError) as caught:
        asked(tuple(values), [])
    assert caught.value.message.endswith(".") and len(caught.value.message) < 200


def test_it_is_said_when_the_channels_are_not_those_of_the_form() -> None:
    def said(result: Any, excluded: Any = (), form: tuple[Any, ...] = FORM) -> tuple[str, str]:
        return channels.say_stale(result, list(excluded), OPEN, *form)

    assert said(found()) == ("", "Run again") and said(found(source="made beforehand")) == ("", "Run here")
    assert "other settings" in said(found(), form=(4, *FORM[1:]))[0]
    assert "tokens" in said(found(), [{"id": 5, "token": "x"}])[0]
    assert said(None) == ("", "Run") and said(found(of={**OPEN, "neuron": 1})) == ("", "Run")


# What it says


def test_tokens_and_sentences_before_and_after() -> None:
    token = {"id": 3, "token": "but", "before": 2.0, "after": 1.0}
    out = {
        "kind": "output",
        "tokens": [token],
        "sentences": [],
        "labels": ["a", "b"],
        "activation": [0.5, -2.0],
        "shown": [1, 0],
    }
    assert ablation.shown_rows(out) == [{"label": "but", "own": True, "id": 3, "before": 2.0, "after": 1.0}]
    said = ablation.rows_caption(out)
    assert "“b”" in said and "-2.00" in said and "presses down" in said
    assert "presses down" not in ablation.rows_caption({**out, "shown": [0]})
    sentences = [
        {"labels": ["␣x"], "before": 1.0, "after": 0.0, "own": False},
        {"labels": ["A", "␣long", "␣" + "b" * 60], "before": -0.5, "after": 0.0, "own": True},
        {"labels": ["y"], "before": 2.0, "after": 0.0, "own": True},
    ]
    rows = ablation.shown_rows({"kind": "input", "sentences": sentences})
    assert [r["before"] for r in rows] == [2.0, -0.5, 1.0] and rows[1]["label"].startswith("…")
    assert len(rows[1]["label"]) == 34 and rows[2]["label"] == "x"


def test_the_shares_are_said_as_they_are() -> None:
    rows = [{"neurons": 24, "low": 0.02}, {"neurons": 24, "low": 0.2}, {"neurons": 24, "low": 0.0}]
    said = layermap.said_of(rows, {"vectors": 200, "rounds": 5})
    assert "In 1 of 3 places" in said and "200 random vectors" in said
    assert "default model" in layermap.said_of([], {"vectors": 200, "rounds": 5})


def test_tokens_left_out_quickly_are_all_left_out() -> None:
    rows: list[dict[str, Any]] = []
    for token, text in ((3, "a"), (4, "b"), (3, "a")):
        rows = channels.left_out(rows, {"kind": "skip", "id": token, "token": text})
    assert rows == [{"id": 4, "token": "b"}, {"id": 3, "token": "a"}]
    assert channels.left_out(rows, {"kind": "keep", "id": 4}) == [{"id": 3, "token": "a"}]


def test_a_tail_beyond_those_of_random_vectors_is_not_called_nothing() -> None:
    assert vector.tail_words(1, 40.0, [3.0, 9.0, 51.0]).endswith("so a tail alone says nothing.")
    beyond = vector.tail_words(1, 70.6, [3.0, 9.0, 51.0])
    assert "nothing" not in beyond and beyond.endswith("have 3 to 51: this tail is heavier.")
