"""Layout of length and cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dash import html

from components.kit.figure_card import figure_card

if TYPE_CHECKING:
    from pages.faithfulness.state import View


def cost_tab(view: View) -> Any:
    """Passes and seconds, the length of chains, and the unlearning rates of FUR."""
    return html.Div(
        [
            html.Div(id="fth-cost-said", className="attune-answer fthb-cost-said"),
            html.Div(
                [
                    figure_card("fth-cost", "What a measure costs", "", 500),
                    figure_card("fth-sweep", "FUR: how strongly to unlearn", "", 500),
                ],
                className="fthb-costs",
            ),
            figure_card("fth-lengths", "AUROC by length of the chain", "", 500),
        ],
        className="attune-stack",
    )
