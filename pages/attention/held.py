"""Does it matter that heads look elsewhere? Free or frozen of this page's prompt under the set-up of *Steered by*: the
opened head, those that move furthest beyond random directions, or all, held as they were unsteered.
"""

from __future__ import annotations

import dash_bootstrap_components as dbc
from dash import Input, Output, State, callback, dcc, html, no_update
from dash.exceptions import PreventUpdate

from analysis.bridge.frozen import FreeOrFrozen
from analysis.errors import UserError
from components.kit.card import Card
from components.kit.names import named, progress
from components.kit.panels import user_error
from components.kit.types import Json, Node, Outputs, Relay, Typed
from components.mfa.frozen import HEIGHT, claim, frozen_bars
from components.mfa.moved import best_heads
from pages.attention.state import PATH, Head
from pages.cards import card_callbacks, content
from pages.common import ask_job, reply_of

HELD = Card("steered-held", "Does it matter for the next token?", HEIGHT, "Press “Hold them”.")
card_callbacks(HELD)
WHICH = [
    {"label": "the opened head", "value": "open"},
    {"label": "the ten furthest", "value": "best"},
    {"label": "all heads", "value": "all"},
]
FURTHEST = 10


def held_row() -> list[Node]:
    """The lower part of the tab."""
    return [
        dcc.Store(id="held-asked"),
        html.Div(
            [
                html.Span("Hold patterns and values of", id="held-label"),
                named(
                    "Which heads are held", dbc.RadioItems(WHICH, "open", id="held-which", inline=True), "attune-inline"
                ),
                html.Button("Hold them", id="held-start", className="attune-button attune-primary", type="button"),
                html.Button("Cancel", id="held-stop", className="attune-button", type="button", disabled=True),
                progress("held-bar", "holding heads"),
            ],
            className="attune-row",
        ),
        html.Div(id="held-state", className="attune-note", **{"aria-live": "polite"}),
        html.Div(id="held-problem"),
        html.Div(id="held-claim", **{"aria-live": "polite"}),
        HELD.layout(),
    ]


@callback(
    Output("held-problem", "children"),
    Output("held-asked", "data"),
    Input("held-start", "n_clicks"),
    State("held-which", "value"),
    State("head", "data"),
    State("steered-asked", "data"),
    State("asked-token", "value"),
    State("query", "data"),
    State("session", "data"),
    background=True,
    progress=[Output("held-bar", "value"), Output("held-state", "children")],
    progress_default=["0", ""],
    running=[(Output("held-start", "disabled"), True, False), (Output("held-stop", "disabled"), False, True)],
    cancel=[Input("held-stop", "n_clicks")],
    interval=500,
    prevent_initial_call=True,
)
def hold(
    set_progress: Relay,
    clicks: int | None,
    which: str,
    head: Json,
    moved: Json,
    token: Typed,
    query: int | None,
    session: str,
) -> tuple[Node, Json]:
    """Free or frozen of the chosen heads, as a job; on the predicted token that is asked about, where one is asked
    about behind the prompt's last token. What is measured is the next token of the prompt."""
    if not clicks:
        raise PreventUpdate
    at = Head.of(head)
    if not moved or at is None:
        return user_error("Take a set-up first."), no_update
    asked = moved["params"]
    if asked["generate"]:
        return user_error(
            "What heads do for the next token is measured at the end of the prompt. Set Generate to 0 and read it "
            "again."
        ), no_update
    heads = [(at.layer, at.head)] if which == "open" else best_heads(reply_of(moved).answer, FURTHEST)
    params = {name: asked[name] for name in ("model", "text", "chat", "steer", "seed")}
    behind = query is None or query == len(reply_of(moved).answer.labels) - 1
    params["token"] = token if behind and type(token) is int else -1
    reply, panel = ask_job(
        lambda: FreeOrFrozen.from_params({**params, "heads": [] if which == "all" else heads}),
        set_progress, session, PATH, None, FreeOrFrozen,
    )  # fmt: skip
    return panel, no_update if reply is None else reply.question.to_dict()


@callback(
    output={"card": HELD.outputs, "claim": Output("held-claim", "children")},
    inputs={
        "asked": Input("held-asked", "data"),
        "moved": Input("steered-asked", "data"),
        "theme": State("theme", "data"),
    },
    prevent_initial_call=True,
)
def show_held(asked: Json, moved: Json, theme: str) -> Outputs:
    """The bars and the sentence, as long as they are of the prompt and the set-up above."""
    same = asked and moved and all(asked["params"][n] == moved["params"][n] for n in ("model", "text", "chat", "steer"))
    if not same:
        return {"card": HELD.empty(caption=HELD.caption), "claim": None}
    try:
        reply = reply_of(asked)
    except UserError as error:
        return {"card": HELD.empty(error.message), "claim": None}
    said = html.P(claim(reply.answer), className="attune-answer")
    return {"card": content(frozen_bars, reply, theme=theme), "claim": said}
