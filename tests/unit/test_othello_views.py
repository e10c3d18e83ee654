"""Cards and panels of the Othello page, of the bundled model: each is drawn again from the JSON of its ref, and the
numbers of its control are those of the answer."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.engine.client import Client
from analysis.engine.context import Context
from analysis.engine.operation import Operation
from analysis.engine.question import Result
from analysis.models.spec import OTHELLO, ModelSpec
from analysis.othello.records import format_moves
from analysis.qk.ops.prompt import AttentionRow
from analysis.qk.ops.token import WritingHeads
from analysis.tpr.ops.edit import OthelloEdit
from analysis.tpr.ops.heads import EditedLooks, UsualLooks, WithoutHead
from analysis.tpr.ops.reading import OthelloBinding, OthelloDirections, OthelloFacts, OthelloReading, OthelloRoles
from analysis.tpr.ops.report import GameReport, UsualReport
from analysis.view_ref import ViewRef
from components.kit.card import CARDS, PANELS
from components.kit.part import part_to_dict
from components.kit.view import VIEWS, Drawing, NoOptions
from components.othello import controls, course, edited_heads, heads, position, tables
from components.othello import views as v
from pages import cards, common
from pages.othello import cards as page_cards
from pages.othello.state import START
from tests.unit.findings.pinned import pinned

GAME: dict[str, Any] = {"moves": START, "ply": 17, "layer": 3}
EDIT = OthelloEdit(**GAME, edits=((19, 0),), choose="best")
OF_EDIT = position.EditedPosition(START, 17, 3, edits=((19, 0),), best=True)
AT = position.Position(START, 17, 3)
LOOKED = 33
"""A square of the game that two heads look at, and that is edited."""
TEXT: dict[str, Any] = {
    "model": ModelSpec(OTHELLO), "text": format_moves(START, "rows"), "query": 16, "key": START.index(LOOKED),
}  # fmt: skip
USUAL = UsualLooks(ply=17)
WITHOUT = WithoutHead(**GAME, block=3, head=0)
LOOKS = EditedLooks(**GAME, edits=((LOOKED, 1),), scale=0.75)
LOOKING = heads.Looking(START, 17, square=LOOKED, block=3, head=0)
Operations = Operation[Any] | tuple[Operation[Any], ...]
CARDS_DRAWN: list[tuple[Any, Operations, Any]] = [
    (v.likely_moves, OthelloReading(**GAME), v.AtPly(17)),
    (v.unbound_squares, (OthelloBinding(**GAME), OthelloFacts()), None),
    (v.binding_matrix, OthelloBinding(**GAME), None),
    (v.role_map, OthelloRoles(**GAME, gauge=2), v.Embedding("pca")),
    (v.role_map, OthelloRoles(**GAME, embedding="isomap"), v.Embedding("isomap")),
    (v.direction_map, OthelloRoles(**GAME), None),
    (v.gap_maps, OthelloRoles(**GAME), None),
    (v.role_cosines, OthelloRoles(**GAME), None),
    (v.nearest_roles, OthelloRoles(**GAME), None),
    (v.accuracy_by_parameters, OthelloDirections(layer=3), None),
    (v.edited_moves, EDIT, v.EditWay("tpr", True)),
    (edited_heads.edited_looks, LOOKS, position.EditedPosition(START, 17, edits=((LOOKED, 1),))),
    (course.game_course, (GameReport(**GAME), UsualReport(games=20)), course.OfGame(START, 17)),
    (v.legality, OthelloFacts(), None),
    (v.training, OthelloFacts(), None),
    (v.probe_accuracy, OthelloFacts(), None),
    (v.edit_table_errors, OthelloFacts(), None),
]
PANELS_DRAWN: list[tuple[Any, Operations, Any]] = [
    (position.game, OthelloReading(**GAME), AT),
    (position.next_moves, OthelloReading(**GAME), AT),
    (position.position, (OthelloReading(**GAME), OthelloFacts()), AT),
    (
        position.edited_position,
        (EDIT, replace(EDIT, method="random"), replace(EDIT, method="wrong-square")),
        OF_EDIT,
    ),
    (position.lasting_edit, EDIT, OF_EDIT),
    (heads.head_row, (AttentionRow(**TEXT, layer=3, head=0), USUAL), LOOKING),
    (heads.looking_heads, (WritingHeads(**TEXT), USUAL), LOOKING),
    (heads.without_one, WITHOUT, AT),
    (position.cosines, OthelloDirections(layer=3), None),
    (tables.geometry, OthelloRoles(**GAME), None),
    (tables.edits_by_squares, OthelloFacts(), None),
    (tables.probes, OthelloFacts(), None),
    (tables.model, OthelloFacts(), None),
]
ALL = CARDS_DRAWN + PANELS_DRAWN


def each(operations: Operations) -> tuple[Operation[Any], ...]:
    return operations if isinstance(operations, tuple) else (operations,)


@pytest.fixture(scope="module")
def context() -> Context:
    return Context()


def answers(operations: Operations, context: Context) -> list[Any]:
    return [operation.answer_from(context.perform(operation)) for operation in each(operations)]


def plain(drawing: Drawing) -> str:
    parts = [part_to_dict(part) for part in drawing.parts]
    rest = [drawing.caption, drawing.facts, parts, drawing.numbers, drawing.control and vars(drawing.control)]
    # The order of names in data means nothing; that of the lines in a figure does.
    return json.dumps(rest, allow_nan=False, sort_keys=True) + json.dumps(drawing.figure, default=np.ndarray.tolist)


@pytest.mark.parametrize(("drawn", "operations", "options"), ALL, ids=lambda x: getattr(x, "name", None))
def test_a_card_is_drawn_again_from_the_json_of_its_ref(
    drawn: Any, operations: Operations, options: Any, context: Context, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    client = Client()

    def ask(question: Operation[Any], **_: Any) -> Result:
        result = context.perform(question)
        return Result(json.loads(json.dumps(result.data)), result.arrays, result.key)  # as over the wire

    monkeypatch.setattr(client, "ask", ask)
    monkeypatch.setattr(common, "client", lambda: client)
    replies = [common.ask_for(lambda operation=operation: operation)[0] for operation in each(operations)]
    shown = cards.content(drawn, *replies, options=options, theme="light")
    monkeypatch.setattr(client, "_recent", Client()._recent)  # nothing is remembered: it is asked again
    again = cards.render(ViewRef.from_dict(json.loads(json.dumps(shown["ref"]))), "light")
    assert f"{again.caption} {again.hint}".strip() == shown["caption"] and again.caption
    assert plain(again) == plain(drawn(*answers(operations, context), options or drawn.options(), "light"))
    assert bool(again.parts) is ((drawn, operations, options) in PANELS_DRAWN)
    assert again.figure is None if again.parts else again.figure["data"]
    seen, kept = pinned(tmp_path, ViewRef.from_dict(shown["ref"]), replies, again)
    assert plain(kept) == plain(again) and seen["frozen"] is None and len(seen["parts"]) == len(again.parts)


FACTS: dict[str, set[str]] = {
    "othello/ranks": {"rows"},
    "othello/edit": {"scale"},
    "othello/edited looks": {"scale", "blocks"},
    "othello/course": {"lost", "layer", "probe"},
    "othello/legality": {"model", "fingerprint", "play"},
    "othello/training": {"model", "fingerprint"},
    "othello/accuracy": {"model", "fingerprint", "accuracy"},
    "othello/edits": {"model", "fingerprint", "edits"},
}


@pytest.mark.parametrize(("drawn", "operations", "options"), CARDS_DRAWN, ids=lambda x: getattr(x, "name", None))
def test_an_export_names_the_model_and_what_the_answer_says(
    drawn: Any, operations: Operations, options: Any, context: Context
) -> None:
    answer, *others = answers(operations, context)
    facts = drawn(answer, *others, options or drawn.options(), "light").facts
    assert facts.keys() == FACTS.get(drawn.name, set())
    assert json.loads(json.dumps(facts)) == facts and len(json.dumps(facts)) < 10_000
    assert "model" in facts or "model" in {field.name for field in dataclasses.fields(drawn.options)}
    if drawn is v.edited_moves:
        assert facts["scale"] == answer.scale != EDIT.scale  # looked for, not asked for


def test_an_export_of_many_edits_says_after_which_blocks(context: Context) -> None:
    (figures,) = answers(OthelloFacts(), context)
    for drawn in (v.trial_errors, tables.trial_rows):
        drawing = drawn(figures.edits, NoOptions(), "light")
        assert drawing.facts == {"layers": list(figures.edits.settings.layers)} and len(drawing.facts["layers"]) > 1


def test_every_card_and_panel_of_the_page_has_a_view() -> None:
    mine = list(vars(page_cards).values())
    figures = [card for card in CARDS.values() if card in mine]
    panels = [panel for panel in PANELS.values() if panel in mine]
    views = {name for name in VIEWS if name.startswith("othello/")}
    assert views == {drawn.name for drawn, _, _ in ALL} | {"othello/trials", "othello/trial table"}
    assert (len(figures), len(panels), len(views)) == (17, 14, 31)


# Controls: each number is one of the answer


def of(drawn: Any, context: Context) -> tuple[list[Any], Drawing]:
    _, operations, options = next(row for row in ALL if row[0] is drawn)
    own = answers(operations, context)
    return own, drawn(*own, options or drawn.options(), "light")


def test_the_control_of_a_probe_is_a_network_that_was_never_trained(context: Context) -> None:
    for drawn in (position.position, v.unbound_squares, tables.probes):
        own, drawing = of(drawn, context)
        figures = own[-1]
        assert drawing.control is not None and drawing.control.name == "untrained network"
        assert drawing.control.numbers == {
            "untrained network, linear": figures.random_network.linear,
            "untrained network, TPR": figures.random_network.tpr,
            "most common class": figures.constant,
        }
        assert f"{figures.random_network.linear:.1%}" in drawing.control.text and "1,000 games" in drawing.control.text
        bare = replace(figures, random_network=None, constant=None)
        assert controls.of_probes(bare) is None


def test_the_control_of_an_edit_is_one_of_its_length_that_should_do_nothing(context: Context) -> None:
    (edit, random, wrong), drawing = of(position.edited_position, context)
    assert drawing.control is not None and "wrong square" in drawing.control.name
    assert drawing.control.numbers == {
        "errors without the edit": edit.null,
        "random direction": random.errors_after,
        "wrong squares": wrong.errors_after,
    }
    assert drawing.numbers["errors with the edit"] == edit.errors_after
    itself = position.edited_position(edit, random, wrong, replace(OF_EDIT, method="random"), "light")
    assert itself.control is not None and itself.control.name == "no edit" and "control: random" in itself.caption


def test_the_control_of_many_edits_has_intervals_and_the_number_of_cases(context: Context) -> None:
    (figures,), drawing = of(tables.edits_by_squares, context)
    rows = {(r.method, r.choice[:5]): r for r in figures.edits.rows}
    assert drawing.control is not None and "200 cases" in drawing.control.text
    wrong = rows["wrong-square", "fixed"]
    assert drawing.control.numbers["wrong squares, fixed scale"] == wrong.mean
    assert f"[{wrong.low:.2f}, {wrong.high:.2f}]" in drawing.control.text
    assert drawing.numbers["tpr, best scale"] == rows["tpr", "best "].mean


def test_the_control_of_the_roles_is_codes_without_structure(context: Context) -> None:
    (roles,), drawing = of(v.nearest_roles, context)
    controlled = {row.title: row.neighbour for row in roles.neighbours[2:]}
    assert drawing.control is not None and drawing.control.numbers == controlled and "chance" in controlled
    _, gaps = of(v.gap_maps, context)
    assert gaps.control is not None and len(gaps.control.numbers) == 3
    for title, value in gaps.control.numbers.items():
        assert f"{title}: R² {value:.2f}" in gaps.control.text
    _, ranks = of(v.accuracy_by_parameters, context)
    assert ranks.control is not None and set(ranks.control.numbers) > {"SVD of the linear probe", "linear probe"}


def test_a_position_pins_as_the_boards_of_the_page(context: Context) -> None:
    (reading, _), drawing = of(position.position, context)
    believed, following, table = drawing.parts
    assert [title for title, _ in believed.boards] == ["True board", *position.PROBES.values()]
    assert following.boards[0][1]["legal"] == list(reading.legal)
    assert [row[4] for row in table.rows] == [reading.right[name] for name in position.PROBES]
    assert drawing.numbers["squares right, linear"] == reading.right["linear"]
    _, edited = of(position.edited_position, context)
    assert [len(part.boards) for part in edited.parts] == [2, 4]
    assert edited.parts[1].boards[0][1]["selected"] == [19]
    json.dumps([part_to_dict(part) for part in (*drawing.parts, *edited.parts)], allow_nan=False)
