"""The first screen of the Steering page: sliders, texts and the next token side by side, as high as the window.

A speaker drags a slider with the eyes on the text, so these three never need scrolling at 1280 x 720; what is asked for
less often (how the texts are written, their table, the map) stands below.
"""

from __future__ import annotations

import dash_bootstrap_components as dbc
from dash import dcc, html

from components.kit.types import Node
from components.mfa.sliders import more_options
from pages.presses import press
from pages.steering import alternatives
from pages.steering.answer import NEXT
from pages.steering.found import FIND
from pages.steering.state import SteeringState
from pages.steering.writing import TEXTS, WRITTEN

MODES = [
    {"label": "add the centroid minus the mean", "value": "add"},
    {"label": "interpolate to the centroid (the paper's)", "value": "interpolate"},
    {"label": "project the direction out", "value": "project_out"},
    {"label": "clamp the coefficient", "value": "clamp"},
]
PLACES = [
    {"label": "all positions but the first", "value": "not_first"},
    {"label": "all positions", "value": "all"},
    {"label": "the prompt only", "value": "prompt"},
    {"label": "generated positions only", "value": "generated"},
    {"label": "the model's thinking only", "value": "thinking"},
    {"label": "its answer only, without thinking", "value": "answer"},
]
CONTROL_TEXTS = [
    {"label": "no third text", "value": "none"},
    {"label": "a random region", "value": "region"},
    {"label": "a random direction", "value": "direction"},
    {"label": "difference of means", "value": "means"},
]
EQUAL_TO = [
    {"label": "of the same length", "value": "length"},
    {"label": "at the same KL of the next token", "value": "kl"},
]


def live(state: SteeringState) -> Node:
    """The first screen."""
    return html.Div([_steer(), _texts(state), _next()], className="attune-live")


def fits() -> Node:
    """Which fit is open; it stands beside the title, for a demo rarely changes it."""
    return html.Div(
        [
            dbc.Label("Fit", html_for="region-fit"),
            dcc.Dropdown(id="region-fit", clearable=False, searchable=False, className="attune-fit"),
        ],
        className="attune-inline attune-beside-title",
    )


def _steer() -> Node:
    return html.Section(
        [
            html.Div(
                [
                    html.H3("Steer with"),
                    html.Button(
                        "Reset",
                        id="reset",
                        className="attune-button",
                        type="button",
                        title="All sliders to 0",
                        **press("on-sliders", "reset"),
                    ),
                ],
                className="attune-card-head",
            ),
            html.Div(
                dcc.Dropdown(
                    id="region-pick", placeholder="Choose a region", clearable=False, searchable=True, optionHeight=34
                ),
                className="attune-region-pick",
                role="group",
                **{"aria-label": "Region that steers: choosing one replaces what is on the sliders"},
            ),
            html.Div(id="sliders", className="attune-sliders"),
            html.Div(id="vectors-on", className="attune-note"),
            html.Div(id="gate-said", className="attune-note", **{"aria-live": "polite"}),
            # What is said of the list of fits, of the open fit, of the address, of a press: each is taken away by its
            # own answer only, so that none that comes late takes the sentence of another with it.
            *(html.Div(id=f"{what}-error") for what in ("slider", "regions", "slider-open", "slider-press")),
            html.Div(
                [
                    dbc.Label("Move the next token by", html_for="target"),
                    dbc.Input(id="target", type="number", step="any", value=0.25, size="sm"),
                    html.Span("nats"),
                    html.Button(
                        FIND,
                        id="to-target",
                        className="attune-button",
                        type="button",
                        title="Find the strength at which the next token's distribution moves by this much (KL)",
                    ),
                ],
                className="attune-inline attune-target",
            ),
            html.Div(id="target-said", className="attune-note", **{"aria-live": "polite"}),
            html.Button(
                "Find the strength where it still speaks well",
                id="find-limit",
                className="attune-button",
                type="button",
                title="Write this prompt at eight strengths and compare their perplexity with the unsteered text's",
            ),
            html.Div(id="limit-said", className="attune-note", **{"aria-live": "polite"}),
            html.Details(
                [html.Summary("How, where, when, and at which blocks"), more_options(MODES, PLACES, [])],
                id="options",
            ),
        ],
        className="attune-card attune-steer-card",
        **{"aria-label": "Sliders"},
    )


