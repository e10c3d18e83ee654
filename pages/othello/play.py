"""Callbacks of the game: moves, the way back and forth, pasted lists, stories. The rules are known to this process, so
an illegal click is answered without asking a model."""

from __future__ import annotations

import random
from typing import Any

from dash import Input, Output, State, callback, clientside_callback, ctx, no_update

from analysis.errors import UserError
from analysis.othello.board import Board
from analysis.othello.records import format_moves, parse_moves
from analysis.othello.squares import square_name
from analysis.service.ops_othello_edit import OthelloStory
from components.board import board_data
from components.panels import user_error
from pages.common import attempt
from pages.othello.state import ADDRESS

Game = dict[str, Any]


@callback(
    Output("oth-game", "data"),
    Output("oth-play-error", "children"),
    Input("oth-click", "data"),
    Input("oth-first", "n_clicks"),
    Input("oth-undo", "n_clicks"),
    Input("oth-redo", "n_clicks"),
    Input("oth-last", "n_clicks"),
    Input("oth-best", "n_clicks"),
    Input("oth-random", "n_clicks"),
    Input("oth-random-end", "n_clicks"),
    Input("oth-clear", "n_clicks"),
    Input("oth-paste", "n_clicks"),
    Input("oth-text", "n_submit"),
    Input("oth-ply", "value"),
    State("oth-game", "data"),
    State("oth-text", "value"),
    State("oth-notation", "value"),
    State("oth-reading", "data"),
    State("oth-ply-set", "data"),
    prevent_initial_call=True,
)
def change_game(*values: Any) -> tuple[Any, Any]:
    """The game after what was pressed, or a sentence why not; the moves after the cursor stay until another is made."""
    click, ply = values[0], values[11]
    game, text, notation, reading, ply_set = values[12:]
    trigger = ctx.triggered_id
    if trigger == "oth-ply" and ply == ply_set:
        return no_update, no_update  # the slider follows the game here; a late echo must not take a move back
    try:
        after = _changed(str(trigger), game, click, ply, text, notation, reading)
    except UserError as error:
        return no_update, user_error(error.message)
    return (no_update if after == game else after), None


def _changed(trigger: str, game: Game, click: Any, ply: Any, text: Any, notation: str, reading: Any) -> Game:
    moves, at = tuple(game["moves"]), int(game["ply"])
    if trigger == "oth-ply":
        return {"moves": list(moves), "ply": max(0, min(int(ply or 0), len(moves)))}
    if trigger in _STEPS:
        to = _STEPS[trigger](at, len(moves))
        return {"moves": list(moves), "ply": max(0, min(to, len(moves)))}
    if trigger == "oth-clear":
        return {"moves": [], "ply": 0}
    if trigger in ("oth-paste", "oth-text"):
        found = parse_moves(text or "", notation)
        return {"moves": list(found), "ply": len(found)}
    now = Board.start().after(moves[:at])
    if trigger == "oth-click":
        return played(game, int(click["square"])) if click else game
    if now.over:
        raise UserError("The game is over: neither side can move. Go back, or start a new game.", "moves")
    if trigger == "oth-best":
        shares = (reading or {}).get("next")
        if at == 0 or not shares or reading.get("ply") != at:
            raise UserError("The model has not answered about this position yet; it needs at least one move.", "moves")
        return played(game, max(now.legal, key=lambda s: shares[s]))
    count = 1 if trigger == "oth-random" else 60
    board = now
    for _ in range(count):
        if board.over:
            break
        board = board.play(random.choice(board.legal))  # noqa: S311
    return {"moves": list(board.moves), "ply": len(board.moves) if count > 1 else at + 1}


_STEPS = {
    "oth-first": lambda at, n: 0,
    "oth-undo": lambda at, n: at - 1,
    "oth-redo": lambda at, n: at + 1,
    "oth-last": lambda at, n: n,
}


def played(game: Game, square: int) -> Game:
    """The game with one move more at the cursor; if it is the one that stood there, the later moves stay."""
    moves, at = tuple(game["moves"]), int(game["ply"])
    if at < len(moves) and moves[at] == square:
        return {"moves": list(moves), "ply": at + 1}
    now = Board.start().after(moves[:at])
    if square not in now.legal:
        raise UserError(now.why_illegal(square), "moves")
    return {"moves": [*moves[:at], square], "ply": at + 1}


