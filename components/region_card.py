"""What a region is, in words and contexts: facts, tokens it promotes, members of three samples, its local factors."""

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
    """What steering there does, from RegionEffects' answer."""
    rows = [
        html.Tr([html.Th(f"factor {j}"), html.Td(", ".join(low) or "nothing"), html.Td(", ".join(high) or "nothing")])
        for j, (low, high) in enumerate(effects["factors"])
    ]
    return html.Div(
        [
            html.Div(
                [
                    _tokens("At strength 0.3 these tokens gain (nats, mean of 3 neutral prompts)", effects["promoted"]),
                    _tokens("and these lose", effects["suppressed"]),
                ],
                className="attune-two-tight",
            ),
            html.Details(
                [
                    html.Summary(
                        [
                            html.Strong("What each factor adds"),
                            html.Span(
                                ": tokens that gain three spreads out, beside the centroid alone",
                                className="attune-note",
                            ),
                        ]
                    ),
                    html.Table(
                        [html.Thead(html.Tr([html.Th(""), html.Th("−"), html.Th("+")])), html.Tbody(rows)],
                        className="attune-table",
                    ),
                ]
            ),
        ]
    )


def context_line(context: dict[str, Any]) -> Any:
    """One context with its token marked, and a button that sets all factors from it."""
    return html.Div(
        [
            html.Button(
                "use",
                id={"use-context": f"{context['region']}:{context['row']}"},
                className="attune-small",
                type="button",
                title="Set all local factors of this region to where this token lies",
                **{"aria-label": f"set all local factors from {context['token']}"},
            ),
            html.Span(context["before"]),
            html.Mark(context["token"], className="attune-here"),
            html.Span(context["after"]),
            html.Span(f"  {context['source']}", className="attune-note"),
        ],
        className="attune-context",
    )


def _tokens(title: str, tokens: list[dict[str, Any]]) -> Any:
    return html.Div(
        [
            html.Div(title, className="attune-note"),
            html.Div(
                [html.Span(t["token"], className="attune-mark", title=f"{t['value']:+.2f}") for t in tokens],
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


def region_rows(regions: list[dict[str, Any]], chosen: int | None, limit: int = 80) -> list[Any]:
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
                        id={"choose-region": r["region"]},
                        className="attune-region" + (" attune-region-chosen" if r["region"] == chosen else ""),
                        type="button",
                        title=f"region {r['region']}, {r['character']}",
                    ),
                    html.Button(
                        "+",
                        id={"add-region": r["region"]},
                        className="attune-small",
                        type="button",
                        title="Steer towards this region",
                        **{"aria-label": f"steer towards {r['label']}"},
                    ),
                ],
                className="attune-region-row",
            )
        )
    if len(regions) > limit:
        rows.append(html.P(f"{len(regions) - limit} more; search to narrow the list.", className="attune-note"))
    return rows or [html.P("No region matches.", className="attune-note")]
