"""Layout of the tabs about a whole game: the heads that look back at its moves, and its report ply by ply."""

from __future__ import annotations

import dash_bootstrap_components as dbc
from dash import dcc, html

from components.kit.names import progress
from components.kit.types import Node
from components.othello.board import board
from pages.othello.cards import LOOKERS, LOOKS, REPORT, ROW, WITHOUT
from pages.othello.edit_panel import box

BASELINES = [
    {"label": "its mean over random games", "value": "games"},
    {"label": "its mean over this game", "value": "mean"},
    {"label": "nothing", "value": "zero"},
]


def heads_tab() -> Node:
    """On the left a head's row on the board and the heads that look at a square, below them what an edit changes of
    it; on the right the position without the head, and without one drawn at random."""
    row = ROW.layout(
        board("oth-look-board", "Attention of a head; press a square to see who looks there", True, "oth-look"),
        html.Div(id="oth-look-said", className="attune-note", **{"aria-live": "polite"}),
        html.Div(id="oth-look-press-error"),
        html.Div(id="oth-look-error"),
    )
    ranked = LOOKERS.layout(
        html.Div(id="oth-lookers-said", className="attune-note"),
        html.Div(id="oth-lookers-list", className="oth-heads", role="group", **{"aria-label": "Heads"}),
    )
    baseline = html.Div(
        [
            dbc.Label("in its place", html_for="oth-baseline"),
            html.Div(
                dcc.Dropdown(BASELINES, "games", id="oth-baseline", clearable=False, searchable=False),
                className="attune-pick",
            ),
        ],
        className="attune-inline",
    )
    boards = [
        box("oth-without-next", "Change of next move", key="without-next"),
        box("oth-without-belief", "Board believed", key="without-belief"),
        box("oth-other-next", "Change of next move", key="other-next"),
        box("oth-other-belief", "Board believed", key="other-belief"),
    ]
    words = [
        html.Div(id="oth-without-said", className="attune-note", **{"aria-live": "polite"}),
        html.Div(id="oth-without-error"),
    ]
    without = WITHOUT.layout(
        html.Div([html.Div(boards, className="oth-removals"), html.Div(words)], className="oth-without"),
        controls=baseline,
    )
    edited = html.Div([LOOKS.layout(), html.Div(id="oth-edited-looks-error")])
    return html.Div(
        [html.Div([html.Div([row, ranked], className="oth-looks"), edited], className="attune-stack"), without],
        className="oth-attention",
    )


def report_tab() -> Node:
    """The report of the game, beside random ones, which are played once for a model and its probes."""
    usual = html.Div(
        [
            html.Span(id="oth-usual-text", className="attune-note", **{"aria-live": "polite"}),
            progress("oth-usual-bar", "playing random games for comparison"),
            html.Button("Play random games", id="oth-usual-go", className="attune-button", type="button"),
            html.Button("Cancel", id="oth-usual-cancel", className="attune-button", type="button", disabled=True),
        ],
        className="attune-inline",
    )
    return html.Div(
        [REPORT.layout(controls=usual), html.Div(id="oth-usual-error"), html.Div(id="oth-report-error")],
        className="attune-stack",
    )
