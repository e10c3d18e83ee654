"""Callbacks of the attention on the board. Which heads look at a move, and a head's row, are asked of the Attention
page's operations with the game as text; what is usual, the position without a head and the edit, of this page's own."""

from __future__ import annotations

import json
from typing import Any

from dash import Input, Output, State, callback, clientside_callback, html, no_update
from dash.exceptions import PreventUpdate

from analysis.errors import UserError
from analysis.othello.records import format_moves
from analysis.othello.sources import OthelloSource
from analysis.othello.squares import CENTRE, POSITIONS, square_name
from analysis.qk.answers.prompt import QueryRow
from analysis.qk.ops.prompt import AttentionRow
from analysis.qk.ops.token import WritingHeads
from analysis.tpr.ops.heads import EditedLooks, UsualLooks, WithoutHead
from components.kit.card import UNCHANGED
from components.kit.types import Json, Node, Outputs, Typed
from components.othello.board import board_data
from components.othello.edited_heads import edited_looks
from components.othello.heads import (
    SHOWN,
    Looker,
    Looking,
    head_row,
    lookers,
    looking_heads,
    move_words,
    of_removal,
    removal_boards,
    removal_words,
    row_board,
    without_one,
)
from components.othello.position import EditedPosition, Position
from pages.cards import content, ref_of
from pages.common import ask_for, refusal
from pages.othello.cards import LOOKERS, LOOKS, ROW, WITHOUT
from pages.othello.edit import edits_of
from pages.othello.state import Game, label_of, probes_of
from pages.presses import Press, press, queue_callbacks, settle

REMOVALS = ("oth-without-next", "oth-without-belief", "oth-other-next", "oth-other-belief")
TITLES = tuple(f"oth-title-{name}" for name in ("without-next", "without-belief", "other-next", "other-belief"))
TOO_FEW = "Attention looks back at earlier moves. Play at least two."


def look_after(look: Json, press: Press, game: Game) -> Json:
    """Square and head after one press. Raises UserError for a square on which nobody has played."""
    if press["kind"] == "head":
        return [look[0] if look else -1, int(press["block"]), int(press["head"])]
    square = int(press["square"])
    if square not in game.played:
        why = "is filled from the start" if square in CENTRE else "has no move yet"
        raise UserError(f"{square_name(square)} {why}, so no head can look there. Press a square in colour.", "moves")
    return [square, *(look or ())[1:]]


@callback(
    Output("oth-look-done", "data"),
    Output("oth-look-press-error", "children"),
    Input("oth-look-presses", "data"),
    State("oth-game", "data"),
    prevent_initial_call=True,
)
def change_look(presses: Json, data: Json) -> tuple[Json, Node]:
    """Square and head after all that was pressed, and why the last press was refused, if it was."""
    if not presses:
        return no_update, no_update
    game = Game.from_dict(data)
    answer, refused = settle(presses, lambda look, what: look_after(look, what, game))
    return answer, None if refused is None else refusal(refused)


queue_callbacks("oth-look")


def square_of(look: Json, game: Game) -> int:
    """The square that is looked at: the pressed one, if it has been played at this ply, else that of the move before
    the last."""
    square = look[0] if look else -1
    return square if square in game.played else game.played[-2]


