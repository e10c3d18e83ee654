"""A pattern that is drawn: heads are ranked by how far their attention lies on it. The grid is assets/drawn.js."""

from __future__ import annotations

from functools import partial

from dash import Input, Output, State, callback, clientside_callback, dcc, html
from dash.exceptions import PreventUpdate

from analysis.engine.client import Reply
from analysis.qk.answers.prompt import Reading
from analysis.qk.ops.drawn import PatternHeads
from analysis.view_ref import QuestionRef
from components.kit.card import Content
from components.kit.names import named, popup
from components.kit.types import Json, Node
from components.qk.drawn_heads import DRAWN_SCORE, drawn_score, heads_as_drawn
from components.qk.heads import HeadOptions, HeadScore
from components.qk.prompt_parts import OWN
from components.qk.token_heads import why_sentence
from pages.attention.cards import GRID
from pages.attention.opening import prompt_arguments
from pages.attention.reading import reading_of
from pages.attention.state import PATTERNS
from pages.cards import content
from pages.common import ask_for, reply_of

_NAMED = [
    {"label": "one step back", "value": "previous"},
    {"label": "on itself (diagonal)", "value": "diagonal"},
    {"label": "on the first token", "value": "first"},
    {"label": "on the chosen key (column)", "value": "column"},
    {"label": "within the last third, at most 120 tokens (block)", "value": "block"},
    {"label": "nothing", "value": "none"},
]


def drawn_row(drawn: str) -> Node:
    """The list of patterns and the grid; they stand there for that score alone."""
    canvas = html.Canvas(
        id="drawn-canvas",
        className="attn-drawn",
        tabIndex="0",
        role="application",
        **{"aria-label": "Pattern: queries down, keys across. Arrow keys move, the space bar draws."},
    )
    return html.Div(
        [
            named(
                "A pattern to begin with",
                dcc.Dropdown(
                    _NAMED,
                    drawn if drawn in PATTERNS else None,
                    id="drawn-named",
                    placeholder="a pattern",
                    clearable=False,
                    searchable=False,
                ),
                "attune-pick",
            ),
            popup(
                html.Div("Queries down, keys across. Press and drag to draw, on a drawn cell to take away.",
                         className="attune-note"),
                canvas,
                html.Div(id="drawn-at", className="attune-note", **{"aria-live": "polite"}),
                html.Div(id="drawn-long", className="attune-note"),
                label="Draw it",
            ),
            html.Span(id="drawn-count", className="attune-note", **{"aria-live": "polite"}),
            html.Div(id="drawn-error"),
            html.Div(id="drawn-sink", hidden=True),
        ],
        id="drawn-row",
        className="attune-row",
        hidden=True,
    )  # fmt: skip


@callback(
    Output("drawn-asked", "data"),
    Output("drawn-error", "children"),
    Output("drawn-count", "children"),
    Input("drawn-cells", "data"),
    Input("reading", "data"),
    Input("score", "value"),
    State("session", "data"),
    prevent_initial_call=True,
)
def ask_drawn(cells: Json, question: Json, score: str, session: str) -> tuple[Json, Node, str]:
    """Every head's attention on the drawn cells; of a pattern of another prompt what fits into this one."""
    if score != DRAWN_SCORE or not question:
        raise PreventUpdate
    reading = reading_of(question)
    last = len(reading.answer.labels)
    drawn = tuple((q, k) for q, k in cells or [] if q < last and k < last)
    if not drawn:
        return None, None, ""
    asked = partial(PatternHeads, **prompt_arguments(reading))
    reply, panel = ask_for(lambda: asked(cells=drawn), session, "drawn", PatternHeads)
    return None if reply is None else reply.question.to_dict(), panel, f"{len(drawn):,} cells"


def drawn_grid(
    reading: Reply[Reading], options: HeadOptions, asked: Json, theme: str
) -> tuple[Content, HeadScore | None, str]:
    """The picture of all heads by the drawn pattern, their score, and why the open head is where it is; no score while
    nothing is drawn."""
    prompt = reading.question.params
    if not asked or any(asked["params"][name] != prompt[name] for name in prompt):
        return GRID.empty("Take a pattern of the list, or draw one"), None, OWN
    reply = reply_of(QuestionRef.from_dict(asked))
    score = drawn_score(reply.answer)
    shown = content(heads_as_drawn, reading, reply, options=options, theme=theme)
    why = why_sentence(score, "", *options.chosen, DRAWN_SCORE) if options.chosen else ""
    return shown, score, f"{why} {OWN}".strip()


clientside_callback(f"(score) => score !== '{DRAWN_SCORE}'", Output("drawn-row", "hidden"), Input("score", "value"))
clientside_callback(
    "dash_clientside.attune.pattern",
    Output("drawn-cells", "data"),
    Input("drawn-named", "value"),
    Input("tokens", "data"),
    Input("key", "data"),
    State("drawn-cells", "data"),
    prevent_initial_call=True,
)
clientside_callback(
    "dash_clientside.attune.drawing",
    Output("drawn-sink", "children"),
    Input("tokens", "data"),
    Input("drawn-cells", "data"),
    Input("theme", "data"),
    prevent_initial_call=True,
)
