"""Callbacks of the reading: what the model would play, and the boards that the probes read at a block."""

from __future__ import annotations

from typing import Any

from dash import Input, Output, State, callback, no_update

from analysis.othello.board import Board
from analysis.othello.squares import square_name
from analysis.tpr.ops.reading import OthelloFacts, OthelloReading
from components.kit.figure_card import blank
from components.othello.board import belief_board, board_data, next_move_board
from components.othello.figures import move_bars
from pages.common import attempt

PROBES = ("linear", "tpr", "trilinear")
NO_MOVE = "The model has no token for the empty board: it reads from the first move on. Play one."


@callback(
    Output("oth-facts", "data"),
    Output("oth-layer", "max"),
    Output("oth-layer", "marks"),
    Output("oth-layer", "value"),
    Output("oth-source-error", "children", allow_duplicate=True),
    Input("oth-source", "data"),
    Input("oth-fit-said", "children"),
    State("oth-layer", "value"),
    State("oth-start", "data"),
    State("oth-facts", "data"),
    State("session", "data"),
    prevent_initial_call="initial_duplicate",
)
def load_facts(source: str, _fitted: Any, layer: Any, start: Any, before: Any, session: str) -> tuple[Any, ...]:
    """The model's facts and figures; the block to open on is the address's, else where the linear probe is best."""
    result, panel = attempt(lambda: OthelloFacts(source), session, "oth-facts")
    if result is None:
        return *[no_update] * 4, panel
    facts = result.data["facts"]
    top = facts["layers"] - 1
    wanted = start.get("layer") if before is None else layer
    if wanted is None or (before is not None and before["facts"]["fingerprint"] != facts["fingerprint"]):
        wanted = facts["headline"]
    marks = {str(i): str(i) for i in range(top + 1)}
    return result.data, max(top, 1), marks, min(int(wanted), top), None


@callback(
    Output("oth-reading", "data"),
    Output("oth-board-next", "data"),
    Output("oth-board-believed", "data"),
    Output("oth-bars", "figure"),
    Output("oth-bars-caption", "children"),
    Output({"settings": "oth-bars"}, "data"),
    Output("oth-next-said", "children"),
    *[Output(f"oth-right-{name}", "children") for name in ("truth", *PROBES)],
    Output("oth-next-error", "children"),
    Output("oth-belief-error", "children"),
    Input("oth-game", "data"),
    Input("oth-layer", "value"),
    Input("oth-labels", "value"),
    Input("oth-facts", "data"),
    Input("theme", "data"),
    State("oth-source", "data"),
    State("session", "data"),
)
def read(game: Any, layer: Any, labels: str, facts: Any, theme: str, source: str, session: str) -> tuple[Any, ...]:
    """Ask for the position under the cursor."""
    moves, ply = tuple(game["moves"]), int(game["ply"])
    if facts is None or layer is None:
        return (no_update,) * 13
    board = Board.start().after(moves[:ply])
    if ply == 0 or ply > 59:
        why = (
            NO_MOVE
            if ply == 0
            else "All sixty squares are filled: there is no next move to predict, and no position for it."
        )
        return nothing(board, why)
    result, panel = attempt(lambda: OthelloReading(source, moves, ply, int(layer), labels), session, "oth-reading")
    if result is None:
        empty = nothing(board, "")
        return (*empty[:11], panel, None)
    data, arrays = result.data, result.arrays
    shares = arrays["next"]
    bars = move_bars(shares, data["legal"], theme)
    boards = {"oth-belief-truth": true_board(board)}
    said = {}
    for name in PROBES:
        if name not in arrays:
            boards[f"oth-belief-{name}"] = board_data(discs=[0] * 64)
            said[name] = data["missing"][name]
            continue
        boards[f"oth-belief-{name}"] = belief_board(arrays[name], arrays["truth"], colour_just_moved(board, labels))
        by_layer = data["right_by_layer"][name]
        said[name] = f"{data['right'][name]} of 64 right · by block: " + " ".join(
            "–" if n is None else str(n) for n in by_layer
        )
    next_board = next_move_board(shares, data["legal"], board.discs, board.moves[-1])
    return (
        {"next": [float(s) for s in shares], "ply": ply, "moves": list(moves[:ply])},
        {"oth-next": next_board},
        boards,
        bars,
        f"After ply {ply}. Dashed: the 1 % that counts as predicted. Hatched bars are illegal moves.",
        {"model": facts["facts"]["label"], "moves": list(moves[:ply]), "ply": ply},
        f"illegal mass {data['illegal_mass']:.2%} · entropy {data['entropy']:.2f} nats, "
        f"{data['log_legal']:.2f} if all {len(data['legal'])} legal moves were equally likely",
        truth_words(board, labels),
        *[said[name] for name in PROBES],
        None,
        None,
    )


def nothing(board: Board, why: str) -> tuple[Any, ...]:
    """What stands there when nothing can be read."""
    plain = board_data(discs=board.discs)
    blank_board = board_data(discs=[0] * 64)
    boards = {"oth-belief-truth": true_board(board)} | {f"oth-belief-{n}": blank_board for n in PROBES}
    return (None, {"oth-next": plain}, boards, blank(330, ""), "", {}, why, "", "", "", "", None, None)


def true_board(board: Board) -> dict[str, Any]:
    """The real discs."""
    names = ("empty", "black", "white")
    return board_data(
        discs=board.discs,
        last=board.moves[-1] if board.moves else None,
        labels=[f"{square_name(s)}, {names[d]}" for s, d in enumerate(board.discs)],
    )


def colour_just_moved(board: Board, labels: str) -> int:
    """1 if class "just moved" is black under these labels, 2 if it is white."""
    if labels == "parity":
        return 1 if len(board.moves) % 2 == 1 else 2
    return 1 if board.just_moved == "black" else 2


def truth_words(board: Board, labels: str) -> str:
    """Which colour is called mine; after a pass the two conventions may differ, which is said."""
    moved = colour_just_moved(board, labels)
    names = {1: "black", 2: "white"}
    text = f"theirs (just moved) is {names[moved]}, mine (to move) is {names[3 - moved]}"
    if colour_just_moved(board, "parity") != colour_just_moved(board, "mover"):
        other = "parity" if labels == "mover" else "the true mover"
        text += f"; after the pass, {other} says the opposite"
    return text
