"""Layout of the distributions: every score of a tier as a point."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dash_bootstrap_components as dbc
from dash import html

from components.kit.figure_card import figure_card
from pages.faithfulness.board_tab import choice

if TYPE_CHECKING:
    from pages.faithfulness.state import View


def scores_tab(view: View) -> Any:
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
            figure_card("fth-scores", "Every item's scores", "", 700),
        ],
        className="attune-stack",
    )
