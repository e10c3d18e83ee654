"""The tabs of the Steering page: regions, prices, what a token is made of, controls, fitting, and keeping."""

from __future__ import annotations

import dash_bootstrap_components as dbc
from dash import dcc, html

from analysis.mfa.ops.fit import FitRegions
from analysis.mfa.ops.vectors import OpenVectors, SaveVectors
from components.kit.names import progress
from components.kit.types import Node
from pages.steering import chat, inside, ladder, samples, sweep
from pages.steering.controls import CONTROLS, TABLE
from pages.steering.fitting import CURVE, look_switch
from pages.steering.regions_tab import regions_tab
from pages.steering.tokens import PARTS, SEGMENTS, TEXT
from pages.steering.writing import PRESENCE, PRICE
from pages.texts import BUNDLED, MOST


def tabs(open_tab: str) -> Node:
    """All tabs, one of them open."""
    return dbc.Tabs(
        [
            dbc.Tab(regions_tab(), tab_id="region", label="Regions"),
            dbc.Tab(ladder.ladder_tab(), tab_id="ladder", label="Ladder"),
            dbc.Tab(samples.samples_tab(), tab_id="samples", label="Samples"),
            dbc.Tab(_controls(), tab_id="controls", label="Controls"),
            dbc.Tab(
                html.Div([PRICE.layout(), PRESENCE.layout()], className="attune-two"), tab_id="prices", label="Prices"
            ),
            dbc.Tab(sweep.sweep_tab(), tab_id="sweep", label="Sweep"),
            dbc.Tab(inside.inside_tab(), tab_id="inside", label="Inside"),
            dbc.Tab(chat.chat_tab(), tab_id="chat", label="Conversation"),
            dbc.Tab(_token(), tab_id="token", label="What is this token?"),
            dbc.Tab(_fit(), tab_id="fit", label="Fit another"),
            dbc.Tab(_keep(), tab_id="keep", label="Keep it"),
        ],
        id="steer-tab",
        active_tab=open_tab,
    )


def _token() -> Node:
    return html.Div(
        [
            TEXT.layout(
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
                controls=html.Button("Explain", id="explain", className="attune-button attune-primary", type="button"),
            ),
            html.Div(
                [PARTS.layout(), SEGMENTS.layout()],
                className="attune-two",
            ),
        ],
        className="attune-column",
    )


def _controls() -> Node:
    return html.Div(
        [
            TABLE.layout(
                html.P(
                    "Look at which tokens each push raises: the region is an explanation only if the random ones, at "
                    "equal distance from the mean activation, do not raise the same. If you give sentences, the "
                    "difference of their means stands beside them. In how many texts the theme appears, with "
                    "intervals: tab Samples.",
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
                controls=html.Button("Compare", id="compare", className="attune-button attune-primary", type="button"),
            ),
            CONTROLS.layout(),
        ],
        className="attune-two",
    )


def _sentences(label: str, name: str) -> Node:
    return html.Div(
        [
            dbc.Label(label, html_for=name),
            dbc.Textarea(id=name, value="", rows=4, spellCheck=False, className="attune-prompt"),
        ]
    )


def _fit() -> Node:
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
                                    [BUNDLED],
                                    FitRegions.source,
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
                                    FitRegions.site,
                                    id="fit-site",
                                    clearable=False,
                                    searchable=False,
                                ),
                            ),
                            _labelled("Block", _typed("layer")),
                            _labelled("Tokens", _typed("tokens")),
                            _labelled("Regions K", _typed("regions")),
                            _labelled("Local factors R", _typed("factors")),
                            _labelled("Seed", _typed("seed")),
                            _labelled(
                                "Noise",
                                dcc.Dropdown(
                                    [
                                        {"label": "shared (the paper's)", "value": "shared"},
                                        {"label": "of each region", "value": "component"},
                                    ],
                                    FitRegions.noise,
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
                                html.Button(
                                    "Bring .txt, .jsonl, .json or .csv", className="attune-button", type="button"
                                ),
                                id="corpus-upload",
                                max_size=MOST,
                            ),
                            dbc.Input(
                                id="dataset-name", placeholder="or a Hugging Face dataset id", size="sm", debounce=True
                            ),
                        ],
                        className="attune-row",
                    ),
                    html.Div(id="source-said", className="attune-note"),
                    look_switch(),
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
            html.Div([CURVE.layout(), _released()], className="attune-stack"),
        ],
        className="attune-two",
    )


