"""Layout of the Othello page. The first screen holds the game, what the model would play, the board that it believes,
and an edit of it with what follows; below stand the likely moves as bars and the other probes, and in tabs what the
belief is made of and the figures of the model. The callbacks are in the modules beside this one."""

from __future__ import annotations

from functools import partial

import dash_bootstrap_components as dbc
from dash import dcc, html

from components.kit.files import with_files
from components.kit.panels import user_error
from components.kit.types import Node
from components.othello.board import board
from components.othello.position import OPACITY, PROBES
from pages.manifest import PageManifest
from pages.othello import (
    binding,
    directions,
    edit,
    figures,
    heads,
    others,
    play,
    reading,
    report,
    roles,
    stories,
    trials,
)
from pages.othello.cards import BELIEVED, GAME, MOVES, NEXT
from pages.othello.edit_panel import box, edit_tab, edited
from pages.othello.heads_panel import heads_tab, report_tab
from pages.othello.picture import picture
from pages.othello.state import PATH, TABS, OthelloState
from pages.othello.stories import story_list
from pages.othello.tabs import binding_tab, button, directions_tab, figures_tab, model_tab, roles_tab
from pages.presses import press, queue_stores
from pages.state import names_of
from pages.state import read as read_state

# Importing these registers the page's callbacks; naming them here keeps the import from looking unused.
CALLBACKS = (binding, directions, edit, figures, heads, others, play, reading, report, roles, stories, trials)

SHOWN = "tpr"
"""The probe whose board stands on the first screen."""


def layout(**query: str) -> Node:
    """The page as its address describes it."""
    state = read_state(OthelloState, query)
    return html.Div(
        [
            *_stores(state),
            with_files(
                "Which board does OthelloGPT believe in?",
                "probes",
                "probes",
                othello=("oth-source", "data"),
            ),
            html.Div([user_error(p) for p in state.refusals], id="oth-problems"),
            html.Div(id="oth-story-text", className="attune-note oth-told", **{"aria-live": "polite"}),
            html.Div(
                [_play(), html.Div([_next(), _believed(state), edited()], className="oth-four")],
                className="oth-first",
            ),
            html.Div([MOVES.layout(), _others()], className="oth-second"),
            dbc.Tabs(
                [
                    dbc.Tab(binding_tab(), tab_id="binding", label="Binding"),
                    dbc.Tab(heads_tab(), tab_id="attention", label="Attention"),
                    dbc.Tab(report_tab(), tab_id="report", label="Game report"),
                    dbc.Tab(roles_tab(), tab_id="roles", label="Roles and fillers"),
                    dbc.Tab(directions_tab(), tab_id="directions", label="Directions"),
                    dbc.Tab(edit_tab(), tab_id="edit", label="Edit"),
                    dbc.Tab(figures_tab(), tab_id="figures", label="Figures"),
                    dbc.Tab(model_tab(state.source, state.probes), tab_id="model", label="Model and probes"),
                ],
                id="oth-tab",
                active_tab=state.tab,
            ),
        ],
        className="attune-page",
    )


MANIFEST = PageManifest(
    "Othello",
    PATH,
    order=30,
    layout=layout,
    needs="no model in use",
    state=OthelloState,
    address=names_of(OthelloState),
    read_address=partial(read_state, OthelloState),
    tabs=TABS,
    question="Which board does OthelloGPT believe in, and in which code is it written?",
    picture=picture,
)


def _stores(state: OthelloState) -> list[Node]:
    return [
        dcc.Store(id="oth-game", data=state.game.to_dict()),
        dcc.Store(id="oth-source", data=state.source),
        dcc.Store(id="oth-facts"),
        dcc.Store(id="oth-start", data=state.layer),
        *queue_stores("oth-game"),
        *queue_stores("oth-edits"),
        *queue_stores("oth-look"),
        dcc.Store(id="oth-look", data=state.look),
        dcc.Store(id="oth-look-shown"),
        dcc.Store(id="oth-usual-ask"),
        dcc.Store(id="oth-usual-question"),
        dcc.Store(id="oth-board-look"),
        dcc.Store(id="oth-board-without"),
        html.Div(id="oth-hand-sink", hidden=True),
        dcc.Store(id="oth-line"),
        dcc.Store(id="oth-edits", data=state.edits),
        dcc.Store(id="oth-reading"),
        dcc.Store(id="oth-trials-question"),
        dcc.Store(id="oth-given"),
        dcc.Store(id="oth-board-play"),
        dcc.Store(id="oth-board-next"),
        dcc.Store(id="oth-board-believed"),
        dcc.Store(id="oth-board-directions"),
        dcc.Store(id="oth-board-edit"),
        dcc.Store(id="oth-board-after"),
        dcc.Store(id="oth-words"),
        dcc.Store(id="oth-tale"),
    ]