def status(board: Board, total: int) -> str:
    """Where the game stands, in words."""
    ply = len(board.moves)
    black, white = board.score
    start = f"Ply {ply} of {total}: " if total else "The start: "
    said = start
    if ply:
        said += f"{'Black' if board.just_moved == 'black' else 'White'} played {square_name(board.moves[-1])}"
        said += f", {len(board.flipped)} turned. "
    if board.over:
        end = "Black wins" if black > white else "White wins" if white > black else "a draw"
        return f"{said}The game is over: {black} to {white}, {end}."
    side = "Black" if board.side == "black" else "White"
    if ply and board.just_moved == board.side:
        other = "White" if board.side == "black" else "Black"
        said += f"{other} cannot move and must pass. "
    return f"{said}{side} to move, {len(board.legal)} legal moves. Black {black}, White {white}."


@callback(
    Output("oth-board-play", "data"),
    Output("oth-status", "children"),
    Output("oth-ply", "max"),
    Output("oth-ply", "value"),
    Output("oth-ply-set", "data"),
    Output("oth-text", "value"),
    Output("oth-undo", "disabled"),
    Output("oth-redo", "disabled"),
    Input("oth-game", "data"),
    State("oth-notation", "value"),
    State("oth-ply", "value"),
)
def show_game(game: Game, notation: str, slider: Any) -> tuple[Any, ...]:
    """The board of the cursor's ply, and the move list up to the end of the line."""
    moves, at = tuple(game["moves"]), int(game["ply"])
    board = Board.start().after(moves[:at])
    data = board_data(
        discs=board.discs,
        legal=list(board.legal),
        last=board.moves[-1] if board.moves else None,
        labels=play_labels(board),
    )
    return (
        {"oth-play": data},
        status(board, len(moves)),
        max(1, len(moves)),
        no_update if slider == at else at,
        at,
        format_moves(moves, notation),
        at == 0,
        at == len(moves),
    )


def play_labels(board: Board) -> list[str]:
    """Each square in words, for a screen reader and the tooltip."""
    names = ("empty", "black", "white")
    words = []
    for square, disc in enumerate(board.discs):
        text = f"{square_name(square)}, {names[disc]}"
        if square in board.legal:
            text += ", legal"
        if board.moves and square == board.moves[-1]:
            text += ", last move"
        words.append(text)
    return words


@callback(
    Output("oth-text", "value", allow_duplicate=True),
    Input("oth-notation", "value"),
    State("oth-game", "data"),
    prevent_initial_call=True,
)
def other_notation(notation: str, game: Game) -> str:
    """The same game in the other notation."""
    return format_moves(tuple(game["moves"]), notation)


@callback(
    Output("oth-game", "data", allow_duplicate=True),
    Output("oth-edits", "data", allow_duplicate=True),
    Output("oth-layer", "value", allow_duplicate=True),
    Output("oth-tab", "active_tab"),
    Output("oth-labels", "value"),
    Output("oth-story-text", "children"),
    Input("oth-story", "value"),
    State("oth-source", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
def tell(story: str | None, source: str, session: str) -> tuple[Any, ...]:
    """A story sets game, ply, block and edits, and says what to look at."""
    if not story:
        return (*[no_update] * 5, "")
    result, panel = attempt(lambda: OthelloStory(source, story), session, "story")
    if result is None:
        return (*[no_update] * 5, panel)
    data = result.data
    game = {"moves": data["moves"], "ply": data["ply"]}
    return game, data["edits"], data["layer"], data["tab"], data["labels"], data["text"]


for _store, _ids in {
    "oth-board-play": ["oth-play"],
    "oth-board-next": ["oth-next"],
    "oth-board-believed": [f"oth-belief-{n}" for n in ("truth", "linear", "tpr", "trilinear")],
    "oth-board-directions": [f"oth-cosine-{n}" for n in ("empty", "moved", "turn")],
    "oth-board-edit": ["oth-edit-board"],
    "oth-board-after": ["oth-after", "oth-difference", "oth-crosstalk", "oth-repair-board"],
}.items():
    clientside_callback(
        "function(data, theme) { return dash_clientside.attune_othello.drawAll(data); }",
        Output(_ids[0], "data-drawn"),
        Input(_store, "data"),
        Input("theme", "data"),
    )

clientside_callback(
    "function(...values) { return dash_clientside.attune.address(...values, " + str(ADDRESS).replace("'", '"') + "); }",
    Output("address", "data", allow_duplicate=True),
    Input("oth-source", "data"),
    Input("oth-words", "data"),
    Input("oth-ply", "value"),
    Input("oth-layer", "value"),
    Input("oth-labels", "value"),
    Input("oth-probe", "value"),
    Input("oth-edits", "data"),
    Input("oth-tab", "active_tab"),
    prevent_initial_call="initial_duplicate",
)


@callback(Output("oth-words", "data"), Input("oth-game", "data"))
def words_for_address(game: Game) -> str:
    """The whole line as text for the address; a dash stands for the empty game."""
    return format_moves(tuple(game["moves"]), "rows").replace(" ", "") or " "
