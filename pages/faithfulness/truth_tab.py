"""Layout of importance against truth; the points of the open tier live in a store of this tab."""

from __future__ import annotations

from dash import dcc, html

from components.kit.types import Node
from pages.faithfulness.board_tab import choice
from pages.faithfulness.cards import TRUTH


def truth_tab() -> Node:
    """One measure's score against importance, item by item."""
    return html.Div(
        [
            dcc.Store(id="fth-points"),
            dcc.Store(id="fth-points-of"),
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
            TRUTH.layout(),
        ],
        className="attune-stack",
    )
