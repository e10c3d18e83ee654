"""Callbacks of the controls: the set-up beside what any push of its size does."""

from __future__ import annotations

from dash import Input, Output, State, callback, html, no_update

from analysis.mfa.answers.steering import Control, ControlTable
from analysis.mfa.ops.steer import SteerControls
from analysis.mfa.settings import SteeringSettings
from components.kit.card import UNCHANGED, Card, Panel
from components.kit.types import Json, Node, Outputs, Typed
from components.mfa.parts import control_rows
from components.mfa.steering_figures import ControlOptions, controls_bars
from pages.cards import content, ref_of
from pages.common import ask_for, spec_of

CONTROLS = Card(
    "controls-figure",
    "How much each push changes the prediction (not a measure of success)",
    300,
    start="Press “Compare”",
)
TABLE = Panel("control-rows", "Does a random push do the same?")


@callback(
    output={
        "table": Output("controls-table", "children"),
        "rows": TABLE.ref,
        "card": CONTROLS.outputs,
        "problem": Output("controls-error", "children"),
    },
    inputs={
        "clicks": Input("compare", "n_clicks"),
        "theme": State("theme", "data"),
        "steer": State("steer", "data"),
        "text": State("steer-prompt", "value"),
        "chat": State("steer-chat", "value"),
        "seed": State("seed", "value"),
        "positive": State("positive", "value"),
        "negative": State("negative", "value"),
        "model": State("model", "data"),
        "session": State("session", "data"),
    },
    prevent_initial_call=True,
)
def compare(
    clicks: int | None, theme: str, steer: Json, text: str | None, chat: bool, seed: Typed, positive: str | None,
    negative: str | None, model: Json, session: str,
) -> Outputs:  # fmt: skip
    """The price and the leading tokens of the set-up and of its controls."""
    nothing = {"table": no_update, "rows": no_update, "card": UNCHANGED, "problem": no_update}
    if not clicks or not steer:
        return nothing
    reply, panel = ask_for(
        lambda: SteerControls(
            spec_of(model), text or "", bool(chat), SteeringSettings.from_dict(steer), seed,
            positive or "", negative or "",
        ),
        session,
        "controls",
    )  # fmt: skip
    if reply is None:
        return nothing | {"problem": panel}
    options = ControlOptions((text or "")[-40:], seed)
    card = content(controls_bars, reply, options=options, theme=theme)
    return {
        "table": controls_table(reply.answer),
        "rows": ref_of(control_rows, reply, options=options),
        "card": card,
        "problem": None,
    }


def controls_table(table: ControlTable) -> Node:
    """Gaining tokens and KL of each row: what a push says counts, and how much it changes comes last."""
    rows = [
        html.Tr(
            [
                html.Th(row.name),
                html.Td(_gainers(row)),
                html.Td(row.note, className="attune-note"),
                html.Td(f"{row.kl:.3f}"),
            ]
        )
        for row in table.rows
    ]
    head = html.Tr([html.Th(t) for t in ("", "raises most, of the leading tokens", "what it is", "change (KL)")])
    return html.Table([html.Thead(head), html.Tbody(rows)], className="attune-table")


def _gainers(row: Control) -> Node:
    best = sorted(zip(row.change, row.labels, strict=True), key=lambda pair: -pair[0])[:5]
    return [html.Span(label, className="attune-mark", title=f"{change:+.2f} nats") for change, label in best]
