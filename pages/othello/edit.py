"""Callbacks of one edit: choosing squares, asking, and the boards before and after."""

from __future__ import annotations

import json
from collections.abc import Sequence
from urllib.parse import urlencode

from dash import Input, Output, State, callback, clientside_callback, html, no_update
from dash.exceptions import PreventUpdate

from analysis.errors import UserError
from analysis.othello.sources import FILES
from analysis.othello.squares import square_name
from analysis.tpr.answers.edit import PositionEdit, RepairRow
from analysis.tpr.ops.edit import MAX_EDITS, OthelloEdit, check_edits
from analysis.tpr.steer import BoardSteer
from analysis.view_ref import QuestionRef
from components.kit.card import UNCHANGED
from components.kit.links import local
from components.kit.panels import user_error
from components.kit.types import Json, Node, Outputs, Typed
from components.othello.board import Boards, board_data
from components.othello.controls import EDIT_CONTROLS, scale_words
from components.othello.position import EditedPosition, edit_boards, edited_board, edited_position, lasting_edit
from components.othello.views import EditWay, edited_moves
from pages.cards import content, ref_of
from pages.common import ask_for, refusal
from pages.othello.cards import EDIT, EDITED, LASTING
from pages.othello.reading import NO_MOVE
from pages.othello.state import Edits, Game, label_of, probes_of
from pages.presses import Press, queue_callbacks, settle

BOARDS = ("oth-after", "oth-difference", "oth-crosstalk", "oth-repair-board")


def edits_of(data: Json) -> Edits:
    """What the page's store holds."""
    return tuple((int(square), int(target)) for square, target in data or ())


@callback(
    Output("oth-edits-done", "data"),
    Output("oth-edit-press-error", "children"),
    Input("oth-edits-presses", "data"),
    State("oth-game", "data"),
    State("oth-labels", "value"),
    prevent_initial_call=True,
)
def change_edits(presses: Json, data: Json, labels: str) -> tuple[Json, Node]:
    """The edits after all that was pressed, and why the last press was refused, if it was."""
    if not presses:
        return no_update, no_update
    game, notice = Game.from_dict(data), ""

    def step(edits: Json, press: Press) -> Json:
        nonlocal notice
        after, notice = edits_after(edits_of(edits), press, game, labels)
        return after

    answer, refused = settle(presses, step)
    return answer, refusal(refused) if refused is not None else user_error(notice) if notice else None


queue_callbacks("oth-edits")

# Why a press was refused stands apart from what became of the edit: the answer about the squares before it may come
# later, and takes its own sentence away only.
clientside_callback(
    "() => null",
    Output("oth-edit-press-error", "children", allow_duplicate=True),
    Input("oth-game", "data"),
    prevent_initial_call=True,
)


def edits_after(edits: Edits, press: Press, game: Game, labels: str) -> tuple[Edits, str]:
    """Pressing a square goes through its other states and back to its own; the edits, and a sentence if one was taken
    back. Raises UserError."""
    if press["kind"] == "clear":
        return (), ""
    if game.ply == 0:
        raise UserError(NO_MOVE, "moves")
    square = int(press["square"])
    classes = game.board.classes(labels)
    targets = dict(edits)
    order = [c for c in (1, 2, 0) if c != classes[square]]
    if square in targets:
        at = order.index(targets[square]) + 1 if targets[square] in order else len(order)
        new = order[at] if at < len(order) else None
    else:
        new = order[0]
    if new is None:
        targets.pop(square)
    else:
        targets[square] = new
    if len(targets) > MAX_EDITS:
        raise UserError("At most four squares can be edited at once. Press an edited one to take it back.", "edits")
    try:
        if targets:
            check_edits(game.moves, game.ply, tuple(targets.items()), labels)
    except UserError as error:
        if new == 0 and square in targets:  # the centre cannot be emptied: the next press takes the edit back
            targets.pop(square)
            return tuple(targets.items()), error.message
        raise
    return tuple(targets.items()), ""


@callback(
    Output("oth-edits", "data", allow_duplicate=True),
    Input("oth-game", "data"),
    Input("oth-labels", "value"),
    State("oth-edits", "data"),
    prevent_initial_call=True,
)
def drop_stale(data: Json, labels: str, edits: Json) -> Json:
    """Edits that no longer change anything at the new ply go."""
    game = Game.from_dict(data)
    if not edits or game.ply == 0:
        return [] if edits else no_update
    classes = game.board.classes(labels)
    rest = [e for e in edits_of(edits) if classes[e[0]] != e[1]]
    return no_update if len(rest) == len(edits) else rest


@callback(
    Output("oth-board-edit", "data"),
    Input("oth-game", "data"),
    Input("oth-edits", "data"),
    Input("oth-labels", "value"),
)
def show_edited(data: Json, edits: Json, labels: str) -> Boards:
    """The board as edited, by colours; edited squares outlined."""
    return {"oth-edit-board": edited_board(Game.from_dict(data).board, edits_of(edits), labels)}


