"""What a region is, in words and contexts: facts, tokens it promotes, members of three samples, its local factors.

There are many lines, so their buttons carry data attributes for one listener in assets/pages/steering.js and no ids:
Dash looks at every component with an id at every change, which took seconds.
"""

from __future__ import annotations

from typing import Any

from dash import html

SAMPLES = (
    ("random", "Random members", "drawn evenly from all tokens that belong to the region"),
    ("likelihood", "Nearest to the centroid", "members with the highest log-likelihood under the region"),
    ("responsibility", "Highest responsibility", "many are equal to 1, so the order among them is arbitrary"),
)


def region_card(card: dict[str, Any]) -> Any:
    """The body of the card, from RegionCard's answer."""
    facts = card["facts"]
    return html.Div(
        [
            html.Table(
                html.Tbody([html.Tr([html.Th(name), html.Td(value)]) for name, value in facts]),
                className="attune-facts",
            ),
            html.Div(
                [
                    _tokens("Over-represented among its members", card["lifted"]),
                    _tokens("The unembedding alone would say", card["unembedded"]),
                ],
                className="attune-two-tight",
            ),
            html.Div(card["readout"], className="attune-note"),
            *[
                html.Details(
                    [
                        html.Summary([html.Strong(title), html.Span(f": {why}", className="attune-note")]),
                        *[context_line(c) for c in card["contexts"][key]],
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
                    *[_factor(j, row) for j, row in enumerate(card["factors"])],
                ]
            ),
        ]
    )


def region_effects(effects: dict[str, Any]) -> Any:
    """What steering there does, from RegionEffects' answer, and where the factors' effects will stand."""
    return html.Div(
        [
            html.Div(
                [
                    _tokens("At strength 0.3 these tokens gain (nats, mean of 3 neutral prompts)", effects["promoted"]),
                    _tokens("and these lose", effects["suppressed"]),
                ],
                className="attune-two-tight",
            ),
            html.Button(
                "Measure what each factor adds", id="measure-factors", className="attune-button", type="button"
            ),
            html.Div(id="factor-effects"),
        ]
    )


def factor_effects(effects: dict[str, Any]) -> Any:
    """Tokens that gain three spreads out along each factor, beside the centroid alone."""
    rows = [
        html.Tr([html.Th(f"factor {j}"), html.Td(", ".join(low) or "nothing"), html.Td(", ".join(high) or "nothing")])
        for j, (low, high) in enumerate(effects["factors"])
    ]
    head = html.Tr([html.Th("gains beside the centroid alone"), html.Th("−3 spreads"), html.Th("+3 spreads")])
    return html.Table([html.Thead(head), html.Tbody(rows)], className="attune-table")


def context_line(context: dict[str, Any]) -> Any:
    """One context with its token marked, and a button that sets all factors from it."""
    return html.Div(
        [
            html.Button(
                "use",
                className="attune-small",
                type="button",
                title="Set all local factors of this region to where this token lies",
                **{
                    "data-use": f"{context['region']}:{context['row']}",
                    "aria-label": f"set all local factors from {context['token']}",
                },
            ),
            context["before"],
            html.Mark(context["token"], className="attune-here"),
            f"{context['after']}  {context['source']}",
        ],
        className="attune-context",
    )


def _tokens(title: str, tokens: list[dict[str, Any]]) -> Any:
    return html.Div(
        [
            html.Div(title, className="attune-note"),
            html.Div(
                [
                    html.Span(
                        t["token"],
                        className="attune-mark attune-tok",
                        tabIndex="0",
                        title=f"{t['value']:+.2f}",
                        **{"data-token": t["token"]},
                    )
                    for t in tokens
                ],
                className="attune-words",
            ),
        ]
    )


def _factor(index: int, row: dict[str, Any]) -> Any:
    return html.Div(
        [
            html.Div(
                [
                    html.Strong(f"Factor {index}"),
                    html.Span(
                        f" · {row['share']:.0%} of the region's local variance, spread {row['spread']:.2f}",
                        className="attune-note",
                    ),
                ]
            ),
            html.Div(
                [
                    html.Div(
                        [
                            html.Div(
                                [html.Span("− ", className="attune-note"), html.Strong(row["low"])],
                            ),
                            *[context_line(c) for c in row["low_contexts"]],
                        ]
                    ),
                    html.Div(
                        [
                            html.Div(
                                [html.Span("+ ", className="attune-note"), html.Strong(row["high"])],
                            ),
                            *[context_line(c) for c in row["high_contexts"]],
                        ]
                    ),
                ],
                className="attune-two-tight",
            ),
        ],
        className="attune-factor",
    )


def region_rows(regions: list[dict[str, Any]], chosen: int | None, limit: int = 40) -> list[Any]:
    """The ranked list beside the map; each row opens its region, and its button puts it on the sliders."""
    rows = []
    for r in regions[:limit]:
        purity = f"{r['purity']:.0%} {r['theme']}" if r["theme"] else ""
        rows.append(
            html.Div(
                [
                    html.Button(
                        [
                            html.Span(className=f"attune-kind attune-kind-{r['character']}"),
                            html.Span(r["label"], className="attune-row-label"),
                            html.Span(f"{r['size']:,}", className="attune-row-number"),
                            html.Span(purity, className="attune-row-purity"),
                        ],
                        className="attune-region" + (" attune-region-chosen" if r["region"] == chosen else ""),
                        type="button",
                        title=f"region {r['region']}, {r['character']}",
                        **{"data-choose": str(r["region"])},
                    ),
                    html.Button(
                        "+",
                        className="attune-small",
                        type="button",
                        title="Steer towards this region",
                        **{"data-add": str(r["region"]), "aria-label": f"steer towards {r['label']}"},
                    ),
                ],
                className="attune-region-row",
                role="listitem",
            )
        )
    if len(regions) > limit:
        rows.append(
            html.P(f"{len(regions) - limit} more; search to narrow the list.", className="attune-note", role="listitem")
        )
    return rows or [html.P("No region matches.", className="attune-note", role="listitem")]
