"""The tabs of the Attention page: whole head, what if, evidence, map, alignment and overlap; and the bars above."""

from __future__ import annotations

import dash_bootstrap_components as dbc
from dash import dcc, html

from components.kit.names import popup, progress
from components.kit.panels import empty
from components.kit.types import Node
from pages.attention.cards import (
    ALIGNMENT,
    BARS,
    BY_RANK,
    DIRECTIONS,
    EVIDENCE,
    MAP,
    MATRIX,
    OVERLAP,
    PATCH,
    PATCH_RANKS,
    PREDICTION,
    SPECTRUM,
    SWAP,
)
from pages.attention.state import AttentionState

_SIDES = [("query", "query"), ("key", "key"), ("both", "both")]
_REFERENCES = [("mean of the others", "others"), ("a chosen token", "token"), ("nothing (raw)", "none")]


def bars(state: AttentionState) -> list[Node]:
    """What the logits of one query are made of. It stands beside the tokens, on the first screen."""
    controls = popup(
        html.Div(
            [
                html.Span("split the"),
                dbc.RadioItems(
                    id="side", inline=True, value=state.side, options=[{"label": a, "value": b} for a, b in _SIDES]
                ),
            ],
            className="attune-inline",
        ),
        html.Div(
            [
                html.Span("relative to"),
                dcc.Dropdown(
                    [{"label": a, "value": b} for a, b in _REFERENCES],
                    state.reference,
                    id="reference",
                    clearable=False,
                    searchable=False,
                    className="attune-pick",
                ),
                dcc.Dropdown(id="reference-token", placeholder="token", clearable=False, className="attune-pick"),
            ],
            className="attune-inline attune-wrap",
        ),
        html.Div(
            [
                dbc.RadioItems(
                    id="unit",
                    inline=True,
                    value=state.unit,
                    options=[
                        {"label": "nats", "value": "nats"},
                        {"label": "raw logit", "value": "raw"},
                        {"label": "what it writes", "value": "writes"},
                    ],
                ),
                html.Div(
                    "Nats: logits as the softmax sees them; a difference of 1 multiplies the attention by 2.7.",
                    className="attune-note",
                ),
            ],
            className="attune-inline",
        ),
    )
    return [BARS.layout(controls), html.Div(id="bars-error")]


def matrix_tab() -> list[Node]:
    """The attention of the opened head, all queries and all keys."""
    return [MATRIX.layout()]


def swap_tab() -> list[Node]:
    """Two keys trade places, and what the whole model makes of it."""
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
                SWAP.layout(controls),
                PREDICTION.layout(),
            ],
            className="attune-two",
        ),
        html.Div(id="swap-error"),
    ]


def evidence_tab() -> list[Node]:
    """What supports the active feature on the opened head."""
    return [
        EVIDENCE.layout(html.Div(id="evidence-text", children=empty("Fit a feature to see what supports it."))),
        html.Div([PATCH.layout(), PATCH_RANKS.layout()], className="attune-two"),
        html.Div(
            [
                SPECTRUM.layout(),
                DIRECTIONS.layout(),
            ],
            className="attune-two",
        ),
    ]


def map_tab() -> list[Node]:
    """A test by swaps, and the map of what was tested."""
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
                MAP.layout(switches),
                BY_RANK.layout(title_id="by-rank-title"),
            ],
            className="attune-two",
        ),
    ]


def overlap_tab() -> list[Node]:
    """The feature's part of every logit, and how far features coincide."""
    return [
        html.Div(
            [
                ALIGNMENT.layout(),
                OVERLAP.layout(),
            ],
            className="attune-two",
        ),
        html.Div(id="overlap-error"),
    ]
