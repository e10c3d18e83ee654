"""Layout of length and cost."""

from __future__ import annotations

from dash import html

from components.kit.types import Node
from pages.faithfulness.cards import COST, LENGTHS, SWEEP


def cost_tab() -> Node:
    """Passes and seconds, the length of chains, and the unlearning rates of FUR."""
    return html.Div(
        [
            html.Div(id="fth-cost-said", className="attune-answer fthb-cost-said"),
            html.Div(
                [
                    COST.layout(),
                    SWEEP.layout(),
                ],
                className="fthb-costs",
            ),
            LENGTHS.layout(),
        ],
        className="attune-stack",
    )
