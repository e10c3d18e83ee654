"""The ladder: the same prompt at growing strengths side by side, and a press that takes one of them."""

from __future__ import annotations

from dash import Input, Output, State, callback, clientside_callback, ctx, dcc, html, no_update

from analysis.engine.client import Reply
from analysis.errors import UserError
from analysis.mfa.answers.steering import Ladder
from analysis.mfa.ops.ladder import KLS, STRENGTHS, Rungs, SteerLadder
from analysis.mfa.settings import SteeringSettings
from components.kit.card import Panel
from components.kit.panels import user_error
from components.kit.types import Json, Node, Outputs, Typed
from components.mfa.ladder import LadderOptions, digest_of_ladder, ladder_parts, ladder_table, limit_of
from pages.cards import ref_of
from pages.common import refusal, reply_of, spec_of
from pages.presses import press
from pages.steering.state import rows_of

LADDER = Panel("ladder", "Ladder of strengths")
RUNGS = len(KLS)
BY = [
    {"label": f"KL of the next token: {KLS[0]:g} to {KLS[-1]:g}", "value": "kl"},
    {"label": f"strength: {STRENGTHS[0]:g} to {STRENGTHS[-1]:g}", "value": "strength"},
]


def stores() -> list[Node]:
    """What the ladder keeps in the browser."""
    strengths = [dcc.Store(id=f"ladder-strength-{n}") for n in range(RUNGS)]
    return [dcc.Store(id="ask-ladder"), dcc.Store(id="ladder-written"), dcc.Store(id="ladder-region"), *strengths]


def ladder_tab() -> Node:
    """The tab."""
    return LADDER.layout(
        html.Div(
            "The first region on the sliders at growing strengths, the others kept; prompt, tokens, temperature and "
            "seed as above. All texts are written in one batch.",
            className="attune-note",
        ),
        html.Div(id="ladder-error-panel"),
        html.Div(id="ladder-stream-error", className="attune-stream-error", role="alert"),
        html.Div(
            [_box("Unsteered", "base"), *[_box("", f"rung-{n}", n) for n in range(RUNGS)]],
            id="ladder-texts",
            className="attune-ladder",
        ),
        html.Div(id="ladder-table", className="attune-readouts"),
        controls=html.Div(
            [
                html.Button("Write all", id="ladder-write", className="attune-button attune-primary", type="button"),
                html.Button("Stop", id="ladder-stop", className="attune-button", type="button", disabled=True),
                dcc.Dropdown(BY, "kl", id="ladder-by", clearable=False, searchable=False, className="attune-pick"),
                html.Span(id="ladder-stream-state", className="attune-note", **{"aria-live": "polite"}),
            ],
            className="attune-head-row",
        ),
    )


def _box(title: str, name: str, rung: int | None = None) -> Node:
    head: list[Node] = [html.H4(title, id=f"ladder-{name}-head")]
    if rung is not None:
        head.append(
            html.Button(
                "Take",
                id=f"ladder-{name}-take",
                className="attune-small",
                type="button",
                title="Set the slider to this strength",
                **press(
                    "on-sliders",
                    "strength",
                    reads=f'{{"region": ["ladder-region", "data"], "strength": ["ladder-strength-{rung}", "data"]}}',
                ),
            )
        )
    head.append(
        html.Button(
            "■",
            className="attune-small",
            type="button",
            title="End this text",
            **{"aria-label": f"end the text {name}", "data-end-text": "ladder-", "data-part": name},
        )
    )
    text = html.Div(
        id=f"ladder-{name}-text", className="attune-written", tabIndex="0", role="log", **{"aria-label": name}
    )
    return html.Div([html.Div(head, className="attune-rung-head"), text], id=f"ladder-{name}", hidden=rung is not None)


