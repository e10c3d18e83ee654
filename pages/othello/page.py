"""Layout of the Othello page: play and see what the model would play; below, the board that it believes; then what
that belief is made of, what can be changed in it, and the figures of the model. The callbacks are in the modules
beside this one."""

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
from pages.othello import binding, directions, edit, figures, others, play, reading, roles, trials
from pages.othello.cards import BELIEVED, GAME, MOVES, NEXT
from pages.othello.edit_panel import edit_panel
from pages.othello.picture import picture
from pages.othello.state import PATH, TABS, OthelloState
from pages.othello.tabs import binding_tab, button, directions_tab, figures_tab, model_tab, roles_tab
from pages.presses import press, queue_stores
from pages.state import names_of
from pages.state import read as read_state

# Importing these registers the page's callbacks; naming them here keeps the import from looking unused.
CALLBACKS = (binding, directions, edit, figures, others, play, reading, roles, trials)

STORIES = [
    {"label": "A long line turns, and one block does not see it yet", "value": "line"},
    {"label": "An edit makes a new move legal", "value": "edit"},
    {"label": "After a pass, parity labels fail", "value": "pass"},
]


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
            html.Div([_play(), _next()], className="attune-two attune-two-play"),
            _believed(state),
            dbc.Tabs(
                [
                    dbc.Tab(binding_tab(), tab_id="binding", label="Binding"),
                    dbc.Tab(roles_tab(), tab_id="roles", label="Roles and fillers"),
                    dbc.Tab(directions_tab(), tab_id="directions", label="Directions"),
                    dbc.Tab(edit_panel(), tab_id="edit", label="Edit"),
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
    ]


def _play() -> Node:
    stories = html.Div(
        dcc.Dropdown(STORIES, id="oth-story", placeholder="Stories", searchable=False),
        className="attune-pick attune-story",
    )
    return GAME.layout(
        html.Div(id="oth-story-text", className="attune-note", **{"aria-live": "polite"}),
        board("oth-play", "The game; press a square to play there", playable=True, queue="oth-game"),
        html.Div(id="oth-status", className="attune-status", **{"aria-live": "polite"}),
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
            className="attune-row attune-paste",
        ),
        html.Div(id="oth-play-error"),
        controls=stories,
    )


def _next() -> Node:
    return NEXT.layout(
        html.Div(
            [
                html.Div(board("oth-next", "Probability of each next move"), className="attune-board-box"),
                MOVES.layout(),
            ],
            className="attune-next",
        ),
        html.Div(id="oth-next-error"),
        controls=html.Span(id="oth-next-said", className="attune-note"),
    )


def _believed(state: OthelloState) -> Node:
    def one(name: str, title: str) -> Node:
        return html.Div(
            [
                html.H4(title, id=f"oth-title-{name}", className="attune-board-title"),
                board(f"oth-belief-{name}", title),
                html.Div(id=f"oth-right-{name}", className="attune-note attune-count"),
            ],
            className="attune-board-box",
        )

    controls = html.Div(
        [
            html.Div(
                [
                    dbc.Label("after block", html_for="oth-layer"),
                    html.Div(
                        dcc.Slider(0, 5, 1, value=state.layer or 0, id="oth-layer", updatemode="drag"),
                        className="attune-slider",
                    ),
                ],
                className="attune-inline attune-layer",
            ),
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
                        ),
                        className="attune-slider",
                    ),
                ],
                className="attune-inline attune-layer",
            ),
            dbc.RadioItems(
                id="oth-labels",
                inline=True,
                value=state.labels,
                options=[
                    {"label": "parity labels", "value": "parity"},
                    {"label": "true mover", "value": "mover"},
                ],
            ),
        ],
        className="oth-controls",
    )
    return BELIEVED.layout(
        html.Div(
            [
                one("truth", "True board"),
                *(one(name, title) for name, title in PROBES.items()),
            ],
            className="attune-boards",
        ),
        html.Div(id="oth-hover", className="attune-hover", **{"aria-live": "off"}),
        html.Div(f"{OPACITY} Point at a square to see it on all boards.", className="attune-caption"),
        html.Div(id="oth-probes-in-use", className="attune-note", **{"aria-live": "polite"}),
        html.Div(id="oth-belief-error"),
        controls=controls,
    )
