"""Layout of the Attention page. The first screen holds what one asks and the answer: on the left which prompt and
which head, on the right which token and why. Features and the tabs that prove them stand below. The callbacks are in
the modules beside this one."""

from __future__ import annotations

from functools import partial

import dash_bootstrap_components as dbc
from dash import dcc, html

from components.kit.files import with_files
from components.kit.names import popup, progress
from components.kit.panels import user_error
from components.kit.types import Node
from components.qk.prompt_parts import OWN
from pages.address import remember
from pages.attention import (
    answer,
    drawn,
    features,
    heads,
    held,
    in_link,
    making,
    opening,
    out,
    over_texts,
    overlap,
    patch,
    proof,
    reading,
    sites,
    steered,
    target,
    why_moved,
)
from pages.attention.cards import GRID, PROMPT, STRIPS
from pages.attention.panel import features_panel, make_button
from pages.attention.picture import picture
from pages.attention.state import PATH, TABS, AttentionState, drawn_cells, text_of
from pages.attention.tabs import bars, evidence_tab, map_tab, matrix_tab, overlap_tab, swap_tab
from pages.manifest import PageManifest
from pages.presses import queue_stores
from pages.state import names_of
from pages.state import read as read_state

# Importing these registers the page's callbacks; naming them here keeps the import from looking unused.
CALLBACKS = (
    answer,
    drawn,
    features,
    heads,
    held,
    in_link,
    making,
    opening,
    out,
    over_texts,
    overlap,
    patch,
    proof,
    reading,
    sites,
    steered,
    target,
    why_moved,
)


def layout(**query: str) -> Node:
    """The page as its address describes it."""
    state = read_state(AttentionState, query)
    return html.Div(
        [
            *_stores(state),
            with_files(
                "Why did this head attend to that token?",
                "contrast",
                "contrast",
                contrast=("features", "data", "active", "value"),
                rotary=("rotary", "value"),
            ),
            html.Div([user_error(p) for p in state.problems], id="attention-problems"),
            in_link.without(),
            html.Div(
                [
                    html.Div([_prompt(state), _heads(state)], className="attn-column"),
                    html.Div([_tokens(), *bars(state)], className="attn-column"),
                ],
                className="attn-first",
            ),
            features_panel(state),
            dbc.Tabs(
                [
                    dbc.Tab(matrix_tab(), tab_id="why", label="Whole head"),
                    dbc.Tab(swap_tab(), tab_id="swap", label="What if"),
                    dbc.Tab([*patch.patch_row(), *evidence_tab()], tab_id="evidence", label="Evidence"),
                    dbc.Tab(
                        html.Div(sites.two_prompts(state), className="attune-low"), tab_id="both", label="Two prompts"
                    ),
                    dbc.Tab(map_tab(), tab_id="map", label="Map"),
                    dbc.Tab(overlap_tab(), tab_id="overlap", label="Alignment and overlap"),
                    dbc.Tab(
                        [
                            html.Div(steered.steered_tab(), className="attune-low"),
                            *why_moved.why_row(),
                            *held.held_row(),
                        ],
                        tab_id="steered",
                        label="Steered by",
                    ),
                ],
                id="tab",
                active_tab=state.tab,
            ),
        ],
        className="attune-page",
    )


MANIFEST = PageManifest(
    "Attention",
    PATH,
    order=10,
    layout=layout,
    needs="recorded attention",
    state=AttentionState,
    address=names_of(AttentionState),
    read_address=partial(read_state, AttentionState),
    tabs=TABS,
    question="Why did this head attend to that token, and what does it look for there?",
    picture=picture,
)


def _stores(state: AttentionState) -> list[Node]:
    return [
        dcc.Store(id="start", data={"model": state.model, "text": state.text}),
        dcc.Store(id="reading"),
        dcc.Store(id="tokens"),
        dcc.Store(id="long-text"),
        dcc.Store(id="packed"),
        dcc.Store(id="head", data=state.head),
        dcc.Store(id="query", data=state.query),
        dcc.Store(id="key", data=state.key),
        dcc.Store(id="features", data=state.features),
        dcc.Store(id="feature-made"),
        dcc.Store(id="made"),
        dcc.Store(id="just-fitted"),
        *queue_stores("features"),
        dcc.Store(id="fitted", data={"flags": [], "turn": 0}),
        dcc.Store(id="address-text", data=remember(state.text)),
        dcc.Store(id="address-features", data=text_of(state.features)),
        *in_link.stores(state),
        dcc.Store(id="aligned"),
        dcc.Store(id="asked"),
        dcc.Store(id="swap-partner"),
        dcc.Store(id="writing"),
        dcc.Store(id="taken-out"),
        *over_texts.stores(),
        dcc.Store(id="drawn-cells", data=drawn_cells(state.drawn)),
        dcc.Store(id="drawn-asked"),
        dcc.Store(id="drawn-done"),
        *steered.stores(state.steer),
        html.Div(id="strip-sink", hidden=True),
    ]


