"""Callbacks of written tokens: their colours, and what else could have stood in the place of one."""

from __future__ import annotations

from dash import Input, Output, State, callback, clientside_callback, ctx, dcc, html, no_update

from analysis.bridge.steers import Steer
from analysis.snmf.ops.steer import FeatureAlternatives
from components.kit.alternatives import alternatives_table
from components.kit.colouring import colour_row
from components.kit.types import Json, Node
from pages.common import ask_for, spec_of
from pages.frame.why import why_row

_SHARED = ("model", "fit", "feature", "pole", "strength", "text", "baseline", "baseline_strength", "chat")
_HINT = "Click a token to see what else could have stood there; click again to close."


def stores() -> list[Node]:
    """What is kept in the browser."""
    return [dcc.Store(id="mlp-token-pick"), dcc.Store(id="mlp-go-on"), html.Div(id="mlp-colour-sink", hidden=True)]


def below_texts() -> list[Node]:
    """What stands below the texts."""
    return [
        colour_row("mlp-"),
        html.Div(id="mlp-room", className="attune-note"),
        html.Div(_HINT, id="mlp-alternatives", className="attune-note", **{"aria-live": "polite"}),
    ]


clientside_callback(
    "dash_clientside.attune_features.paint",
    Output("mlp-colour-sink", "title"),
    Input("mlp-colour", "value"),
    prevent_initial_call=True,
)
clientside_callback(
    "dash_clientside.attune.goOn",
    Output("mlp-ask", "data", allow_duplicate=True),
    Input("mlp-go-on", "data"),
    State("mlp-ask", "data"),
    prevent_initial_call=True,
)


@callback(
    Output("mlp-alternatives", "children"),
    Output("mlp-alternatives", "className"),
    Input("mlp-token-pick", "data"),
    Input("mlp-ask", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
def show_alternatives(pick: Json, asked: Json, session: str) -> tuple[Node, str]:
    """The alternatives to a token that was pressed; none once other texts are written."""
    if ctx.triggered_id == "mlp-ask" or not pick or not asked:
        return _HINT, "attune-note"
    shared = {name: asked["params"][name] for name in _SHARED if name in asked["params"]}
    reply, panel = ask_for(
        lambda: FeatureAlternatives.from_params({**shared, "of": pick["of"], "ids": pick["ids"]}),
        session,
        "mlp-alternatives",
        of=FeatureAlternatives,
    )
    if reply is None:
        return panel or no_update, ""
    table = alternatives_table(reply.answer, pick["of"], pick["ids"][:-1], "mlp-go-on")
    if pick["of"] == "control" or not asked.get("steer"):
        return table, ""
    return [why_row(reply.answer, Steer.from_dict(asked["steer"]), spec_of(asked["params"]["model"])), table], ""
