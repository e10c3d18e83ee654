"""Layout of the MLP features page: which factorization, which feature, what it is; below, a sentence, what features
share, how they merge, what they do when the model writes, and how good the method is. The callbacks are in the modules
beside this one."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial

import dash_bootstrap_components as dbc
from dash import dcc, html

from components.kit.files import with_files
from components.kit.panels import user_error
from components.kit.types import Json, Node
from components.snmf.card import ORDERS
from pages.manifest import PageManifest
from pages.mlp_features import alternatives, card, detection, fitting, overlap, pick, reading, steer, tree
from pages.mlp_features.cards import FEATURE, LIST, NEURONS
from pages.mlp_features.picture import picture
from pages.mlp_features.state import PATH, TABS, FeaturesState, Start
from pages.mlp_features.steer_panel import steer_tab
from pages.mlp_features.tabs import (
    about_tab,
    button,
    detection_tab,
    fit_tab,
    overlap_tab,
    reading_tab,
    tree_tab,
)
from pages.presses import press, queue_stores
from pages.state import names_of, read

# Importing these registers the page's callbacks; naming them here keeps the import from looking unused.
CALLBACKS = (card, detection, fitting, overlap, pick, reading, steer, tree)


def layout(**query: str) -> Node:
    """The page as its address describes it."""
    state = read(FeaturesState, query)
    return html.Div(
        [
            *_stores(state, fresh="prompt" not in query),
            with_files(
                "Which neurons work together?",
                "factorization",
                "factorization",
                name=("mlp-fit", "value"),
            ),
            html.Div([user_error(p) for p in state.problems], id="mlp-problems"),
            html.Div([_list(), *_feature()], className="mlp-top attune-first"),
            dbc.Tabs(
                [
                    dbc.Tab(reading_tab(state), tab_id="reading", label="A sentence"),
                    dbc.Tab(_output(), tab_id="output", label="What it pushes"),
                    dbc.Tab(overlap_tab(), tab_id="overlap", label="Overlap"),
                    dbc.Tab(tree_tab(state), tab_id="tree", label="Tree"),
                    dbc.Tab(steer_tab(state), tab_id="steer", label="Steer"),
                    dbc.Tab(detection_tab(), tab_id="detection", label="Does it detect?"),
                    dbc.Tab(about_tab(), tab_id="about", label="About this fit"),
                    dbc.Tab(fit_tab(), tab_id="fit", label="Fit another"),
                ],
                id="mlp-tab",
                active_tab=state.tab,
            ),
        ],
        className="attune-page",
    )


MANIFEST = PageManifest(
    "MLP features",
    PATH,
    order=50,
    layout=layout,
    needs="activations",
    state=FeaturesState,
    address=names_of(FeaturesState),
    read_address=partial(read, FeaturesState),
    tabs=TABS,
    question="Which neurons of an MLP work together, and on which texts?",
    picture=picture,
    prepare="No features of this model have been fitted yet",
)


def _stores(state: FeaturesState, fresh: bool) -> list[Node]:
    """``fresh``: whether the address names no prompt."""
    start = Start(state.model, state.fit, state.feature, state.root, fresh)
    return [
        dcc.Store(id="mlp-start", data=asdict(start)),
        dcc.Store(id="mlp-fits"),
        dcc.Store(id="mlp-facts"),
        dcc.Store(id="mlp-rows"),
        dcc.Store(id="mlp-contexts"),
        dcc.Store(id="mlp-picked"),
        dcc.Store(id="mlp-feature"),
        *queue_stores("mlp-members"),
        dcc.Store(id="mlp-members", data=list(state.members)),
        dcc.Store(id="mlp-node"),
        dcc.Store(id="mlp-effect"),
        dcc.Store(id="mlp-ask"),
        dcc.Store(id="mlp-written"),
        *alternatives.stores(),
        dcc.Store(id="mlp-written-ref"),
        dcc.Store(id="mlp-made"),
        html.Div(id="mlp-sink", hidden=True),
    ]


def _list() -> Node:
    orders = [{"label": text, "value": key} for key, text in ORDERS]
    return LIST.layout(
        html.Div(dcc.Dropdown(id="mlp-fit", clearable=False, searchable=False), className="attune-pick mlp-fit-pick"),
        html.Div(
            [
                dbc.Label("Search features", html_for="mlp-search", className="visually-hidden"),
                dbc.Input(
                    id="mlp-search",
                    placeholder="Word, theme, token",
                    debounce=0.3,
                    size="sm",
                    maxLength=100,
                ),
                html.Div(
                    dcc.Dropdown(orders, "auc", id="mlp-order", clearable=False, searchable=False),
                    className="attune-pick mlp-order",
                ),
            ],
            className="attune-row mlp-search",
        ),
        html.Div(id="mlp-found", className="mlp-found-box", **{"aria-live": "polite"}),
        html.Div(id="mlp-undetected", className="attune-note"),
        html.Div([html.Span("label"), html.Span("AUC"), html.Span("active")], className="mlp-row-head", **_HIDDEN),
        html.Div(id="mlp-list", className="mlp-list", role="list", **{"aria-label": "Features"}),
        html.Div(id="mlp-list-error"),
        controls=html.Span(id="mlp-count", className="attune-note"),
        className="attune-card mlp-list-card",
    )


_HIDDEN = {"aria-hidden": "true"}


def _feature() -> list[Node]:
    """What the open feature is: its texts, its neurons, and whether it tells its theme."""
    return [
        FEATURE.layout(
            html.Div("Waiting for the model …", id="mlp-card-said", className="attune-note mlp-sentence"),
            _contexts("Where it is most active", "mlp-contexts-top"),
            _contexts("A random sample of where it is active", "mlp-contexts-random"),
            controls=html.Div(
                [
                    button("mlp-to-steer", "Steer with it", primary=True, **_leads("steer")),
                    button(
                        "mlp-to-overlap",
                        "Compare its neurons",
                        **_leads("overlap"),
                        **press("mlp-members", "compare", reads='{"feature": ["mlp-feature", "data"]}'),
                    ),
                    button("mlp-to-tree", "Where it merges", **_leads("tree")),
                ],
                className="attune-row mlp-actions",
            ),
            title_id="mlp-card-title",
            className="attune-card mlp-feature-card",
        ),
        html.Div(
            [
                NEURONS.layout(),
                html.Section(
                    [
                        html.Div(html.H3("Does it tell its theme?"), className="attune-card-head"),
                        html.Div(id="mlp-evidence", **{"aria-live": "polite"}),
                    ],
                    className="attune-card mlp-evidence-card",
                    **{"aria-label": "Does it tell its theme?"},
                ),
            ],
            className="mlp-beside",
        ),
    ]


def _leads(tab: str) -> Json:
    """The attributes of a button that opens a tab (assets/frame/lead.js)."""
    return {"data-leads": "mlp-tab", "data-tab": tab}


def _output() -> Node:
    """What the open feature does to the logits, and where its activation lies."""
    return html.Section(
        html.Div(id="mlp-card"),
        className="attune-card",
        **{"aria-label": "What it pushes, and its themes"},
    )


def _contexts(title: str, name: str) -> Node:
    # Filled by the browser; see components/snmf/card.py.
    return html.Div(
        [html.H4(title), html.Div(id=name, className="mlp-contexts", tabIndex="0", **{"aria-label": title})],
        className="mlp-contexts-box",
    )
