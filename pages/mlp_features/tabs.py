"""Layout of the tabs of the MLP features page, but for steering (`steer_panel`)."""

from __future__ import annotations

from typing import Any

import dash_bootstrap_components as dbc
from dash import dcc, html

from components.kit.figure_card import figure_card
from components.kit.names import named, progress
from components.kit.panels import empty
from pages.mlp_features.state import View
from pages.presses import press

SITES = [
    {"label": "MLP hidden, after the non-linearity", "value": "mlp_hidden"},
    {"label": "MLP output", "value": "mlp_output"},
    {"label": "residual stream", "value": "residual"},
]
STARTS = [
    {"label": "k-means", "value": "kmeans"},
    {"label": "random", "value": "random"},
    {"label": "SVD", "value": "svd"},
]


def button(name: str, text: str, label: str = "", primary: bool = False, disabled: bool = False, **more: Any) -> Any:
    """A button; ``label`` says in words what a symbol means; ``more``: further attributes."""
    extra = ({"aria-label": label, "title": label} if label else {}) | more
    look = "attune-button attune-primary" if primary else "attune-button"
    return html.Button(text, id=name, className=look, type="button", disabled=disabled, **extra)


def field(label: str, name: str, value: Any, kind: str = "number", **more: Any) -> Any:
    """A labelled input. Numbers have no bounds here: the server checks, and can say what is wrong."""
    extra = {"step": "any"} if kind == "number" else {}
    entry = dbc.Input(id=name, type=kind, value=value, size="sm", className="attune-number", **extra, **more)
    return html.Div([dbc.Label(label, html_for=name), entry], className="attune-inline")


def pick(label: str, name: str, options: list[dict[str, str]], value: str) -> Any:
    """A labelled choice, in a box that keeps its place until the control has come."""
    choice = dcc.Dropdown(options, value, id=name, clearable=False, searchable=False)
    return html.Div([html.Span(label), html.Div(choice, className="attune-pick")], className="attune-inline")


def reading_tab(view: View) -> Any:
    """A typed text as tokens x features."""
    return html.Div(
        [
            html.Div(
                [
                    dbc.Label("A sentence", html_for="mlp-text", className="visually-hidden"),
                    dbc.Textarea(
                        id="mlp-text",
                        value=view.text,
                        rows=2,
                        debounce=0.6,
                        spellCheck=False,
                        className="attune-prompt",
                    ),
                    html.Div(id="mlp-reading-error"),
                ]
            ),
            html.Div(id="mlp-strip", className="mlp-strip", role="group", **{"aria-label": "tokens"}),
            figure_card("mlp-reading", "Tokens × features", "", 560),
        ],
        className="attune-stack",
    )


def overlap_tab() -> Any:
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
            html.Div(id="mlp-overlap-error"),
            html.Div(
                [
                    figure_card("mlp-shared", "Neurons they share", "", 420),
                    figure_card("mlp-effects", "What the core and the rest of each do to the logits", "", 420),
                ],
                className="attune-two",
            ),
            html.Div(
                [
                    html.Section(
                        [
                            html.Div([html.H3("Core and exclusive neurons")], className="attune-card-head"),
                            html.Div(empty("Choose two features or more."), id="mlp-split", className="mlp-split"),
                        ],
                        className="attune-card",
                    ),
                    html.Section(
                        [
                            html.Div([html.H3("Pairs that share most in this fit")], className="attune-card-head"),
                            html.Div(id="mlp-related", className="mlp-split"),
                        ],
                        className="attune-card",
                    ),
                ],
                className="attune-two",
            ),
        ],
        className="attune-stack",
    )


def tree_tab(view: View) -> Any:
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
                            value=view.threshold,
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
            figure_card("mlp-tree", "What a concept is made of", "", 560),
            html.Details(
                [html.Summary("The same as a list, for the keyboard"), html.Div(id="mlp-outline")],
                className="attune-card",
            ),
        ],
        className="attune-stack",
    )


def detection_tab() -> Any:
    """The detection table by layer against all baselines."""
    return html.Div(
        [
            html.Div(id="mlp-detection-error"),
            html.P(id="mlp-detection-said", className="attune-note mlp-detection-said"),
            html.Div(
                [
                    figure_card("mlp-auc", "AUC: does the best direction tell a theme?", "", 420),
                    figure_card("mlp-score", "The paper's score", "", 420),
                ],
                className="attune-two",
            ),
            html.Div(id="mlp-detection-table", className="attune-table-box"),
        ],
        className="attune-stack",
    )


def about_tab() -> Any:
    """Facts of the fit, the command that made it, and its curve."""
    return html.Div(
        [
            html.Section(
                [html.Div([html.H3("This fit")], className="attune-card-head"), html.Div(id="mlp-about")],
                className="attune-card",
            ),
            figure_card("mlp-curve", "Explained variance", "", 340),
        ],
        className="attune-two",
    )


def fit_tab() -> Any:
    """Another factorization, as a job."""
    return html.Div(
        [
            html.Section(
                [
                    html.Div([html.H3("Fit another")], className="attune-card-head"),
                    html.Div(
                        [
                            field("layer", "mlp-new-layer", 25),
                            pick("site", "mlp-new-site", SITES, "mlp_hidden"),
                            field("features K", "mlp-new-features", 100),
                            field("share of neurons kept", "mlp-new-kept", 0.01),
                            pick("start", "mlp-new-init", STARTS, "kmeans"),
                            field("iterations", "mlp-new-iterations", 400),
                            field("tokens", "mlp-new-tokens", 9000),
                            field("seed", "mlp-new-seed", 0),
                            field("levels above", "mlp-new-levels", "", "text", placeholder="50, 25", maxLength=60),
                        ],
                        className="mlp-form",
                    ),
                    dbc.Label("Own texts, one passage on a line (empty: the bundled corpus)", html_for="mlp-new-texts"),
                    dbc.Textarea(id="mlp-new-texts", value="", rows=4, spellCheck=False, className="attune-prompt"),
                    html.Div(
                        [
                            button("mlp-new-go", "Fit", primary=True),
                            button("mlp-new-stop", "Cancel", disabled=True),
                            progress("mlp-new-bar", "fitting the features"),
                        ],
                        className="attune-row",
                    ),
                    html.Div(id="mlp-new-state", className="attune-note mlp-state", **{"aria-live": "polite"}),
                    html.Div(id="mlp-new-problem"),
                ],
                className="attune-card",
            ),
            figure_card("mlp-new-curve", "Explained variance while it runs", "", 380),
        ],
        className="attune-two",
    )
