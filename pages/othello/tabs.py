"""Layout of the tabs below the boards, but for the one in which the board is changed (`edit_panel`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dash_bootstrap_components as dbc
from dash import dcc, html

from analysis.tpr.answers.model import SITE_TITLES
from analysis.tpr.ops.others import FROM_FILE, OpenProbes
from analysis.tpr.ops.reading import FitProbes
from components.kit.field import number_field
from components.kit.names import named, progress
from components.kit.panels import empty
from components.kit.types import Node
from components.othello.board import board
from components.othello.position import CLASSES
from pages.othello.cards import (
    ACCURACY,
    BY_SQUARES,
    COSINES,
    EDITS,
    GAPS,
    GEOMETRY,
    GRAM,
    LEGALITY,
    MATRIX,
    MODEL,
    NEIGHBOURS,
    PLANE,
    PROBES,
    RANKS,
    ROLES,
    SURVIVES,
    TRAINING,
)

PROBE_CHOICES = [
    {"label": "TPR, 52 roles × 2 fillers", "value": "tpr"},
    {"label": "TPR, 64 × 2", "value": "tpr-full"},
    {"label": "trilinear, 8 × 8 × 2", "value": "trilinear"},
]


PLACE_CHOICES = [
    {"label": "the place that the file names", "value": FROM_FILE},
    *({"label": title, "value": site} for site, title in SITE_TITLES.items()),
]


def button(name: str, text: str, label: str = "", primary: bool = False, **more: Any) -> Node:
    """A button; ``label`` says in words what a symbol means; ``more``: further attributes."""
    extra = ({"aria-label": label, "title": label} if label else {}) | more
    look = "attune-button attune-primary" if primary else "attune-button"
    return html.Button(text, id=name, className=look, type="button", **extra)


def _probe_choice(name: str, value: str = "tpr") -> Node:
    return html.Div(
        dcc.Dropdown(PROBE_CHOICES, value, id=name, clearable=False, searchable=False), className="attune-pick"
    )


def binding_tab() -> Node:
    """The plane of the fillers and the binding matrix."""
    return html.Div(
        [
            html.Div(
                [
                    html.Span("probe"),
                    _probe_choice("oth-probe"),
                    html.Span(id="oth-binding-said", className="attune-note"),
                ],
                className="attune-row",
            ),
            html.Div(
                [
                    PLANE.layout(),
                    MATRIX.layout(),
                ],
                className="attune-two",
            ),
            html.Div(id="oth-binding-error"),
        ],
        className="attune-stack",
    )


def roles_tab() -> Node:
    """Square embeddings in the present coordinates, beside what every choice of them shares."""
    return html.Div(
        [
            html.Div(
                [
                    button("oth-remix", "Re-mix the coordinates", primary=True),
                    button("oth-unmix", "Back to those of the fit"),
                    html.Div(
                        dcc.Dropdown(
                            [
                                {"label": "PCA", "value": "pca"},
                                {"label": "Isomap, 16 neighbours", "value": "isomap"},
                            ],
                            "pca",
                            id="oth-embedding",
                            clearable=False,
                            searchable=False,
                        ),
                        className="attune-pick",
                    ),
                    html.Span(id="oth-roles-said", className="attune-note", **{"aria-live": "polite"}),
                ],
                className="attune-row",
            ),
            dcc.Store(id="oth-gauge", data=0),
            html.Div(
                [
                    ROLES.layout(),
                    SURVIVES.layout(),
                ],
                className="attune-two",
            ),
            GAPS.layout(),
            html.Div(
                [
                    GRAM.layout(),
                    NEIGHBOURS.layout(),
                ],
                className="attune-two",
            ),
            GEOMETRY.layout(html.Div(id="oth-geometry-table", className="attune-table-box")),
            html.Div(id="oth-roles-error"),
        ],
        className="attune-stack",
    )


def directions_tab() -> Node:
    """Cosines with the linear probe, and accuracy against parameters."""

    def one(name: str, title: str) -> Node:
        return html.Div(
            [html.H4(title, className="attune-board-title"), board(f"oth-cosine-{name}", title)],
            className="attune-board-box",
        )

    return html.Div(
        [
            html.Div(
                [
                    html.Span("roles"),
                    named(
                        "roles",
                        dcc.Slider(
                            0,
                            5,
                            1,
                            value=3,
                            id="oth-roles-dim",
                            allow_direct_input=False,
                            marks=None,
                            updatemode="drag",
                        ),
                        "attune-slider",
                    ),
                    html.Span(id="oth-directions-said", className="attune-note", **{"aria-live": "polite"}),
                ],
                className="attune-row",
            ),
            COSINES.layout(
                html.Div(
                    [one(name, title) for name, title in CLASSES.items()],
                    className="attune-boards attune-boards-three",
                ),
                html.Div(id="oth-cosine-caption", className="attune-caption"),
            ),
            RANKS.layout(),
            html.Div(id="oth-directions-error"),
        ],
        className="attune-stack",
    )


def figures_tab() -> Node:
    """What was measured of this model and its probes."""
    return html.Div(
        [
            MODEL.layout(html.Div(id="oth-card", className="attune-numbers")),
            html.Div(
                [
                    LEGALITY.layout(),
                    TRAINING.layout(),
                ],
                className="attune-two",
            ),
            html.Div(
                [
                    ACCURACY.layout(),
                    EDITS.layout(),
                ],
                className="attune-two",
            ),
            BY_SQUARES.layout(html.Div(id="oth-edit-squares", className="attune-table-box")),
        ],
        className="attune-stack",
    )


def set_options(sets: Sequence[str]) -> list[dict[str, str]]:
    """The model's own probes, and sets of others that were opened for it."""
    return [{"label": "the model's own", "value": ""}, *({"label": name, "value": name} for name in sets)]


