"""Layout of the two tabs on the open item: its trace and scores, and one's own interventions."""

from __future__ import annotations

from dash import dcc, html

from components.kit.types import Node
from pages.faithfulness.cards import INTERVENE, MOVED, NUMBERS, OPTIONS, STRIP, TRACE


def button(name: str, text: str, label: str = "", primary: bool = False, disabled: bool = False) -> Node:
    """A button; ``label`` says more than fits on it."""
    extra = {"title": label} if label else {}
    look = "attune-button attune-primary" if primary else "attune-button"
    return html.Button(text, id=name, className=look, type="button", disabled=disabled, **extra)


def trace_tab() -> Node:
    """Step by step, and measure by measure."""
    return html.Div(
        [
            html.Div(
                [
                    html.Div(
                        [
                            html.Div(id="fth-trace-error"),
                            TRACE.layout(),
                        ],
                        id="fth-trace-box",
                        className="fth-box",
                    ),
                    STRIP.layout(),
                ],
                className="fth-two",
            ),
            NUMBERS.layout(
                html.Div(id="fth-full-error"),
                html.Div(id="fth-numbers", className="fth-numbers"),
                controls=html.Div(
                    [
                        html.Span(id="fth-numbers-said", className="attune-note fth-numbers-said"),
                        button("fth-full-go", "Compute anew, step by step", "All measures on this item, now"),
                    ],
                    className="attune-inline",
                ),
                id="fth-numbers-card",
                className="attune-card fth-numbers-card",
                **{"aria-label": "Scores of this item"},
            ),
        ],
        className="attune-stack",
    )


def intervene_tab() -> Node:
    """Edits on the left, what they do on the right."""
    return html.Div(
        [
            INTERVENE.layout(
                dcc.Store(id="fth-draft"),
                html.Div(id="fth-form", className="fth-form"),
                html.Div(
                    [
                        button("fth-apply", "Apply", primary=True, disabled=True),
                        button("fth-reset", "Reset"),
                    ],
                    className="attune-row",
                ),
                html.Div(id="fth-after-passes", className="attune-note fth-after-passes"),
                html.Div(id="fth-intervene-error"),
                html.H4("What the model reads"),
                html.Div(id="fth-after-text", className="fth-text fth-after-text", tabIndex="0"),
                **{"aria-label": "Interventions"},
            ),
            html.Div(
                [
                    html.Div(id="fth-after-said", className="fth-after-said", **{"aria-live": "polite"}),
                    OPTIONS.layout(),
                ],
                id="fth-moved-box",
                className="fth-box",
            ),
            MOVED.layout(
                html.Div(id="fth-after-scores", className="fth-after-scores"),
                controls=html.Span(id="fth-after-note", className="attune-note"),
            ),
        ],
        className="fth-intervene",
    )
