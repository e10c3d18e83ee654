"""Layout of the Neurons page: which neuron, what is said of it, what its vector looks like over the vocabulary; below,
its channels beside those of random vectors, what falls without one, what channels have in common, and where in the
model there is anything to find. The callbacks are in the modules beside this one."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial

import dash_bootstrap_components as dbc
from dash import dcc, html

from components.kit.field import number_field
from components.kit.files import with_files
from components.kit.names import progress
from components.kit.panels import note, user_error
from components.kit.types import Node
from components.rotate.lists import ORDERS
from pages.frame.drawn import draw_into, stores
from pages.manifest import PageManifest
from pages.neurons import ablation, channels, geometry, layermap, measure, pick, sets, vector
from pages.neurons.cards import ENDS, HISTOGRAM, READY
from pages.neurons.picture import picture
from pages.neurons.sets_tab import lists_tab
from pages.neurons.state import PATH, TABS, NeuronsState, Pick
from pages.neurons.tabs import ablation_tab, button, channels_tab, geometry_tab, layers_tab, null_tab
from pages.presses import queue_stores
from pages.state import names_of, read

# Importing these registers the page's callbacks; naming them here keeps the import from looking unused.
CALLBACKS = (ablation, channels, geometry, layermap, measure, pick, sets, vector)

DRAWN = ("nrn-list", "nrn-found-box", "nrn-ends", "nrn-cards", "nrn-attractors", "nrn-ab-strip", "nrn-arms-table")
"""Elements that are drawn from trees."""
draw_into(DRAWN, "nrn-sink")


def layout(**query: str) -> Node:
    """The page as its address describes it."""
    state = read(NeuronsState, query)
    return html.Div(
        [
            *_stores(state),
            with_files(
                "What is this neuron's weight vector made of?",
                "neurons",
                "measurement",
            ),
            html.Div([user_error(p) for p in state.problems], id="nrn-problems"),
            html.Div([_picker(state), _vector()], className="nrn-top attune-first"),
            dbc.Tabs(
                [
                    dbc.Tab(channels_tab(state), tab_id="channels", label="Channels"),
                    dbc.Tab(ablation_tab(state), tab_id="ablation", label="Ablation"),
                    dbc.Tab(geometry_tab(), tab_id="geometry", label="Geometry"),
                    dbc.Tab(layers_tab(), tab_id="layers", label="Layers"),
                    dbc.Tab(null_tab(), tab_id="null", label="The null"),
                    dbc.Tab(lists_tab(), tab_id="lists", label="Lists of neurons"),
                ],
                id="nrn-tab",
                active_tab=state.tab,
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
    state=NeuronsState,
    address=names_of(NeuronsState),
    read_address=partial(read, NeuronsState),
    tabs=TABS,
    question="What is the weight vector of a neuron made of, read without any text?",
    picture=picture,
    prepare="The neurons of this model have not been measured yet",
)


def _stores(state: NeuronsState) -> list[Node]:
    start = Pick(state.layer, state.vector, state.neuron, state.channel)
    return [
        dcc.Store(id="nrn-model", data=state.model),
        dcc.Store(id="nrn-start", data=asdict(start)),
        dcc.Store(id="nrn-facts"),
        dcc.Store(id="nrn-picked"),
        dcc.Store(id="nrn-neuron"),
        dcc.Store(id="nrn-unasked"),
        dcc.Store(id="nrn-card"),
        dcc.Store(id="nrn-auto"),
        dcc.Store(id="nrn-answer"),
        dcc.Store(id="nrn-found"),
        html.Div(id="nrn-sink", hidden=True),
        dcc.Store(id="nrn-asked"),
        dcc.Store(id="nrn-channel"),
        *queue_stores("nrn-excluded"),
        dcc.Store(id="nrn-excluded", data=[{"id": i, "token": f"#{i}"} for i in state.excluded]),
        dcc.Store(id="nrn-map-data"),
        dcc.Store(id="nrn-measured", data=0),
        dcc.Store(id="nrn-known-sets"),
        dcc.Store(id="nrn-set-question"),
        dcc.Store(id="nrn-list-numbers"),
        dcc.Store(id="nrn-outliers"),
        dcc.Download(id="nrn-set-file"),
        dcc.Download(id="nrn-set-notes"),
        *stores(DRAWN),
    ]


def _picker(state: NeuronsState) -> Node:
    orders = [{"label": text, "value": key} for key, text in ORDERS.items()]
    return html.Section(
        [
            html.Div(
                [
                    number_field(NeuronsState, "layer", "nrn-layer", "layer", state.layer, debounce=True),
                    html.Div(
                        dcc.Dropdown(
                            [], state.vector, id="nrn-vector", clearable=False, searchable=False, placeholder="vector"
                        ),
                        className="attune-pick nrn-vector",
                    ),
                    number_field(NeuronsState, "neuron", "nrn-index", "neuron", state.neuron, debounce=True),
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
            READY.layout(
                html.Div(
                    [html.Span(t) for t in ("layer", "vector", "channels' tokens", "kurtosis", "beyond")],
                    className="nrn-row nrn-row-head",
                    **{"aria-hidden": "true"},
                ),
                html.Div(id="nrn-found-box", className="nrn-found-box", **{"aria-live": "polite"}),
                html.Div(
                    id="nrn-list",
                    className="nrn-list",
                    **{"aria-label": "Neurons whose channels are ready"},
                    role="group",
                ),
                controls=html.Div(
                    [
                        dbc.Label("Search neurons by token", html_for="nrn-search", className="visually-hidden"),
                        dbc.Input(
                            id="nrn-search",
                            placeholder="Token, word, layer",
                            debounce=0.4,
                            size="sm",
                            maxLength=80,
                        ),
                        html.Div(
                            dcc.Dropdown(orders, state.order, id="nrn-order", clearable=False, searchable=False),
                            className="attune-pick nrn-order",
                        ),
                    ],
                    className="attune-row nrn-search",
                ),
                className="nrn-ready attune-untitled",
            ),
            html.Div(id="nrn-count", className="attune-note"),
        ],
        className="attune-card nrn-picker",
        **{"aria-label": "Which neuron"},
    )


def _vector() -> Node:
    return html.Div(
        [
            html.Div(note("Waiting for the model …"), id="nrn-banner", className="nrn-banner-box"),
            html.Div(
                [
                    HISTOGRAM.layout(html.Div(id="nrn-title", className="nrn-title")),
                    ENDS.layout(
                        html.Div(id="nrn-ends"), className="attune-card nrn-ends-card attune-untitled attune-floating"
                    ),
                ],
                className="nrn-vector-row",
            ),
        ],
        className="nrn-vector-column",
    )