@callback(
    output={
        "board": Output("oth-board-look", "data"),
        "words": Output("oth-look-said", "children"),
        "ranked": Output("oth-lookers-said", "children"),
        "list": Output("oth-lookers-list", "children"),
        "refs": [ROW.ref, LOOKERS.ref],
        "shown": Output("oth-look-shown", "data"),
        "error": Output("oth-look-error", "children"),
    },
    inputs={
        "look": Input("oth-look", "data"),
        "data": Input("oth-game", "data"),
        "tab": Input("oth-tab", "active_tab"),
        "figures": Input("oth-facts", "data"),
        "source": State("oth-source", "data"),
        "session": State("session", "data"),
    },
)
def show_looks(look: Json, data: Json, tab: str, figures: Json, source: str, session: str) -> Outputs:
    """Who looks at the square, and the row of the chosen head, or else of the one that looks there most."""
    if tab != "attention" or figures is None:
        raise PreventUpdate
    game = Game.from_dict(data)
    nothing = {
        "board": {"oth-look-board": board_data(discs=game.board.discs)},
        "words": "",
        "ranked": "",
        "list": None,
        "refs": [None] * 2,
        "shown": None,
        "error": None,
    }
    if not game.readable or game.ply < 2:
        return nothing | {"words": TOO_FEW if game.ply < 2 else "The model reads 59 moves."}
    square = square_of(look, game)
    # It loads the model as this page does; the questions of the Attention page then have it in memory.
    usual, panel = ask_for(lambda: UsualLooks(source, game.ply, probes=probes_of(figures)), session, "oth-usual-looks")
    if usual is None:
        return nothing | {"error": panel}
    where: dict[str, Any] = {
        "model": OthelloSource(source).spec,
        "text": format_moves(game.moves[:POSITIONS], "rows"),
        "query": game.ply - 1,
        "key": game.played.index(square),
    }
    heads, panel = ask_for(lambda: WritingHeads(**where), session, "oth-lookers")
    if heads is None:
        return nothing | {"error": panel}
    ranked = lookers(heads.answer, usual.answer)
    at = tuple((look or ())[1:])
    if at not in {(r.block, r.head) for r in ranked}:
        at = ranked[0].block, ranked[0].head
    row, panel = ask_for(lambda: AttentionRow(**where, layer=at[0], head=at[1]), session, "oth-row")
    if row is None:
        return nothing | {"error": panel}
    options = Looking(game.moves, game.ply, model=label_of(source, figures), square=square, block=at[0], head=at[1])
    return {
        "board": {"oth-look-board": row_board(row.answer, usual.answer, options)},
        "words": row_words(row.answer, options),
        "ranked": f"From {move_words(options, game.ply - 1)} at {move_words(options, options.key)}. In brackets: usual "
        f"in {usual.answer.games} random games; bold: beyond 95 of 100. Evenly: {1 / game.ply:.0%}.",
        "list": [head_button(one, at) for one in ranked[:SHOWN]],
        "refs": [
            ref_of(head_row, row, usual, options=options),
            ref_of(looking_heads, heads, usual, options=options),
        ],
        "shown": {"game": data, "square": square, "head": list(at)},
        "error": None,
    }


def row_words(row: QueryRow, options: Looking) -> str:
    """The head and its look in words."""
    most = int(row.attention[: options.ply].argmax())
    name = f"L{options.block} H{options.head}"
    return f"{name}: most at {square_name(options.moves[most])}, {row.attention[most]:.0%}"


def head_button(one: Looker, chosen: tuple[int, ...]) -> Node:
    """A head in the list."""
    mark = " attune-chosen" if (one.block, one.head) == chosen else ""
    share = f"{one.attention:.0%}"
    return html.Button(
        [html.Span(one.name), html.Strong(share) if one.beyond else html.Span(share), html.Span(f"({one.usual:.0%})")],
        className=f"attune-button oth-head{mark}",
        type="button",
        title=f"{one.name}: {one.attention:.1%} of its attention, {one.share:.1%} of what it writes; usually "
        f"{one.usual:.1%}, in 95 of 100 random games at most {one.high:.1%}",
        **{"aria-pressed": str(bool(mark)).lower()},
        **press("oth-look", "head", **{"with": json.dumps({"block": one.block, "head": one.head})}),
    )


