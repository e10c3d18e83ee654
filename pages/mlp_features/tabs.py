"""Layout of the tabs of the MLP features page, but for steering (`steer_panel`)."""

from __future__ import annotations

from collections.abc import Mapping

import dash_bootstrap_components as dbc
from dash import dcc, html

from analysis.snmf.ops.factorization import MAX_TEXTS, FitFactorization
from analysis.snmf.ops.released import MAX_FILE
from components.kit.field import choice_field, number_field
from components.kit.names import named, progress
from components.kit.panels import empty
from components.kit.types import Json, Node
from pages.mlp_features.cards import (
    ABOUT,
    AUC,
    CONCEPT,
    CURVE,
    DETECTION,
    EFFECTS,
    NEW_CURVE,
    READING,
    RELATED,
    SCORE,
    SHARED,
    SPLIT,
    TREE,
)
from pages.mlp_features.state import FeaturesState
from pages.presses import press

SITES = {
    "mlp_hidden": "MLP hidden, after the non-linearity",
    "mlp_output": "MLP output",
    "residual": "residual stream",
}
STARTS = {"kmeans": "k-means", "random": "random", "svd": "SVD"}


def button(name: str, text: str, label: str = "", primary: bool = False, disabled: bool = False, **more: Json) -> Node:
    """A button; ``label`` says in words what a symbol means; ``more``: further attributes."""
    extra = ({"aria-label": label, "title": label} if label else {}) | more
    look = "attune-button attune-primary" if primary else "attune-button"
    return html.Button(text, id=name, className=look, type="button", disabled=disabled, **extra)


def pick(owner: type, name: str, control: str, labels: Mapping[str, str]) -> Node:
    """The choices of a field, in a box that keeps its place until the control has come."""
    return html.Div(choice_field(owner, name, control, labels, className=""), className="attune-pick")


def _labelled(label: str, name: str, control: str, labels: Mapping[str, str]) -> Node:
    return html.Div([html.Span(label), pick(FitFactorization, name, control, labels)], className="attune-inline")


def reading_tab(state: FeaturesState) -> Node:
    """A typed text as tokens x features."""
    return html.Div(
        [
            html.Div(
                [
                    dbc.Label("A sentence", html_for="mlp-text", className="visually-hidden"),
                    dbc.Textarea(
                        id="mlp-text",
                        value=state.text,
                        rows=2,
                        debounce=0.6,
                        spellCheck=False,
                        className="attune-prompt",
                    ),
                    html.Div(id="mlp-reading-error"),
                ]
            ),
            html.Div(id="mlp-strip", className="mlp-strip", role="group", **{"aria-label": "tokens"}),
            READING.layout(),
        ],
        className="attune-stack",
    )


def overlap_tab() -> Node:
    """Shared neurons, the core, what is exclusive, and what the parts do."""
    return html.Div(
        [
            html.Div(
                [
                    html.Span("Compared:"),
                    html.Div(id="mlp-chips", className="attune-chips"),
                    button("mlp-members-clear", "Clear", **press("mlp-members", "clear")),
                ],
                className="attune-row",
            ),
            html.Div(id="mlp-members-error"),
            html.Div(id="mlp-overlap-error"),
            html.Div(
                [
                    SHARED.layout(),
                    EFFECTS.layout(),
                ],
                className="attune-two",
            ),
            html.Div(
                [
                    SPLIT.layout(
                        html.Div(empty("Choose two features or more."), id="mlp-split", className="mlp-split")
                    ),
                    RELATED.layout(html.Div(id="mlp-related", className="mlp-split")),
                ],
                className="attune-two",
            ),
        ],
        className="attune-stack",
    )


