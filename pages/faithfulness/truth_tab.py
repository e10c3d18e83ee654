"""Layout of importance against truth; the points of the open tier live in a store of this tab."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dash import dcc, html

from components.kit.figure_card import figure_card
from pages.faithfulness.board_tab import choice

if TYPE_CHECKING:
    from pages.faithfulness.state import View


def truth_tab(view: View) -> Any:
    """One measure's score against importance, item by item."""
    return html.Div(
        [
            dcc.Store(id="fth-points"),
            dcc.Store(id="fth-tier"),
            html.Div(
                [
                    choice("tier", "fth-truth-tier"),
                    choice("measure", "fth-truth-measure"),
                    choice("importance by", "fth-truth-by"),
                ],
                className="attune-row fthb-controls",
            ),
            html.Div(id="fth-truth-error", className="fthb-error"),
            figure_card("fth-truth", "Is it important, or is it true?", "", 560),
        ],
        className="attune-stack",
    )
