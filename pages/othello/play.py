"""Callbacks of the game: moves, the way back and forth, pasted lists. The rules are known to this process, so
an illegal click is answered without asking a model."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence

import numpy as np
from dash import Input, Output, State, callback, clientside_callback, no_update

from analysis.errors import UserError
from analysis.othello.board import Board
from analysis.othello.records import format_moves, parse_moves
from analysis.othello.squares import square_name
from analysis.tpr.ops.edit import OthelloStory
from analysis.tpr.ops.reading import OthelloReading
from analysis.view_ref import QuestionRef
from components.kit.types import Json, Node
from components.othello.board import Boards, board_data
from pages.common import ask_for, refusal, reply_of
from pages.othello.state import Game, OthelloState, text_of
from pages.presses import Press, queue_callbacks, settle
from pages.state import names_of

Shares = Sequence[float] | np.ndarray
"""Probabilities (64,) of the squares as the next move."""


@callback(
    Output("oth-game-done", "data"),
    Output("oth-play-error", "children"),
    Input("oth-game-presses", "data"),
    State("oth-reading", "data"),
    State("oth-source", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
def change_game(presses: Json, reading: Json, source: str, session: str) -> tuple[Json, Node]:
    """The game after all that was pressed, or a sentence why not; the moves after the cursor stay until another is
    made."""
    if not presses:
        return no_update, no_update

    def best(moves: tuple[int, ...]) -> Shares | None:
        return shares_after(moves, reading, source, session)

    def tale(name: str) -> Game | None:
        reply, _ = ask_for(lambda: OthelloStory(source, name), session, "story-game")
        return None if reply is None else Game(reply.answer.moves, reply.answer.ply)

    def step(game: Json, press: Press) -> Json:
        return game_after(Game.from_dict(game), press, best, tale).to_dict()

    answer, refused = settle(presses, step)
    if refused is None:
        return answer, None
    # Only a pasted list stands in a box; a pressed square does not.
    return answer, refusal(refused, OthelloReading if presses["list"][-1]["kind"] == "paste" else None)


def shares_after(moves: tuple[int, ...], reading: Json, source: str, session: str) -> Shares | None:
    """What the model gives each square next: from the reading on screen if it is of this position, else asked for.
    ``reading``: the question that it answers."""
    if reading:
        operation = OthelloReading.from_params(QuestionRef.from_dict(reading).params)
        if (operation.source, operation.moves[: operation.ply]) == (source, moves):
            shares: Shares = reply_of(reading).answer.next
            return shares
    reply, _ = ask_for(lambda: OthelloReading(source, moves, len(moves)), session, "best-move")
    return None if reply is None else reply.answer.next


def game_after(
    game: Game,
    press: Press,
    best: Callable[[tuple[int, ...]], Shares | None],
    tale: Callable[[str], Game | None],
) -> Game:
    """The game after one press. Raises UserError for what the rules do not allow.

    ``best``: shares of the 64 squares as the next move after a line; ``tale``: the game of a story. Both give None if
    the model has no answer.
    """
    kind = press["kind"]
    if kind == "ply" or kind in _STEPS:
        to = int(press["ply"] or 0) if kind == "ply" else _STEPS[kind](game.ply, len(game.moves))
        return Game(game.moves, max(0, min(to, len(game.moves))))
    if kind == "clear":
        return Game()
    if kind == "story":
        return tale(str(press["story"])) or game
    if kind == "paste":
        moves = parse_moves(press.get("text") or "", press.get("notation") or "rows")
        return Game(moves, len(moves))
    if kind == "square":
        return with_move(game, int(press["square"]))
    board = game.board
    if board.over:
        raise UserError("The game is over: neither side can move. Go back, or start a new game.", "moves")
    if kind == "best":
        if game.ply == 0:
            raise UserError("The model has not answered about this position; it needs at least one move.", "moves")
        shares = best(game.played)
        if shares is None:
            raise UserError("The model has not answered about this position yet. Press again.", "moves")
        return with_move(game, max(board.legal, key=lambda s: shares[s]))
    # Seeded by the press, so that it is the same move if the question is asked again.
    chance = random.Random(int(press.get("seed") or 0))  # noqa: S311
    count = 1 if kind == "random" else 60
    for _ in range(count):
        if board.over:
            break
        board = board.play(chance.choice(board.legal))
    return Game(tuple(board.moves), len(board.moves) if count > 1 else game.ply + 1)


_STEPS = {
    "first": lambda at, n: 0,
    "undo": lambda at, n: at - 1,
    "redo": lambda at, n: at + 1,
    "last": lambda at, n: n,
}


def with_move(game: Game, square: int) -> Game:
    """The game with one move more at the cursor; if it is the one that stood there, the later moves stay."""
    if game.ply < len(game.moves) and game.moves[game.ply] == square:
        return Game(game.moves, game.ply + 1)
    board = game.board
    if square not in board.legal:
        raise UserError(board.why_illegal(square), "moves")
    return Game((*game.played, square), game.ply + 1)


def status(board: Board, total: int) -> str:
    """Where the game stands, in words."""
    ply = len(board.moves)
    black, white = board.score
    words = f"Ply {ply} of {total}: " if total else "The start: "
    if ply:
        words += f"{'Black' if board.just_moved == 'black' else 'White'} played {square_name(board.moves[-1])}"
        words += f", {len(board.flipped)} turned. "
    if board.over:
        end = "Black wins" if black > white else "White wins" if white > black else "a draw"
        return f"{words}The game is over: {black} to {white}, {end}."
    side = "Black" if board.side == "black" else "White"
    if ply and board.just_moved == board.side:
        other = "White" if board.side == "black" else "Black"
        words += f"{other} cannot move and must pass. "
    return f"{words}{side} to move, {len(board.legal)} legal moves. Black {black}, White {white}."


@callback(
    Output("oth-board-play", "data"),
    Output("oth-status", "children"),
    Output("oth-line", "data"),
    Input("oth-game", "data"),
    State("oth-notation", "value"),
)
def show_game(data: Json, notation: str) -> tuple[Boards, str, str]:
    """The board of the cursor's ply, and the move list up to the end of the line. Slider and buttons follow the game in
    the browser, where the newest press is known."""
    game = Game.from_dict(data)
    board = game.board
    squares = board_data(
        discs=board.discs,
        legal=list(board.legal),
        last=board.moves[-1] if board.moves else None,
        labels=play_labels(board),
    )
    return {"oth-play": squares}, status(board, len(game.moves)), format_moves(game.moves, notation)


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
    Output("oth-line", "data", allow_duplicate=True),
    Input("oth-notation", "value"),
    State("oth-game", "data"),
    prevent_initial_call=True,
)
def other_notation(notation: str, game: Json) -> str:
    """The same game in the other notation."""
    return format_moves(Game.from_dict(game).moves, notation)


queue_callbacks("oth-game")
# What is no button of the queue: a slider that follows the game, a line that is typed, a list of stories.
for _call, _input in (
    ("slide(value)", Input("oth-ply", "value")),
    ("enter(value)", Input("oth-text", "n_submit")),
    ("story(value)", Input("oth-story", "value")),
):
    clientside_callback(
        f"(value) => dash_clientside.attune_othello.{_call}",
        Output("oth-hand-sink", "title", allow_duplicate=True),
        _input,
        prevent_initial_call=True,
    )
clientside_callback(
    "(line) => dash_clientside.attune_othello.line(line)",
    Output("oth-text", "value"),
    Input("oth-line", "data"),
    prevent_initial_call=True,
)


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
    f"(...values) => dash_clientside.attune.address(...values, {json.dumps(names_of(OthelloState))})",
    Output("address", "data", allow_duplicate=True),
    Input("oth-source", "data"),
    Input("oth-words", "data"),
    Input("oth-ply", "value"),
    Input("oth-layer", "value"),
    Input("oth-labels", "value"),
    Input("oth-probe", "value"),
    Input("oth-edits", "data"),
    Input("oth-tab", "active_tab"),
    Input("oth-look", "data"),
    Input("oth-probes", "value"),
    prevent_initial_call="initial_duplicate",
)


@callback(Output("oth-words", "data"), Input("oth-game", "data"))
def words_for_address(game: Json) -> str:
    """The whole line as text for the address."""
    return text_of(Game.from_dict(game).moves)
