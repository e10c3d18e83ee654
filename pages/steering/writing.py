"""Callbacks of the texts: when to write, the stream in the browser, and the readouts when it has ended."""

from __future__ import annotations

from typing import Any

from dash import Input, Output, State, callback, clientside_callback, ctx, html, no_update

from analysis.errors import UserError
from analysis.mfa.ops.steer import SteerText
from analysis.mfa.settings import SteeringSettings
from components.mfa.figures import price_per_token, region_presence
from pages.common import refusal, spec_of


@callback(
    Output("ask-text", "data"),
    Output("stream-error-panel", "children"),
    Input("write", "n_clicks"),
    Input("steer", "data"),
    State("write-on-release", "value"),
    State("steer-prompt", "value"),
    State("steer-chat", "value"),
    State("count", "value"),
    State("temperature", "value"),
    State("top-p", "value"),
    State("seed", "value"),
    State("control", "value"),
    State("positive", "value"),
    State("negative", "value"),
    State("ask-text", "data"),
    State("model", "data"),
    prevent_initial_call=True,
)
def ask(
    _clicks: Any, steer: Any, on_release: bool, text: Any, chat: bool, count: Any, temperature: Any, top_p: Any,
    seed: Any, control: str, positive: Any, negative: Any, before: Any, model: Any,
) -> tuple[Any, Any]:  # fmt: skip
    """What the stream is to be asked; checked here, so that a refusal stands where the value was typed."""
    if not steer or (ctx.triggered_id == "steer" and not on_release):
        return no_update, no_update
    try:
        operation = SteerText(
            spec_of(model), text or "", bool(chat), SteeringSettings.from_dict(steer),
            count, temperature, top_p, seed, control, positive or "", negative or "",
        )  # fmt: skip
    except UserError as error:
        return no_update, refusal(error, SteerText)
    params = operation.to_params()
    if ctx.triggered_id == "steer" and before and before["params"] == params:
        return no_update, None
    return {"params": params, "turn": (before or {}).get("turn", 0) + 1}, None


clientside_callback(
    "dash_clientside.attune.startStream",
    Output("steer-sink", "children"),
    Input("ask-text", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
clientside_callback(
    "dash_clientside.attune.stopStream",
    Output("steer-sink", "title"),
    Input("stop", "n_clicks"),
    prevent_initial_call=True,
)


@callback(
    Output("readouts", "children"),
    Output("price", "figure"),
    Output("price-caption", "children"),
    Output({"settings": "price"}, "data"),
    Output("presence", "figure"),
    Output("presence-caption", "children"),
    Output({"settings": "presence"}, "data"),
    Input("written", "data"),
    Input("theme", "data"),
    State("ask-text", "data"),
    prevent_initial_call=True,
)
def show_readouts(written: Any, theme: str, asked: Any) -> tuple[Any, ...]:
    """The numbers beside the texts."""
    if not written:
        return (no_update,) * 7
    names = [("base", "unsteered"), ("steered", "steered"), ("control", "control")]
    rows = [(title, written[key]) for key, title in names if written.get(key)]
    table = html.Table(
        [
            html.Thead(
                html.Tr([html.Th(t) for t in ("", "mean KL per token", "perplexity, unsteered model", "repetition")])
            ),
            html.Tbody(
                [
                    html.Tr(
                        [
                            html.Th(title),
                            html.Td(f"{row['mean_kl']:.3f} nats"),
                            html.Td("no text" if row["perplexity"] is None else f"{row['perplexity']:.1f}"),
                            html.Td(f"{row['repetition']:.0%} of 3-grams"),
                        ]
                    )
                    for title, row in rows
                ]
            ),
        ],
        className="attune-table",
    )
    note = f"Control: {written['control_note']}." if written.get("control_note") else ""
    settings = {
        **(asked or {}).get("params", {}),
        "texts": {key: row["text"] for (key, _), (_, row) in zip(names, rows, strict=False)},
    }
    caption = "Price along the steered text, each token given the tokens before it. " + note
    here = "The unsteered model reads each text; mean responsibility over its written tokens at the fit's block."
    return (
        table, price_per_token(written, theme), caption, settings, region_presence(written, theme), here, settings
    )  # fmt: skip


@callback(Output("control-panel", "hidden"), Input("control", "value"))
def show_control(control: str) -> bool:
    """The third text only takes room when there is one."""
    return control == "none"
