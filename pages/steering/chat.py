"""The conversation: a tab in which turns are written one after the other, each steered as the sliders say then, edited,
branched and compared. The browser holds it (assets/chat.js); the server checks, writes and keeps it."""

from __future__ import annotations

import base64
import binascii
import json

import dash_bootstrap_components as dbc
from dash import Input, Output, State, callback, clientside_callback, dcc, html, no_update

from analysis import foreign
from analysis.errors import UserError
from analysis.mfa.ops.conversation import ChatTurn
from components.kit.colouring import colour_row
from components.kit.panels import note, user_error
from components.kit.types import Json, Node
from pages.common import refusal
from pages.steering.chat_state import FORMAT, KIND, MAX_NODES, conversation_of, kept

_MOST = 8 << 20


def stores(talk: Json) -> list[Node]:
    """What the conversation keeps in the browser."""
    return [
        dcc.Store(id="conversation", data=talk),
        dcc.Store(id="chat-kept"),
        dcc.Store(id="chat-wanted"),
        dcc.Store(id="ask-chat"),
        dcc.Store(id="chat-written"),
        html.Div(id="chat-sink", hidden=True),
    ]


def chat_tab() -> Node:
    """The tab."""
    return html.Section(
        [
            html.Div(
                [
                    html.H3("Conversation"),
                    html.Button("New", id="chat-new", className="attune-button", type="button"),
                    html.Button("Save as file", id="chat-save", className="attune-button", type="button"),
                    dcc.Upload(html.Button("Open a file", className="attune-button", type="button"), id="chat-open",
                               max_size=_MOST),
                    dcc.Dropdown([], id="chat-other", placeholder="compare with another branch", searchable=False,
                                 className="attune-pick"),
                ],
                className="attune-card-head attune-row",
            ),
            html.Div(
                "Each turn is read and written under the set-up of the sliders at that time, and stays so; a changed "
                "instruction is read before all turns. Tokens, temperature, top-p and seed as above. Every reply is "
                "also written unsteered, after the same turns.",
                className="attune-note",
            ),
            html.Div(id="turns-said", **{"aria-live": "polite"}),
            html.Div(id="chat-unkept", className="attune-note", role="status"),
            dbc.Label("Instruction before the conversation", html_for="chat-system", className="visually-hidden"),
            dbc.Input(id="chat-system", size="sm", maxLength=5000, placeholder="An instruction before it, or none"),
            html.Div(id="chat-list", className="attune-chat"),
            html.Div(id="chat-branch", className="attune-note", **{"aria-live": "polite"}),
            html.Div(
                [
                    dbc.Label("Your turn", html_for="chat-user", className="visually-hidden"),
                    dbc.Textarea(id="chat-user", rows=2, spellCheck=False, className="attune-prompt",
                                 placeholder="Say something. Ctrl+Enter sends."),
                    html.Div(
                        [
                            html.Button("Send", id="chat-send", type="button",
                                        className="attune-button attune-primary"),
                            html.Button("Stop", id="chat-stop", className="attune-button", type="button",
                                        disabled=True),
                            dbc.Switch(id="chat-steer", value=True, label="steer this turn"),
                        ],
                        className="attune-row",
                    ),
                ],
            ),
            html.Div(id="chat-error-panel"),
            html.Div(id="chat-stream-error", className="attune-stream-error", role="alert"),
            html.Span(id="chat-stream-state", className="attune-note", **{"aria-live": "polite"}),
            html.Div(id="chat-room", className="attune-note"),
            html.Div(
                [_box("Unsteered in this turn", "base"), _box("Steered", "steered")],
                className="attune-texts", id="chat-now", hidden=True,
            ),
            html.Div(colour_row("chat-"), id="chat-colours", hidden=True),
        ],
        className="attune-card",
        **{"aria-label": "Conversation"},
    )  # fmt: skip


def _box(title: str, of: str) -> Node:
    return html.Div(
        [
            html.H4(title),
            html.Div(id=f"chat-{of}-text", className="attune-written", tabIndex="0", role="log",
                     **{"aria-label": title}),
        ],
        className="attune-text",
    )  # fmt: skip


@callback(
    Output("ask-chat", "data"),
    Output("chat-error-panel", "children"),
    Input("chat-wanted", "data"),
    prevent_initial_call=True,
)
def ask(wanted: Json) -> tuple[Json, Node]:
    """The question of a turn, checked here, so that a refusal stands where it was typed."""
    if not wanted:
        return no_update, no_update
    try:
        operation = ChatTurn.from_params(wanted["params"])
    except UserError as error:
        return no_update, refusal(error, ChatTurn)
    return {**wanted, "operation": "ChatTurn", "params": operation.to_params()}, None


@callback(Output("chat-kept", "data"), Output("chat-unkept", "children"), Input("conversation", "data"))
def keep(chat: Json) -> tuple[str, str]:
    """What stands for the conversation in the address, and why nothing does."""
    try:
        name = kept(conversation_of(chat)) if chat else ""
    except UserError as error:  # more than can be kept: what is on screen stays there
        return "", f"Not in the address: {error.message} A file of it could not be opened either. Press New to go on."
    lost = bool(chat and chat["nodes"]) and not name
    return name, "Not in the address: who may only look leaves no files here. Save it as a file." if lost else ""


@callback(
    Output("conversation", "data"),
    Output("turns-said", "children"),
    Input("chat-open", "contents"),
    State("model", "data"),
    prevent_initial_call=True,
)
def open_file(contents: str | None, model: Json) -> tuple[Json, Node]:
    """A conversation from a file; a refusal leaves the one on screen."""
    if not contents:
        return no_update, no_update
    try:
        raw = base64.b64decode(contents.partition(",")[2], validate=True)
        data = foreign.parse_json(raw.decode("utf-8"), "file", "The file")
        if not isinstance(data, dict) or data.get("kind") != KIND or data.get("format") != FORMAT:
            raise UserError("This is not a conversation that was saved on this page.")
        chat = conversation_of(data.get("conversation"))
    except (binascii.Error, ValueError, UserError) as error:
        said = error.message if isinstance(error, UserError) else "That file could not be read. Choose it again."
        return no_update, user_error(said)
    other = json.dumps(data.get("model"), sort_keys=True) != json.dumps(model, sort_keys=True)
    more = " It was held with another model; this one reads its texts anew." if other else ""
    return chat, note(f"Opened {len(chat['nodes'])} turns (of at most {MAX_NODES}).{more}")


for _name, _output, _inputs in (
    ("startChat", Output("chat-sink", "title"), [Input("ask-chat", "data"), State("session", "data")]),
    ("leaveChat", Output("chat-sink", "tabIndex"), [Input("chat-open", "contents")]),
    ("stopChat", Output("chat-sink", "lang"), [Input("chat-stop", "n_clicks")]),
    ("paintChat", Output("chat-sink", "dir"), [Input("chat-colour", "value")]),
    ("compareChat", Output("chat-sink", "role"), [Input("chat-other", "value")]),
):
    clientside_callback(f"dash_clientside.attune.{_name}", _output, *_inputs, prevent_initial_call=True)
clientside_callback("dash_clientside.attune.drawChat", Output("chat-sink", "className"), Input("conversation", "data"))
