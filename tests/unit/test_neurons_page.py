"""The Neurons page without a model: its address, which neuron and channel are open, its form, what it says."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from plotly.utils import PlotlyJSONEncoder

from analysis.engine.client import Reply
from analysis.errors import UserError
from analysis.models.spec import ModelSpec
from analysis.rotate.answers.channels import (
    Ablation,
    Arm,
    Channel,
    NeuronChannels,
    NullBands,
    SentenceActivation,
    TokenLogit,
)
from analysis.rotate.answers.neurons import KnownNull, LayerShare, NeuronsKnown, Place, ReadyNeuron, Token
from analysis.rotate.ops.channels import FindChannels
from analysis.rotate.ops.neurons import NeuronVector
from analysis.view_ref import QuestionRef
from components.rotate.ablation_figures import changes, changes_words
from components.rotate.neuron_figures import shares_words, tail_words
from pages.neurons import channels, pick
from pages.neurons.state import SETTINGS, NeuronsState, Pick, channels_of, question_of, search_of
from pages.state import names_of, read

# The address


def test_an_empty_address_opens_the_usual_view() -> None:
    assert read(NeuronsState, {}) == NeuronsState() and NeuronsState().layer is None and NeuronsState().channel is None


def test_a_view_survives_its_address() -> None:
    model = ModelSpec("default", dtype="float32").to_dict()
    query = {
        "model": json.dumps(model), "layer": "27", "vector": "gate", "neuron": "5", "channels": "3", "lk": "0.5",
        "lf": "2", "mask": "6", "optimiser": "adamw", "seed": "7", "without": "[9,4]", "channel": "2", "text": "Once",
        "tab": "geometry", "order": "layer",
    }  # fmt: skip
    assert list(query) == names_of(NeuronsState)
    wanted = NeuronsState(
        model, 27, "gate", 5, 3, 0.5, 2.0, 6.0, "adamw", 7, (9, 4), 2, "Once", "geometry", "layer", ()
    )  # fmt: skip
    assert read(NeuronsState, query) == wanted


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ({"layer": "-1"}, "layer"), ({"layer": "2.5"}, "layer"), ({"neuron": "1e9"}, "neuron"), ({"lk": "nan"}, "lk"),
        ({"lk": "-1"}, "lk"), ({"lf": "0"}, "lf"), ({"lf": "inf"}, "lf"), ({"mask": "0.5"}, "mask"),
        ({"channels": "0"}, "channels"), ({"channels": "51"}, "channels"), ({"seed": "x"}, "seed"),
        ({"vector": "side"}, "vector"), ({"optimiser": "sgd"}, "optimiser"), ({"tab": "x"}, "tab"),
        ({"order": "../"}, "order"), ({"without": "[1,1]"}, "tokens"), ({"without": "{"}, "tokens"),
        ({"without": "[true]"}, "tokens"), ({"without": json.dumps(list(range(201)))}, "tokens"),
        ({"channel": "0"}, "channel"), ({"text": "@" + "0" * 64}, "text"),
    ],
)  # fmt: skip
def test_what_an_address_cannot_say_is_left_out_and_named(query: dict[str, Any], word: str) -> None:
    state = read(NeuronsState, query)
    assert len(state.problems) == 1 and word in state.problems[0] and len(state.problems[0]) < 200
    assert replace(state, problems=(), excluded=()) == NeuronsState()
    assert len(state.excluded) <= 200 and len(set(state.excluded)) == len(state.excluded)


@pytest.mark.parametrize("value", ["", "null", "{", "NaN", "\x00", "<script>", "١", '{"a": 1}', "[" * 9000])
@pytest.mark.parametrize("name", [*names_of(NeuronsState), "unknown"])
def test_whatever_stands_in_the_address_the_page_opens(name: str, value: str, client: FlaskClient) -> None:
    from pages.neurons import page

    laid = json.dumps(page.layout(**{name: value}), cls=PlotlyJSONEncoder)
    assert '"nrn-list"' in laid and '"nrn-histogram"' in laid and client is not None


def test_all_that_is_drawn_has_its_place_and_its_tree(client: FlaskClient) -> None:
    from pages.neurons import page

    ids = [getattr(c, "id", None) for c in page.layout()._traverse()]
    for host in page.DRAWN:
        assert ids.count(host) == 1 and ids.count(f"{host}-tree") == 1 and client is not None


def test_tokens_of_an_address_that_can_be_used_stay_left_out() -> None:
    assert read(NeuronsState, {"without": '[7, 7, "x", true, -1, 3]'}).excluded == (7, 3)
    assert read(NeuronsState, {"without": json.dumps(list(range(201)))}).excluded == tuple(range(200))


# Which neuron


USUAL = Place(27, "down", 6)
READY = ReadyNeuron(27, "down", 6, 9.0, 5.0, 99.0, 1, 5, False, (" but",), "but")
KNOWN = NeuronsKnown(
    30, (0, 29), 8, ("up", "down"), 576, 49_152, "the unembedding", True, "", "", None, USUAL, (READY,), (), "Made."
)
OPEN = NeuronVector(ModelSpec("a"), 3, "up", 4)
NOWHERE = Pick()


def pick_at(layer: Any, vector: Any = None, neuron: Any = None, channel: int | None = None) -> Pick:
    return Pick(layer, vector, neuron, channel)


EMPTY = Place(None, None, None)  # type: ignore[arg-type]
HERE = Place(3, "up", 4)


@pytest.mark.parametrize(
    ("trigger", "typed", "picked", "now", "same", "start", "wanted"),
    [
        ({"nrn-facts"}, EMPTY, NOWHERE, None, False, NOWHERE, [USUAL]),
        ({"nrn-facts"}, EMPTY, NOWHERE, None, False, pick_at(5, "gate", 1), [Place(5, "gate", 1), USUAL]),
        ({"nrn-facts"}, EMPTY, NOWHERE, None, False, pick_at(5), [Place(5, "down", 6), USUAL]),
        ({"nrn-facts"}, EMPTY, NOWHERE, HERE, True, pick_at(5, "gate", 1), [HERE, USUAL]),  # measured meanwhile
        ({"nrn-facts"}, EMPTY, NOWHERE, HERE, False, NOWHERE, [USUAL]),  # another model
        ({"nrn-picked"}, EMPTY, pick_at(9, "down", 2, 1), HERE, True, NOWHERE, [Place(9, "down", 2)]),
        ({"nrn-picked"}, EMPTY, pick_at(9, "down"), HERE, True, NOWHERE, [Place(9, "down", 4)]),  # a layer
        (set(), HERE, NOWHERE, HERE, True, NOWHERE, None),  # the echo of what the server set
        (set(), Place(3, "up", 5), NOWHERE, HERE, True, NOWHERE, [Place(3, "up", 5)]),
        # An empty field is refused.
        (set(), Place(3, "up", None), NOWHERE, HERE, True, NOWHERE, [Place(3, "up", None)]),  # type: ignore[arg-type]
    ],
)
def test_which_neuron_is_asked_for(
    trigger: set[str], typed: Place, picked: Pick, now: Place | None, same: bool, start: Pick, wanted: Any
) -> None:
    assert pick.wanted_neuron(trigger, KNOWN, typed, picked, now, same, start) == wanted


def test_a_random_neuron_is_one_of_its_layer() -> None:
    drawn = [pick.wanted_neuron({"nrn-random"}, KNOWN, EMPTY, NOWHERE, HERE, True, NOWHERE) for _ in range(60)]
    assert {(d[0].layer, d[0].vector) for d in drawn if d} == {(3, "up")}
    assert {d[0].neuron for d in drawn if d} <= set(range(8)) and len({d[0].neuron for d in drawn if d}) > 3


# Which channels


FORM = (5, 0.3, 1.0, 4.0, "lbfgs", 0)


BANDS = NullBands((1.9, 2.4, 3.1), (0.5, 0.6, 0.8), (-0.9, -0.6, -0.3), (3.0, 20.0, 50.0), 200, "L-BFGS")
ROWS = tuple(Channel(n, 9.0, 0.0, 0.7, -1.0, 5.0, 99.0, 0.01, n == 3, None, 1, 0, 9, (), "") for n in (1, 2, 3))


def shown(search: FindChannels, source: str = "computed here") -> Reply[NeuronChannels]:
    """What a job gave, remembered as the client does."""
    nothing = np.zeros(0)
    answer = NeuronChannels(ROWS, False, "", BANDS, "", source, 1.0, {}, *[nothing] * 5)
    return Reply(answer, QuestionRef("FindChannels", search.to_params(), "key"))


@pytest.fixture
def remembered(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make a reply the one that a question in a store leads to; gives what the store holds."""

    def remember(reply: Reply[NeuronChannels]) -> dict[str, Any]:
        monkeypatch.setattr("pages.neurons.state.reply_of", lambda question: reply)
        return asdict(reply.question)

    return remember


