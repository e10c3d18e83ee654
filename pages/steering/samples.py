"""Samples: several seeds of unsteered, steered and control texts at one price, and in how many of them a word, a
regular expression or the region's theme appears. Another word is counted in the texts that are there."""

from __future__ import annotations

import dash_bootstrap_components as dbc
from dash import Input, Output, State, callback, clientside_callback, dcc, html, no_update

from analysis.engine.client import Reply
from analysis.errors import UserError
from analysis.mfa.answers.samples import Samples
from analysis.mfa.ops.samples import SteerSamples
from analysis.mfa.settings import SteeringSettings
from components.kit.card import UNCHANGED, Card
from components.kit.panels import user_error
from components.kit.types import Json, Node, Outputs, Typed
from components.mfa.samples import SamplesOptions, digest_of_samples, marks_of, samples_shares, samples_table
from pages.cards import content
from pages.common import refusal, reply_of, spec_of

SAMPLES = Card("samples-figure", "In how many texts does it appear?", 260, start="Write the texts first")
COUNTED = [
    {"label": "words of its theme", "value": "theme"},
    {"label": "a word, several at commas", "value": "words"},
    {"label": "a regular expression", "value": "regex"},
]


def stores() -> list[Node]:
    """What the samples keep in the browser."""
    return [dcc.Store(id="ask-samples"), dcc.Store(id="samples-written"), dcc.Store(id="samples-marks")]


def samples_tab() -> Node:
    """The tab."""
    return html.Div(
        [
            html.Section(
                [
                    html.Div(
                        [
                            html.H3("Many texts"),
                            html.Button(
                                "Write all", id="samples-write", className="attune-button attune-primary", type="button"
                            ),
                            html.Button(
                                "Stop", id="samples-stop", className="attune-button", type="button", disabled=True
                            ),
                            html.Span(id="samples-stream-state", className="attune-note", **{"aria-live": "polite"}),
                        ],
                        className="attune-card-head attune-head-row",
                    ),
                    html.Div(
                        [
                            html.Div(
                                [
                                    dbc.Label("seeds", html_for="samples-count"),
                                    dbc.Input(
                                        id="samples-count",
                                        type="number",
                                        step="any",
                                        value=SteerSamples.samples,
                                        size="sm",
                                        className="attune-short",
                                    ),
                                ],
                                className="attune-inline",
                            ),
                            dbc.Label("Count", html_for="samples-counted"),
                            dcc.Dropdown(
                                COUNTED,
                                "theme",
                                id="samples-counted",
                                clearable=False,
                                searchable=False,
                                className="attune-pick",
                            ),
                            dbc.Label(
                                "Word or regular expression", html_for="samples-pattern", className="visually-hidden"
                            ),
                            dbc.Input(
                                id="samples-pattern",
                                placeholder="Word or regular expression",
                                debounce=True,
                                disabled=True,
                                size="sm",
                            ),
                        ],
                        className="attune-row attune-settings",
                    ),
                    html.Div(id="samples-error-panel"),
                    html.Div(id="samples-count-error"),
                    html.Div(id="samples-stream-error", className="attune-stream-error", role="alert"),
                    html.Div(id="samples-table", className="attune-readouts"),
                    html.Div(
                        "The same seeds for all: unsteered, steered, random regions and random directions at the KL of "
                        "the set-up, and the difference of means where sentences stand in the tab Controls.",
                        className="attune-note",
                    ),
                ],
                className="attune-card",
                **{"aria-label": "Many texts"},
            ),
            SAMPLES.layout(),
            html.Div(id="samples-texts", className="attune-samples"),
        ],
        className="attune-samples-tab",
    )


@callback(
    Output("ask-samples", "data"),
    Output("samples-error-panel", "children"),
    Input("samples-write", "n_clicks"),
    State("samples-count", "value"),
    State("steer", "data"),
    State("steer-prompt", "value"),
    State("steer-chat", "value"),
    State("count", "value"),
    State("temperature", "value"),
    State("top-p", "value"),
    State("seed", "value"),
    State("positive", "value"),
    State("negative", "value"),
    State("model", "data"),
    prevent_initial_call=True,
)
def ask(
    clicks: int | None, samples: Typed, steer: Json, text: str | None, chat: bool, count: Typed, temperature: Typed,
    top_p: Typed, seed: Typed, positive: str | None, negative: str | None, model: Json,
) -> tuple[Json, Node]:  # fmt: skip
    """What is to be written; checked here, so that a refusal stands at the button."""
    if not clicks:
        return no_update, no_update
    if not steer:
        return no_update, user_error("Put a region on the sliders first.")
    try:
        operation = SteerSamples(
            spec_of(model), text or "", bool(chat), SteeringSettings.from_dict(steer), samples, count, temperature,
            top_p, seed, positive or "", negative or "",
        )  # fmt: skip
    except UserError as error:
        return no_update, refusal(error, SteerSamples)
    return {"operation": "SteerSamples", "params": operation.to_params(), "turn": clicks}, None


clientside_callback(
    "dash_clientside.attune.startSamples",
    Output("samples-write", "title"),
    Input("ask-samples", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
clientside_callback(
    "dash_clientside.attune.stopSamples",
    Output("samples-stop", "title"),
    Input("samples-stop", "n_clicks"),
    prevent_initial_call=True,
)
clientside_callback(
    "dash_clientside.attune.markSamples",
    Output("samples-texts", "title"),
    Input("samples-marks", "data"),
    prevent_initial_call=True,
)
clientside_callback(
    "(counted) => counted === 'theme'",
    Output("samples-pattern", "disabled"),
    Input("samples-counted", "value"),
)


@callback(
    output={
        "table": Output("samples-table", "children"),
        "card": SAMPLES.outputs,
        "marks": Output("samples-marks", "data"),
        "problem": Output("samples-count-error", "children"),
    },
    inputs={
        "question": Input("samples-written", "data"),
        "asked": Input("ask-samples", "data"),
        "counted": Input("samples-counted", "value"),
        "pattern": Input("samples-pattern", "value"),
        "theme": State("theme", "data"),
    },
    prevent_initial_call=True,
)
def show(question: Json, asked: Json, counted: str, pattern: str | None, theme: str) -> Outputs:
    """The shares in the texts that the browser has just got; none while texts are being written."""
    if not asked:
        return {"table": no_update, "card": UNCHANGED, "marks": no_update, "problem": no_update}
    nothing = {"table": None, "card": SAMPLES.empty(), "marks": None, "problem": None}
    if not question or question.get("turn") != asked.get("turn"):
        return nothing
    reply: Reply[Samples] = reply_of(question)
    samples, text = reply.answer, SteerSamples.from_params(reply.question.params).text
    options = SamplesOptions(text, counted, pattern or "", digest_of_samples(samples))
    try:
        return {
            "table": samples_table(samples, options),
            "card": content(samples_shares, reply, options=options, theme=theme),
            "marks": marks_of(samples, options),
            "problem": None,
        }
    except UserError as error:
        control = {"pattern": "samples-pattern", "counted": "samples-counted"}.get(error.field or "")
        return nothing | {"marks": {}, "problem": user_error(error.message, control)}
