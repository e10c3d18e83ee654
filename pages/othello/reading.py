"""Callbacks of the reading: what the model would play, and the boards that the probes read at a block."""

from __future__ import annotations

from dataclasses import asdict

from dash import Input, Output, State, callback, no_update
from dash.exceptions import PreventUpdate

from analysis.othello.board import Board
from analysis.othello.sources import OthelloSource
from analysis.othello.squares import square_name
from analysis.tpr.ops.reading import PROBES, OthelloFacts, OthelloReading
from analysis.view_ref import QuestionRef
from components.kit.types import Json, Node, Outputs, Typed
from components.othello.board import BoardData, belief_board, board_data, next_move_board
from components.othello.views import AtPly, likely_moves
from pages.cards import content
from pages.common import ask_for
from pages.othello.cards import MOVES
from pages.othello.state import Game

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
def load_facts(
    source: str, _fit: Node, layer: Typed, start: int | None, before: Json, session: str
) -> tuple[Json, Json, Json, Json, Node]:
    """The question of the model's facts and figures; the block to open on is the address's, else where the linear probe
    is best."""
    reply, panel = ask_for(lambda: OthelloFacts(source), session, "oth-facts")
    if reply is None:
        return no_update, no_update, no_update, no_update, panel
    facts = reply.answer.facts
    top = facts.layers - 1
    block = start if before is None else layer
    if block is None or (before is not None and QuestionRef.from_dict(before).params != reply.question.params):
        block = facts.headline
    marks = {str(i): str(i) for i in range(top + 1)}
    return asdict(reply.question), max(top, 1), marks, min(int(block), top), None


@callback(
    output={
        "question": Output("oth-reading", "data"),
        "next": Output("oth-board-next", "data"),
        "boards": Output("oth-board-believed", "data"),
        "moves": MOVES.outputs,
        "words": Output("oth-next-said", "children"),
        "truth": Output("oth-right-truth", "children"),
        "counts": {name: Output(f"oth-right-{name}", "children") for name in PROBES},
        "next_error": Output("oth-next-error", "children"),
        "belief_error": Output("oth-belief-error", "children"),
    },
    inputs={
        "data": Input("oth-game", "data"),
        "layer": Input("oth-layer", "value"),
        "labels": Input("oth-labels", "value"),
        "figures": Input("oth-facts", "data"),
        "theme": State("theme", "data"),
        "source": State("oth-source", "data"),
        "session": State("session", "data"),
    },
)
def read(data: Json, layer: Typed, labels: str, figures: Json, theme: str, source: str, session: str) -> Outputs:
    """Ask for the position under the cursor."""
    if figures is None or layer is None:
        raise PreventUpdate
    game = Game.from_dict(data)
    board = game.board
    if game.ply == 0:
        return no_reading(board, NO_MOVE)
    if not game.readable:
        why = "All sixty squares are filled: there is no next move to predict, and no position for it."
        return no_reading(board, why)
    reply, panel = ask_for(
        lambda: OthelloReading(source, game.moves, game.ply, int(layer), labels), session, "oth-reading"
    )
    if reply is None:
        return no_reading(board, "") | {"next_error": panel}
    answer = reply.answer
    boards, counts = {"oth-belief-truth": true_board(board)}, {}
    for name, belief in answer.beliefs.items():
        if belief is None:
            boards[f"oth-belief-{name}"], counts[name] = board_data(discs=[0] * 64), answer.missing[name]
            continue
        boards[f"oth-belief-{name}"] = belief_board(belief, answer.truth, colour_just_moved(board, labels))
        by_layer = " ".join("–" if n is None else str(n) for n in answer.right_by_layer[name])
        counts[name] = f"{answer.right[name]} of 64 right · by block: {by_layer}"
    return {
        "question": asdict(reply.question),
        "next": {"oth-next": next_move_board(answer.next, answer.legal, board.discs, board.moves[-1])},
        "boards": boards,
        "moves": content(likely_moves, reply, options=AtPly(game.ply, OthelloSource(source).label), theme=theme),
        "words": f"illegal mass {answer.illegal_mass:.2%} · entropy {answer.entropy:.2f} nats, "
        f"{answer.log_legal:.2f} if all {len(answer.legal)} legal moves were equally likely",
        "truth": truth_words(board, labels),
        "counts": counts,
        "next_error": None,
        "belief_error": None,
    }


def no_reading(board: Board, why: str) -> Outputs:
    """What stands there when nothing can be read."""
    bare = board_data(discs=[0] * 64)
    return {
        "question": None,
        "next": {"oth-next": board_data(discs=board.discs)},
        "boards": {"oth-belief-truth": true_board(board)} | {f"oth-belief-{n}": bare for n in PROBES},
        "moves": MOVES.empty(),
        "words": why,
        "truth": "",
        "counts": dict.fromkeys(PROBES, ""),
        "next_error": None,
        "belief_error": None,
    }


def true_board(board: Board) -> BoardData:
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
