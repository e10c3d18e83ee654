"""Layout of the Attention page, from top to bottom in the order in which one asks: which prompt, which head, which
token, why. The callbacks are in the modules beside this one."""

from __future__ import annotations

from typing import Any

import dash_bootstrap_components as dbc
from dash import dcc, html

from analysis.qk.contrasts import CONTRAST_KINDS
from components.kit.figure_card import figure_card
from components.kit.names import named, progress
from components.kit.panels import empty
from pages.attention import answer, features, heads, overlap, proof, reading
from pages.attention.state import ADDRESS, PATH, TABS, View, read_address
from pages.manifest import PageManifest
from pages.presses import queue_stores

# Importing these registers the page's callbacks; naming them here keeps the import from looking unused.
CALLBACKS = (answer, features, heads, overlap, proof, reading)

_SIDES = [("query", "query"), ("key", "key"), ("both", "both")]
_REFERENCES = [("mean of the others", "others"), ("a chosen token", "token"), ("nothing (raw)", "none")]


def layout(**query: Any) -> Any:
    """The page as its address describes it."""
    view = read_address(query)
    return html.Div(
        [
            *_stores(view),
            html.H1("Why did this head attend to that token?", className="attune-title"),
            html.Div([_prompt(view), _heads(view)], className="attune-two attune-two-prompt"),
            html.Div([_tokens(), _matrix()], className="attune-two"),
            _features(view),
            dbc.Tabs(
                [
                    dbc.Tab(_why(view), tab_id="why", label="Attribution"),
                    dbc.Tab(_swap(), tab_id="swap", label="What if"),
                    dbc.Tab(_evidence(), tab_id="evidence", label="Evidence"),
                    dbc.Tab(_map(), tab_id="map", label="Map"),
                    dbc.Tab(_overlap(), tab_id="overlap", label="Alignment and overlap"),
                ],
                id="tab",
                active_tab=view.tab,
            ),
        ],
        className="attune-page",
    )


MANIFEST = PageManifest(
    "Attention",
    PATH,
    order=10,
    layout=layout,
    needs="recorded attention",
    state=View,
    address=ADDRESS,
    read_address=read_address,
    tabs=TABS,
)


def _stores(view: View) -> list[Any]:
    return [
        dcc.Store(id="start", data={"model": view.model, "text": view.text}),
        dcc.Store(id="reading"),
        dcc.Store(id="packed"),
        dcc.Store(id="head", data=view.head),
        dcc.Store(id="query", data=view.query),
        dcc.Store(id="key", data=view.key),
        dcc.Store(id="features", data=view.features),
        dcc.Store(id="feature-made"),
        *queue_stores("features"),
        dcc.Store(id="fitted", data={"flags": [], "turn": 0}),
        dcc.Store(id="address-text", data=""),
        dcc.Store(id="address-features", data=""),
        dcc.Store(id="aligned"),
        dcc.Store(id="asked"),
        html.Div(id="strip-sink", hidden=True),
    ]


def _prompt(view: View) -> Any:
    return html.Section(
        [
            html.Div([html.H3("Prompt")], className="attune-card-head"),
            dcc.Dropdown(id="preset", placeholder="Presets", clearable=True, searchable=False),
            html.Div(id="preset-why", className="attune-note"),
            dbc.Label("Text", html_for="prompt", className="visually-hidden"),
            dbc.Textarea(id="prompt", value=view.text, rows=6, spellCheck=False, className="attune-prompt"),
            html.Div(
                [
                    dbc.Switch(id="chat", value=view.chat, label="Chat template"),
                    html.Div(
                        [
                            dbc.Label("Generate", html_for="generate"),
                            dbc.Input(
                                id="generate",
                                type="number",
                                step="any",
                                value=view.generate,
                                size="sm",
                                className="attune-number",
                            ),
                            html.Span("tokens"),
                        ],
                        className="attune-inline",
                    ),
                ],
                className="attune-row",
            ),
            html.Div(
                [
                    html.Button("Read", id="read", className="attune-button attune-primary", type="button"),
                    html.Button("Cancel", id="read-cancel", className="attune-button", type="button", disabled=True),
                    progress("read-bar", "reading the prompt"),
                ],
                className="attune-row",
            ),
            html.Div(id="read-text", className="attune-note", **{"aria-live": "polite"}),
            html.Div(id="prompt-error"),
            html.Div(id="prompt-notes", className="attune-note"),
            html.Div(id="next-tokens", className="attune-next"),
        ],
        className="attune-card",
        **{"aria-label": "Prompt"},
    )


