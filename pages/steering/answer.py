"""Callbacks of the next token: asked anew at every move of a slider, the newest question wins."""

from __future__ import annotations

from typing import Any

from dash import Input, Output, State, callback, clientside_callback, html, no_update

from analysis.mfa.ops.steer import SteerNext
from analysis.mfa.settings import SteeringSettings
from components.kit.next_tokens import next_tokens
from pages.common import attempt, spec_of


@callback(
    Output("next", "figure"),
    Output("next-price", "children"),
    Output("next-caption", "children"),
    Output({"settings": "next"}, "data"),
    Output("next-error", "children"),
    Input("steer", "data"),
    Input("steer-prompt", "value"),
    Input("steer-chat", "value"),
    Input("theme", "data"),
    State("model", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
def show_next(
    steer: Any, text: str | None, chat: bool, theme: str, model: Any, session: str
) -> tuple[Any, Any, Any, Any, Any]:
    """The distribution of the next token, unsteered and steered."""
    if not steer or not steer.get("fit"):
        return no_update, no_update, no_update, no_update, no_update
    result, panel = attempt(
        lambda: SteerNext(spec_of(model), text or "", bool(chat), SteeringSettings.from_dict(steer)), session, "next"
    )
    if result is None:
        return no_update, no_update, no_update, no_update, panel
    answer = result.data
    price = [
        html.Span("KL ", className="attune-note"),
        html.Strong(f"{answer['kl']:.3f} nats"),
        html.Span(" · bit for bit the unsteered one" if answer["same"] else "", className="attune-note"),
    ]
    caption = (
        f"After “{(text or '')[-50:]}”. Entropy {answer['entropy'][0]:.2f} → {answer['entropy'][1]:.2f} nats. Computed "
        f"in {1000 * answer['seconds']:.0f} ms; a full pass over {answer['tokens']} tokens takes "
        f"{1000 * answer['full_seconds']:.0f} ms."
    )
    settings = {"prompt": text, "chat": bool(chat), "steer": steer, "model": model, "kl": answer["kl"]}
    return next_tokens(answer, theme), price, caption, settings, None


# A bar is a token, so a click opens the token card of it.
clientside_callback(
    "dash_clientside.attune_token.bar",
    Output("steer-sink", "dir"),
    Input("next", "clickData"),
    prevent_initial_call=True,
)
