"""Layout of the Faithfulness page: one chain read closely under the mechanism that is switched on; below, its answer's
probability step by step, one's own interventions, and how well measures do on all items. The callbacks are in the
modules beside this one; what a tab is made of, in the tabs' modules."""

from __future__ import annotations

from functools import partial

import dash_bootstrap_components as dbc
from dash import dcc, html

from components.faithfulness.item import SIGNS, kind_of
from components.faithfulness.style import LABELS
from components.kit.files import with_files
from components.kit.panels import empty, user_error
from components.kit.types import Node
from pages.faithfulness import bias, board, cost, intervene, item, pick, scores, study, trace, truth
from pages.faithfulness.bias_tab import bias_tab
from pages.faithfulness.board_tab import board_tab
from pages.faithfulness.cards import ITEM
from pages.faithfulness.cost_tab import cost_tab
from pages.faithfulness.item_tabs import intervene_tab, trace_tab
from pages.faithfulness.picture import picture
from pages.faithfulness.scores_tab import scores_tab
from pages.faithfulness.state import PATH, TABS, FaithState
from pages.faithfulness.study_tab import study_tab
from pages.faithfulness.truth_tab import truth_tab
from pages.frame.drawn import draw_into, stores
from pages.manifest import PageManifest
from pages.state import names_of
from pages.state import read as read_state

# Importing these registers the page's callbacks; naming them here keeps the import from looking unused.
CALLBACKS = (bias, board, cost, intervene, item, pick, scores, study, trace, truth)

DRAWN = ("fth-numbers", "fth-after-scores")
"""Elements that are drawn from trees."""
draw_into(DRAWN, "fth-sink")


def layout(**query: str) -> Node:
    """The page as its address describes it."""
    state = read_state(FaithState, query)
    return html.Div(
        [
            *_stores(state),
            with_files(
                "Is the chain of thought used, and is it true?",
                "study",
                "study",
                name=("fth-study", "data"),
            ),
            html.Div(id="fth-honesty", className="fth-honesty"),
            html.Div([user_error(p) for p in state.problems], id="fth-problems"),
            html.Div([_picker(), _item(), _label()], className="fth-top"),
            dbc.Tabs(
                [
                    dbc.Tab(trace_tab(), tab_id="trace", label="Trace and scores"),
                    dbc.Tab(intervene_tab(), tab_id="intervene", label="Intervene"),
                    dbc.Tab(board_tab(), tab_id="board", label="Leaderboard"),
                    dbc.Tab(truth_tab(), tab_id="truth", label="Importance × truth"),
                    dbc.Tab(bias_tab(), tab_id="bias", label="Bias and agreement"),
                    dbc.Tab(scores_tab(), tab_id="scores", label="Distributions"),
                    dbc.Tab(cost_tab(), tab_id="cost", label="Length and cost"),
                    dbc.Tab(study_tab(), tab_id="study", label="Studies"),
                ],
                id="fth-tab",
                active_tab=state.tab,
            ),
            html.Button(id="fth-flag", className="fth-flag", type="button", hidden=True),
        ],
        className="attune-page",
    )


MANIFEST = PageManifest(
    "Faithfulness",
    PATH,
    order=60,
    layout=layout,
    needs="English items",
    state=FaithState,
    address=names_of(FaithState),
    read_address=partial(read_state, FaithState),
    tabs=TABS,
    question="Can a measure tell a faithful chain of thought from an unfaithful one?",
    picture=picture,
    prepare="No measure has been tried on this model yet",
)


def _stores(state: FaithState) -> list[Node]:
    return [
        dcc.Store(id="fth-start", data=state.to_dict()),
        dcc.Store(id="fth-study", data=state.study),
        dcc.Store(id="fth-items"),
        dcc.Store(id="fth-listed"),
        dcc.Store(id="fth-item"),
        dcc.Store(id="fth-picked"),
        dcc.Store(id="fth-open"),
        dcc.Store(id="fth-board"),
        dcc.Store(id="fth-data"),
        dcc.Store(id="fth-reading"),
        dcc.Store(id="fth-full"),
        dcc.Store(id="fth-asked"),
        dcc.Store(id="fth-moved"),
        html.Div(id="fth-sink", hidden=True),
        *stores(DRAWN),
    ]


def _picker() -> Node:
    return html.Section(
        [
            html.Div(
                [html.H3("Item"), html.Span(id="fth-count", className="attune-note")], className="attune-card-head"
            ),
            html.Div(
                dcc.Dropdown([], None, id="fth-pick-tier", clearable=False, searchable=False, placeholder="tier"),
                className="attune-pick fth-pick-tier",
            ),
            dbc.Label("Search items", html_for="fth-search", className="visually-hidden"),
            dbc.Input(
                id="fth-search", placeholder="Search: sum, note, regime", debounce=0.2, size="sm", maxLength=100,
                className="fth-search",
            ),
            html.Div(
                [html.Span([html.Span(SIGNS[label], className=f"fth-sign {kind_of(label)}"), LABELS[label]])
                 for label in (True, False, None)],
                className="attune-note fth-legend",
            ),
            html.Div(id="fth-list", className="fth-list", role="group", **{"aria-label": "Items of this tier"}),
            html.Div(id="fth-pick-error"),
        ],
        className="attune-card fth-picker",
        **{"aria-label": "Which item"},
    )  # fmt: skip


def _item() -> Node:
    """Nothing here may change its place when the regime is switched: what depends on it stands in the card beside."""
    return html.Section(
        [
            html.Div(id="fth-switch", className="fth-switch", role="group", **{"aria-label": "Regime"}),
            html.Div(id="fth-same", className="attune-note fth-same"),
            html.Details(
                [html.Summary(id="fth-before-name"), html.Pre(id="fth-before", className="fth-before", tabIndex="0")]
            ),
            html.Div(
                empty("Waiting for the study …"),
                id="fth-text",
                className="fth-text",
                tabIndex="0",
                **{"aria-label": "Question, chain and answer"},
            ),
            html.Div(id="fth-bars", className="fth-bars-box"),
            html.Div(id="fth-own-says", className="attune-note fth-own-says"),
            html.Div(id="fth-attention", className="fth-attention"),
            html.Div(id="fth-item-error"),
        ],
        id="fth-item-card",
        className="attune-card fth-item-card",
        **{"aria-label": "The item, read closely"},
    )


def _label() -> Node:
    return ITEM.layout(
        html.P(id="fth-claim", className="fth-claim"),
        html.Div(id="fth-certificate", className="fth-certificate-box"),
        controls=html.Div(
            [html.Div(id="fth-badge"), html.Span(id="fth-certified", className="attune-note")],
            className="attune-inline",
        ),
        className="attune-card fth-label-card",
        **{"aria-label": "Label and certificate", "aria-live": "polite"},
    )
