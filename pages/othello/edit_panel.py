"""Layout of what changes the board inside the model: the card on the first screen, and the tab about it."""

from __future__ import annotations

import dash_bootstrap_components as dbc
from dash import dcc, html

from analysis.tpr.ops.edit import OthelloTrials
from components.kit.field import number_field
from components.kit.names import named, popup, progress
from components.kit.types import Node
from components.othello.board import board
from components.othello.position import CROSSTALK
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


def box(name: str, title: str, below: Node = None, key: str = "") -> Node:
    """A board under its title; ``key``: the title's id is made of it, if the page changes it."""
    heading = html.H4(title, className="attune-board-title", **({"id": f"oth-title-{key}"} if key else {}))
    return html.Div([heading, board(name, title), below], className="attune-board-box")


def edited() -> Node:
    """The board of an edit and what the model would play after it, on the first screen."""
    edit_board = board(
        "oth-edit-board",
        "The board as edited; press a square to change what is on it",
        playable=True,
        queue="oth-edits",
    )
    way = popup(
        dbc.RadioItems(
            id="oth-choose",
            value="fixed",
            options=[
                {"label": "this scale", "value": "fixed"},
                {"label": "best of the grid (looks at the answer)", "value": "best"},
            ],
        ),
        dbc.RadioItems(
            id="oth-unit",
            value="stream",
            options=[
                {"label": "scale in tenths of the stream", "value": "stream"},
                {"label": "absolute scale", "value": "absolute"},
            ],
        ),
        html.Div(
            [
                dbc.Label("blocks", html_for="oth-blocks"),
                html.Div(dcc.RangeSlider(0, 5, 1, value=[0, 5], id="oth-blocks"), className="attune-slider"),
            ],
            className="attune-inline attune-layer",
        ),
        html.Button(
            "As published: lengths 0.25 to 2.5, blocks 2 to 7",
            id="oth-published",
            className="attune-button",
            type="button",
            disabled=True,
            **{"aria-describedby": "oth-published-said"},
        ),
        html.Div(id="oth-published-said", className="attune-note"),
    )
    side = html.Div(
        [
            html.Div(
                dcc.Dropdown(METHODS, "tpr", id="oth-method", clearable=False, searchable=False),
                className="attune-pick",
            ),
            named(
                "scale",
                dcc.Slider(0, 5, 0.25, value=0.75, id="oth-scale", marks=None, updatemode="drag"),
                "attune-slider",
            ),
            html.Div(id="oth-edit-press-error"),
            html.Div(id="oth-edit-error"),
            html.Div(id="oth-edit-said", className="attune-status", **{"aria-live": "polite"}),
        ],
        className="oth-edit-side",
    )
    return EDITED.layout(
        html.Div(
            [
                html.Div(
                    [html.H4("Press a square to change it", className="attune-board-title"), edit_board],
                    className="attune-board-box",
                ),
                box("oth-after", "Next move after the edit"),
                side,
            ],
            className="oth-edit",
        ),
        controls=html.Div(
            [
                html.Button(
                    "Undo all edits",
                    id="oth-edit-clear",
                    className="attune-button",
                    type="button",
                    **press("oth-edits", "clear"),
                ),
                way,
            ],
            className="attune-inline",
        ),
    )


def edit_tab() -> Node:
    """What else an edit changes, whether it lasts, and the table of many."""
    return html.Div(
        [
            html.Section(
                [
                    html.Div(html.H3("What the edit changes"), className="attune-card-head"),
                    html.Div(
                        [
                            box("oth-difference", "Change of the probabilities"),
                            box("oth-crosstalk", "How much other squares should move along"),
                        ],
                        className="attune-boards attune-boards-two",
                    ),
                    html.Div(
                        f"Of the board edited above. Outlined: legal on the edited board. On the right, {CROSSTALK}",
                        className="attune-caption",
                    ),
                ],
                className="attune-card",
                **{"aria-label": "What the edit changes"},
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
                            className="oth-repair",
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
