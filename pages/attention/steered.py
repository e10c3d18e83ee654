"""The tab *Steered by*: this page's prompt under a set-up of the Steering page, a feature of an MLP or an edit of the
Othello board, from the last view of their pages in this window, a link, or a file. All heads by how far their pattern
moves, the opened head's row, each beside random directions.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import dash_bootstrap_components as dbc
from dash import ALL, Input, Output, State, callback, clientside_callback, ctx, dcc, html, no_update
from dash.exceptions import PreventUpdate

from analysis.bridge.moved import SteeredAttention, SteeredHeads
from analysis.bridge.steers import BoardSteer, FeatureSteer, Steer, SteeringSettings
from analysis.errors import UserError
from analysis.mfa.ops.setup import OpenSetup
from components.frame.shell import nav_id
from components.kit.card import UNCHANGED, Card
from components.kit.names import progress
from components.kit.panels import note, user_error
from components.kit.types import Json, Node, Outputs, Relay
from components.mfa.moved import (
    HEIGHT,
    ROW_HEIGHT,
    MovedOptions,
    SteeredRowOptions,
    best_heads,
    claim,
    moved_heads,
    steered_row,
)
from pages.attention.reading import prompt_of, reading_of
from pages.attention.state import PATH, Head
from pages.attention.taken import SOURCES, steer_in
from pages.cards import card_callbacks, content
from pages.common import ask_for, ask_job, reply_of, spec_of

MOVED = Card("steered-heads", "How far every head's pattern moves", HEIGHT, "Take a set-up first.")
ROW = Card("steered-row", "The opened head without and with the set-up", ROW_HEIGHT)
card_callbacks(MOVED, ROW)
THERE = {
    SteeringSettings.page: "set-up on the sliders",
    FeatureSteer.page: "open feature, at its pole and KL",
    BoardSteer.page: "edited board",
}
SHOWN = 5
"""Heads that are named below the sentence."""


def stores(steer: Json) -> list[Node]:
    """The set-up, what is asked of it, and the question that is answered."""
    return [dcc.Store(id="steered", data=steer), dcc.Store(id="steered-ask"), dcc.Store(id="steered-asked")]


def steered_tab() -> list[Node]:
    """The tab."""
    return [
        html.Div(
            [
                html.Span("Take from", className="attune-note"),
                *[
                    html.Button(
                        name,
                        id={"steered-take": page},
                        className="attune-button attune-primary",
                        type="button",
                        title=f"The {THERE[page]} when this window last showed the page",
                    )
                    for page, name in SOURCES.items()
                ],
                html.Div(
                    [
                        dbc.Label("or link", html_for="steered-link"),
                        dbc.Input(id="steered-link", placeholder="of one of these pages", size="sm", debounce=True),
                    ],
                    className="attune-inline",
                ),
                dcc.Upload(
                    html.Button("or a set-up file", className="attune-button", type="button"),
                    id="steered-file",
                    max_size=16 << 20,
                ),
                html.Button("Cancel", id="steered-stop", className="attune-button", type="button", disabled=True),
                progress("steered-bar", "reading the prompt under steering"),
            ],
            className="attune-row",
        ),
        html.Div(
            [
                html.Span(id="steered-said", **{"aria-live": "polite"}),
                " ",
                html.Span(id="steered-state", **{"aria-live": "polite"}),
            ],
            className="attune-note",
        ),
        html.Div(id="steered-problem"),
        html.Div(id="steered-refused"),
        html.Div(
            [
                html.Div(
                    [
                        html.Div(id="steered-claim", **{"aria-live": "polite"}),
                        MOVED.layout(dbc.Switch(id="steered-worst", value=False, label="by the worst query")),
                    ]
                ),
                html.Div([html.Div(id="steered-sentence", **{"aria-live": "polite"}), ROW.layout()]),
            ],
            className="attune-two",
        ),
    ]


@callback(
    Output("steered", "data"),
    Output("steered-problem", "children"),
    inputs={
        "clicks": Input({"steered-take": ALL}, "n_clicks"),
        "link": Input("steered-link", "value"),
        "contents": Input("steered-file", "contents"),
        "left": [State(nav_id(page), "href") for page in SOURCES],
        "model": State("model", "data"),
        "session": State("session", "data"),
    },
    prevent_initial_call=True,
)
def take(
    clicks: list[int | None], link: str | None, contents: str | None, left: list[str | None], model: Json, session: str
) -> tuple[Json, Node]:
    """A set-up from where the reader points; a refusal leaves the one that is there."""
    try:
        if isinstance(ctx.triggered_id, dict):
            page = ctx.triggered_id["steered-take"]
            address = left[list(SOURCES).index(page)] or page
            return (steer_in(address).to_dict(), None) if any(clicks) else (no_update, no_update)
        if ctx.triggered_id == "steered-link":
            return (steer_in(link).to_dict(), None) if link else (no_update, None)
    except UserError as error:
        return no_update, user_error(error.message, "steered-link" if ctx.triggered_id == "steered-link" else None)
    try:
        raw = base64.b64decode((contents or "").partition(",")[2], validate=True)
    except (binascii.Error, ValueError):
        return no_update, user_error("That file could not be read. Choose it again.")
    reply, panel = ask_for(lambda: OpenSetup(spec_of(model), base64.b64encode(raw).decode()), session, "open")
    if reply is None:
        return no_update, panel
    steer = reply.answer.steer
    if steer is None:
        return no_update, user_error("This file does not say which regions its vectors come from.")
    return steer.to_dict(), note(" ".join(reply.answer.remarks))


@callback(
    Output("steered-ask", "data"),
    Output("steered-said", "children"),
    Input("steered", "data"),
    Input("reading", "data"),
    Input("tab", "active_tab"),
    State("steered-ask", "data"),
    State("steered-asked", "data"),
    prevent_initial_call=True,
)
def ask(steer: Json, question: Json, tab: str, asked: Json, answered: Json) -> tuple[Json, Node]:
    """What is to be read: the prompt under the set-up, once the tab is open. What was asked and came to nothing, by an
    end or a refusal, is asked again by the next press; opening the tab alone asks nothing twice."""
    if tab != "steered" or not question:
        raise PreventUpdate
    if not steer:
        return no_update, "No set-up yet: take one of another page, paste a link, or open a file."
    settings = Steer.from_dict(steer)
    prompt = prompt_of(reading_of(question))
    wanted = {**prompt.to_params(), "steer": settings.to_dict()}
    said = f"Steered by {settings.title}. Random directions: {settings.null}."
    if prompt.generate:
        said += " The generated tokens are steered as the prompt is."
    again = ctx.triggered_id != "tab" and not _current(answered, wanted)
    return (no_update if wanted == asked and not again else wanted), said


@callback(
    Output("steered-refused", "children"),
    Output("steered-asked", "data"),
    Input("steered-ask", "data"),
    State("session", "data"),
    background=True,
    progress=[Output("steered-bar", "value"), Output("steered-state", "children")],
    progress_default=["0", ""],
    running=[(Output("steered-stop", "disabled"), False, True)],
    cancel=[Input("steered-stop", "n_clicks")],
    interval=500,
    prevent_initial_call=True,
)
def read_steered(set_progress: Relay, wanted: Json, session: str) -> tuple[Node, Json]:
    """All heads without and with the set-up, as a job."""
    if not wanted:
        return no_update, no_update
    reply, panel = ask_job(
        lambda: SteeredHeads.from_params(wanted), set_progress, session, PATH, None, SteeredHeads
    )  # fmt: skip
    return panel, None if reply is None else reply.question.to_dict()


@callback(
    output={"card": MOVED.outputs, "claim": Output("steered-claim", "children")},
    inputs={
        "asked": Input("steered-asked", "data"),
        "ask": Input("steered-ask", "data"),
        "worst": Input("steered-worst", "value"),
        "head": Input("head", "data"),
        "theme": State("theme", "data"),
    },
    prevent_initial_call=True,
)
def show_heads(asked: Json, ask: Json, worst: bool, head: Json, theme: str) -> Outputs:
    """The grid of all heads, and what it says."""
    if not _current(asked, ask):
        return {"card": MOVED.empty(), "claim": None}
    at, reply = Head.of(head), reply_of(asked)
    options = MovedOptions(bool(worst), None if at is None else (at.layer, at.head))
    card = content(moved_heads, reply, options=options, theme=theme)
    best = [(*at, float(reply.answer.mean[at])) for at in best_heads(reply.answer, SHOWN)]
    buttons = head_buttons(best, options.chosen)
    row = html.Div([html.Span("furthest:", className="attune-note"), *buttons], className="attune-top")
    return {"card": card, "claim": [html.P(claim(reply.answer), className="attune-answer"), row]}


def head_buttons(heads: list[tuple[int, int, float]], chosen: tuple[int, int] | None) -> list[Node]:
    """Buttons of heads: layer, number, and the share of its attention that moves."""
    return [
        html.Button(
            f"L{layer} H{head}  {share:.0%}",
            id={"moved-layer": layer, "moved-head": head},
            className="attune-button" + (" attune-chosen" if (layer, head) == chosen else ""),
            type="button",
        )
        for layer, head, share in heads
    ]


@callback(
    Output("head", "data", allow_duplicate=True),
    Input({"moved-layer": ALL, "moved-head": ALL}, "n_clicks"),
    prevent_initial_call=True,
)
def choose_moved(clicks: list[int | None]) -> Json:
    """A head chosen from the list."""
    if not any(clicks) or not ctx.triggered_id:
        raise PreventUpdate
    return {"layer": ctx.triggered_id["moved-layer"], "head": ctx.triggered_id["moved-head"]}


@callback(
    output={"card": ROW.outputs, "sentence": Output("steered-sentence", "children")},
    inputs={
        "asked": Input("steered-asked", "data"),
        "ask": Input("steered-ask", "data"),
        "head": Input("head", "data"),
        "query": Input("query", "data"),
        "theme": State("theme", "data"),
        "session": State("session", "data"),
    },
    prevent_initial_call=True,
)
def show_row(asked: Json, ask: Json, head: Json, query: int | None, theme: str, session: str) -> Outputs:
    """The opened head's row of the chosen query, without and with the set-up."""
    at = Head.of(head)
    if not _current(asked, ask) or at is None or query is None:
        return {"card": ROW.empty(), "sentence": None}
    where: dict[str, Any] = {"layer": at.layer, "head": at.head, "query": query}
    reply, panel = ask_for(
        lambda: SteeredAttention.from_params({**ask, **where}), session, "steered-row", SteeredAttention
    )
    if reply is None:
        return {"card": UNCHANGED, "sentence": panel}
    card = content(steered_row, reply, options=SteeredRowOptions(**where), theme=theme)
    return {"card": card, "sentence": html.P(reply.answer.sentence, className="attune-answer")}


def _current(asked: Json, ask: Json) -> bool:
    """Whether what was answered is of what is asked now."""
    return bool(asked) and bool(ask) and all(asked["params"].get(name) == value for name, value in ask.items())


clientside_callback(
    "dash_clientside.attune.headClick",
    Output("head", "data", allow_duplicate=True),
    Input("steered-heads", "clickData"),
    State("steered-heads", "figure"),
    prevent_initial_call=True,
)


def steered_way() -> Node:
    """From the first screen to the tab, where the prompt is read under a set-up, too: what a link brings along is
    answered below the fold."""
    return html.Button(
        "This prompt is read under a steer, too: which heads move?",
        id="steered-way",
        className="attune-link",
        type="button",
        hidden=True,
    )


clientside_callback("(steer) => !steer", Output("steered-way", "hidden"), Input("steered", "data"))
clientside_callback(
    "(clicks) => { if (!clicks) return dash_clientside.no_update;"
    " requestAnimationFrame(() => document.getElementById('tab').scrollIntoView()); return 'steered'; }",
    Output("tab", "active_tab", allow_duplicate=True),
    Input("steered-way", "n_clicks"),
    prevent_initial_call=True,
)
