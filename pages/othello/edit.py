"""Callbacks of one edit: choosing squares, asking, and the boards before and after."""

from __future__ import annotations

from typing import Any

import numpy as np
from dash import Input, Output, State, callback, html, no_update

from analysis.errors import UserError
from analysis.othello.board import Board
from analysis.othello.squares import square_name
from analysis.tpr.ops.edit import OthelloEdit, check_edits
from components.kit.figure_card import blank
from components.kit.panels import user_error
from components.othello.board import belief_board, board_data, difference_board, next_move_board, value_board
from components.othello.figures import before_after_bars
from pages.common import attempt, refusal
from pages.othello.reading import NO_MOVE, colour_just_moved
from pages.othello.state import MAX_EDITS
from pages.presses import Press, queue_callbacks, settle

NAMES = ("empty", "black", "white")


@callback(
    Output("oth-edits-done", "data"),
    Output("oth-edit-error", "children"),
    Input("oth-edits-presses", "data"),
    State("oth-game", "data"),
    State("oth-labels", "value"),
    prevent_initial_call=True,
)
def change_edits(asked: Any, game: Any, labels: str) -> tuple[Any, Any]:
    """The edits after all that was pressed, and why the last press was refused, if it was."""
    if not asked:
        return no_update, no_update
    said: list[str] = [""]

    def one(edits: Any, press: Press) -> Any:
        after, said[0] = edited(edits, press, game, labels)
        return after

    done, refused = settle(asked, one)
    return done, refusal(refused) if refused is not None else user_error(said[0]) if said[0] else None


queue_callbacks("oth-edits")


def edited(edits: Any, press: Press, game: Any, labels: str) -> tuple[list[list[int]], str]:
    """Pressing a square goes through its other states and back to its own; the edits, and a sentence if one was taken
    back. Raises UserError."""
    if press["kind"] == "clear":
        return [], ""
    moves, ply = tuple(game["moves"]), int(game["ply"])
    if ply == 0:
        raise UserError(NO_MOVE, "moves")
    square = int(press["square"])
    classes = Board.start().after(moves[:ply]).classes(labels)
    now = dict(map(tuple, edits or []))
    order = [c for c in (1, 2, 0) if c != classes[square]]
    if square in now:
        at = order.index(now[square]) + 1 if now[square] in order else len(order)
        new = order[at] if at < len(order) else None
    else:
        new = order[0]
    if new is None:
        now.pop(square)
    else:
        now[square] = new
    if len(now) > MAX_EDITS:
        raise UserError("At most four squares can be edited at once. Press an edited one to take it back.", "edits")
    try:
        if now:
            check_edits(moves, ply, tuple((s, c) for s, c in now.items()), labels)
    except UserError as error:
        if new == 0 and square in now:  # the centre cannot be emptied: the next press takes the edit back
            now.pop(square)
            return [list(e) for e in now.items()], error.message
        raise
    return [list(e) for e in now.items()], ""


@callback(
    Output("oth-edits", "data", allow_duplicate=True),
    Input("oth-game", "data"),
    Input("oth-labels", "value"),
    State("oth-edits", "data"),
    prevent_initial_call=True,
)
def drop_stale(game: Any, labels: str, edits: Any) -> Any:
    """Edits that no longer change anything at the new ply go."""
    moves, ply = tuple(game["moves"]), int(game["ply"])
    if not edits or ply == 0:
        return [] if edits else no_update
    classes = Board.start().after(moves[:ply]).classes(labels)
    kept = [e for e in edits if classes[e[0]] != e[1]]
    return no_update if len(kept) == len(edits) else kept


@callback(
    Output("oth-board-edit", "data"),
    Input("oth-game", "data"),
    Input("oth-edits", "data"),
    Input("oth-labels", "value"),
)
def show_edited(game: Any, edits: Any, labels: str) -> Any:
    """The board as edited, by colours; edited squares outlined."""
    moves, ply = tuple(game["moves"]), int(game["ply"])
    board = Board.start().after(moves[:ply])
    discs, moved = list(board.discs), colour_just_moved(board, labels)
    wanted = {int(s): (0, moved, 3 - moved)[c] for s, c in edits or []}
    labels_said = []
    for square in range(64):
        text = f"{square_name(square)}, {NAMES[discs[square]]}"
        if square in wanted:
            text += f", edited to {NAMES[wanted[square]]}"
            discs[square] = wanted[square]
        labels_said.append(text)
    return {"oth-edit-board": board_data(discs=discs, selected=list(wanted), labels=labels_said)}


