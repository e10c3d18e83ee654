"""Callbacks of the reading: what the model would play, and the boards that the probes read at a block."""

from __future__ import annotations

from dataclasses import asdict

from dash import Input, Output, State, callback, no_update
from dash.exceptions import PreventUpdate

from analysis.othello.board import Board
from analysis.tpr.answers.model import SITE_TITLES
from analysis.tpr.ops.reading import PROBES, OthelloFacts, OthelloReading
from analysis.view_ref import QuestionRef
from components.kit.types import Json, Node, Outputs, Typed
from components.othello.board import board_data
from components.othello.position import (
    Position,
    belief_boards,
    game,
    next_board,
    next_moves,
    next_words,
    position,
    true_board,
    truth_words,
)
from components.othello.views import AtPly, likely_moves
from pages.cards import content, ref_of
from pages.common import ask_for, reply_of
from pages.othello.cards import BELIEVED, GAME, MOVES, NEXT
from pages.othello.state import Game, label_of, probes_of
from pages.othello.tabs import set_options

NO_MOVE = "The model has no token for the empty board: it reads from the first move on. Play one."


@callback(
    Output("oth-facts", "data"),
    Output("oth-layer", "max"),
    Output("oth-layer", "marks"),
    Output("oth-layer", "value"),
    Output("oth-source-error", "children", allow_duplicate=True),
    Output("oth-probes", "options"),
    Output("oth-probes", "value"),
    Output("oth-probes-in-use", "children"),
    Input("oth-source", "data"),
    Input("oth-fit-said", "children"),
    Input("files-opened", "data"),
    Input("oth-probes", "value"),
    State("oth-layer", "value"),
    State("oth-start", "data"),
    State("oth-facts", "data"),
    State("session", "data"),
    prevent_initial_call="initial_duplicate",
)
def load_facts(
    source: str,
    _fit: Node,
    _opened: Json,
    probes: str | None,
    layer: Typed,
    start: int | None,
    before: Json,
    session: str,
) -> tuple[Json, Json, Json, Json, Node, Json, Json, Node]:
    """The question of the model's facts and figures; the block to open on is the address's, else where the linear probe
    is best. Where the probes of others that are named are not there, the model's own take their place."""
    reply, panel = ask_for(lambda: OthelloFacts(source, probes=probes or ""), session, "oth-facts")
    if reply is None and probes:
        reply, _ = ask_for(lambda: OthelloFacts(source), session, "oth-facts")
    if reply is None:
        return no_update, no_update, no_update, no_update, panel, no_update, no_update, no_update
    facts = reply.answer.facts
    top = facts.layers - 1
    block = start if before is None else layer
    if block is None or (before is not None and _other_model(before, source)):
        block = facts.headline
    marks = {str(i): str(i) for i in range(top + 1)}
    in_use = f"Probes of others: {facts.probes}. They read the {SITE_TITLES[facts.site]}." if facts.probes else ""
    value = no_update if facts.probes == (probes or "") else facts.probes
    block = min(int(block), top)
    return asdict(reply.question), max(top, 1), marks, block, panel, set_options(facts.sets), value, in_use


def _other_model(before: Json, source: str) -> bool:
    """Whether the facts so far are of another model."""
    return bool(OthelloFacts.from_params(QuestionRef.from_dict(before).params).source != source)


@callback(
    output={
        "question": Output("oth-reading", "data"),
        "next": Output("oth-board-next", "data"),
        "boards": Output("oth-board-believed", "data"),
        "moves": MOVES.outputs,
        "words": Output("oth-next-said", "children"),
        "truth": Output("oth-right-truth", "children"),
        "counts": {name: Output(f"oth-right-{name}", "children") for name in PROBES},
        "refs": [GAME.ref, NEXT.ref, BELIEVED.ref],
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
    line = Game.from_dict(data)
    board = line.board
    if line.ply == 0:
        return no_reading(board, NO_MOVE)
    if not line.readable:
        why = "All sixty squares are filled: there is no next move to predict, and no position for it."
        return no_reading(board, why)
    reply, panel = ask_for(
        lambda: OthelloReading(source, line.moves, line.ply, int(layer), labels, probes=probes_of(figures)),
        session,
        "oth-reading",
    )
    if reply is None:
        return no_reading(board, "") | {"next_error": panel}
    answer = reply.answer
    boards, counts = {"oth-belief-truth": true_board(board)}, {}
    believed = belief_boards(answer, board, labels)
    for name in PROBES:
        boards[f"oth-belief-{name}"] = believed.get(name) or board_data(discs=[0] * 64)
        by_layer = " ".join("–" if n is None else str(n) for n in answer.right_by_layer[name])
        right = f"{answer.right[name]} of 64 right · by block: {by_layer}" if name in believed else ""
        counts[name] = right or answer.missing[name]
    model = label_of(source, figures)
    options = Position(line.moves, line.ply, int(layer), labels, model)
    return {
        "question": asdict(reply.question),
        "next": {"oth-next": next_board(answer, board)},
        "boards": boards,
        "moves": content(likely_moves, reply, options=AtPly(line.ply, model), theme=theme),
        "words": next_words(answer),
        "truth": truth_words(board, labels),
        "counts": counts,
        "refs": [
            ref_of(game, reply, options=options),
            ref_of(next_moves, reply, options=options),
            ref_of(position, reply, reply_of(figures), options=options),
        ],
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
        "refs": [None] * 3,
        "next_error": None,
        "belief_error": None,
    }
