"""Layout of the Steering page: which regions there are and what one does with them, then what the model says; below,
what a region is, prices, what a token is made of, controls, fitting, and keeping. The callbacks are in the modules
beside this one."""

from __future__ import annotations

from typing import Any

import dash_bootstrap_components as dbc
from dash import dcc, html

from components.kit.figure_card import figure_card
from components.kit.names import progress
from components.kit.panels import empty, user_error
from components.mfa.sliders import more_options
from pages.manifest import PageManifest
from pages.presses import press, queue_stores
from pages.steering import answer, controls, fitting, keep, regions, sliders, tokens, writing
from pages.steering.state import ADDRESS, PATH, TABS, View, read_address

# Importing these registers the page's callbacks; naming them here keeps the import from looking unused.
CALLBACKS = (answer, controls, fitting, keep, regions, sliders, tokens, writing)

MODES = [
    {"label": "add the centroid minus the mean", "value": "add"},
    {"label": "interpolate to the centroid (the paper's)", "value": "interpolate"},
    {"label": "project the direction out", "value": "project_out"},
    {"label": "clamp the coefficient", "value": "clamp"},
]
PLACES = [
    {"label": "all positions but the first", "value": "not_first"},
    {"label": "all positions", "value": "all"},
    {"label": "generated positions only", "value": "generated"},
]
CONTROL_TEXTS = [
    {"label": "no third text", "value": "none"},
    {"label": "a random region", "value": "region"},
    {"label": "a random direction", "value": "direction"},
    {"label": "difference of means", "value": "means"},
]


def layout(**query: Any) -> Any:
    """The page as its address describes it."""
    view = read_address(query)
    return html.Div(
        [
            *_stores(view),
            html.H1("What happens if it is steered here?", className="attune-title"),
            html.Div([user_error(p) for p in view.problems], id="address-problems"),
            html.Div([_regions(), _steer(), _next()], className="attune-cockpit"),
            _texts(view),
            dbc.Tabs(
                [
                    dbc.Tab(_card(), tab_id="region", label="What is this region?"),
                    dbc.Tab(_prices(), tab_id="prices", label="Prices"),
                    dbc.Tab(_token(), tab_id="token", label="What is this token?"),
                    dbc.Tab(_controls(), tab_id="controls", label="Controls"),
                    dbc.Tab(_fit(), tab_id="fit", label="Fit another"),
                    dbc.Tab(_keep(), tab_id="keep", label="Keep it"),
                ],
                id="steer-tab",
                active_tab=view.tab,
            ),
        ],
        className="attune-page",
    )


MANIFEST = PageManifest(
    "Steering",
    PATH,
    order=20,
    layout=layout,
    needs="residual stream",
    state=View,
    address=ADDRESS,
    read_address=read_address,
    tabs=TABS,
)


def _stores(view: View) -> list[Any]:
    return [
        dcc.Store(id="start-steer", data={"model": view.model, "steer": view.steer}),
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
        dcc.Store(id="ask-text"),
        dcc.Store(id="parts"),
        dcc.Store(id="saved-file"),
        dcc.Store(id="fits-changed", data=0),
        html.Div(id="steer-sink", hidden=True),
    ]


def _regions() -> Any:
    return html.Div(
        [
            dcc.Dropdown(id="region-fit", clearable=False, searchable=False, className="attune-wide"),
            figure_card("region-map", "Regions", "Waiting for the fit …", 270),
            html.Section(
                [
                    html.Div(
                        [
                            dbc.Input(id="search", placeholder="Search: word, theme, token", debounce=False, size="sm"),
                            dcc.Dropdown(
                                [
                                    {"label": "themes first", "value": "theme"},
                                    {"label": "single tokens", "value": "token"},
                                    {"label": "grammar", "value": "grammar"},
                                    {"label": "largest first", "value": "size"},
                                ],
                                "theme",
                                id="order",
                                clearable=False,
                                searchable=False,
                                className="attune-order",
                            ),
                        ],
                        className="attune-search",
                    ),
                    html.Div(id="region-list", className="attune-region-list", role="list"),
                ],
                className="attune-card attune-list-card",
                **{"aria-label": "List of regions"},
            ),
        ],
        className="attune-regions",
    )


def _card() -> Any:
    return html.Section(
        [
            html.Div(
                [
                    html.H3("Region", id="card-title"),
                    html.Button(
                        "Steer here",
                        id="steer-here",
                        className="attune-button attune-primary",
                        type="button",
                        **press("on-sliders", "add", reads='{"region": ["chosen-region", "data"]}'),
                    ),
                    dbc.Input(id="label", placeholder="Give it a name", size="sm", debounce=True, maxLength=80),
                ],
                className="attune-card-head",
            ),
            html.Div(id="label-said", className="attune-note"),
            html.Div("Measuring what steering there does …", id="card-effects", className="attune-effects attune-note"),
            html.Div(empty("Click a region on the map or in the list."), id="card", className="attune-card-body"),
        ],
        className="attune-card",
        **{"aria-label": "Region"},
    )


