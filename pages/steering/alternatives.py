"""Callbacks of written tokens: their colours, and what else could have stood in the place of one."""

from __future__ import annotations

from dash import ALL, Input, Output, State, callback, clientside_callback, ctx, dcc, html, no_update

from analysis.mfa.ops.alternatives import TokenAlternatives
from analysis.mfa.settings import SteeringSettings
from analysis.steering.answers import Alternatives
from components.kit.alternatives import alternatives_table
from components.kit.colouring import colour_row
from components.kit.types import Json, Node
from pages.common import ask_for, spec_of
from pages.frame.why import why_row

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
    table = alternatives_table(reply.answer, pick["of"], pick["ids"][:-1], "go-on")
    return [*([] if pick["of"] == "control" else _onwards(reply.answer, shared)), table], ""


def _onwards(answer: Alternatives, asked: Json) -> list[Node]:
    """From a token on to its lens, and to the heads that look elsewhere."""
    inside = html.Button("Look inside", id={"look-here": 0}, className="attune-link", type="button")
    steer = SteeringSettings.from_dict(asked["steer"])
    return [why_row(answer, steer, spec_of(asked["model"]), inside, " (logit lens after every block) · ")]


clientside_callback(
    "(clicks) => clicks.some(Boolean) ? ['token', 'inside', Date.now()] : Array(3).fill(dash_clientside.no_update)",
    Output("lens-at", "value"),
    Output("steer-tab", "active_tab"),
    Output("lens-start", "n_clicks"),
    Input({"look-here": ALL}, "n_clicks"),
    prevent_initial_call=True,
)
