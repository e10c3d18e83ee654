"""Layout of the Othello page: play and see what the model would play; below, the board that it believes; then what
that belief is made of, what can be changed in it, and the figures of the model. The callbacks are in the modules
beside this one."""

from __future__ import annotations

from typing import Any

import dash_bootstrap_components as dbc
from dash import dcc, html, register_page

from components.board import board
from components.figure_card import figure_card
from components.panels import empty, user_error
from pages.othello import binding, directions, edit, figures, play, reading, roles, trials
from pages.othello.edit_panel import edit_panel
from pages.othello.state import View, read_address

# Importing these registers the page's callbacks; naming them here keeps the import from looking unused.
CALLBACKS = (binding, directions, edit, figures, play, reading, roles, trials)

register_page(__name__, path="/othello", title="Othello · Attune", name="Othello")

STORIES = [
    {"label": "A long line turns, and one block does not see it yet", "value": "line"},
    {"label": "An edit makes a new move legal", "value": "edit"},
    {"label": "After a pass, parity labels fail", "value": "pass"},
]
PROBES = [
    {"label": "TPR, 52 roles × 2 fillers", "value": "tpr"},
    {"label": "TPR, 64 × 2", "value": "tpr-full"},
    {"label": "trilinear, 8 × 8 × 2", "value": "trilinear"},
]


def layout(**query: Any) -> Any:
    """The page as its address describes it."""
    view = read_address(query)
    return html.Div(
        [
            *_stores(view),
            html.H1("Which board does OthelloGPT believe in?", className="attune-title"),
            html.Div([user_error(p) for p in view.problems], id="oth-problems"),
            html.Div([_play(), _next()], className="attune-two attune-two-play"),
            _believed(view),
            dbc.Tabs(
                [
                    dbc.Tab(_binding(), tab_id="binding", label="Binding"),
                    dbc.Tab(_roles(), tab_id="roles", label="Roles and fillers"),
                    dbc.Tab(_directions(), tab_id="directions", label="Directions"),
                    dbc.Tab(edit_panel(), tab_id="edit", label="Edit"),
                    dbc.Tab(_figures(), tab_id="figures", label="Figures"),
                    dbc.Tab(_model(view), tab_id="model", label="Model and probes"),
                ],
                id="oth-tab",
                active_tab=view.tab,
            ),
        ],
        className="attune-page",
    )


def _stores(view: View) -> list[Any]:
    return [
        dcc.Store(id="oth-game", data={"moves": list(view.moves), "ply": view.ply}),
        dcc.Store(id="oth-source", data=view.source),
        dcc.Store(id="oth-facts"),
        dcc.Store(id="oth-start", data={"layer": view.layer}),
        dcc.Store(id="oth-click"),
        dcc.Store(id="oth-edit-click"),
        dcc.Store(id="oth-edits", data=view.edits),
        dcc.Store(id="oth-reading"),
        dcc.Store(id="oth-ply-set", data=view.ply),
        dcc.Store(id="oth-board-play"),
        dcc.Store(id="oth-board-next"),
        dcc.Store(id="oth-board-believed"),
        dcc.Store(id="oth-board-directions"),
        dcc.Store(id="oth-board-edit"),
        dcc.Store(id="oth-board-after"),
        dcc.Store(id="oth-words"),
    ]


def _button(name: str, text: str, label: str = "", primary: bool = False) -> Any:
    extra = {"aria-label": label, "title": label} if label else {}
    look = "attune-button attune-primary" if primary else "attune-button"
    return html.Button(text, id=name, className=look, type="button", **extra)


def _play() -> Any:
    return html.Section(
        [
            html.Div(
                [
                    html.H3("Play"),
                    html.Div(
                        dcc.Dropdown(STORIES, id="oth-story", placeholder="Stories", searchable=False),
                        className="attune-pick attune-story",
                    ),
                ],
                className="attune-card-head",
            ),
            html.Div(id="oth-story-text", className="attune-note", **{"aria-live": "polite"}),
            board("oth-play", "The game; press a square to play there", playable=True, store="oth-click"),
            html.Div(id="oth-status", className="attune-status", **{"aria-live": "polite"}),
            html.Div(
                [
                    _button("oth-first", "|◀", "to the empty board"),
                    _button("oth-undo", "◀", "one move back"),
                    _button("oth-redo", "▶", "one move forward"),
                    _button("oth-last", "▶|", "to the last move"),
                    _button("oth-best", "Model's move", "play the model's most likely legal move"),
                    _button("oth-random", "Random move"),
                    _button("oth-random-end", "Random to the end"),
                    _button("oth-clear", "New game"),
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
                    _button("oth-paste", "Set up"),
                ],
                className="attune-row attune-paste",
            ),
            html.Div(id="oth-play-error"),
        ],
        className="attune-card",
        **{"aria-label": "Play"},
    )


