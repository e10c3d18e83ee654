"""The list of regions: in which order, which of them a search meets, and its rows.

As on the card, buttons carry data attributes for one listener in assets/steering.js and no ids.
"""

from __future__ import annotations

from collections.abc import Sequence

from dash import html

from analysis.mfa.answers.regions import Region
from components.kit.types import Node

ORDERS = {
    "theme": "themes first",
    "token": "single tokens",
    "grammar": "grammar",
    "size": "largest first",
}
"""By value: what the control calls it."""


def ranked(regions: Sequence[Region], order: str) -> list[Region]:
    """Regions in the order chosen: those of one character first, by their score, or by size."""
    if order == "size" or order not in ORDERS:
        return sorted(regions, key=lambda r: -r.size)
    return sorted(regions, key=lambda r: (r.character != order, -r.score))


def matching(regions: Sequence[Region], words: str | None) -> list[Region]:
    """Regions whose label, themes, kinds or tokens hold all the words."""
    wanted = (words or "").lower().split()
    return [r for r in regions if all(w in r.words for w in wanted)]


def region_rows(regions: Sequence[Region], chosen: int | None, limit: int = 40) -> list[Node]:
    """The ranked list beside the map; each row opens its region, and its button puts it on the sliders."""
    rows = []
    for r in regions[:limit]:
        purity = f"{r.purity:.0%} {r.theme}" if r.theme else ""
        rows.append(
            html.Div(
                [
                    html.Button(
                        [
                            html.Span(className=f"attune-kind attune-kind-{r.character}"),
                            html.Span(r.label, className="attune-row-label"),
                            html.Span(f"{r.size:,}", className="attune-row-number"),
                            html.Span(purity, className="attune-row-purity"),
                        ],
                        className="attune-region" + (" attune-region-chosen" if r.region == chosen else ""),
                        type="button",
                        title=f"region {r.region}, {r.character}",
                        **{"data-choose": str(r.region)},
                    ),
                    html.Button(
                        "+",
                        className="attune-small",
                        type="button",
                        title="Steer towards this region",
                        **{"data-add": str(r.region), "aria-label": f"steer towards {r.label}"},
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
