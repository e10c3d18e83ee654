"""Layout of the Steering page: which regions there are and what one does with them, then what the model says; below,
what a region is, prices, what a token is made of, controls, fitting, and keeping. The callbacks are in the modules
beside this one."""

from __future__ import annotations

from functools import partial

import dash_bootstrap_components as dbc
from dash import dcc, html

from components.kit.files import with_files
from components.kit.panels import user_error
from components.kit.types import Node
from components.mfa.region_list import ORDERS
from components.mfa.sliders import more_options
from pages.cards import card_callbacks
from pages.manifest import PageManifest
from pages.presses import press, queue_stores
from pages.state import names_of, read
from pages.steering import alternatives, chat, keep, ladder, samples, sliders, sweep, vectors
from pages.steering.answer import NEXT
from pages.steering.controls import CONTROLS
from pages.steering.fitting import CURVE
from pages.steering.picture import picture
from pages.steering.regions import MAP, REGIONS
from pages.steering.state import PATH, TABS, SteeringState
from pages.steering.tabs import tabs
from pages.steering.tokens import PARTS, SEGMENTS
from pages.steering.writing import PRESENCE, PRICE, TEXTS

# Importing these registers their callbacks; naming them here keeps the import from looking unused.
CALLBACKS = (alternatives, chat, keep, ladder, samples, sliders, sweep, vectors)
card_callbacks(MAP, NEXT, PRICE, PRESENCE, PARTS, SEGMENTS, CONTROLS, CURVE, samples.SAMPLES, sweep.SWEEP)

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


def layout(**query: str) -> Node:
    """The page as its address describes it."""
    state = read(SteeringState, query)
    return html.Div(
        [
            *_stores(state, fresh="text" not in query),
            with_files(
                "What happens if it is steered here?",
                "fit",
                "fit",
                name=("region-fit", "value"),
            ),
            html.Div([user_error(p) for p in state.problems], id="address-problems"),
            html.Div([_regions(), _steer(), _next()], className="attune-cockpit"),
            _texts(state),
            tabs(state.tab),
        ],
        className="attune-page",
    )


MANIFEST = PageManifest(
    "Steering",
    PATH,
    order=20,
    layout=layout,
    needs="residual stream",
    state=SteeringState,
    address=names_of(SteeringState),
    read_address=partial(read, SteeringState),
    tabs=TABS,
    question="What does the model say when its activations are moved towards a region?",
    picture=picture,
    prepare="No regions of this model have been fitted yet",
)


def _stores(state: SteeringState, fresh: bool) -> list[Node]:
    """``fresh``: whether the address names no prompt."""
    return [
        dcc.Store(id="start-steer", data={"model": state.model, "steer": state.steer, "fresh": fresh}),
        dcc.Store(id="regions"),
        dcc.Store(id="chosen-region"),
        dcc.Store(id="picked"),
        *queue_stores("on-sliders"),
        dcc.Store(id="sliders-drawn"),
        dcc.Store(id="reached"),
        dcc.Store(id="liked"),
        dcc.Store(id="on-sliders", data=None),
        dcc.Store(id="steer"),
        dcc.Store(id="written"),
        dcc.Store(id="written-ref"),
        dcc.Store(id="ask-text"),
        dcc.Store(id="explained"),
        dcc.Store(id="explained-token"),
        dcc.Store(id="new-fit"),
        dcc.Store(id="saved-file"),
        dcc.Store(id="fits-changed", data=0),
        *ladder.stores(),
        *alternatives.stores(),
        *chat.stores(state.talk),
        *samples.stores(),
        *sweep.stores(),
        html.Div(id="steer-sink", hidden=True),
    ]