@callback(
    output={
        "boards": Output("oth-board-without", "data"),
        "titles": [Output(name, "children") for name in TITLES],
        "words": Output("oth-without-said", "children"),
        "ref": WITHOUT.ref,
        "error": Output("oth-without-error", "children"),
    },
    inputs={
        "shown": Input("oth-look-shown", "data"),
        "baseline": Input("oth-baseline", "value"),
        "layer": Input("oth-layer", "value"),
        "labels": Input("oth-labels", "value"),
        "figures": State("oth-facts", "data"),
        "source": State("oth-source", "data"),
        "session": State("session", "data"),
    },
    prevent_initial_call=True,
)
def show_without(
    shown: Json, baseline: str, layer: Typed, labels: str, figures: Json, source: str, session: str
) -> Outputs:
    """The position without the head on show, and without one drawn at random."""
    bare = {
        "boards": dict.fromkeys(REMOVALS, board_data(discs=[0] * 64)),
        "titles": [no_update] * 4,
        "words": "",
        "ref": None,
        "error": None,
    }
    if not shown or figures is None or layer is None:
        return bare
    game, (block, head) = Game.from_dict(shown["game"]), shown["head"]
    reply, panel = ask_for(
        lambda: WithoutHead(
            source, game.moves, game.ply, int(layer), labels, block=block, head=head, baseline=baseline,
            probes=probes_of(figures),
        ),
        session,
        "oth-without",
    )  # fmt: skip
    if reply is None:
        return bare | {"error": panel}
    options = Position(game.moves, game.ply, int(layer), labels, label_of(source, figures))
    removal, first = reply.answer, reply.answer.others[0]
    names = [f"Without L{block} H{head}", f"Random L{first.block} H{first.head}"]
    return {
        "boards": dict(zip(REMOVALS, removal_boards(removal, options), strict=True)),
        "titles": [f"{name}: {part}" for name in names for part in ("change", "board")],
        "words": [html.P(removal_words(removal)), html.P(of_removal(removal).text)],
        "ref": ref_of(without_one, reply, options=options),
        "error": None,
    }


@callback(
    output={"card": LOOKS.outputs, "error": Output("oth-edited-looks-error", "children")},
    inputs={
        "edits": Input("oth-edits", "data"),
        "data": Input("oth-game", "data"),
        "method": Input("oth-method", "value"),
        "scale": Input("oth-scale", "value"),
        "choose": Input("oth-choose", "value"),
        "unit": Input("oth-unit", "value"),
        "blocks": Input("oth-blocks", "value"),
        "labels": Input("oth-labels", "value"),
        "tab": Input("oth-tab", "active_tab"),
        "figures": Input("oth-facts", "data"),
        "theme": State("theme", "data"),
        "source": State("oth-source", "data"),
        "session": State("session", "data"),
    },
)
def show_edited_looks(
    edits: Json, data: Json, method: str, scale: Typed, choose: str, unit: str, blocks: list[int], labels: str,
    tab: str, figures: Json, theme: str, source: str, session: str,
) -> Outputs:  # fmt: skip
    """What heads read from the squares that are edited on the first screen."""
    if tab != "attention" or figures is None:
        raise PreventUpdate
    game, rows = Game.from_dict(data), edits_of(edits)
    if not rows or not game.readable or game.ply < 2:
        return {"card": LOOKS.empty(), "error": None}
    reply, panel = ask_for(
        lambda: EditedLooks(
            source, game.moves, game.ply, 0, labels, edits=rows, method=method, scale=scale, choose=choose,
            first=blocks[0], last=blocks[1], unit=unit, probes=probes_of(figures),
        ),
        session,
        "oth-edited-looks",
    )  # fmt: skip
    if reply is None:
        return {"card": UNCHANGED, "error": panel}
    model = label_of(source, figures)
    options = EditedPosition(game.moves, game.ply, 0, labels, model, rows, method, choose == "best")
    return {"card": content(edited_looks, reply, options=options, theme=theme), "error": None}


# A head pressed in the figure of the edit is one of the list.
clientside_callback(
    "(click) => dash_clientside.attune_othello.head(click)",
    Output("oth-hand-sink", "title", allow_duplicate=True),
    Input("oth-edited-looks", "clickData"),
    prevent_initial_call=True,
)
for _store, _first in (("oth-board-look", "oth-look-board"), ("oth-board-without", REMOVALS[0])):
    clientside_callback(
        "(data, theme) => dash_clientside.attune_othello.drawAll(data)",
        Output(_first, "data-drawn"),
        Input(_store, "data"),
        Input("theme", "data"),
    )
