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
_STANDING = {"token": 0, "mixed": 1, "grammar": 2}
"""Characters other than a theme, those that stand out most first; scores compare within one only."""


def ranked(regions: Sequence[Region], order: str) -> list[Region]:
    """Regions in the order chosen: those of one character first, by their score, or by size. Where themes are asked for
    and there is none, those that stand out most come first."""
    if order == "size" or order not in ORDERS:
        return sorted(regions, key=lambda r: -r.size)
    if order == "theme" and themeless(regions):
        return sorted(regions, key=lambda r: (_STANDING.get(r.character, len(_STANDING)), -r.score))
    return sorted(regions, key=lambda r: (r.character != order, -r.score))


def themeless(regions: Sequence[Region]) -> str:
    """What is said of a fit in which no region has a theme; "" where one has."""
    if not regions or any(r.character == "theme" for r in regions):
        return ""
    return "No region of this fit leans clearly to a theme. Those in which one token stands out come first."


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
