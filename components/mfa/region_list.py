"""The list of regions: in which order, which of them a search meets, and its rows.

As on the card, buttons carry data attributes for one listener in assets/steering.js and no ids.
"""

from __future__ import annotations

import re
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
    """Regions whose label, themes, kinds or tokens hold all the words: those first that bear them in their name, then
    those with more of a theme of that name; else in the order given."""
    wanted = (words or "").lower().split()
    found = [r for r in regions if all(w in r.words for w in wanted)]
    return sorted(found, key=lambda r: _nearness(r, wanted)) if wanted else found


def _nearness(region: Region, wanted: Sequence[str]) -> tuple[int, float]:
    """How well a region answers a search; smaller is better."""
    if any(_whole(w, region.label) for w in wanted):
        return 0, -region.score
    if any(w in region.label.lower() for w in wanted):
        return 1, -region.score
    if any(w in region.theme.lower() for w in wanted):
        return 2, -region.purity
    return 3, 0.0


def _whole(word: str, label: str) -> bool:
    return word in re.findall(r"\w+", label.lower())


def why_met(region: Region, words: str | None) -> str:
    """Where a search met a region, if its name does not show it; "" if it does, or if nothing is searched."""
    wanted = (words or "").lower().split()
    if not wanted or any(w in region.label.lower() for w in wanted):
        return ""
    if any(w in region.theme.lower() for w in wanted):
        return "by its theme"
    return "by a token or text of its members"


def region_rows(regions: Sequence[Region], words: str | None = None, limit: int = 40) -> list[Node]:
    """The ranked list beside the map; each row opens its region, and its button puts it on the sliders. ``words``: the
    search that met these."""
    rows = []
    for r in regions[:limit]:
        why = why_met(r, words)
        share = f"{r.purity:.0%} {r.theme}" if r.theme else ""
        rows.append(
            html.Div(
                [
                    html.Button(
                        [
                            html.Span(className=f"attune-kind attune-kind-{r.character}"),
                            html.Span(
                                [r.label, html.Span(f" · met {why}", className="attune-note") if why else None],
                                className="attune-row-label",
                            ),
                            html.Span(f"{r.size:,}", className="attune-row-number"),
                            html.Span(share, className="attune-row-purity"),
                        ],
                        className="attune-region",
                        type="button",
                        title=f"region {r.region}, {r.character}: {r.label}",
                        **{"data-choose": str(r.region)},
                    ),
                    html.Button(
                        "+ add",
                        className="attune-small",
                        type="button",
                        title="Add to the sliders, beside what is on them",
                        **{"data-add": str(r.region), "aria-label": f"add {r.label} to the sliders"},
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
