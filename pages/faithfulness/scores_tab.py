"""Layout of the distributions: every score of a tier as a point."""

from __future__ import annotations

import dash_bootstrap_components as dbc
from dash import html

from components.kit.types import Node
from pages.faithfulness.board_tab import choice
from pages.faithfulness.cards import SCORES


def scores_tab() -> Node:
    """Scores per label, measure by measure."""
    return html.Div(
        [
            html.Div(
                [
                    choice("tier", "fth-scores-tier"),
                    dbc.Switch(id="fth-scores-free", value=False, label="free baselines too"),
                ],
                className="attune-row fthb-controls",
            ),
            html.Div(id="fth-scores-error", className="fthb-error"),
            SCORES.layout(),
        ],
        className="attune-stack",
    )
