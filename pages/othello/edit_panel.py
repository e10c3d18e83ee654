"""Layout of the tab in which the board inside the model is changed."""

from __future__ import annotations

import dash_bootstrap_components as dbc
from dash import dcc, html

from analysis.tpr.ops.edit import OthelloTrials
from components.kit.field import number_field
from components.kit.names import named, progress
from components.kit.types import Node
from components.othello.board import board
from components.othello.position import EDITED as EDITED_CAPTION
from pages.othello.cards import EDIT, EDITED, LASTING, MANY, TRIALS
from pages.presses import press

METHODS = [
    {"label": "TPR: swap fillers in the binding", "value": "tpr"},
    {"label": "linear: add the target's direction (paper)", "value": "linear"},
    {"label": "linear: target minus source", "value": "linear-minus"},
    {"label": "trilinear", "value": "trilinear"},
    {"label": "control: random direction", "value": "random"},
    {"label": "control: the same edit on wrong squares", "value": "wrong-square"},
]


def _box(name: str, title: str) -> Node:
    return html.Div([html.H4(title, className="attune-board-title"), board(name, title)], className="attune-board-box")


def edit_panel() -> Node:
    """Boards of one edit, its distribution, and the table of many."""
    return html.Div(
        [
            EDITED.layout(
                html.Div(
                    [
                        dbc.RadioItems(
                            id="oth-choose",
                            inline=True,
                            value="fixed",
                            options=[
                                {"label": "this scale", "value": "fixed"},
                                {"label": "best of the grid (looks at the answer)", "value": "best"},
                            ],
                        ),
                        dbc.RadioItems(
                            id="oth-unit",
                            inline=True,
                            value="stream",
                            options=[
                                {"label": "tenths of the stream", "value": "stream"},
                                {"label": "absolute", "value": "absolute"},
                            ],
                        ),
                        named(
                            "scale",
                            dcc.Slider(0, 5, 0.25, value=0.75, id="oth-scale", marks=None, updatemode="drag"),
                            "attune-slider",
                        ),
                        html.Div(
                            [
                                dbc.Label("blocks", html_for="oth-blocks"),
                                html.Div(
                                    dcc.RangeSlider(0, 5, 1, value=[0, 5], id="oth-blocks"),
                                    className="attune-slider",
                                ),
                            ],
                            className="attune-inline attune-layer",
                        ),
                    ],
                    className="oth-controls",
                ),
                html.Div(id="oth-edit-said", className="attune-status", **{"aria-live": "polite"}),
                html.Div(id="oth-edit-error"),
                html.Div(
                    [
                        html.Div(
                            [
                                html.H4("Press a square to change it", className="attune-board-title"),
                                board(
                                    "oth-edit-board",
                                    "The board as edited; press a square to change what is on it",
                                    playable=True,
                                    queue="oth-edits",
                                ),
                            ],
                            className="attune-board-box",
                        ),
                        _box("oth-after", "Next move after the edit"),
                        _box("oth-difference", "Change of the probabilities"),
                        _box("oth-crosstalk", "Cross-talk predicted by the roles"),
                    ],
                    className="attune-boards",
                ),
                html.Div(EDITED_CAPTION, className="attune-caption"),
                controls=html.Div(
                    [
                        html.Button(
                            "Undo all edits",
                            id="oth-edit-clear",
                            className="attune-button",
                            type="button",
                            **press("oth-edits", "clear"),
                        ),
                        html.Div(
                            dcc.Dropdown(METHODS, "tpr", id="oth-method", clearable=False, searchable=False),
                            className="attune-pick attune-story",
                        ),
                    ],
                    className="oth-controls",
                ),
            ),
            html.Div(
                [
                    LASTING.layout(
                        html.Div(
                            [
                                html.Div(
                                    [
                                        html.H4("Believed after the last block", className="attune-board-title"),
                                        board("oth-repair-board", "Board read after the last block"),
                                    ],
                                    className="attune-board-box",
                                ),
                                html.Div(id="oth-repair-table", className="attune-table-box"),
                            ],
                            className="attune-next",
                        ),
                    ),
                    EDIT.layout(),
                ],
                className="attune-two",
            ),
            MANY.layout(
                html.Div(
                    [
                        dcc.Upload(
                            html.Button("Cases from a file (.json)", className="attune-button", type="button"),
                            id="oth-given-upload",
                            max_size=16 << 20,
                        ),
                        html.Button(
                            "Random cases again",
                            id="oth-given-clear",
                            className="attune-button",
                            type="button",
                            disabled=True,
                        ),
                        html.Span(id="oth-given-said", className="attune-note", **{"aria-live": "polite"}),
                    ],
                    className="attune-row",
                ),
                html.Div(id="oth-trials-error"),
                html.Div(id="oth-trials-table", className="attune-table-box"),
                controls=html.Div(
                    [
                        number_field(OthelloTrials, "cases", "oth-cases", "cases"),
                        number_field(OthelloTrials, "squares", "oth-squares", "squares"),
                        number_field(OthelloTrials, "seed", "oth-trial-seed", "seed"),
                        html.Button(
                            "Run them", id="oth-trials", className="attune-button attune-primary", type="button"
                        ),
                        html.Button(
                            "Cancel",
                            id="oth-trials-cancel",
                            className="attune-button",
                            type="button",
                            disabled=True,
                        ),
                        progress("oth-trials-bar", "running the trials"),
                        html.Span(id="oth-trials-text", className="attune-note", **{"aria-live": "polite"}),
                    ],
                    className="oth-controls",
                ),
            ),
            TRIALS.layout(),
        ],
        className="attune-stack",
    )
