"""The card that stands above a page for which nothing is made yet, in place of its empty figures; one line where what
is there can be made better. One card serves all pages, so it is part of the frame; pages/frame/prepare.py fills it."""

from __future__ import annotations

from collections.abc import Sequence

import dash_bootstrap_components as dbc
from dash import dcc, html

from analysis.prepare.answers import Budget, LevelFacts, PageFacts
from analysis.spoken import duration
from components.frame.model_card import size
from components.kit.names import named, progress
from components.kit.types import Json, Node

BY_HAND = "Set it up by hand"


def offer(fits: Sequence[Json], before: Sequence[Json] | None, picker: str, place: str) -> Node:
    """That a run has made a fit beside the open one, and what opens it; None where it has not. ``fits``: the options of
    ``picker`` now, ``before``: those so far. The words stand in the element ``place`` (assets/frame/prepare.js)."""
    known = [option["value"] for option in before or ()]
    new = next((option for option in fits if option["value"] not in known), None)
    if not known or new is None:
        return None
    button = html.Button(
        "Open it",
        className="attune-link",
        type="button",
        **{"data-open-fit": new["value"], "data-picker": picker, "data-place": place},
    )
    return html.Div([f"Another fit is ready: {new['label']}. ", button], className="attune-note", role="status")


def prepare_card() -> Node:
    """The card, hidden until a page needs it."""
    return html.Section(
        [
            dcc.Store(id="prepare-asked"),
            dcc.Store(id="prepare-filled"),
            dcc.Store(id="prepare-turn", data=0),
            dcc.Store(id="prepare-since", data=0.0),
            dcc.Store(id="prepare-seen"),
            dcc.Store(id="prepare-job"),
            dcc.Interval(id="prepare-pulse", interval=1500, disabled=True),
            html.H1(id="prepare-title", className="attune-title"),
            html.Div(
                [
                    html.Span(id="prepare-line"),
                    html.Button("Improve", id="prepare-open", className="attune-button", type="button"),
                ],
                className="prepare-line",
            ),
            html.Div(
                [
                    html.Div(id="prepare-shows", className="prepare-shows"),
                    html.Div(id="prepare-levels", className="attune-table-box"),
                    html.Div(
                        [
                            html.Span(id="prepare-machine", className="attune-note"),
                            html.Button("Measure again", id="prepare-measure", className="attune-link", type="button"),
                        ],
                        className="prepare-measured",
                    ),
                    html.Div(
                        [
                            html.Span("It may take"),
                            named(
                                "It may take",
                                dbc.RadioItems([], id="prepare-budget", inline=True),
                                "prepare-budgets",
                            ),
                        ],
                        className="attune-row",
                    ),
                    html.Div(id="prepare-said", className="prepare-said", **{"aria-live": "polite"}),
                    html.Div(
                        [
                            html.Button(
                                "Prepare this page",
                                id="prepare-page",
                                className="attune-button attune-primary",
                                type="button",
                            ),
                            html.Button("Prepare all", id="prepare-all", className="attune-button", type="button"),
                            html.Button(BY_HAND, id="prepare-by-hand", className="attune-button", type="button"),
                        ],
                        className="attune-row",
                    ),
                ],
                className="prepare-body",
            ),
            html.Div(
                [
                    progress("prepare-bar", "preparing the pages"),
                    html.Button("Cancel", id="prepare-cancel", className="attune-button", type="button"),
                ],
                id="prepare-run",
                className="attune-row",
                hidden=True,
            ),
            html.Div(id="prepare-state", className="attune-note", **{"aria-live": "polite"}),
            html.Div(id="prepare-problem"),
        ],
        id="prepare",
        className="prepare-none",
        **{"aria-label": "Prepare"},
    )


def shows(page: PageFacts) -> Node:
    """What the page will show."""
    return [html.P(product.shows) for product in page.products]


def level_table(page: PageFacts) -> Node:
    """What can be made for a page, from quick to best, each with its price and its quality; what is there is marked."""
    head = html.Tr([html.Th(text) for text in ("What is made", "Time", "Memory", "Disk", "What it is good for")])
    rows = []
    for product in page.products:
        if product.refusal:
            rows.append(html.Tr([html.Th(product.name), html.Td(product.refusal, colSpan=4)]))
        rows += [
            _level(product.name if n == 0 else "", level, n < product.present) for n, level in enumerate(product.levels)
        ]
    return html.Table([html.Thead(head), html.Tbody(rows)], className="attune-table prepare-table")


def _level(product: str, level: LevelFacts, there: bool) -> Node:
    name = [html.Strong(product + ", " if product else ""), level.name]
    time = "is there" if there else duration(level.seconds)
    cells = (time, size(level.memory), size(level.disk), level.quality)
    return html.Tr([html.Th(name, scope="row"), *map(html.Td, cells)], className="prepare-there" if there else "")


def budget_options(budgets: Sequence[Budget]) -> list[Json]:
    """The budgets as choices; values are seconds."""
    return [{"label": budget.name, "value": budget.seconds} for budget in budgets]


def usual_budget(budgets: Sequence[Budget], now: float | None) -> float | None:
    """The budget that stays chosen, else the smallest in which anything is made."""
    if now in [budget.seconds for budget in budgets]:
        return now
    useful = [budget.seconds for budget in budgets if budget.parts]
    return useful[0] if useful else next((budget.seconds for budget in budgets), None)


def budget_words(budget: Budget | None) -> str:
    """What a budget gives for a page, and what it leaves out."""
    return "" if budget is None else budget.sentence


def price(name: str, budget: Budget | None) -> str:
    """A button with the time that it will take."""
    return f"{name} (about {duration(budget.takes)})" if budget is not None and budget.parts else name
