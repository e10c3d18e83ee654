"""Scores of all heads over the texts of the corpus: what they cost, the press that measures them, and their picture."""

from __future__ import annotations

import dash_bootstrap_components as dbc
from dash import Input, Output, State, callback, clientside_callback, html, no_update
from dash.exceptions import PreventUpdate

from analysis.engine.client import Reply
from analysis.errors import UserError, empty_number, is_empty
from analysis.qk.answers.prompt import Reading
from analysis.qk.ops.corpus import TEXTS, CorpusPlan, CorpusScores
from analysis.spoken import duration
from analysis.view_ref import QuestionRef
from components.kit.card import Content
from components.kit.names import progress
from components.kit.types import Json, Node, Relay, Typed
from components.qk.corpus_heads import CORPUS_SCORES, PREFIX, corpus_score, heads_over_texts
from components.qk.heads import HeadOptions, HeadScore
from components.qk.prompt_parts import OWN
from pages.attention.cards import GRID
from pages.attention.reading import prompt_of, reading_of
from pages.cards import content
from pages.common import ask_for, ask_job, reply_of


def over_texts() -> Node:
    """What measures the scores over texts; it stands there for those scores alone."""
    return html.Div(
        [
            html.Button("Measure", id="texts-start", className="attune-button attune-primary", type="button"),
            html.Button("Cancel", id="texts-stop", className="attune-button", type="button", disabled=True),
            dbc.Input(id="texts-count", type="number", step="any", value=TEXTS, size="sm", className="attune-number"),
            dbc.Label("texts", html_for="texts-count", className="mb-0"),
            html.Span(id="texts-cost", className="attune-note", **{"aria-live": "polite"}),
            progress("texts-bar", "scoring all heads over texts"),
            html.Span(id="texts-text", className="attune-note", **{"aria-live": "polite"}),
            html.Div(id="texts-error"),
        ],
        id="texts-row",
        className="attune-row",
        hidden=True,
    )


def _count(value: Typed) -> int:
    if is_empty(value):
        raise empty_number("The number of texts", "a whole number from 2", "passages")
    return int(value)


@callback(
    Output("texts-scored", "data"),
    Output("texts-cost", "children"),
    Output("texts-error", "children", allow_duplicate=True),
    Input("score", "value"),
    Input("reading", "data"),
    Input("texts-count", "value"),
    State("session", "data"),
    prevent_initial_call=True,
)
def plan(score: str, question: Json, count: Typed, session: str) -> tuple[Json, str, Node]:
    """What the scores cost; those that were measured before are there at once."""
    if score not in CORPUS_SCORES or not question:
        raise PreventUpdate
    model = prompt_of(reading_of(question)).model
    reply, panel = ask_for(lambda: CorpusPlan(model, _count(count)), session, "texts", CorpusPlan)
    if reply is None:
        return None, "", panel
    cost = reply.answer
    scores = CorpusScores.from_params(reply.question.params)
    if cost.kept:
        return QuestionRef(CorpusScores.__name__, scores.to_params()).to_dict(), "measured before", None
    return None, f"about {duration(cost.seconds)} for {cost.tokens:,} tokens", None


@callback(
    Output("texts-scored", "data", allow_duplicate=True),
    Output("texts-error", "children"),
    Input("texts-start", "n_clicks"),
    State("reading", "data"),
    State("texts-count", "value"),
    State("session", "data"),
    State("address", "data"),
    background=True,
    progress=[Output("texts-bar", "value"), Output("texts-text", "children")],
    progress_default=["0", ""],
    running=[(Output("texts-start", "disabled"), True, False), (Output("texts-stop", "disabled"), False, True)],
    cancel=[Input("texts-stop", "n_clicks")],
    interval=300,
    prevent_initial_call=True,
)
def measure(
    set_progress: Relay, clicks: int | None, question: Json, count: Typed, session: str, address: str
) -> tuple[Json, Node]:
    """Score every head over the texts, as a job."""
    if not clicks or not question:
        raise PreventUpdate
    model = prompt_of(reading_of(question)).model
    reply, panel = ask_job(
        lambda: CorpusScores(model, _count(count)), set_progress, session, address, None, CorpusScores
    )
    return (no_update, panel) if reply is None else (reply.question.to_dict(), None)


def texts_grid(
    reading: Reply[Reading], options: HeadOptions, scored: Json, theme: str
) -> tuple[Content, HeadScore | None, str]:
    """The picture of all heads by a score over texts, the score itself, and what stands beside the sentence; no score
    where it has not been measured in this model."""
    if not scored or scored["params"]["model"] != reading.question.params["model"]:
        return GRID.empty("Press “Measure”"), None, OWN
    try:
        reply = reply_of(QuestionRef.from_dict(scored))
    except UserError as error:
        return GRID.empty(error.message), None, OWN
    score = corpus_score(reading.answer, reply.answer, options.score)
    shown = content(heads_over_texts, reading, reply, options=options, theme=theme)
    return shown, score, _sentence(score, options.chosen)


def _sentence(score: HeadScore, at: tuple[int, int] | None) -> str:
    if at is None or score.beside is None or not all(0 <= i < n for i, n in zip(at, score.values.shape, strict=True)):
        return OWN
    layer, head = at
    here = score.beside[layer, head]
    there = f"{here:.2f} on this prompt" if here == here else "not defined on this prompt"
    return f"Layer {layer}, head {head}, {score.name}: {score.values[layer, head]:.2f}, {there}. {OWN}".replace(
        ": nan,", ": not given,"
    )


clientside_callback(
    f"(score) => !(score || '').startsWith('{PREFIX}')", Output("texts-row", "hidden"), Input("score", "value")
)
