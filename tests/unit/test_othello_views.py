"""The figure cards of the Othello page, of the bundled model: each is drawn again from the JSON of its ref."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from analysis.engine.client import Client
from analysis.engine.context import Context
from analysis.engine.operation import Operation
from analysis.engine.question import Result
from analysis.tpr.ops.edit import OthelloEdit
from analysis.tpr.ops.reading import OthelloBinding, OthelloDirections, OthelloFacts, OthelloReading, OthelloRoles
from analysis.view_ref import ViewRef
from components.kit.card import CARDS
from components.kit.view import VIEWS, NoOptions
from components.othello import views as v
from pages import cards, common
from pages.othello import cards as page_cards
from pages.othello.state import START

GAME: dict[str, Any] = {"moves": START, "ply": 17, "layer": 3}
CARDS_DRAWN: list[tuple[Any, Operation[Any], Any]] = [
    (v.likely_moves, OthelloReading(**GAME), v.AtPly(17)),
    (v.unbound_squares, OthelloBinding(**GAME), None),
    (v.binding_matrix, OthelloBinding(**GAME), None),
    (v.role_map, OthelloRoles(**GAME, gauge=2), v.Embedding("pca")),
    (v.role_map, OthelloRoles(**GAME, embedding="isomap"), v.Embedding("isomap")),
    (v.direction_map, OthelloRoles(**GAME), None),
    (v.gap_maps, OthelloRoles(**GAME), None),
    (v.role_cosines, OthelloRoles(**GAME), None),
    (v.nearest_roles, OthelloRoles(**GAME), None),
    (v.accuracy_by_parameters, OthelloDirections(layer=3), None),
    (v.edited_moves, OthelloEdit(**GAME, edits=((19, 0),), choose="best"), v.EditWay("tpr", True)),
    (v.legality, OthelloFacts(), None),
    (v.training, OthelloFacts(), None),
    (v.probe_accuracy, OthelloFacts(), None),
    (v.edit_table_errors, OthelloFacts(), None),
]


@pytest.fixture(scope="module")
def context() -> Context:
    return Context()


@pytest.mark.parametrize(("drawn", "operation", "options"), CARDS_DRAWN, ids=lambda x: getattr(x, "name", None))
def test_a_card_is_drawn_again_from_the_json_of_its_ref(
    drawn: Any, operation: Operation[Any], options: Any, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client()

    def ask(question: Operation[Any], **_: Any) -> Result:
        result = context.perform(question)
        return Result(json.loads(json.dumps(result.data)), result.arrays, result.key)  # as over the wire

    monkeypatch.setattr(client, "ask", ask)
    monkeypatch.setattr(common, "client", lambda: client)
    reply, panel = common.ask_for(lambda: operation)
    assert panel is None and reply is not None
    shown = cards.content(drawn, reply, options=options, theme="light")
    monkeypatch.setattr(client, "_recent", Client()._recent)  # nothing is remembered: it is asked again
    again = cards.render(ViewRef.from_dict(json.loads(json.dumps(shown["ref"]))), "light")
    assert again.caption == shown["caption"] and again.caption
    assert json.dumps(again.figure, default=np.ndarray.tolist) == json.dumps(shown["figure"], default=np.ndarray.tolist)
    assert shown["figure"]["data"]


FACTS: dict[str, set[str]] = {
    "othello/ranks": {"rows"},
    "othello/edit": {"scale"},
    "othello/legality": {"model", "fingerprint", "play"},
    "othello/training": {"model", "fingerprint"},
    "othello/accuracy": {"model", "fingerprint", "accuracy"},
    "othello/edits": {"model", "fingerprint", "edits"},
}


@pytest.mark.parametrize(("drawn", "operation", "options"), CARDS_DRAWN, ids=lambda x: getattr(x, "name", None))
def test_an_export_names_the_model_and_what_the_answer_says(
    drawn: Any, operation: Operation[Any], options: Any, context: Context
) -> None:
    answer = operation.answer_from(context.perform(operation))
    facts = drawn(answer, options or drawn.options(), "light").facts
    assert facts.keys() == FACTS.get(drawn.name, set())
    assert json.loads(json.dumps(facts)) == facts and len(json.dumps(facts)) < 10_000
    assert "model" in facts or "model" in {field.name for field in dataclasses.fields(drawn.options)}
    if drawn is v.edited_moves:
        assert facts["scale"] == answer.scale != operation.to_params()["scale"]  # looked for, not asked for


def test_an_export_of_many_edits_says_after_which_blocks(context: Context) -> None:
    figures = OthelloFacts().answer_from(context.perform(OthelloFacts()))
    facts = v.trial_errors(figures.edits, NoOptions(), "light").facts
    assert facts == {"layers": list(figures.edits.settings.layers)} and len(facts["layers"]) > 1


def test_every_card_of_the_page_has_a_view() -> None:
    names = {name for name, card in CARDS.items() if card in vars(page_cards).values()}
    views = {name for name in VIEWS if name.startswith("othello/")}
    assert len(names) == len(views) == 15
    assert views == {drawn.name for drawn, _, _ in CARDS_DRAWN} | {"othello/trials"}
