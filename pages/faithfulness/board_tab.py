"""Layout of the leaderboard, and the small controls that the comparing tabs have in common."""

from __future__ import annotations

from collections.abc import Sequence

import dash_bootstrap_components as dbc
from dash import dcc, html

from components.kit.names import named
from components.kit.panels import empty
from components.kit.types import Json, Node
from pages.faithfulness.cards import LEADERBOARD, RANKING, STUDY


def choice(label: str, name: str, value: str | None = None, options: Sequence[Json] = (), wide: bool = False) -> Node:
    """A labelled choice, in a box that keeps its place until the control has come. The group has the name: a dropdown
    cannot be pointed at by a label."""
    picker = dcc.Dropdown(list(options), value, id=name, clearable=False, searchable=False)
    box = html.Div(picker, className="attune-pick fthb-wide" if wide else "attune-pick")
    return named(label, [html.Span(label), box], "attune-inline")


def board_tab() -> Node:
    """The measures beside one another, tier by tier."""
    return html.Div(
        [
            dcc.Store(id="fth-studies"),
            html.Div(
                [
                    choice("study", "fth-study-pick", wide=True),
                    named(
                        "tiers",
                        [html.Span("tiers"), dbc.Checklist([], [], id="fth-board-tiers", inline=True, switch=True)],
                        "attune-inline fthb-switches",
                    ),
                    dbc.Switch(id="fth-board-published", value=True, label="published values"),
                    html.Button(
                        "Rows as CSV",
                        id="fth-rows-save",
                        className="attune-button",
                        type="button",
                        hidden=True,
                        title="the scores of each label in the columns of the published code",
                    ),
                ],
                className="attune-row fthb-controls",
            ),
            html.Div(id="fth-board-source", className="attune-note fthb-source"),
            html.Div(id="fth-rows-said", className="attune-note", **{"aria-live": "polite"}),
            dcc.Store(id="fth-rows-file"),
            html.Div(id="fth-board-error", className="fthb-error"),
            html.Div(id="fth-board-sink", hidden=True),
            html.Div(id="fth-board-standing", className="attune-answer fthb-standing"),
            LEADERBOARD.layout(),
            STUDY.layout(html.Div(id="fth-board-cards"), className="fthb-study"),
            RANKING.layout(
                html.Div(
                    empty("The numbers come with the board."),
                    id="fth-board-table",
                    className="attune-table-box fthb-table-box",
                ),
                controls=choice("tier", "fth-board-table-tier"),
                **{"aria-label": "The leaderboard in numbers"},
            ),
            html.Div(id="fth-board-exhibits"),
        ],
        className="attune-stack",
    )
