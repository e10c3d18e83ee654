"""The panel of features: one line of steps from a contrast to what it explains, and for experts how it is fitted.

A contrast is written in the form, or made of the prompt (:mod:`pages.attention.making`); both end in the list above.
"""

from __future__ import annotations

from typing import Any

import dash_bootstrap_components as dbc
from dash import dcc, html

from analysis.qk.contrasts import CONTRAST_KINDS
from components.kit.names import named, popup, progress
from components.kit.types import Node
from pages.attention.cards import FEATURES
from pages.attention.state import AttentionState

_RULE = "The energy rule takes as many directions as hold 99 % of the squared singular values."
_ROTARY = (
    "Before rotary: the vectors before the model turns them by their positions. Their product is no part of the logit, "
    "so the bars use those after it."
)
_CENTRED = "Centred: of vectors less their mean, so that the mean key, which all keys share, is no direction."
_ORDER = (
    "Orthogonalise: each feature takes only what those before it in the list leave; else what overlaps counts twice."
)


def features_panel(state: AttentionState) -> Node:
    """The list, the three steps, and what opens under them."""
    return FEATURES.layout(
        html.Div(id="feature-list", className="attune-chips"),
        html.Ol(
            [
                html.Li([html.Span("1 Define", className="attn-step"), *_define()]),
                html.Li([html.Span("2 Fit", className="attn-step"), *_fit()]),
                html.Li([html.Span("3 Look", className="attn-step"), *_look(state)]),
            ],
            className="attn-steps",
        ),
        html.Div(id="fit-error"),
        made_box(),
        dbc.Collapse(html.Div(id="contrast-form"), id="form-panel", is_open=False),
        controls=html.Span(
            "A contrast of keys that match with keys that do not defines a subspace of every head at once.",
            className="attune-note",
        ),
    )


def make_button() -> Node:
    """The way from the chosen query and key to a contrast; it stands beside the sentence on them."""
    return html.Button(
        "Make it a contrast",
        id="make",
        className="attune-button attn-make",
        type="button",
        title="Turns this query and this key into a template with word lists, and looks whether it holds",
    )


def made_box() -> Node:
    """What is made of the prompt: how far it is, what it says, and the press that fits it."""
    return html.Div(
        [
            html.Div(
                [
                    html.Strong("A contrast from this prompt"),
                    html.Button("Cancel", id="made-cancel", className="attune-button", type="button", disabled=True),
                    progress("made-bar", "making a contrast"),
                    html.Span(id="made-text", className="attune-note", **{"aria-live": "polite"}),
                ],
                className="attune-row",
            ),
            html.Div(id="made-said", **{"aria-live": "polite"}),
            html.Div(
                [
                    html.Button(
                        "Check and fit",
                        id="made-fit",
                        className="attune-button attune-primary",
                        type="button",
                        disabled=True,
                        title="Looks at drawn examples of the form below, and fits every head if they hold",
                    ),
                    html.Button(
                        "Cancel", id="made-fit-cancel", className="attune-button", type="button", disabled=True
                    ),
                    progress("made-fit-bar", "checking and fitting"),
                    html.Span(id="made-fit-text", className="attune-note", **{"aria-live": "polite"}),
                ],
                className="attune-row",
            ),
            html.Div(id="made-outcome", **{"aria-live": "polite"}),
        ],
        id="made-box",
        className="attn-made",
        hidden=True,
    )


def _define() -> list[Node]:
    kinds = [{"label": k.title, "value": name} for name, k in CONTRAST_KINDS.items()]
    return [
        html.Div(
            dcc.Dropdown(kinds, "induction", id="kind", clearable=False, searchable=False), className="attune-pick"
        ),
        html.Button("Define a feature", id="define", className="attune-button", type="button"),
    ]


def _fit() -> list[Node]:
    return [
        html.Button("Fit", id="fit", className="attune-button attune-primary", type="button"),
        html.Button("Cancel", id="fit-cancel", className="attune-button", type="button", disabled=True),
        progress("fit-bar", "fitting the features"),
        html.Span(id="fit-text", className="attune-note", **{"aria-live": "polite"}),
    ]


def _look(state: AttentionState) -> list[Node]:
    pick: Any = dcc.Dropdown(id="active", value=state.active, clearable=False, searchable=False)
    return [
        dbc.Label("Active feature", html_for="active"),
        html.Div(pick, className="attune-pick"),
        popup(*_experts(state), label="For experts"),
    ]


def _experts(state: AttentionState) -> list[Node]:
    slider = dcc.Slider(
        0, 64, 1, value=max(0, state.rank), id="rank", marks=None, disabled=not state.manual, updatemode="mouseup"
    )
    vectors = [{"label": "after rotary", "value": "post"}, {"label": "before rotary", "value": "pre"}]
    rows: list[tuple[list[Node], str]] = [
        ([dbc.Switch(id="manual-rank", value=state.manual, label="set the rank by hand"),
          named("rank", slider, "attune-slider")], _RULE),
        ([dbc.RadioItems(vectors, state.rotary, id="rotary", inline=True)], _ROTARY),
        ([dbc.Switch(id="centred", value=state.centred, label="centred")], _CENTRED),
        ([dbc.Switch(id="orthogonalise", value=state.orthogonalise, label="orthogonalise")], _ORDER),
    ]  # fmt: skip
    return [
        html.Div([html.Div(controls, className="attune-inline"), html.Div(text, className="attune-note")])
        for controls, text in rows
    ]
