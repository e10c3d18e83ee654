"""Layout of the tab on lists of neurons: results of others opened, a run over a list, one held against the other."""

from __future__ import annotations

import dash_bootstrap_components as dbc
from dash import dcc, html

from analysis.rotate.ops.sets import FindMany
from components.kit.field import number_field
from components.kit.names import progress
from components.kit.panels import empty
from components.kit.types import Node
from pages.neurons.cards import SETS
from pages.neurons.tabs import OPTIMISERS, button


def _pick(name: str, label: str, placeholder: str) -> Node:
    return html.Div(
        [
            html.Span(label),
            html.Div(
                dcc.Dropdown([], id=name, placeholder=placeholder, searchable=False),
                className="attune-pick attune-story",
            ),
        ],
        className="attune-inline",
    )


def _bring(name: str, text: str, multiple: bool = False, size: int = 16) -> Node:
    return dcc.Upload(button(f"{name}-open", text), id=name, multiple=multiple, max_size=size << 20)


def lists_tab() -> Node:
    """Sets of channels: open, run, compare, write."""
    return html.Div(
        [
            html.Section(
                [
                    html.Div([html.H3("Run over a list of neurons")], className="attune-card-head"),
                    html.Div(
                        "Of the block and the vector that are chosen above.",
                        className="attune-note",
                    ),
                    html.Div(
                        [
                            _bring("nrn-list-upload", "List of neurons (.json, .txt, .pt)"),
                            html.Span(id="nrn-list-said", className="attune-note", **{"aria-live": "polite"}),
                            _bring("nrn-outliers-upload", "Tokens to leave out (.pt, .json, .txt)"),
                            html.Span(id="nrn-outliers-said", className="attune-note", **{"aria-live": "polite"}),
                        ],
                        className="attune-row",
                    ),
                    html.Div(
                        [
                            number_field(FindMany, "channels", "nrn-many-channels", "channels"),
                            number_field(FindMany, "mask_z", "nrn-many-mask", "mask from z"),
                            html.Div(
                                dcc.Dropdown(
                                    OPTIMISERS, "lbfgs", id="nrn-many-optimiser", clearable=False, searchable=False
                                ),
                                className="attune-pick nrn-optimiser",
                            ),
                            button("nrn-many", "Run", primary=True),
                            button("nrn-many-stop", "Cancel", disabled=True),
                            progress("nrn-many-bar", "finding the channels of the list"),
                            html.Span(id="nrn-many-state", className="attune-note", **{"aria-live": "polite"}),
                        ],
                        className="attune-row",
                    ),
                    html.Div(id="nrn-many-error"),
                ],
                className="attune-card",
                **{"aria-label": "Run over a list of neurons"},
            ),
            SETS.layout(
                html.Div(
                    [
                        _bring("nrn-results-upload", "Open results.pt (and metadata.json)", multiple=True, size=34),
                        dbc.Label(
                            "Path of a results.pt on the machine of the app",
                            html_for="nrn-results-path",
                            className="visually-hidden",
                        ),
                        dbc.Input(
                            id="nrn-results-path",
                            placeholder="from 34 MB on: its path, and Enter",
                            size="sm",
                            maxLength=1000,
                        ),
                        _pick("nrn-set", "set", "No set yet"),
                        _pick("nrn-set-against", "beside", "channels made beforehand"),
                        button("nrn-set-read", "Read", primary=True),
                        button("nrn-set-stop", "Cancel", disabled=True),
                        progress("nrn-set-bar", "reading the channels"),
                        button("nrn-set-write", "Write results.pt"),
                    ],
                    className="attune-row",
                ),
                html.Div(id="nrn-set-state", className="attune-note", **{"aria-live": "polite"}),
                html.Div(id="nrn-set-said", className="attune-note", **{"aria-live": "polite"}),
                html.Div(id="nrn-set-error"),
                html.Div(
                    empty("Open the results of others, or run over a list."),
                    id="nrn-set-table",
                    className="attune-table-box",
                ),
            ),
        ],
        className="attune-stack",
    )