@callback(
    Output("oth-board-after", "data"),
    Output("oth-edit-said", "children"),
    Output("oth-edit-bars", "figure"),
    Output("oth-edit-bars-caption", "children"),
    Output({"settings": "oth-edit-bars"}, "data"),
    Output("oth-repair-table", "children"),
    Output("oth-edit-error", "children", allow_duplicate=True),
    Input("oth-edits", "data"),
    Input("oth-game", "data"),
    Input("oth-method", "value"),
    Input("oth-scale", "value"),
    Input("oth-choose", "value"),
    Input("oth-blocks", "value"),
    Input("oth-labels", "value"),
    Input("oth-tab", "active_tab"),
    Input("oth-facts", "data"),
    Input("theme", "data"),
    State("oth-layer", "value"),
    State("oth-source", "data"),
    State("session", "data"),
    prevent_initial_call="initial_duplicate",
)
def ask_edit(
    edits: Any, game: Any, method: str, scale: float, choose: str, blocks: Any, labels: str, tab: str, facts: Any,
    theme: str, layer: Any, source: str, session: str,
) -> tuple[Any, ...]:  # fmt: skip
    """Run the edit and show everything that follows from it."""
    if tab != "edit" or facts is None:
        return (no_update,) * 7
    moves, ply = tuple(game["moves"]), int(game["ply"])
    if not edits or not 1 <= ply <= 59:
        why = "Press one to four squares of the first board: each press goes to the next state of the square."
        empty = {
            n: board_data(discs=[0] * 64) for n in ("oth-after", "oth-difference", "oth-crosstalk", "oth-repair-board")
        }
        return empty, why if ply else NO_MOVE, blank(340, ""), "", {}, "", None
    rows = tuple((int(s), int(c)) for s, c in edits)
    result, panel = attempt(
        lambda: OthelloEdit(
            source, moves, ply, int(layer or 0), labels, edits=rows, method=method, scale=scale, choose=choose,
            first=blocks[0], last=blocks[1],
        ),
        session,
        "oth-edit",
    )  # fmt: skip
    if result is None:
        return (*[no_update] * 6, panel)
    data, arrays = result.data, result.arrays
    board = Board.start().after(moves[:ply])
    moved = colour_just_moved(board, labels)
    edited = edited_classes(board, rows, labels)
    discs = [(0, moved, 3 - moved)[int(c)] for c in edited]
    boards = {
        "oth-after": next_move_board(arrays["after"], data["legal_after"], discs, None),
        "oth-difference": difference_board(
            arrays["before"], arrays["after"], data["legal_before"], data["legal_after"]
        ),
        "oth-crosstalk": value_board(arrays["crosstalk"], True, "change of log-odds"),
        "oth-repair-board": belief_board(arrays["beliefs"][-1], np.asarray(edited), moved),
    }
    return (
        boards,
        said(data),
        before_after_bars(arrays["before"], arrays["after"], data["legal_before"], data["legal_after"], theme),
        f"Method {method}, scale {data['scale']:g}"
        + (" (the best of the grid for this case, chosen by looking at the answer)" if choose == "best" else ""),
        {"moves": list(moves[:ply]), "edits": [list(r) for r in rows], "method": method, "scale": data["scale"]},
        repair_table(data["repair"]),
        None,
    )


def edited_classes(board: Board, rows: tuple[tuple[int, int], ...], labels: str) -> list[int]:
    """The true classes with the edits put in."""
    classes = list(board.classes(labels))
    for square, target in rows:
        classes[square] = target
    return classes


def said(data: dict[str, Any]) -> Any:
    """Errors before and after in words."""
    names = {"false_positives": "gives 1 % or more to", "false_negatives": "gives under 1 % to legal"}
    side = data["side_after"].capitalize()
    other = "" if data["side_after"] == data["side_before"] else f" (on the real board {data['side_before']})"
    parts = [
        f"{side} moves on the edited board{other}. "
        f"Legal there: {', '.join(square_name(s) for s in data['legal_after']) or 'none'}. ",
        html.Strong(f"Errors {data['null']} without the edit, {data['errors_after']} with it"),
        f" (scale {data['scale']:g}).",
    ]
    for key, words in names.items():
        if data[key]:
            parts.append(f" It {words} {', '.join(square_name(s) for s in data[key])}.")
    return parts


def repair_table(rows: list[dict[str, Any]]) -> Any:
    """By block: how many of the edited squares are read as the target, and how many of the others still rightly."""
    head = html.Tr(
        [html.Th(t) for t in ("after block", "edited squares read as the target", "other squares read as before")]
    )
    body = [
        html.Tr(
            [html.Td(r["layer"]), html.Td(f"{r['target']} of {r['edited']}"), html.Td(f"{r['same']} of {r['others']}")]
        )
        for r in rows
    ]
    return html.Table([html.Thead(head), html.Tbody(body)], className="attune-table")