def _prompt(state: AttentionState) -> Node:
    return PROMPT.layout(
        html.Div(id="preset-why", className="attune-note"),
        dbc.Label("Text", html_for="prompt", className="visually-hidden"),
        dbc.Textarea(id="prompt", value=state.text, rows=3, spellCheck=False, className="attune-prompt"),
        html.Div(
            [
                html.Button("Read", id="read", className="attune-button attune-primary", type="button"),
                html.Button("Cancel", id="read-cancel", className="attune-button", type="button", disabled=True),
                dbc.Switch(id="chat", value=state.chat, label="Chat template"),
                html.Div(
                    [
                        dbc.Label("Generate", html_for="generate"),
                        dbc.Input(
                            id="generate",
                            type="number",
                            step="any",
                            value=state.generate,
                            size="sm",
                            className="attune-number",
                        ),
                        html.Span("tokens"),
                    ],
                    className="attune-inline attune-offstage",
                ),
            ],
            className="attune-row",
        ),
        html.Div(id="read-cost", className="attune-note", **{"aria-live": "polite"}),
        progress("read-bar", "reading the prompt"),
        html.Div(id="read-text", className="attune-note", **{"aria-live": "polite"}),
        html.Div(id="prompt-error"),
        html.Div(id="prompt-notes", className="attune-note"),
        html.Div(id="next-tokens", className="attn-continue"),
        controls=dcc.Dropdown(
            id="preset", placeholder="Presets", clearable=True, searchable=False, className="attune-pick"
        ),
    )


def _heads(state: AttentionState) -> Node:
    score = dcc.Dropdown(
        id="score",
        value=state.score,
        clearable=False,
        searchable=False,
        className="attune-pick",
        options=[{"label": state.score, "value": state.score}],
    )
    more = popup(
        dbc.RadioItems(
            id="grid-mode",
            inline=True,
            value="score",
            options=[{"label": "score", "value": "score"}, {"label": "patterns", "value": "patterns"}],
        ),
        dbc.Switch(id="grid-ranked", label="in order of score", value=False),
        _asked("asked-token", "the token", state.target, "the most probable token"),
        _asked("asked-over", "over", state.over, "the mean of all tokens"),
    )
    return html.Div(
        [
            GRID.layout(html.Div([score, more], className="attune-inline")),
            html.Div(id="token-error"),
            over_texts.over_texts(state),
            drawn.drawn_row(state.drawn),
            html.Div(id="top-heads", className="attune-top"),
            out.taken_out(state),
        ]
    )


def _asked(name: str, label: str, value: int, usual: str) -> Node:
    listed = [{"label": usual, "value": -1}, *([] if value < 0 else [{"label": f"token {value}", "value": value}])]
    return html.Div(
        [
            dbc.Label(label, html_for=name),
            dcc.Dropdown(listed, value, id=name, clearable=False, className="attune-pick"),
        ],
        className="attune-inline",
    )


def _tokens() -> Node:
    return STRIPS.layout(
        html.Div("Which token asks? Hover to preview, click to choose.", className="attune-note attune-offstage"),
        html.Div(id="query-strip", className="attune-strip", role="group", **{"aria-label": "query tokens"}),
        html.Div(
            "Where does it look? Shade: the square root of its attention. Click one to ask why.",
            className="attune-note attune-offstage",
        ),
        html.Div(id="key-strip", className="attune-strip attune-keys", role="group", **{"aria-label": "key tokens"}),
        html.Div(id="answer", className="attune-answer", **{"aria-live": "polite"}),
        html.Div(OWN, id="head-why", className="attune-note", **{"aria-live": "polite"}),
        steered.steered_way(),
        html.Div("This is about the previous prompt.", className="attn-previous"),
        controls=html.Div(
            [dbc.Switch(id="skip-first", value=True, label="without the first token (sink)"), make_button()],
            className="attune-inline",
        ),
        title_id="tokens-title",
    )