def _next() -> Any:
    return html.Section(
        [
            html.Div(
                [html.H3("What the model would play next"), html.Span(id="oth-next-said", className="attune-note")],
                className="attune-card-head",
            ),
            html.Div(
                [
                    html.Div(board("oth-next", "Probability of each next move"), className="attune-board-box"),
                    figure_card("oth-bars", "Most likely moves", "", 330),
                ],
                className="attune-next",
            ),
            html.Div(id="oth-next-error"),
        ],
        className="attune-card",
        **{"aria-label": "What the model would play next"},
    )


def _believed(view: View) -> Any:
    def one(name: str, title: str) -> Any:
        return html.Div(
            [
                html.H4(title, className="attune-board-title"),
                board(f"oth-belief-{name}", title),
                html.Div(id=f"oth-right-{name}", className="attune-note attune-count"),
            ],
            className="attune-board-box",
        )

    return html.Section(
        [
            html.Div(
                [
                    html.H3("The board that the model believes"),
                    html.Div(
                        [
                            dbc.Label("after block", html_for="oth-layer"),
                            html.Div(
                                dcc.Slider(0, 5, 1, value=view.layer or 0, id="oth-layer", updatemode="drag"),
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
                                    value=view.ply,
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
                        value=view.labels,
                        options=[
                            {"label": "parity labels", "value": "parity"},
                            {"label": "true mover", "value": "mover"},
                        ],
                    ),
                ],
                className="attune-card-head",
            ),
            html.Div(
                [
                    one("truth", "True board"),
                    one("linear", "Linear probe"),
                    one("tpr", "TPR, 52 × 2"),
                    one("trilinear", "Trilinear, 8 × 8 × 2"),
                ],
                className="attune-boards",
            ),
            html.Div(id="oth-hover", className="attune-hover", **{"aria-live": "off"}),
            html.Div(
                "Opacity is the probe's probability of the disc it reads; a cross marks a square that it reads "
                "wrongly. Point at a square to see it on all boards.",
                className="attune-caption",
            ),
            html.Div(id="oth-belief-error"),
        ],
        className="attune-card",
        **{"aria-label": "The board that the model believes"},
    )


def _probe_choice(name: str, value: str = "tpr") -> Any:
    return html.Div(dcc.Dropdown(PROBES, value, id=name, clearable=False, searchable=False), className="attune-pick")


def _binding() -> Any:
    return html.Div(
        [
            html.Div(
                [
                    html.Span("probe"),
                    _probe_choice("oth-probe"),
                    html.Span(id="oth-binding-said", className="attune-note"),
                ],
                className="attune-row",
            ),
            html.Div(
                [
                    figure_card("oth-plane", "The 64 unbound squares and the three colours", "", 520),
                    figure_card("oth-matrix", "Binding matrix of this ply", "", 520),
                ],
                className="attune-two",
            ),
            html.Div(id="oth-binding-error"),
        ],
        className="attune-stack",
    )


def _roles() -> Any:
    return html.Div(
        [
            html.Div(
                [
                    _button("oth-remix", "Re-mix the coordinates", primary=True),
                    _button("oth-unmix", "Back to those of the fit"),
                    html.Div(
                        dcc.Dropdown(
                            [
                                {"label": "PCA", "value": "pca"},
                                {"label": "Isomap, 16 neighbours", "value": "isomap"},
                            ],
                            "pca",
                            id="oth-embedding",
                            clearable=False,
                            searchable=False,
                        ),
                        className="attune-pick",
                    ),
                    html.Span(id="oth-roles-said", className="attune-note", **{"aria-live": "polite"}),
                ],
                className="attune-row",
            ),
            dcc.Store(id="oth-gauge", data=0),
            html.Div(
                [
                    figure_card("oth-roles-map", "Square embeddings (roles)", "", 440),
                    figure_card("oth-survives", "What every choice of coordinates shares", "", 440),
                ],
                className="attune-two",
            ),
            figure_card("oth-gaps", "Similarity of two squares by how far apart they are", "", 330),
            html.Div(
                [
                    figure_card("oth-gram", "Gram matrix of the roles", "", 440),
                    figure_card("oth-neighbours", "Whose neighbours are the nearest roles?", "", 440),
                ],
                className="attune-two",
            ),
            html.Div(id="oth-geometry-table", className="attune-table-box"),
            html.Div(id="oth-roles-error"),
        ],
        className="attune-stack",
    )


def _directions() -> Any:
    def one(name: str, title: str) -> Any:
        return html.Div(
            [html.H4(title, className="attune-board-title"), board(f"oth-cosine-{name}", title)],
            className="attune-board-box",
        )

    return html.Div(
        [
            html.Div(
                [
                    html.Span("roles"),
                    html.Div(
                        dcc.Slider(
                            0,
                            5,
                            1,
                            value=3,
                            id="oth-roles-dim",
                            allow_direct_input=False,
                            marks=None,
                            updatemode="drag",
                        ),
                        className="attune-slider",
                    ),
                    html.Span(id="oth-directions-said", className="attune-note", **{"aria-live": "polite"}),
                ],
                className="attune-row",
            ),
            html.Section(
                [
                    html.Div(
                        [
                            one("empty", "empty"),
                            one("moved", "just moved (theirs)"),
                            one("turn", "to move (mine)"),
                        ],
                        className="attune-boards attune-boards-three",
                    ),
                    html.Div(id="oth-cosine-caption", className="attune-caption"),
                ],
                className="attune-card",
                **{"aria-label": "Cosines of the directions"},
            ),
            figure_card("oth-rank", "Accuracy against parameters", "", 420),
            html.Div(id="oth-directions-error"),
        ],
        className="attune-stack",
    )


def _figures() -> Any:
    return html.Div(
        [
            html.Div(id="oth-card", className="attune-card attune-numbers"),
            html.Div(
                [
                    figure_card("oth-legality", "Illegal first choices by ply", "", 340),
                    figure_card("oth-training", "Training", "", 340),
                ],
                className="attune-two",
            ),
            html.Div(
                [
                    figure_card("oth-accuracy", "Squares right by block", "", 380),
                    figure_card("oth-edit-table", "Edits: error by method", "", 380),
                ],
                className="attune-two",
            ),
            html.Div(id="oth-edit-squares", className="attune-table-box"),
        ],
        className="attune-stack",
    )


def _model(view: View) -> Any:
    return html.Section(
        [
            html.Div([html.H3("Model and probes")], className="attune-card-head"),
            html.P(
                "Take another OthelloGPT: a checkpoint file (.pth, .ckpt, .safetensors) in the minGPT or "
                "TransformerLens layout, a folder, or a hub id. Nothing in a file is run.",
                className="attune-note",
            ),
            html.Div(
                [
                    dbc.Label("Model", html_for="oth-source-text", className="visually-hidden"),
                    dbc.Input(id="oth-source-text", value=view.source, size="sm", maxLength=500),
                    _button("oth-open", "Open", primary=True),
                    _button("oth-bundled", "The bundled model"),
                ],
                className="attune-row attune-open",
            ),
            html.Div(id="oth-source-error"),
            html.Div(id="oth-source-said", className="attune-note", **{"aria-live": "polite"}),
            html.Hr(),
            html.Div(
                [
                    dbc.Label("games", html_for="oth-fit-games"),
                    dbc.Input(
                        id="oth-fit-games", type="number", step="any", value=1000, size="sm", className="attune-number"
                    ),
                    dbc.Label("seed", html_for="oth-fit-seed"),
                    dbc.Input(
                        id="oth-fit-seed", type="number", step="any", value=0, size="sm", className="attune-number"
                    ),
                    _button("oth-fit", "Fit the probes of all blocks", primary=True),
                    html.Button("Cancel", id="oth-fit-cancel", className="attune-button", type="button", disabled=True),
                    dbc.Progress(id="oth-fit-bar", value=0, className="attune-bar"),
                    html.Span(id="oth-fit-text", className="attune-note", **{"aria-live": "polite"}),
                ],
                className="attune-row",
            ),
            html.Div(id="oth-fit-said", **{"aria-live": "polite"}),
            html.Div(empty("Figures of the probes come here."), id="oth-probe-table", className="attune-table-box"),
        ],
        className="attune-card",
        **{"aria-label": "Model and probes"},
    )