def _steer() -> Any:
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
            html.Div(id="target-said", className="attune-note", **{"aria-live": "polite"}),
            html.Details(
                [html.Summary("How, where, and at which blocks"), more_options(MODES, PLACES, [])],
                id="options",
            ),
            html.Div(id="slider-error"),
        ],
        className="attune-card",
        **{"aria-label": "Sliders"},
    )


def _next() -> Any:
    return html.Div(
        [
            figure_card("next", "Next token", "", 500, html.Div(id="next-price", className="attune-price")),
            html.Div(id="next-error"),
        ]
    )


def _texts(view: View) -> Any:
    return html.Section(
        [
            html.Div(
                [
                    html.H3("Texts"),
                    html.Button("Write", id="write", className="attune-button attune-primary", type="button"),
                    html.Button("Stop", id="stop", className="attune-button", type="button", disabled=True),
                    dbc.Switch(id="write-on-release", value=True, label="write when a slider is let go"),
                    html.Span(id="stream-state", className="attune-note", **{"aria-live": "polite"}),
                ],
                className="attune-card-head",
            ),
            dbc.Label("Prompt", html_for="steer-prompt", className="visually-hidden"),
            dbc.Textarea(id="steer-prompt", value=view.text, rows=2, spellCheck=False, className="attune-prompt"),
            html.Div(
                [
                    dbc.Switch(id="steer-chat", value=view.chat, label="Chat template"),
                    *_number("tokens", "count", view.count),
                    *_number("temperature", "temperature", view.temperature),
                    *_number("top-p", "top-p", view.top_p),
                    *_number("seed", "seed", view.seed),
                    dcc.Dropdown(
                        CONTROL_TEXTS, "none", id="control", clearable=False, searchable=False, className="attune-pick"
                    ),
                ],
                className="attune-row attune-settings",
            ),
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
            html.Div(
                "Each token is shaded by the KL of the unsteered model's prediction from the steered one: what "
                "steering cost there.",
                className="attune-note",
            ),
            html.Div(id="readouts", className="attune-readouts"),
        ],
        className="attune-card",
        **{"aria-label": "Texts"},
    )


def _prices() -> Any:
    return html.Div(
        [
            figure_card("price", "Price of each token", "Write a text first.", 300),
            figure_card("presence", "Is the region in the text?", "Write a text first.", 300),
        ],
        className="attune-two",
    )


def _text(title: str, name: str, panel: str = "") -> Any:
    extra = {"id": panel} if panel else {}
    return html.Div(
        [
            html.H4(title),
            html.Div(id=name, className="attune-written", tabIndex="0", role="log", **{"aria-label": title}),
        ],
        className="attune-text",
        **extra,
    )


def _number(label: str, name: str, value: float) -> list[Any]:
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


def _token() -> Any:
    return html.Div(
        [
            html.Section(
                [
                    html.Div(
                        [
                            html.H3("Text"),
                            html.Button(
                                "Explain", id="explain", className="attune-button attune-primary", type="button"
                            ),
                        ],
                        className="attune-card-head",
                    ),
                    dbc.Label("Text to explain", html_for="explain-text", className="visually-hidden"),
                    dbc.Textarea(
                        id="explain-text",
                        value="The surgeon washed her hands, and the nurse gave the patient an injection.",
                        rows=3,
                        spellCheck=False,
                        className="attune-prompt",
                    ),
                    html.Div(id="explain-error"),
                    html.Div(id="token-strip", className="attune-strip", role="group", **{"aria-label": "tokens"}),
                    html.Div(id="token-facts", className="attune-answer", **{"aria-live": "polite"}),
                    html.Button(
                        "Steer with this token's region and local place",
                        id="steer-like",
                        className="attune-button",
                        type="button",
                        disabled=True,
                    ),
                ],
                className="attune-card",
            ),
            html.Div(
                [
                    figure_card("token-parts", "Centroid, local offset and rest", "", 360),
                    figure_card("segments", "Two segments", "", 360),
                ],
                className="attune-two",
            ),
        ],
        className="attune-column",
    )


def _controls() -> Any:
    return html.Div(
        [
            html.Section(
                [
                    html.Div(
                        [
                            html.H3("Seen against its null"),
                            html.Button(
                                "Compare", id="compare", className="attune-button attune-primary", type="button"
                            ),
                        ],
                        className="attune-card-head",
                    ),
                    html.P(
                        "The same set-up with a random region, and with a random direction, at equal distance from the "
                        "mean activation; and, if you give sentences, with the difference of their means.",
                        className="attune-note",
                    ),
                    html.Div(
                        [
                            _sentences("Sentences with the concept, one on a line", "positive"),
                            _sentences("Sentences without it", "negative"),
                        ],
                        className="attune-two-tight",
                    ),
                    html.Div(id="controls-error"),
                    html.Div(id="controls-table"),
                ],
                className="attune-card",
            ),
            figure_card("controls-figure", "Price at the end of the prompt", "", 300),
        ],
        className="attune-two",
    )


