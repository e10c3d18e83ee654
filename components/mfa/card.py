"""What a region is, in words and contexts: facts, tokens it promotes, members of three samples, its local factors.

There are many lines, so their buttons carry data attributes for one listener in assets/steering.js and no ids:
Dash looks at every component with an id at every change, which took seconds.
"""

from __future__ import annotations

from collections.abc import Sequence

from dash import html

from analysis.mfa.answers.regions import ContextLine, Effects, Factor, RegionFacts, TokenValue
from components.kit.token import token
from components.kit.types import Node

SAMPLES = (
    ("random", "Random members", "drawn evenly from all tokens that belong to the region"),
    ("likelihood", "Nearest to the centroid", "members with the highest log-likelihood under the region"),
    ("responsibility", "Highest responsibility", "many are equal to 1, so the order among them is arbitrary"),
)


def region_card(region: RegionFacts) -> Node:
    """The body of the card."""
    return html.Div(
        [
            html.Table(
                html.Tbody([html.Tr([html.Th(name), html.Td(value)]) for name, value in region.facts]),
                className="attune-facts",
            ),
            html.Div(
                [
                    _tokens("Over-represented among its members", region.lifted),
                    _tokens("The unembedding alone would say", region.unembedded),
                ],
                className="attune-two-tight",
            ),
            html.Div(region.readout, className="attune-note"),
            *[
                html.Details(
                    [
                        html.Summary([html.Strong(title), html.Span(f": {why}", className="attune-note")]),
                        *[context_line(c) for c in region.contexts[key]],
                    ],
                    open=key == "random",
                )
                for key, title, why in SAMPLES
            ],
            html.Details(
                [
                    html.Summary(
                        [
                            html.Strong("Local factors"),
                            html.Span(": members furthest out at either end", className="attune-note"),
                        ]
                    ),
                    *[_factor(j, row) for j, row in enumerate(region.factors)],
                ]
            ),
        ]
    )


def region_effects(effects: Effects) -> Node:
    """What steering there does, and where the factors' effects will stand."""
    return html.Div(
        [
            html.Div(
                [
                    _tokens(
                        "At strength 0.3 these tokens gain (nats, mean of 3 neutral prompts)", effects.promoted or ()
                    ),
                    _tokens("and these lose", effects.suppressed or ()),
                ],
                className="attune-two-tight",
            ),
            html.Button(
                "Measure what each factor adds", id="measure-factors", className="attune-button", type="button"
            ),
            html.Div(id="factor-effects"),
        ]
    )


def factor_effects(effects: Effects) -> Node:
    """Tokens that gain three spreads out along each factor, beside the centroid alone."""
    rows = [
        html.Tr([html.Th(f"factor {j}"), html.Td(", ".join(low) or "nothing"), html.Td(", ".join(high) or "nothing")])
        for j, (low, high) in enumerate(effects.factors or ())
    ]
    head = html.Tr([html.Th("gains beside the centroid alone"), html.Th("−3 spreads"), html.Th("+3 spreads")])
    return html.Table([html.Thead(head), html.Tbody(rows)], className="attune-table")


def context_line(context: ContextLine) -> Node:
    """One context with its token marked, and a button that sets all factors from it."""
    return html.Div(
        [
            html.Button(
                "use",
                className="attune-small",
                type="button",
                title="Set all local factors of this region to where this token lies",
                **{
                    "data-use": f"{context.region}:{context.row}",
                    "aria-label": f"set all local factors from {context.token}",
                },
            ),
            context.before,
            html.Mark(context.token, className="attune-here"),
            f"{context.after}  {context.source}",
        ],
        className="attune-context",
    )


def _tokens(title: str, tokens: Sequence[TokenValue]) -> Node:
    return html.Div(
        [
            html.Div(title, className="attune-note"),
            html.Div(
                [token(t.token, t.id, title=f"{t.value:+.2f}") for t in tokens],
                className="attune-words",
            ),
        ]
    )


def _factor(index: int, factor: Factor) -> Node:
    return html.Div(
        [
            html.Div(
                [
                    html.Strong(f"Factor {index}"),
                    html.Span(
                        f" · {factor.share:.0%} of the region's local variance, spread {factor.spread:.2f}",
                        className="attune-note",
                    ),
                ]
            ),
            html.Div(
                [
                    html.Div(
                        [
                            html.Div(
                                [html.Span("− ", className="attune-note"), html.Strong(factor.low)],
                            ),
                            *[context_line(c) for c in factor.low_contexts],
                        ]
                    ),
                    html.Div(
                        [
                            html.Div(
                                [html.Span("+ ", className="attune-note"), html.Strong(factor.high)],
                            ),
                            *[context_line(c) for c in factor.high_contexts],
                        ]
                    ),
                ],
                className="attune-two-tight",
            ),
        ],
        className="attune-factor",
    )