def _others(probes: str) -> Node:
    """Which probes the page uses, and the way in for those of others."""
    return html.Div(
        [
            html.Div(
                [
                    html.Span("Probes in use", id="oth-probes-label"),
                    html.Div(
                        dcc.Dropdown(
                            set_options([probes] if probes else []),
                            probes,
                            id="oth-probes",
                            clearable=False,
                            searchable=False,
                        ),
                        className="attune-pick attune-story",
                    ),
                    dcc.Upload(
                        button("oth-probes-open", "Open probes of others (.pt, .pth, .safetensors)"),
                        id="oth-probes-upload",
                        multiple=True,
                        max_size=34 << 20,
                    ),
                    number_field(OpenProbes, "block", "oth-probes-block", "block, if no file says it"),
                    html.Div(
                        dcc.Dropdown(
                            PLACE_CHOICES, FROM_FILE, id="oth-probes-place", clearable=False, searchable=False
                        ),
                        className="attune-pick attune-story",
                    ),
                    number_field(OpenProbes, "number", "oth-probes-number", "number in the tensor"),
                    dbc.Checkbox(id="oth-probes-centred", label="trained on a centred stream", value=False),
                ],
                className="attune-row",
            ),
            html.Div(id="oth-probes-error"),
            html.Div(id="oth-probes-said", className="attune-note", **{"aria-live": "polite"}),
        ]
    )


def model_tab(source: str, probes: str) -> Node:
    """Another model, the probes of others, and the fit of its own."""
    return PROBES.layout(
        html.P(
            "Take another OthelloGPT: a checkpoint file (.pth, .ckpt, .safetensors) in the minGPT or "
            "TransformerLens layout, a folder, or a hub id. Nothing in a file is run.",
            className="attune-note",
        ),
        html.Div(
            [
                dbc.Label("Model", html_for="oth-source-text", className="visually-hidden"),
                dbc.Input(id="oth-source-text", value=source, size="sm", maxLength=500),
                button("oth-open", "Open", primary=True),
                button("oth-bundled", "The bundled model"),
            ],
            className="attune-row attune-open",
        ),
        html.Div(id="oth-source-error"),
        html.Div(id="oth-source-said", className="attune-note", **{"aria-live": "polite"}),
        html.Hr(),
        _others(probes),
        html.Hr(),
        html.Div(
            [
                number_field(FitProbes, "games", "oth-fit-games", "games"),
                number_field(FitProbes, "seed", "oth-fit-seed", "seed"),
                button("oth-fit", "Fit the probes of all blocks", primary=True),
                html.Button("Cancel", id="oth-fit-cancel", className="attune-button", type="button", disabled=True),
                progress("oth-fit-bar", "fitting the probe"),
                html.Span(id="oth-fit-text", className="attune-note", **{"aria-live": "polite"}),
            ],
            className="attune-row",
        ),
        html.Div(id="oth-fit-said", **{"aria-live": "polite"}),
        html.Div(empty("Figures of the probes come here."), id="oth-probe-table", className="attune-table-box"),
    )
