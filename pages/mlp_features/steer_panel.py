"""Layout of the tab in which a feature steers the model, beside its baselines."""

from __future__ import annotations

import dash_bootstrap_components as dbc
from dash import html

from analysis.snmf.ops.steer import FeatureEffect, FeatureText
from components.kit.field import number_field
from components.kit.types import Node
from pages.mlp_features import alternatives
from pages.mlp_features.cards import ARMS, NEXT, TEXTS
from pages.mlp_features.state import FeaturesState
from pages.mlp_features.tabs import button, pick

BASELINES = {
    "none": "no baseline text",
    "DiffMean": "DiffMean (supervised)",
    "single neuron": "its largest neuron alone",
    "random sparse": "random sparse direction",
    "shuffled neurons": "its weights on other neurons",
}


def steer_tab(state: FeaturesState) -> Node:
    """A strength by target KL, what changes, and texts, beside baselines at the same KL."""
    return html.Div(
        [
            ARMS.layout(
                dbc.Label("Prompt", html_for="mlp-prompt", className="visually-hidden"),
                dbc.Textarea(
                    id="mlp-prompt",
                    value=state.prompt,
                    rows=2,
                    debounce=0.6,
                    spellCheck=False,
                    className="attune-prompt",
                ),
                html.Div(
                    [
                        dbc.Switch(id="mlp-chat", value=state.chat, label="Chat template"),
                        html.Span(id="mlp-chat-said", className="attune-note"),
                    ],
                    className="attune-row",
                ),
                html.Div(id="mlp-effect-said", className="attune-answer mlp-said", **{"aria-live": "polite"}),
                html.Div(id="mlp-effect-error"),
                html.Div(id="mlp-arms", className="attune-table-box mlp-arms"),
                controls=html.Div(
                    [
                        dbc.RadioItems(
                            [{"label": "more of it (+)", "value": 1}, {"label": "less of it (−)", "value": -1}],
                            state.pole,
                            id="mlp-pole",
                            inline=True,
                        ),
                        number_field(
                            FeatureEffect, "target", "mlp-target", "target KL, nats", state.target, debounce=True
                        ),
                        html.Span(id="mlp-busy", className="attune-note", **{"aria-live": "polite"}),
                    ],
                    className="attune-head-row",
                ),
                title_id="mlp-steer-title",
            ),
            html.Div(
                [NEXT.layout(), _texts()],
                className="mlp-steer-row",
            ),
        ],
        className="attune-stack",
    )


def _texts() -> Node:
    def one(title: str, name: str, box: str = "") -> Node:
        extra = {"id": box} if box else {}
        log = html.Div(id=name, className="attune-written", tabIndex="0", role="log", **{"aria-label": title})
        return html.Div([html.H4(title), log], className="attune-text", **extra)

    return TEXTS.layout(
        html.Div(
            [
                number_field(FeatureText, "count", "mlp-length", "tokens"),
                number_field(FeatureText, "temperature", "mlp-temperature", "temperature"),
                number_field(FeatureText, "top_p", "mlp-top-p", "top-p"),
                number_field(FeatureText, "seed", "mlp-seed", "seed", 1),
                pick(FeatureText, "baseline", "mlp-baseline", BASELINES),
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
        *alternatives.below_texts(),
        html.Div(id="mlp-readouts", className="attune-readouts", **{"data-figures-of": "mlp"}),
        controls=html.Div(
            [
                button("mlp-write", "Write", primary=True),
                button("mlp-stop", "Stop", disabled=True),
                html.Span(id="mlp-stream-state", className="attune-note", **{"aria-live": "polite"}),
            ],
            className="attune-head-row",
        ),
    )
