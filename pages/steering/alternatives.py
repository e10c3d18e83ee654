"""Callbacks of written tokens: their colours, and what else could have stood in the place of one."""

from __future__ import annotations

from dash import Input, Output, State, callback, clientside_callback, ctx, dcc, html, no_update

from analysis.mfa.ops.alternatives import TokenAlternatives
from components.kit.alternatives import alternatives_table
from components.kit.colouring import colour_row
from components.kit.types import Json, Node
from pages.common import ask_for

_SHARED = ("model", "text", "chat", "steer", "control", "seed", "positive", "negative", "equal")
"""What the question of a token takes from that of its texts."""


def stores() -> list[Node]:
    """What is kept in the browser."""
    return [dcc.Store(id="token-pick"), dcc.Store(id="go-on")]


def below_texts() -> list[Node]:
    """What stands below the texts."""
    return [
        colour_row(),
        html.Div(id="room", className="attune-note"),
        html.Div(
            "Click a token, or walk with the arrow keys and press Enter, to see what else could have stood there.",
            id="alternatives",
            className="attune-note",
            **{"aria-live": "polite"},
        ),
    ]


clientside_callback(
    "dash_clientside.attune.paintTexts",
    Output("steer-sink", "role"),
    Input("colour", "value"),
    prevent_initial_call=True,
)
clientside_callback(
    "dash_clientside.attune.goOn",
    Output("ask-text", "data", allow_duplicate=True),
    Input("go-on", "data"),
    State("ask-text", "data"),
    prevent_initial_call=True,
)


@callback(
    Output("alternatives", "children"),
    Output("alternatives", "className"),
    Input("token-pick", "data"),
    Input("ask-text", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
def show_alternatives(pick: Json, asked: Json, session: str) -> tuple[Node, str]:
    """The alternatives to a token that was pressed; none once other texts are written."""
    if ctx.triggered_id == "ask-text" or not pick or not asked:
        return "Click a token to see what else could have stood there; click again to close.", "attune-note"
    params = asked["params"]
    shared = {name: params[name] for name in _SHARED if name in params}
    reply, panel = ask_for(
        lambda: TokenAlternatives.from_params({**shared, "of": pick["of"], "ids": pick["ids"]}),
        session,
        "alternatives",
        of=TokenAlternatives,
    )
    if reply is None:
        return panel or no_update, ""
    return alternatives_table(reply.answer, pick["of"], pick["ids"][:-1], "go-on"), ""