def _regions() -> Node:
    return html.Div(
        [
            dcc.Dropdown(id="region-fit", clearable=False, searchable=False, className="attune-wide"),
            MAP.layout(),
            REGIONS.layout(
                html.Div(id="region-list", className="attune-region-list", role="list"),
                controls=html.Div(
                    [
                        dbc.Label("Search: word, theme, token", html_for="search", className="visually-hidden"),
                        dbc.Input(id="search", placeholder="Search", debounce=False, size="sm"),
                        dcc.Dropdown(
                            [{"label": label, "value": value} for value, label in ORDERS.items()],
                            "theme",
                            id="order",
                            clearable=False,
                            searchable=False,
                            className="attune-order",
                        ),
                    ],
                    className="attune-search",
                ),
                className="attune-card attune-list-card attune-untitled",
            ),
        ],
        className="attune-regions",
    )


def _steer() -> Node:
    return html.Section(
        [
            html.Div(
                [
                    html.H3("Steer"),
                    html.Button(
                        "Reset", id="reset", className="attune-button", type="button", **press("on-sliders", "reset")
                    ),
                    html.Div(
                        [
                            dbc.Label("KL", html_for="target"),
                            dbc.Input(id="target", type="number", step="any", value=0.25, size="sm"),
                            html.Button(
                                "Set strength for it", id="to-target", className="attune-button", type="button"
                            ),
                        ],
                        className="attune-inline attune-target",
                    ),
                ],
                className="attune-card-head",
            ),
            html.Div(id="sliders", className="attune-sliders"),
            html.Div(id="vectors-on", className="attune-note"),
            html.Div(id="gate-said", className="attune-note", **{"aria-live": "polite"}),
            html.Div(id="target-said", className="attune-note", **{"aria-live": "polite"}),
            html.Details(
                [html.Summary("How, where, when, and at which blocks"), more_options(MODES, PLACES, [])],
                id="options",
            ),
            html.Div(id="slider-error"),
        ],
        className="attune-card",
        **{"aria-label": "Sliders"},
    )


def _next() -> Node:
    return html.Div(
        [
            NEXT.layout(html.Div(id="next-price", className="attune-price")),
            html.Div(id="next-error"),
        ]
    )


def _texts(state: SteeringState) -> Node:
    return TEXTS.layout(
        dbc.Label("Prompt", html_for="steer-prompt", className="visually-hidden"),
        dbc.Textarea(id="steer-prompt", value=state.text, rows=2, spellCheck=False, className="attune-prompt"),
        html.Div(
            [
                dbc.Switch(id="steer-chat", value=state.chat, label="Chat template"),
                *_number("tokens", "count", state.count),
                *_number("temperature", "temperature", state.temperature),
                *_number("top-p", "top-p", state.top_p),
                *_number("seed", "seed", state.seed),
                dcc.Dropdown(
                    CONTROL_TEXTS, "none", id="control", clearable=False, searchable=False, className="attune-pick"
                ),
            ],
            className="attune-row attune-settings",
        ),
        html.Div(id="chat-said", className="attune-note"),
        html.Div(id="stream-error-panel"),
        html.Div(id="stream-error", className="attune-stream-error", role="alert"),
        html.Div(
            [
                _text("Unsteered", "base-text"),
                _text("Steered", "steered-text"),
                _text("Control", "control-text", "control-panel"),
            ],
            className="attune-texts",
            id="texts",
        ),
        *alternatives.below_texts(),
        html.Div(id="readouts", className="attune-readouts"),
        controls=html.Div(
            [
                html.Button("Write", id="write", className="attune-button attune-primary", type="button"),
                html.Button("Stop", id="stop", className="attune-button", type="button", disabled=True),
                dbc.Switch(id="write-on-release", value=True, label="write when a slider is let go"),
                html.Span(id="stream-state", className="attune-note", **{"aria-live": "polite"}),
            ],
            className="attune-head-row",
        ),
    )


def _text(title: str, name: str, panel: str = "") -> Node:
    extra = {"id": panel} if panel else {}
    return html.Div(
        [
            html.H4(title),
            html.Div(id=name, className="attune-written", tabIndex="0", role="log", **{"aria-label": title}),
        ],
        className="attune-text",
        **extra,
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
