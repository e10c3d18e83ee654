"""Layout of the tabs of the Neurons page."""

from __future__ import annotations

import dash_bootstrap_components as dbc
from dash import dcc, html

from components.kit.field import number_field
from components.kit.names import progress
from components.kit.types import Node
from pages.neurons.cards import (
    ABLATION,
    ARM_ROWS,
    ARMS,
    BEFORE,
    CHANNELS,
    COSINES,
    DESCENT,
    MAP,
    NULL,
    REBUILDING,
    SHARES,
)
from pages.neurons.state import NeuronsState

NUMBERS = {
    "channels": "channels",
    "kurtosis_weight": "kurtosis weight",
    "cosine_weight": "cosine weight",
    "mask_z": "tokens found, from z",
    "seed": "seed",
}
"""Numbers of the form, in their order."""
OPTIMISERS = [
    {"label": "L-BFGS, two starts (seconds)", "value": "lbfgs"},
    {"label": "AdamW, as in the paper (many times slower)", "value": "adamw"},
]

OPTIMISER_WORDS = (
    "As in the paper: the official recipe whole. AdamW from one start, of its candidates the one of largest kurtosis "
    "without token weights, the official masks; the random vectors' channels, fewer of them, are searched alike."
)


def button(name: str, text: str, label: str = "", primary: bool = False, disabled: bool = False) -> Node:
    """A button; ``label`` says in more words what it does."""
    extra = {"aria-label": label, "title": label} if label else {}
    look = "attune-button attune-primary" if primary else "attune-button"
    return html.Button(text, id=name, className=look, type="button", disabled=disabled, **extra)


def channels_tab(state: NeuronsState) -> Node:
    """The search for channels, its descent, and the channels."""
    return html.Div(
        [
            html.Div(
                [
                    html.Section(
                        [
                            html.Div([html.H3("Find channels")], className="attune-card-head"),
                            html.Div(
                                [
                                    *[
                                        number_field(NeuronsState, name, f"nrn-{name}", label, getattr(state, name))
                                        for name, label in NUMBERS.items()
                                    ],
                                    html.Div(
                                        [
                                            html.Span("optimiser"),
                                            html.Div(
                                                dcc.Dropdown(
                                                    OPTIMISERS,
                                                    state.optimiser,
                                                    id="nrn-optimiser",
                                                    clearable=False,
                                                    searchable=False,
                                                ),
                                                className="attune-pick nrn-optimiser",
                                                title=OPTIMISER_WORDS,
                                            ),
                                        ],
                                        className="attune-inline nrn-wide",
                                    ),
                                ],
                                className="nrn-form",
                            ),
                            html.Div(
                                [
                                    html.Span("Left out", className="nrn-quiet"),
                                    html.Div(id="nrn-chips", className="attune-chips"),
                                ],
                                className="attune-inline nrn-skipped",
                            ),
                            html.Div(
                                [
                                    button("nrn-go", "Run", primary=True),
                                    button("nrn-stop", "Cancel", disabled=True),
                                    progress("nrn-bar", "looking for channels"),
                                ],
                                className="attune-row",
                            ),
                            html.Div(id="nrn-state", className="attune-note nrn-state", **{"aria-live": "polite"}),
                            html.Div(id="nrn-stale", className="nrn-stale", **{"aria-live": "polite"}),
                            html.Div(id="nrn-run-error"),
                        ],
                        className="attune-card",
                        **{"aria-label": "Find channels"},
                    ),
                    DESCENT.layout(),
                ],
                className="nrn-run-row",
            ),
            CHANNELS.layout(html.Div(id="nrn-cards", className="nrn-cards"), className="nrn-channels"),
        ],
        className="attune-stack",
    )


def ablation_tab(state: NeuronsState) -> Node:
    """One channel taken out of the running model."""
    return html.Div(
        [
            ABLATION.layout(
                html.Div(id="nrn-ab-choice", className="attune-row nrn-choices"),
                dbc.Label("Text (empty: where the neuron is most active in the bundled corpus)", html_for="nrn-text"),
                dbc.Textarea(
                    id="nrn-text",
                    value=state.text,
                    rows=2,
                    debounce=0.6,
                    spellCheck=False,
                    className="attune-prompt",
                ),
                html.Div(id="nrn-ab-error"),
                html.Div(id="nrn-ab-said", className="attune-answer nrn-ab-said", **{"aria-live": "polite"}),
                html.Div(id="nrn-ab-strip", className="nrn-strip"),
                controls=html.Span(id="nrn-ab-busy", className="attune-note", **{"aria-live": "polite"}),
            ),
            html.Div(
                [
                    ARMS.layout(),
                    BEFORE.layout(),
                ],
                className="attune-two",
            ),
            ARM_ROWS.layout(
                html.Div(id="nrn-arms-table", className="attune-table-box nrn-arms-table"),
                className="attune-card attune-untitled attune-floating",
            ),
        ],
        className="attune-stack",
    )


def geometry_tab() -> Node:
    """How channels stand to the neuron and to one another."""
    return html.Div(
        [
            COSINES.layout(),
            REBUILDING.layout(),
        ],
        className="attune-two",
    )


def layers_tab() -> Node:
    """Where in the model neurons differ from random vectors."""
    return html.Div(
        [
            html.Div(id="nrn-map-error"),
            MAP.layout(),
            SHARES.layout(),
        ],
        className="attune-stack",
    )


def null_tab() -> Node:
    """What random vectors give."""
    return NULL.layout(
        html.Div(id="nrn-null-said", className="attune-note"),
        html.Div(id="nrn-attractors", className="nrn-attractors"),
    )
