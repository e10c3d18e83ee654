"""A pattern that is drawn: heads are ranked by how far their attention lies on it. The grid is assets/drawn.js."""

from __future__ import annotations

from functools import partial

from dash import Input, Output, State, callback, clientside_callback, dcc, html, no_update
from dash.exceptions import PreventUpdate

from analysis.engine.client import Reply
from analysis.errors import UserError
from analysis.qk.answers.prompt import Reading
from analysis.qk.ops.drawn import LIVE_TOKENS, LongPatternHeads, PatternHeads
from analysis.view_ref import QuestionRef
from components.kit.card import Content
from components.kit.names import named, popup, progress
from components.kit.types import Json, Node, Relay
from components.qk.drawn_heads import DRAWN_SCORE, drawn_score, heads_as_drawn
from components.qk.heads import HeadOptions, HeadScore
from components.qk.prompt_parts import OWN
from components.qk.token_heads import why_sentence
from pages.attention.cards import GRID
from pages.attention.opening import prompt_arguments
from pages.attention.reading import reading_of
from pages.attention.state import PATTERNS
from pages.cards import content
from pages.common import ask_for, ask_job, kept_reply, refusal, reply_of

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
            html.Div(
                [
                    html.Button("Measure", id="drawn-start", className="attune-button attune-primary", type="button"),
                    html.Button("Cancel", id="drawn-stop", className="attune-button", type="button", disabled=True),
                    progress("drawn-bar", "ranking heads by the pattern"),
                    html.Span(id="drawn-text", className="attune-note", **{"aria-live": "polite"}),
                ],
                id="drawn-job",
                className="attune-inline",
                hidden=True,
            ),
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
    Output("drawn-job", "hidden"),
    Input("drawn-cells", "data"),
    Input("reading", "data"),
    Input("score", "value"),
    Input("drawn-done", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
def ask_drawn(cells: Json, question: Json, score: str, _done: Json, session: str) -> tuple[Json, Node, str, bool]:
    """Every head's attention on the drawn cells; on a long prompt only where it was measured before."""
    if score != DRAWN_SCORE or not question:
        raise PreventUpdate
    reading = reading_of(question)
    drawn, long = _within(cells, reading), len(reading.answer.labels) > LIVE_TOKENS
    if not drawn:
        return None, None, "", True
    count, asked = f"{len(drawn):,} cells", partial(_kind(reading), **prompt_arguments(reading))
    if not long:
        reply, panel = ask_for(lambda: asked(cells=drawn), session, "drawn", PatternHeads)
        return None if reply is None else reply.question.to_dict(), panel, count, True
    try:
        kept = kept_reply(asked(cells=drawn))
    except UserError as error:
        return None, refusal(error, PatternHeads), count, False
    return None if kept is None else kept.question.to_dict(), None, count, False


def _within(cells: Json, reading: Reply[Reading]) -> tuple[tuple[int, int], ...]:
    """Of a pattern of another prompt what fits into this one."""
    last = len(reading.answer.labels)
    return tuple((q, k) for q, k in cells or [] if q < last and k < last)


def _kind(reading: Reply[Reading]) -> type[PatternHeads]:
    return LongPatternHeads if len(reading.answer.labels) > LIVE_TOKENS else PatternHeads


@callback(
    Output("drawn-done", "data"),
    Output("drawn-error", "children", allow_duplicate=True),
    Input("drawn-start", "n_clicks"),
    State("drawn-cells", "data"),
    State("reading", "data"),
    State("session", "data"),
    State("address", "data"),
    background=True,
    progress=[Output("drawn-bar", "value"), Output("drawn-text", "children")],
    progress_default=["0", ""],
    running=[(Output("drawn-start", "disabled"), True, False), (Output("drawn-stop", "disabled"), False, True)],
    cancel=[Input("drawn-stop", "n_clicks")],
    interval=300,
    prevent_initial_call=True,
)
def measure(
    set_progress: Relay, clicks: int | None, cells: Json, question: Json, session: str, address: str
) -> tuple[Json, Node]:
    """The same on a long prompt, as a job. What is drawn by its end is looked up then, and may be another pattern."""
    if not clicks or not question:
        raise PreventUpdate
    reading = reading_of(question)
    asked = partial(_kind(reading), **prompt_arguments(reading), cells=_within(cells, reading))
    reply, panel = ask_job(asked, set_progress, session, address, None, PatternHeads)
    return (no_update, panel) if reply is None else (reply.question.to_dict(), None)


def drawn_grid(
    reading: Reply[Reading], options: HeadOptions, asked: Json, theme: str
) -> tuple[Content, HeadScore | None, str]:
    """The picture of all heads by the drawn pattern, their score, and why the open head is where it is; no score while
    nothing is drawn."""
    prompt = reading.question.params
    if not asked or any(asked["params"][name] != prompt[name] for name in prompt):
        long = len(reading.answer.labels) > LIVE_TOKENS
        return GRID.empty(f"Take a pattern of the list, or draw one{', then press “Measure”' * long}"), None, OWN
    try:
        reply = reply_of(QuestionRef.from_dict(asked))
    except UserError as error:
        return GRID.empty(error.message), None, OWN
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
