"""Layout of the Neurons page: which neuron, what its vector looks like over the vocabulary; below, its channels beside
those of random vectors, what falls without one, what channels have in common, and where in the model there is anything
to find. The callbacks are in the modules beside this one."""

from __future__ import annotations

from typing import Any

import dash_bootstrap_components as dbc
from dash import dcc, html

from components.kit.figure_card import figure_card
from components.kit.names import progress
from components.kit.panels import user_error
from components.rotate.cards import ORDERS
from pages.frame.drawn import draw_into, stores
from pages.manifest import PageManifest
from pages.neurons import ablation, channels, layermap, measure, pick, vector
from pages.neurons.state import ADDRESS, PATH, TABS, View, read_address
from pages.neurons.tabs import ablation_tab, button, channels_tab, field, geometry_tab, layers_tab, null_tab
from pages.presses import queue_stores

# Importing these registers the page's callbacks; naming them here keeps the import from looking unused.
CALLBACKS = (ablation, channels, layermap, measure, pick, vector)

DRAWN = ("nrn-list", "nrn-found-box", "nrn-ends", "nrn-cards", "nrn-attractors", "nrn-ab-strip", "nrn-arms-table")
"""Elements that are drawn from trees."""
draw_into(DRAWN, "nrn-sink")


def layout(**query: Any) -> Any:
    """The page as its address describes it."""
    view = read_address(query)
    return html.Div(
        [
            *_stores(view),
            html.H1("What is this neuron's weight vector made of?", className="attune-title"),
            html.Div([user_error(p) for p in view.problems], id="nrn-problems"),
            html.Div([_picker(view), _vector()], className="nrn-top"),
            dbc.Tabs(
                [
                    dbc.Tab(channels_tab(view), tab_id="channels", label="Channels"),
                    dbc.Tab(ablation_tab(view), tab_id="ablation", label="Ablation"),
                    dbc.Tab(geometry_tab(), tab_id="geometry", label="Geometry"),
                    dbc.Tab(layers_tab(), tab_id="layers", label="Layers"),
                    dbc.Tab(null_tab(), tab_id="null", label="The null"),
                ],
                id="nrn-tab",
                active_tab=view.tab,
            ),
        ],
        className="attune-page",
    )


MANIFEST = PageManifest(
    "Neurons",
    PATH,
    order=40,
    layout=layout,
    needs="MLP vectors",
    state=View,
    address=ADDRESS,
    read_address=read_address,
    tabs=TABS,
)


def _stores(view: View) -> list[Any]:
    start = {
        "model": view.model,
        "layer": view.layer,
        "vector": view.vector,
        "neuron": view.neuron,
        "channel": view.channel,
    }
    return [
        dcc.Store(id="nrn-start", data=start),
        dcc.Store(id="nrn-facts"),
        dcc.Store(id="nrn-picked"),
        dcc.Store(id="nrn-neuron"),
        dcc.Store(id="nrn-card"),
        dcc.Store(id="nrn-auto"),
        dcc.Store(id="nrn-answer"),
        dcc.Store(id="nrn-found"),
        html.Div(id="nrn-sink", hidden=True),
        dcc.Store(id="nrn-asked"),
        dcc.Store(id="nrn-channel"),
        *queue_stores("nrn-excluded"),
        dcc.Store(id="nrn-excluded", data=[{"id": i, "token": f"#{i}"} for i in view.excluded]),
        dcc.Store(id="nrn-map-data"),
        dcc.Store(id="nrn-measured", data=0),
        *stores(DRAWN),
    ]


def _picker(view: View) -> Any:
    orders = [{"label": text, "value": key} for key, text in ORDERS]
    return html.Section(
        [
            html.Div(
                [
                    field("layer", "nrn-layer", view.layer, debounce=True),
                    html.Div(
                        dcc.Dropdown(
                            [], view.vector, id="nrn-vector", clearable=False, searchable=False, placeholder="vector"
                        ),
                        className="attune-pick nrn-vector",
                    ),
                    field("neuron", "nrn-index", view.neuron, debounce=True),
                    button("nrn-random", "Random", "A random neuron of this layer"),
                ],
                className="attune-row nrn-which",
            ),
            html.Div(id="nrn-pick-error"),
            html.Div(
                [
                    html.Div(id="nrn-estimate", className="attune-note"),
                    html.Div(
                        [
                            button("nrn-measure", "Measure", primary=True),
                            button("nrn-measure-stop", "Cancel", disabled=True),
                            progress("nrn-measure-bar", "measuring the model"),
                        ],
                        className="attune-row",
                    ),
                    html.Div(id="nrn-measure-state", className="attune-note nrn-state", **{"aria-live": "polite"}),
                    html.Div(id="nrn-measure-problem"),
                ],
                id="nrn-measure-panel",
                className="nrn-measure",
                hidden=True,
            ),
            html.Div(
                [
                    dbc.Label("Search neurons by token", html_for="nrn-search", className="visually-hidden"),
                    dbc.Input(
                        id="nrn-search",
                        placeholder="Search: token, word, layer",
                        debounce=0.4,
                        size="sm",
                        maxLength=80,
                    ),
                    html.Div(
                        dcc.Dropdown(orders, view.order, id="nrn-order", clearable=False, searchable=False),
                        className="attune-pick nrn-order",
                    ),
                ],
                className="attune-row nrn-search",
            ),
            html.Div(
                [html.Span(t) for t in ("layer", "vector", "channels' tokens", "kurtosis", "beyond")],
                className="nrn-row nrn-row-head",
                **{"aria-hidden": "true"},
            ),
            html.Div(
                id="nrn-list",
                className="nrn-list",
                **{"aria-label": "Neurons whose channels are ready"},
                role="group",
            ),
            html.Div(id="nrn-count", className="attune-note"),
            html.Div(id="nrn-found-box", className="nrn-found-box", **{"aria-live": "polite"}),
        ],
        className="attune-card nrn-picker",
        **{"aria-label": "Which neuron"},
    )


def _vector() -> Any:
    return html.Div(
        [
            figure_card("nrn-histogram", "Its tokens", "", 330, html.Div(id="nrn-title", className="nrn-title")),
            html.Section(
                html.Div(id="nrn-ends"), className="attune-card nrn-ends-card", **{"aria-label": "Tokens of both ends"}
            ),
        ],
        className="nrn-vector-row",
    )