def _released() -> Node:
    """A mixture that others trained, by path or hub id; where it is from is asked by the form beside it."""
    return html.Section(
        [
            html.Div([html.H3("Trained mixtures of others")], className="attune-card-head"),
            html.P(
                "A checkpoint of the method's authors (.ckpt, .pt, .safetensors) on this machine, or a repository of "
                "the hub. The file names neither model nor block: site, block, texts and tokens are those of the form. "
                "It is tried on activations first, then its regions are surveyed over the texts. The trial tells a "
                "wrong model or site, not a neighbouring block: a mixture of block 9 passes for one of block 10.",
                className="attune-note",
            ),
            html.Div(
                [
                    _labelled(
                        "File",
                        dbc.Input(id="mixture-file", placeholder="path, owner/name or owner/name:file", size="sm"),
                    ),
                    html.Button("Open", id="mixture-open", className="attune-button", type="button"),
                    html.Button(
                        "Save the open fit so",
                        className="attune-button",
                        type="button",
                        title="the fit that is open above, as a checkpoint that the authors' code reads",
                        **{"data-files": "authors"},
                    ),
                ],
                className="attune-row",
            ),
            html.Div(id="mixture-problem"),
        ],
        className="attune-card",
    )


def _typed(name: str) -> Node:
    """A number of the fit, at the default of its field."""
    return dbc.Input(id=f"fit-{name}", type="number", step="any", value=getattr(FitRegions, name), size="sm")


def _labelled(text: str, field: Node) -> Node:
    return html.Div([dbc.Label(text, html_for=field.id), field], className="attune-labelled")


def _keep() -> Node:
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
            _vectors(),
        ],
        className="attune-two",
    )


def _vectors() -> Node:
    """Steering vectors of other programs, in and out."""
    return html.Section(
        [
            html.Div([html.H3("Steering vectors of other programs")], className="attune-card-head"),
            html.P(
                "Control vectors of llama.cpp and repeng (.gguf), .safetensors, .pt or .npy: a vector for each block, "
                "added to the residual stream behind it, beside the regions on the sliders.",
                className="attune-note",
            ),
            html.Div(
                [
                    dcc.Upload(
                        html.Button("Open vectors", className="attune-button", type="button"),
                        id="vectors-open",
                        max_size=64 << 20,
                    ),
                    _labelled(
                        "Block, if the file says none",
                        dbc.Input(id="vectors-block", type="number", step="any", value=OpenVectors.layer, size="sm"),
                    ),
                ],
                className="attune-row",
            ),
            html.Div(id="vectors-said"),
            html.Div(id="vectors-list"),
            html.Div(
                [
                    html.Button("Save the set-up", id="vectors-save", className="attune-button", type="button"),
                    html.Button(
                        "Save the open region", id="vectors-save-region", className="attune-button", type="button"
                    ),
                    dbc.Label("as", html_for="vectors-format"),
                    dcc.Dropdown(
                        [
                            {"label": "GGUF (llama.cpp)", "value": "gguf"},
                            {"label": "safetensors", "value": "safetensors"},
                        ],
                        SaveVectors.format,
                        id="vectors-format",
                        clearable=False,
                        searchable=False,
                        className="attune-labelled",
                    ),
                ],
                className="attune-row",
            ),
            html.Div(id="vectors-saved"),
            dcc.Store(id="vectors-changed"),
            dcc.Store(id="vectors-set"),
        ],
        className="attune-card",
    )
