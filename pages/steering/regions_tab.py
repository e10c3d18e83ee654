"""The first tab of the Steering page: all regions of the fit, on a map and in a list, and what the chosen one is."""

from __future__ import annotations

import dash_bootstrap_components as dbc
from dash import dcc, html

from components.kit.panels import empty
from components.kit.types import Node
from components.mfa.region_list import ORDERS
from pages.presses import press
from pages.steering.regions import MAP, REGION, REGIONS

_CHOSEN = '{"region": ["chosen-region", "data"]}'


def regions_tab() -> Node:
    """The tab."""
    return html.Div([html.Div([MAP.layout(), _list()], className="attune-column"), _card()], className="attune-two")


def _list() -> Node:
    return REGIONS.layout(
        html.P(
            "A click opens a region and steers with it, as long as the sliders stand as they were put there; “+ add” "
            "puts it beside what is on the sliders.",
            className="attune-note",
        ),
        html.Div(id="region-list", className="attune-region-list", role="list"),
        controls=html.Div(
            [
                dbc.Label("Search: word, theme, token", html_for="search", className="visually-hidden"),
                dbc.Input(id="search", placeholder="Search", debounce=False, size="sm"),
                dcc.Dropdown(
                    [{"label": label, "value": value} for value, label in ORDERS.items()],
                    "theme",
                    id="order",
                    clearable=False,
                    searchable=False,
                    className="attune-order",
                ),
            ],
            className="attune-search",
        ),
        className="attune-card attune-list-card attune-untitled",
    )


def _card() -> Node:
    return REGION.layout(
        html.Div(id="label-said", className="attune-note"),
        html.Div(id="card-effects", className="attune-effects attune-note"),
        html.Div(empty("Click a region on the map or in the list."), id="card", className="attune-card-body"),
        controls=html.Div(
            [
                html.Button(
                    "Steer here",
                    id="steer-here",
                    className="attune-button attune-primary",
                    type="button",
                    title="This region alone on the sliders",
                    **press("on-sliders", "only", reads=_CHOSEN),
                ),
                html.Button(
                    "Add to the sliders",
                    id="add-here",
                    className="attune-button",
                    type="button",
                    title="Beside the regions that are on the sliders",
                    **press("on-sliders", "add", reads=_CHOSEN),
                ),
                dbc.Input(id="label", placeholder="Give it a name", size="sm", debounce=True, maxLength=80),
            ],
            className="attune-head-row",
        ),
        title_id="card-title",
    )