def _next() -> Node:
    return html.Div(
        [NEXT.layout(html.Div(id="next-price", className="attune-price")), html.Div(id="next-error")],
        className="attune-next",
        **{"data-plot": "answer"},  # what the page is opened for is drawn at once (assets/frame/plots.js)
    )


def _texts(state: SteeringState) -> Node:
    return TEXTS.layout(
        dbc.Label("Prompt", html_for="steer-prompt", className="visually-hidden"),
        dbc.Textarea(id="steer-prompt", value=state.text, rows=2, spellCheck=False, className="attune-prompt"),
        html.Div(id="chat-said", className="attune-note"),
        html.Div(id="stream-error-panel"),
        html.Div(id="stream-error", className="attune-stream-error", role="alert"),
        html.Div(
            [
                _text("Unsteered", "base"),
                _text("Steered", "steered"),
                _text("Control", "control", id="control-panel"),
            ],
            className="attune-texts",
            id="texts",
        ),
        *alternatives.below_texts(),
        html.Div(id="stream-state", className="attune-note", **{"aria-live": "polite"}),
        controls=html.Div(
            [
                html.Button("Write", id="write", className="attune-button attune-primary", type="button"),
                html.Button("Stop", id="stop", className="attune-button", type="button", disabled=True),
                dbc.Switch(id="write-on-release", value=True, label="when a slider is let go"),
            ],
            className="attune-head-row",
        ),
    )


def _text(title: str, name: str, **attributes: str) -> Node:
    """A box of written text: what it is, its numbers beside that, and the text."""
    return html.Div(
        [
            html.Div(
                [
                    html.H4(title),
                    html.Span(id=f"{name}-figures", className="attune-figures", **{"data-figures-of": WRITTEN}),
                ],
                className="attune-text-head",
            ),
            html.Div(id=f"{name}-text", className="attune-written", tabIndex="0", role="log", **{"aria-label": title}),
        ],
        className="attune-text",
        **attributes,
    )


def how_written(state: SteeringState) -> Node:
    """How the texts are written, and the table of their numbers: the first thing below the first screen."""
    return html.Section(
        [
            html.Div(
                [
                    dbc.Switch(id="steer-chat", value=state.chat, label="Chat template"),
                    *_number("tokens", "count", state.count),
                    *_number("temperature", "temperature", state.temperature),
                    *_number("top-p", "top-p", state.top_p),
                    *_number("seed", "seed", state.seed),
                    dbc.Label("third text", html_for="control"),
                    dcc.Dropdown(
                        CONTROL_TEXTS, "none", id="control", clearable=False, searchable=False, className="attune-pick"
                    ),
                    html.Div(
                        dcc.Dropdown(
                            EQUAL_TO,
                            "length",
                            id="control-equal",
                            clearable=False,
                            searchable=False,
                            className="attune-pick",
                        ),
                        id="control-equal-row",
                        role="group",
                        **{"aria-label": "What the third text has in common with the set-up"},
                    ),
                ],
                className="attune-row attune-settings",
            ),
            html.Div(id="readouts", className="attune-readouts", **{"data-figures-of": WRITTEN}),
        ],
        className="attune-card",
        **{"aria-label": "How the texts are written, and their numbers"},
    )


def _number(label: str, name: str, value: float) -> list[Node]:
    return [
        html.Div(
            [
                dbc.Label(label, html_for=name),
                # Without bounds, so that the server, which checks, learns what was typed and can say what is wrong.
                dbc.Input(id=name, type="number", step="any", value=value, size="sm", className="attune-short"),
            ],
            className="attune-inline",
        )
    ]