def _sentences(label: str, name: str) -> Any:
    return html.Div(
        [
            dbc.Label(label, html_for=name),
            dbc.Textarea(id=name, value="", rows=4, spellCheck=False, className="attune-prompt"),
        ]
    )


def _fit() -> Any:
    return html.Div(
        [
            html.Section(
                [
                    html.Div([html.H3("Fit a mixture of factor analyzers")], className="attune-card-head"),
                    html.Div(
                        [
                            _labelled(
                                "Texts",
                                dcc.Dropdown(
                                    [{"label": "bundled corpus", "value": "bundled"}],
                                    "bundled",
                                    id="fit-source",
                                    clearable=False,
                                    searchable=False,
                                ),
                            ),
                            _labelled(
                                "Site",
                                dcc.Dropdown(
                                    [
                                        {"label": "residual stream", "value": "residual"},
                                        {"label": "hidden layer of the MLP", "value": "mlp_hidden"},
                                        {"label": "output of the MLP", "value": "mlp_output"},
                                    ],
                                    "residual",
                                    id="fit-site",
                                    clearable=False,
                                    searchable=False,
                                ),
                            ),
                            _labelled("Block", _typed("fit-layer", 10)),
                            _labelled("Tokens", _typed("fit-tokens", 30_000)),
                            _labelled("Regions K", _typed("fit-regions", 64)),
                            _labelled("Local factors R", _typed("fit-factors", 8)),
                            _labelled("Seed", _typed("fit-seed", 0)),
                            _labelled(
                                "Noise",
                                dcc.Dropdown(
                                    [
                                        {"label": "shared (the paper's)", "value": "shared"},
                                        {"label": "of each region", "value": "component"},
                                    ],
                                    "shared",
                                    id="fit-noise",
                                    clearable=False,
                                    searchable=False,
                                ),
                            ),
                        ],
                        className="attune-options",
                    ),
                    html.Div(
                        [
                            dcc.Upload(
                                html.Button("Bring .txt or .jsonl", className="attune-button", type="button"),
                                id="corpus-upload",
                                max_size=32 << 20,
                            ),
                            dbc.Input(
                                id="dataset-name", placeholder="or a Hugging Face dataset id", size="sm", debounce=True
                            ),
                        ],
                        className="attune-row",
                    ),
                    html.Div(id="source-said", className="attune-note"),
                    html.Div(id="fit-estimate", className="attune-note"),
                    html.Div(
                        [
                            html.Button("Fit", id="fit-start", className="attune-button attune-primary", type="button"),
                            html.Button(
                                "Cancel", id="fit-stop", className="attune-button", type="button", disabled=True
                            ),
                            progress("regions-bar", "fitting the regions"),
                        ],
                        className="attune-row",
                    ),
                    html.Div(id="fit-state", className="attune-note", **{"aria-live": "polite"}),
                    html.Div(id="fit-problem"),
                ],
                className="attune-card",
            ),
            figure_card("fit-curve", "Log-likelihood", "", 330),
        ],
        className="attune-two",
    )


def _typed(name: str, value: int) -> Any:
    return dbc.Input(id=name, type="number", step="any", value=value, size="sm")


def _labelled(text: str, field: Any) -> Any:
    return html.Div([dbc.Label(text, html_for=field.id), field], className="attune-labelled")


def _keep() -> Any:
    return html.Div(
        [
            html.Section(
                [
                    html.Div([html.H3("Presets")], className="attune-card-head"),
                    html.Div(
                        [
                            dbc.Input(id="preset-name", placeholder="Name", size="sm", maxLength=60),
                            html.Button("Keep as preset", id="preset-keep", className="attune-button", type="button"),
                        ],
                        className="attune-row",
                    ),
                    html.Div(id="preset-said", className="attune-note"),
                    html.Div(id="preset-list"),
                ],
                className="attune-card",
            ),
            html.Section(
                [
                    html.Div([html.H3("The whole set-up as a file")], className="attune-card-head"),
                    html.P(
                        "Vectors in safetensors with a manifest and checksums. A notebook applies it with "
                        "analysis.steering; see docs/notebook.md.",
                        className="attune-note",
                    ),
                    html.Div(
                        [
                            html.Button("Save file", id="save-file", className="attune-button", type="button"),
                            dcc.Upload(
                                html.Button("Open file", className="attune-button", type="button"),
                                id="open-file",
                                max_size=16 << 20,
                            ),
                        ],
                        className="attune-row",
                    ),
                    html.Div(id="file-said"),
                ],
                className="attune-card",
            ),
        ],
        className="attune-two",
    )
