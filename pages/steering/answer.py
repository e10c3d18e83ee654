"""Callbacks of the next token: asked anew at every move of a slider, the newest question wins."""

from __future__ import annotations

from dash import Input, Output, State, callback, clientside_callback, html, no_update

from analysis.mfa.answers.steering import SteeredNext
from analysis.mfa.ops.steer import SteerNext
from analysis.mfa.settings import SteeringSettings
from components.kit.card import UNCHANGED, Card
from components.kit.types import Json, Node, Outputs
from components.mfa.steering_figures import NextOptions, steered_next
from pages.cards import content
from pages.common import ask_for, spec_of

NEXT = Card("next", "Next token", 500)


@callback(
    output={
        "card": NEXT.outputs,
        "price": Output("next-price", "children"),
        "problem": Output("next-error", "children"),
    },
    inputs={
        "steer": Input("steer", "data"),
        "text": Input("steer-prompt", "value"),
        "chat": Input("steer-chat", "value"),
        "theme": State("theme", "data"),
        "model": State("model", "data"),
        "session": State("session", "data"),
    },
    prevent_initial_call=True,
)
def show_next(steer: Json, text: str | None, chat: bool, theme: str, model: Json, session: str) -> Outputs:
    """The distribution of the next token, unsteered and steered."""
    nothing = {"card": UNCHANGED, "price": no_update, "problem": no_update}
    if not steer or not steer.get("fit"):
        return nothing
    reply, panel = ask_for(
        lambda: SteerNext(spec_of(model), text or "", bool(chat), SteeringSettings.from_dict(steer)), session, "next"
    )
    if reply is None:
        return nothing | {"problem": panel}
    options = NextOptions((text or "")[-50:])
    return {
        "card": content(steered_next, reply, options=options, theme=theme),
        "price": price(reply.answer),
        "problem": None,
    }


def price(shift: SteeredNext) -> Node:
    """What steering costs at the next token."""
    return [
        html.Span("KL ", className="attune-note"),
        html.Strong(f"{shift.kl:.3f} nats"),
        html.Span(" · bit for bit the unsteered one" if shift.same else "", className="attune-note"),
    ]


# A bar is a token, so a click opens the token card of it.
clientside_callback(
    "dash_clientside.attune_token.clicked",
    Output("steer-sink", "dir"),
    Input("next", "clickData"),
    prevent_initial_call=True,
)