def _play() -> Node:
    return GAME.layout(
        board("oth-play", "The game; press a square to play there", playable=True, queue="oth-game"),
        html.Div(id="oth-status", className="attune-status", **{"aria-live": "polite"}),
        html.Div(id="oth-play-error"),
        html.Div(
            [
                button("oth-first", "|◀", "to the empty board", **press("oth-game", "first")),
                button("oth-undo", "◀", "one move back", **press("oth-game", "undo")),
                button("oth-redo", "▶", "one move forward", **press("oth-game", "redo")),
                button("oth-last", "▶|", "to the last move", **press("oth-game", "last")),
                button(
                    "oth-best",
                    "Model's move",
                    "play the model's most likely legal move",
                    **press("oth-game", "best"),
                ),
                button("oth-random", "Random move", **press("oth-game", "random")),
                button("oth-random-end", "Random to the end", **press("oth-game", "end")),
                button("oth-clear", "New game", **press("oth-game", "clear")),
            ],
            className="attune-row attune-keys",
        ),
        html.Div(
            [
                dbc.Label("Move list", html_for="oth-text", className="visually-hidden"),
                dbc.Input(
                    id="oth-text",
                    placeholder="Paste moves: F5 D6 C3 …",
                    size="sm",
                    maxLength=2000,
                    className="attune-movelist",
                ),
                html.Div(
                    dcc.Dropdown(
                        [
                            {"label": "letter = row (papers)", "value": "rows"},
                            {"label": "letter = column (tournaments)", "value": "columns"},
                        ],
                        "rows",
                        id="oth-notation",
                        clearable=False,
                        searchable=False,
                    ),
                    className="attune-pick",
                ),
                button(
                    "oth-paste",
                    "Set up",
                    **press(
                        "oth-game",
                        "paste",
                        reads='{"text": ["oth-text", "value"], "notation": ["oth-notation", "value"]}',
                    ),
                ),
            ],
            className="attune-row attune-offstage",
        ),
        controls=story_list(),
    )


def _next() -> Node:
    return NEXT.layout(
        html.Div(
            [
                board("oth-next", "Probability of each next move"),
                html.Div([html.Div(id="oth-next-said", className="attune-note"), html.Div(id="oth-next-error")]),
            ],
            className="oth-beside",
        ),
    )


def _believed(state: OthelloState) -> Node:
    title = PROBES[SHOWN]
    words = html.Div(
        [
            html.H4(title, id=f"oth-title-{SHOWN}", className="attune-board-title"),
            html.Div(id=f"oth-right-{SHOWN}", className="attune-note attune-count"),
            dbc.Label("after block", html_for="oth-layer"),
            dcc.Slider(0, 5, 1, value=state.layer or 0, id="oth-layer", updatemode="drag", allow_direct_input=False),
            html.Div(
                [
                    dbc.Label("ply", html_for="oth-ply"),
                    html.Div(
                        dcc.Slider(
                            0,
                            60,
                            1,
                            value=state.game.ply,
                            id="oth-ply",
                            marks=None,
                            updatemode="drag",
                            tooltip={"always_visible": False},
                            allow_direct_input=False,
                        )
                    ),
                ],
                className="oth-ply",
            ),
            dbc.RadioItems(
                id="oth-labels",
                value=state.labels,
                options=[{"label": "parity labels", "value": "parity"}, {"label": "true mover", "value": "mover"}],
            ),
            html.Div(id="oth-probes-in-use", className="attune-note", **{"aria-live": "polite"}),
            html.Div(id="oth-belief-error"),
        ]
    )
    return BELIEVED.layout(html.Div([board(f"oth-belief-{SHOWN}", title), words], className="oth-beside"))


def _others() -> Node:
    """The true board and the boards of the other probes."""
    titles = {"truth": "True board"} | {name: title for name, title in PROBES.items() if name != SHOWN}
    boards = [
        box(f"oth-belief-{name}", title, html.Div(id=f"oth-right-{name}", className="attune-note attune-count"), name)
        for name, title in titles.items()
    ]
    return html.Section(
        [
            html.Div(html.H3("The true board, and the other probes"), className="attune-card-head"),
            html.Div(boards, className="attune-boards attune-boards-three"),
            html.Div(id="oth-hover", className="attune-hover", **{"aria-live": "off"}),
            html.Div(f"{OPACITY} Point at a square to see it on all boards.", className="attune-caption"),
        ],
        className="attune-card",
        **{"aria-label": "The true board, and the other probes"},
    )