@callback(
    Output("ask-ladder", "data"),
    Output("ladder-error-panel", "children"),
    Output("limit-said", "children"),
    Input("ladder-write", "n_clicks"),
    Input("find-limit", "n_clicks"),
    State("ladder-by", "value"),
    State("steer", "data"),
    State("on-sliders", "data"),
    State("steer-prompt", "value"),
    State("steer-chat", "value"),
    State("count", "value"),
    State("temperature", "value"),
    State("top-p", "value"),
    State("seed", "value"),
    State("model", "data"),
    prevent_initial_call=True,
)
def ask(
    clicks: int | None, limits: int | None, by: Rungs, steer: Json, data: Json, text: str | None, chat: bool,
    count: Typed, temperature: Typed, top_p: Typed, seed: Typed, model: Json,
) -> tuple[Json, Node, Node]:  # fmt: skip
    """What is to be written; checked here, so that a refusal stands at the button that was pressed. Where the text
    still speaks well is read off a ladder of equal steps."""
    if not (clicks or limits):
        return no_update, no_update, no_update
    limit = ctx.triggered_id == "find-limit"

    def refused(panel: Node) -> tuple[Json, Node, Node]:
        return (no_update, no_update, panel) if limit else (no_update, panel, no_update)

    if not steer or not data:
        return refused(user_error("Put a region on the sliders first."))
    try:
        operation = SteerLadder(
            spec_of(model), text or "", bool(chat), SteeringSettings.from_dict(steer), rows_of(data)[0].region,
            "strength" if limit else by, count, temperature, top_p, seed,
        )  # fmt: skip
    except UserError as error:
        return refused(refusal(error, SteerLadder))
    turn = (clicks or 0) + (limits or 0)
    asked = {"operation": "SteerLadder", "params": operation.to_params(), "turn": turn, "limit": limit}
    return asked, None, no_update


clientside_callback(
    "dash_clientside.attune.startLadder",
    Output("ladder-write", "title"),
    Input("ask-ladder", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
clientside_callback(
    "dash_clientside.attune.stopLadder",
    Output("ladder-stop", "title"),
    Input("ladder-stop", "n_clicks"),
    prevent_initial_call=True,
)


# How far the texts are, also beside the button that asked where they break.
clientside_callback(
    "(state, error, asked) => asked && asked.limit && (state || error)"
    " ? error || `At eight strengths, as in the tab Ladder: ${state}` : dash_clientside.no_update",
    Output("limit-said", "children", allow_duplicate=True),
    Input("ladder-stream-state", "children"),
    Input("ladder-stream-error", "children"),
    State("ask-ladder", "data"),
    prevent_initial_call=True,
)


@callback(
    output={"table": Output("ladder-table", "children"), "ref": LADDER.ref},
    inputs={"question": Input("ladder-written", "data"), "asked": Input("ask-ladder", "data")},
    prevent_initial_call=True,
)
def show(question: Json, asked: Json) -> Outputs:
    """The numbers of the texts that the browser has just got; none while texts are being written."""
    if not question or not asked or question.get("turn") != asked.get("turn"):
        return {"table": None, "ref": None}
    reply: Reply[Ladder] = reply_of(question)
    options = LadderOptions(SteerLadder.from_params(reply.question.params).text, digest_of_ladder(reply.answer))
    return {"table": ladder_table(reply.answer), "ref": ref_of(ladder_parts, reply, options=options)}


@callback(
    Output("limit", "data"),
    Output("limit-said", "children", allow_duplicate=True),
    Input("ladder-written", "data"),
    State("ask-ladder", "data"),
    prevent_initial_call=True,
)
def find_limit(question: Json, asked: Json) -> tuple[Json, Node]:
    """The largest strength at which the text still speaks well, for the slider; where it breaks, for the mark below."""
    if not question or not asked or not asked.get("limit") or question.get("turn") != asked.get("turn"):
        return no_update, no_update
    reply: Reply[Ladder] = reply_of(question)
    limit = limit_of(reply.answer)
    found = {"region": reply.answer.region, "breaks": limit.breaks, "turn": question["turn"]}
    if limit.strength is not None:
        found |= {"kind": "strength", "strength": limit.strength}
    return found, limit.sentence