SEARCH = search_of(OPEN, FORM, ())


def test_what_was_found_in_another_neuron_is_not_shown(remembered: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    question, here = remembered(shown(SEARCH)), OPEN.to_params()
    found = channels_of(question, here)
    assert found is not None and found.answer.channels == ROWS and question_of(found) == SEARCH
    for other in (
        replace(OPEN, neuron=5),
        replace(OPEN, vector="down"),
        replace(OPEN, model=ModelSpec("b")),
    ):
        assert channels_of(question, other.to_params()) is None
    assert channels_of(question, None) is None and channels_of(None, here) is None

    def gone(question: QuestionRef) -> Reply[Any]:
        raise UserError("The answer is not kept any more.")

    monkeypatch.setattr("pages.neurons.state.reply_of", gone)
    assert channels_of(question, here) is None, "what is not kept any more is searched for again"


@pytest.mark.parametrize(
    ("press", "picked", "now", "start", "number"),
    [
        (None, NOWHERE, None, NOWHERE, 3),  # the first beyond the null
        (None, NOWHERE, 1, NOWHERE, 1),
        (None, NOWHERE, 9, NOWHERE, 3),  # there are no nine
        (None, NOWHERE, None, Pick(channel=2), 2),
        (None, NOWHERE, None, pick_at(3, "up", 7, 2), 3),  # the address is of another neuron
        (None, pick_at(3, "up", 4, 2), 1, NOWHERE, 2),  # found by its token
        (None, pick_at(3, "up", 7, 2), 1, NOWHERE, 1),
        (channels.ChannelPress(1), pick_at(3, "up", 4, 2), 3, NOWHERE, 1),
        (channels.ChannelPress(0), NOWHERE, 2, NOWHERE, 2),
    ],
)
def test_which_channel_is_open(press: Any, picked: Pick, now: int | None, start: Pick, number: int) -> None:
    assert channels.chosen_channel(ROWS, OPEN, press, picked, now, start) == number


def test_what_is_ready_is_shown_unasked_and_nothing_else() -> None:
    here = replace(OPEN, layer=27, vector="down", neuron=6)
    search = search_of(here, FORM, ())
    assert channels.is_ready(KNOWN, search)
    assert channels.is_ready(KNOWN, replace(search, channels=2))
    assert not channels.is_ready(KNOWN, SEARCH)
    for change in ({"channels": 6}, {"seed": 1}, {"mask_z": 5.0}, {"excluded": (3,)}, {"optimiser": "adamw"}):
        assert not channels.is_ready(KNOWN, replace(search, **change))


def test_random_vectors_end_where_they_did_if_they_are_searched_alike(remembered: Any) -> None:
    question = remembered(shown(SEARCH))
    assert channels.last_null(question, replace(SEARCH, neuron=9)) == BANDS and channels.last_null(None, SEARCH) is None
    for other in (replace(SEARCH, mask_z=5.0), replace(SEARCH, model=ModelSpec("b"))):
        assert channels.last_null(question, other) is None
    assert channels.last_null(remembered(shown(replace(SEARCH, optimiser="adamw"))), SEARCH) is None


def test_the_form_becomes_an_operations_fields() -> None:
    search = search_of(OPEN, (3, 0.5, 2.0, 6.0, "adamw", 9), (Token(7, "x"),))
    assert search == FindChannels(
        ModelSpec("a"), 3, "up", 4, channels=3, kurtosis_weight=0.5, cosine_weight=2.0, mask_z=6.0, optimiser="adamw",
        seed=9, excluded=(7,),
    )  # fmt: skip
    assert {f.name for f in fields(FindChannels)} >= set(SETTINGS)


@pytest.mark.parametrize(
    ("at", "value"), [(0, None), (0, 0), (0, 51), (0, 2.5), (1, None), (1, -1), (2, 0), (3, 0.5), (4, "sgd"), (5, None)]
)
def test_what_a_form_cannot_say_is_refused_in_a_sentence(at: int, value: Any) -> None:
    values = [*FORM]
    values[at] = value
    with pytest.raises(UserError) as caught:
        search_of(OPEN, values, ())
    assert caught.value.message.endswith(".") and len(caught.value.message) < 200


def test_it_is_said_when_the_channels_are_not_those_of_the_form(remembered: Any) -> None:
    def words(reply: Any, excluded: Any = (), form: tuple[Any, ...] = FORM) -> tuple[str, str]:
        return channels.say_stale(reply and remembered(reply), list(excluded), OPEN.to_params(), *form)

    assert words(shown(SEARCH)) == ("", "Run again") and words(shown(SEARCH, "made beforehand")) == ("", "Run here")
    assert "other settings" in words(shown(SEARCH), form=(4, *FORM[1:]))[0]
    assert "tokens" in words(shown(SEARCH), [{"id": 5, "token": "x"}])[0]
    assert words(None) == ("", "Run") and words(shown(replace(SEARCH, neuron=1))) == ("", "Run")


# What it says


def arm(name: str) -> Arm:
    return Arm(name, 1.0, 0.0, 1.0, (0.5, 1.5), (-0.5, 0.5))


def test_tokens_and_sentences_before_and_after() -> None:
    out = Ablation(
        "output", ("a", "b"), (0.5, -2.0), (1, 0), (TokenLogit(3, "but", 2.0, 1.0),), (), (arm("channel"),),
        arm("whole neuron"), "logits", "Falls.",
    )  # fmt: skip
    (row,) = changes(out)
    assert (row.label, row.own, row.id, row.before, row.after) == ("but", True, 3, 2.0, 1.0)
    words = changes_words(out)
    assert "“b”" in words and "-2.00" in words and "presses down" in words
    assert "presses down" not in changes_words(replace(out, shown=(0,)))
    sentences = (
        SentenceActivation(("␣x",), 1.0, 0.0, False),
        SentenceActivation(("A", "␣long", "␣" + "b" * 60), -0.5, 0.0, True),
        SentenceActivation(("y",), 2.0, 0.0, True),
    )
    rows = changes(replace(out, kind="input", sentences=sentences))
    assert [r.before for r in rows] == [2.0, -0.5, 1.0] and rows[1].label.startswith("…")
    assert len(rows[1].label) == 34 and rows[2].label == "x"


def test_the_shares_are_said_as_they_are() -> None:
    rows = [LayerShare(0, "down", 24, 120, 0.1, low, 0.5, 0.1, 0.05) for low in (0.02, 0.2, 0.0)]
    null = KnownNull(200, 5, "", (1.0, 2.0, 3.0), ())
    words = shares_words(rows, null)
    assert "In 1 of 3 places" in words and "200 random vectors" in words
    assert "default model" in shares_words([], null)


def test_tokens_left_out_quickly_are_all_left_out() -> None:
    rows: list[dict[str, Any]] = []
    for token, text in ((3, "a"), (4, "b"), (3, "a")):
        rows = channels.exclusions(rows, {"kind": "skip", "id": token, "token": text})
    assert rows == [{"id": 4, "token": "b"}, {"id": 3, "token": "a"}]
    assert channels.exclusions(rows, {"kind": "keep", "id": 4}) == [{"id": 3, "token": "a"}]


def test_a_tail_beyond_those_of_random_vectors_is_not_called_nothing() -> None:
    assert tail_words(1, 40.0, [3.0, 9.0, 51.0]).endswith("so a tail alone says nothing.")
    beyond = tail_words(1, 70.6, [3.0, 9.0, 51.0])
    assert "nothing" not in beyond and beyond.endswith("have 3 to 51: this tail is heavier.")