def _heads(view: View) -> Any:
    controls = [
        dcc.Dropdown(
            id="score",
            value=view.score,
            clearable=False,
            searchable=False,
            className="attune-pick",
            options=[{"label": view.score, "value": view.score}],
        ),
        dbc.RadioItems(
            id="grid-mode",
            inline=True,
            value="score",
            options=[{"label": "score", "value": "score"}, {"label": "patterns", "value": "patterns"}],
        ),
        dbc.Switch(id="grid-ranked", label="in order of score", value=False),
    ]
    return html.Div(
        [
            figure_card(
                "grid", "Heads", "Click a head to open it.", 330, html.Div(controls, className="attune-inline")
            ),
            html.Div(id="top-heads", className="attune-top"),
        ]
    )


def _tokens() -> Any:
    return html.Section(
        [
            html.Div(
                [
                    html.H3("Tokens", id="tokens-title"),
                    dbc.Switch(id="skip-first", value=True, label="leave out the first token (attention sink)"),
                ],
                className="attune-card-head",
            ),
            html.Div("Which token asks? Hover to preview, click to choose.", className="attune-note"),
            html.Div(id="query-strip", className="attune-strip", role="group", **{"aria-label": "query tokens"}),
            html.Div(
                "Where does it look? Shaded by the square root of its attention, as a share of the "
                "strongest; click one to ask why.",
                className="attune-note",
            ),
            html.Div(
                id="key-strip", className="attune-strip attune-keys", role="group", **{"aria-label": "key tokens"}
            ),
            html.Div(id="answer", className="attune-answer", **{"aria-live": "polite"}),
            html.Div("This is the head's own attention, not the model's answer.", className="attune-note"),
        ],
        className="attune-card",
        **{"aria-label": "Tokens"},
    )


def _matrix() -> Any:
    return figure_card("matrix", "Attention of this head", "", 470)


def _features(view: View) -> Any:
    kinds = [{"label": k.title, "value": name} for name, k in CONTRAST_KINDS.items()]
    return html.Section(
        [
            html.Div(
                [
                    html.H3("Features"),
                    html.Span(
                        "A contrast of keys that match with keys that do not defines a subspace of every head at once.",
                        className="attune-note",
                    ),
                ],
                className="attune-card-head",
            ),
            html.Div(id="feature-list", className="attune-chips"),
            html.Div(
                [
                    html.Div(
                        dcc.Dropdown(kinds, "induction", id="kind", clearable=False, searchable=False),
                        className="attune-pick",
                    ),
                    html.Button("Define a feature", id="define", className="attune-button", type="button"),
                    html.Button("Fit", id="fit", className="attune-button attune-primary", type="button"),
                    html.Button("Cancel", id="fit-cancel", className="attune-button", type="button", disabled=True),
                    progress("fit-bar", "fitting the features"),
                    html.Span(id="fit-text", className="attune-note", **{"aria-live": "polite"}),
                ],
                className="attune-row",
            ),
            html.Div(id="fit-error"),
            dbc.Collapse(html.Div(id="contrast-form"), id="form-panel", is_open=False),
            html.Div(
                [
                    dbc.Label("Active feature", html_for="active"),
                    html.Div(
                        dcc.Dropdown(id="active", value=view.active, clearable=False, searchable=False),
                        className="attune-pick",
                    ),
                    dbc.Switch(id="manual-rank", value=view.manual, label="set the rank by hand"),
                    named(
                        "rank",
                        dcc.Slider(
                            0,
                            64,
                            1,
                            value=max(0, view.rank),
                            id="rank",
                            marks=None,
                            disabled=not view.manual,
                            updatemode="mouseup",
                        ),
                        "attune-slider",
                    ),
                    dbc.RadioItems(
                        id="rotary",
                        inline=True,
                        value="post",
                        options=[
                            {"label": "after rotary", "value": "post"},
                            {"label": "before rotary (not additive to the logit)", "value": "pre"},
                        ],
                    ),
                    dbc.Switch(id="centred", value=False, label="centred"),
                ],
                className="attune-row attune-active",
            ),
        ],
        className="attune-card",
        **{"aria-label": "Features"},
    )


