"""Layout of the tab in which a feature steers the model, beside its baselines."""

from __future__ import annotations

from typing import Any

import dash_bootstrap_components as dbc
from dash import dcc, html

from components.kit.figure_card import figure_card
from pages.mlp_features.state import View
from pages.mlp_features.tabs import button, field

BASELINES = [
    {"label": "no baseline text", "value": "none"},
    {"label": "DiffMean (supervised)", "value": "DiffMean"},
    {"label": "its largest neuron alone", "value": "single neuron"},
    {"label": "random sparse direction", "value": "random sparse"},
    {"label": "its weights on other neurons", "value": "shuffled neurons"},
]


def steer_tab(view: View) -> Any:
    """A strength by target KL, what changes, and texts, beside baselines at the same KL."""
    return html.Div(
        [
            html.Section(
                [
                    html.Div(
                        [
                            html.H3("Steer", id="mlp-steer-title"),
                            dbc.RadioItems(
                                [{"label": "more of it (+)", "value": 1}, {"label": "less of it (−)", "value": -1}],
                                view.pole,
                                id="mlp-pole",
                                inline=True,
                            ),
                            field("target KL, nats", "mlp-target", view.target, debounce=True),
                            html.Span(id="mlp-busy", className="attune-note", **{"aria-live": "polite"}),
                        ],
                        className="attune-card-head",
                    ),
                    dbc.Label("Prompt", html_for="mlp-prompt", className="visually-hidden"),
                    dbc.Textarea(
                        id="mlp-prompt",
                        value=view.prompt,
                        rows=2,
                        debounce=0.6,
                        spellCheck=False,
                        className="attune-prompt",
                    ),
                    html.Div(id="mlp-effect-said", className="attune-answer mlp-said", **{"aria-live": "polite"}),
                    html.Div(id="mlp-effect-error"),
                    html.Div(id="mlp-arms", className="attune-table-box mlp-arms"),
                ],
                className="attune-card",
            ),
            html.Div(
                [figure_card("mlp-next", "Next token", "", 420), _texts()],
                className="mlp-steer-row",
            ),
        ],
        className="attune-stack",
    )


def _texts() -> Any:
    def one(title: str, name: str, box: str = "") -> Any:
        extra = {"id": box} if box else {}
        log = html.Div(id=name, className="attune-written", tabIndex="0", role="log", **{"aria-label": title})
        return html.Div([html.H4(title), log], className="attune-text", **extra)

    return html.Section(
        [
            html.Div(
                [
                    html.H3("Texts"),
                    button("mlp-write", "Write", primary=True),
                    button("mlp-stop", "Stop", disabled=True),
                    html.Span(id="mlp-stream-state", className="attune-note", **{"aria-live": "polite"}),
                ],
                className="attune-card-head",
            ),
            html.Div(
                [
                    field("tokens", "mlp-length", 40),
                    field("temperature", "mlp-temperature", 0.7),
                    field("top-p", "mlp-top-p", 0.95),
                    field("seed", "mlp-seed", 1),
                    html.Div(
                        dcc.Dropdown(BASELINES, "none", id="mlp-baseline", clearable=False, searchable=False),
                        className="attune-pick",
                    ),
                ],
                className="attune-row attune-settings",
            ),
            html.Div(id="mlp-write-error"),
            html.Div(id="mlp-stream-error", className="attune-stream-error", role="alert"),
            html.Div(
                [
                    one("Unsteered", "mlp-base-text"),
                    one("Steered with the feature", "mlp-steered-text"),
                    one("Baseline at the same KL", "mlp-control-text", "mlp-control-panel"),
                ],
                className="attune-texts",
            ),
            html.Div(
                "Each token is shaded by the KL of the unsteered model's prediction from the steered one.",
                className="attune-note",
            ),
            html.Div(id="mlp-readouts", className="attune-readouts"),
        ],
        className="attune-card",
        **{"aria-label": "Texts"},
    )
