"""Layout of bias and agreement: what each measure calls faithful, and whether measures call the same items so."""

from __future__ import annotations

from dash import dcc, html

from components.kit.names import named
from components.kit.types import Node
from pages.faithfulness.board_tab import choice
from pages.faithfulness.cards import BIAS, KAPPA

MARKS = {-1: "−1", -0.5: "−0.5", 0: "0", 0.5: "0.5", 1: "1"}


def bias_tab() -> Node:
    """Shares called faithful, thresholds, kappa."""
    slider = dcc.Slider(
        -1,
        1,
        0.01,
        value=0.5,
        id="fth-bias-threshold",
        marks=MARKS,
        updatemode="drag",
        allow_direct_input=False,
    )
    reset = html.Button("Reset", id="fth-bias-reset", className="attune-button", type="button",
                        title="Each measure at its own threshold")  # fmt: skip
    return html.Div(
        [
            dcc.Store(id="fth-thresholds", data={}),
            dcc.Store(id="fth-bias-base"),
            html.Div(
                [
                    choice("tier", "fth-bias-tier"),
                    choice("threshold of", "fth-bias-of"),
                    named("threshold", slider, "attune-slider fthb-threshold"),
                    html.Span(id="fth-bias-value", className="fthb-value"),
                    reset,
                ],
                className="attune-row fthb-controls",
            ),
            html.Div(id="fth-bias-said", className="attune-note fthb-said", **{"aria-live": "polite"}),
            html.Div(id="fth-bias-error", className="fthb-error"),
            html.Div(
                [
                    BIAS.layout(),
                    KAPPA.layout(),
                ],
                className="attune-two",
            ),
        ],
        className="attune-stack",
    )