def _why(view: View) -> Any:
    controls = html.Div(
        [
            html.Span("split the"),
            dbc.RadioItems(
                id="side", inline=True, value=view.side, options=[{"label": a, "value": b} for a, b in _SIDES]
            ),
            html.Span("relative to"),
            dcc.Dropdown(
                [{"label": a, "value": b} for a, b in _REFERENCES],
                view.reference,
                id="reference",
                clearable=False,
                searchable=False,
                className="attune-pick",
            ),
            dcc.Dropdown(id="reference-token", placeholder="token", clearable=False, className="attune-pick"),
            dbc.RadioItems(
                id="unit",
                inline=True,
                value="nats",
                options=[{"label": "nats", "value": "nats"}, {"label": "raw logit", "value": "raw"}],
            ),
            dbc.Switch(id="orthogonalise", value=False, label="orthogonalise"),
        ],
        className="attune-inline attune-wrap",
    )
    return [figure_card("bars", "What the logits are made of", "", 400, controls), html.Div(id="bars-error")]


def _swap() -> Any:
    controls = html.Div(
        [
            html.Span("swap"),
            dcc.Dropdown(id="swap-a", clearable=False, className="attune-pick"),
            html.Span("with"),
            dcc.Dropdown(id="swap-b", clearable=False, className="attune-pick"),
            html.Button("Ask the whole model", id="ask-model", className="attune-button", type="button"),
        ],
        className="attune-inline attune-wrap",
    )
    return [
        html.Div(
            [
                figure_card("swap", "Swap two keys inside this feature", "", 380, controls),
                figure_card("prediction", "What the whole model would say next", "Press “Ask the whole model”.", 380),
            ],
            className="attune-two",
        ),
        html.Div(id="swap-error"),
    ]


def _evidence() -> Any:
    return [
        html.Div(id="evidence-text", children=empty("Fit a feature to see what supports it.")),
        html.Div(
            [
                figure_card("spectrum", "Singular values and the null", "", 360),
                figure_card("directions", "Share of the mean logit gap, by singular pair", "", 360),
            ],
            className="attune-two",
        ),
    ]


def _map() -> Any:
    controls = html.Div(
        [
            html.Button("Test by swaps", id="held-out", className="attune-button attune-primary", type="button"),
            html.Button("Cancel", id="held-out-cancel", className="attune-button", type="button", disabled=True),
            progress("held-out-bar", "measuring on held-out examples"),
            html.Span(id="held-out-text", className="attune-note"),
        ],
        className="attune-row",
    )
    switches = html.Div(
        [
            dbc.Switch(id="map-deep", label="3-D", value=False),
            dbc.Switch(id="map-by-label", label="colour by value", value=False),
            dbc.Switch(id="map-own", label="show this prompt", value=True),
        ],
        className="attune-inline",
    )
    return [
        controls,
        html.Div(id="held-out-error"),
        html.Div(id="held-basis", className="attune-note", **{"aria-live": "polite"}),
        dcc.Store(id="held"),
        html.Div(
            [
                figure_card("map", "Queries and keys in the subspace", "", 460, switches),
                figure_card("by-rank", "Swapping keys", "", 460, title_id="by-rank-title"),
            ],
            className="attune-two",
        ),
    ]


def _overlap() -> Any:
    return [
        html.Div(
            [
                figure_card("alignment", "This feature's part of every logit", "", 460),
                figure_card("overlap", "How far the features coincide on this head", "", 460),
            ],
            className="attune-two",
        ),
        html.Div(id="overlap-error"),
    ]