def tree_tab(state: FeaturesState) -> Node:
    """One concept and its descendants."""
    return html.Div(
        [
            html.Div(
                [
                    html.Span("concept"),
                    html.Div(
                        dcc.Dropdown(id="mlp-root", clearable=False, placeholder="a concept"),
                        className="attune-pick mlp-root",
                    ),
                    dbc.Switch(id="mlp-root-only", value=False, label="only those with the open feature"),
                    html.Span("threshold"),
                    named(
                        "threshold",
                        dcc.Slider(
                            0,
                            1,
                            0.01,
                            value=state.threshold,
                            id="mlp-threshold",
                            marks={0: "0", 0.25: "0.25", 0.5: "0.5", 0.75: "0.75", 1: "1"},
                            updatemode="drag",
                            allow_direct_input=False,
                        ),
                        "attune-slider mlp-threshold",
                    ),
                    html.Span(id="mlp-threshold-said", className="mlp-value"),
                ],
                className="attune-row",
            ),
            html.Div(id="mlp-tree-error"),
            TREE.layout(),
            CONCEPT.layout(
                html.Details([html.Summary("The same as a list, for the keyboard"), html.Div(id="mlp-outline")]),
                className="attune-card attune-untitled attune-floating",
            ),
        ],
        className="attune-stack",
    )


def detection_tab() -> Node:
    """The detection table by layer against all baselines."""
    return html.Div(
        [
            html.Div(id="mlp-detection-error"),
            html.P(id="mlp-detection-said", className="attune-note mlp-detection-said"),
            html.Div(
                [
                    AUC.layout(),
                    SCORE.layout(),
                ],
                className="attune-two",
            ),
            DETECTION.layout(
                html.Div(id="mlp-detection-table", className="attune-table-box"),
                className="attune-untitled attune-floating",
            ),
        ],
        className="attune-stack",
    )


def about_tab() -> Node:
    """Facts of the fit, the command that made it, and its curve."""
    return html.Div(
        [
            ABOUT.layout(html.Div(id="mlp-about")),
            CURVE.layout(),
        ],
        className="attune-two",
    )


def fit_tab() -> Node:
    """Another factorization, as a job."""
    return html.Div(
        [
            html.Section(
                [
                    html.Div([html.H3("Fit another")], className="attune-card-head"),
                    html.Div(
                        [
                            number_field(FitFactorization, "layer", "mlp-new-layer", "layer"),
                            _labelled("site", "site", "mlp-new-site", SITES),
                            number_field(FitFactorization, "features", "mlp-new-features", "features K"),
                            number_field(FitFactorization, "kept", "mlp-new-kept", "share of neurons kept"),
                            _labelled("start", "init", "mlp-new-init", STARTS),
                            number_field(FitFactorization, "iterations", "mlp-new-iterations", "iterations"),
                            number_field(FitFactorization, "tokens", "mlp-new-tokens", "tokens"),
                            number_field(FitFactorization, "seed", "mlp-new-seed", "seed"),
                            _levels(),
                        ],
                        className="mlp-form",
                    ),
                    dbc.Label(
                        "Own texts, one passage on a line, or rows of prompt and label (empty: the bundled corpus)",
                        html_for="mlp-new-texts",
                    ),
                    dbc.Textarea(id="mlp-new-texts", value="", rows=4, spellCheck=False, className="attune-prompt"),
                    dcc.Upload(
                        html.Button("Bring .txt, .jsonl, .json or .csv", className="attune-button", type="button"),
                        id="mlp-new-upload",
                        max_size=4 * MAX_TEXTS,
                    ),
                    html.Div(
                        [
                            button("mlp-new-go", "Fit", primary=True),
                            button("mlp-new-stop", "Cancel", disabled=True),
                            progress("mlp-new-bar", "fitting the features"),
                        ],
                        className="attune-row",
                    ),
                    dcc.Upload(
                        html.Button("Open features of others (.safetensors)", className="attune-button", type="button"),
                        id="mlp-open-file",
                        max_size=MAX_FILE,
                    ),
                    html.Div(id="mlp-new-state", className="attune-note mlp-state", **{"aria-live": "polite"}),
                    html.Div(id="mlp-new-problem"),
                ],
                className="attune-card",
            ),
            NEW_CURVE.layout(),
        ],
        className="attune-two",
    )


def _levels() -> Node:
    entry = dbc.Input(
        id="mlp-new-levels",
        type="text",
        value="",
        size="sm",
        className="attune-number",
        placeholder="50, 25",
        maxLength=60,
    )
    return html.Div([dbc.Label("levels above", html_for="mlp-new-levels"), entry], className="attune-inline")