@callback(
    output={
        "boards": Output("oth-board-after", "data"),
        "words": Output("oth-edit-said", "children"),
        "moves": EDIT.outputs,
        "repair": Output("oth-repair-table", "children"),
        "refs": [EDITED.ref, LASTING.ref],
        "error": Output("oth-edit-error", "children"),
    },
    inputs={
        "edits": Input("oth-edits", "data"),
        "data": Input("oth-game", "data"),
        "method": Input("oth-method", "value"),
        "scale": Input("oth-scale", "value"),
        "choose": Input("oth-choose", "value"),
        "unit": Input("oth-unit", "value"),
        "blocks": Input("oth-blocks", "value"),
        "labels": Input("oth-labels", "value"),
        "figures": Input("oth-facts", "data"),
        "theme": State("theme", "data"),
        "layer": State("oth-layer", "value"),
        "source": State("oth-source", "data"),
        "session": State("session", "data"),
    },
    prevent_initial_call="initial_duplicate",
)
def ask_edit(
    edits: Json, data: Json, method: str, scale: Typed, choose: str, unit: str, blocks: list[int], labels: str,
    figures: Json, theme: str, layer: Typed, source: str, session: str,
) -> Outputs:  # fmt: skip
    """Run the edit and show everything that follows from it."""
    if figures is None:
        raise PreventUpdate
    game, rows = Game.from_dict(data), edits_of(edits)
    if not rows or not game.readable:
        why = "Press one to four squares: each press goes to the next state of the square."
        return {
            "boards": {name: board_data(discs=[0] * 64) for name in BOARDS},
            "words": why if game.ply else NO_MOVE,
            "moves": EDIT.empty(),
            "repair": "",
            "refs": [None] * 2,
            "error": None,
        }

    def by(way: str) -> OthelloEdit:
        return OthelloEdit(
            source, game.moves, game.ply, int(layer or 0), labels, edits=rows, method=way, scale=scale, choose=choose,
            first=blocks[0], last=blocks[1], unit=unit, probes=probes_of(figures),
        )  # fmt: skip

    reply, panel = ask_for(lambda: by(method), session, "oth-edit")
    if reply is None:
        unchanged = dict.fromkeys(("boards", "words", "repair"), no_update)
        return unchanged | {"moves": UNCHANGED, "refs": [no_update] * 2, "error": panel}
    best, model = choose == "best", label_of(source, figures)
    way = EditWay(method, best, model)
    options = EditedPosition(game.moves, game.ply, int(layer or 0), labels, model, rows, method, best)
    # Edits that should do nothing are asked for when this one is pinned, as its control.
    questions = [reply.question, *(QuestionRef("OthelloEdit", by(control).to_params()) for control in EDIT_CONTROLS)]
    return {
        "boards": dict(zip(BOARDS, edit_boards(reply.answer, game.board, rows, labels), strict=True)),
        "words": [*edit_words(reply.answer, method), heads_link(by(method), reply.answer.scale)],
        "moves": content(edited_moves, reply, options=way, theme=theme),
        "repair": repair_table(reply.answer.repair),
        "refs": [
            edited_position.ref(questions, options).to_dict(),
            ref_of(lasting_edit, reply, options=options),
        ],
        "error": None,
    }


def heads_link(edit: OthelloEdit, scale: float) -> Node:
    """The way to the Attention page, where the game is read under the same edit, where that page can hold the model."""
    if edit.model.source.lower().endswith(FILES):
        return html.P(
            "Which heads look elsewhere cannot be asked of a checkpoint file: the Attention page holds models with a "
            "config. Save it as a folder.",
            className="attune-note",
        )
    names = ("moves", "ply", "edits", "method", "first", "last", "labels", "unit", "probes")
    steer = BoardSteer(scale=scale, **{name: getattr(edit, name) for name in names})
    query = {
        "model": json.dumps(edit.model.to_dict()), "text": " ".join(square_name(m) for m in steer.played),
        "tab": "steered", "steer": json.dumps(steer.to_dict()),
    }  # fmt: skip
    return html.A("Which heads look elsewhere?", href=local(f"/attention?{urlencode(query)}"))


def edit_words(edit: PositionEdit, method: str = "tpr") -> list[Node]:
    """Errors before and after in words."""
    other = "" if edit.side_after == edit.side_before else f" (on the real board {edit.side_before})"
    parts = [
        f"{edit.side_after.capitalize()} moves on the edited board{other}. "
        f"Legal there: {', '.join(square_name(s) for s in edit.legal_after) or 'none'}. ",
        html.Strong(f"Wrong predictions: {edit.null} without the edit, {edit.errors_after} with it"),
        f" (legal moves under 1 % and illegal moves from 1 %; {scale_words(edit, method)}).",
    ]
    for squares, words in (
        (edit.false_positives, "gives 1 % or more to"),
        (edit.false_negatives, "gives under 1 % to legal"),
    ):
        if squares:
            parts.append(f" It {words} {', '.join(square_name(s) for s in squares)}.")
    return parts


def repair_table(rows: Sequence[RepairRow]) -> Node:
    """By block: how many of the edited squares are read as the target, and how many of the others still rightly."""
    titles = ("after block", "edited squares read as the target", "other squares read as before")
    body = [
        html.Tr([html.Td(r.layer), html.Td(f"{r.target} of {r.edited}"), html.Td(f"{r.same} of {r.others}")])
        for r in rows
    ]
    return html.Table([html.Thead(html.Tr([html.Th(t) for t in titles])), html.Tbody(body)], className="attune-table")
