"""Scores of all heads over many texts, of the corpus or the user's own: what they cost, the press that measures them,
and their picture, which fills while they are read.
"""

from __future__ import annotations

from typing import Any

import dash_bootstrap_components as dbc
from dash import Input, Output, State, callback, clientside_callback, dcc, html, no_update
from dash.exceptions import PreventUpdate

from analysis.corpora.text_source import source_of
from analysis.engine.client import Reply
from analysis.errors import UserError, empty_number, is_empty
from analysis.qk.answers.corpus import CorpusHeads
from analysis.qk.answers.prompt import Reading
from analysis.qk.ops.corpus import CorpusPlan, CorpusScores
from analysis.spoken import duration
from analysis.view_ref import QuestionRef
from components.kit.card import Content
from components.kit.names import named, progress
from components.kit.types import Facts, Json, Node, Relay, Typed
from components.qk.corpus_heads import CORPUS_SCORES, PREFIX, corpus_score, heads_over_texts
from components.qk.heads import HeadOptions, HeadScore
from components.qk.prompt_parts import OWN
from pages.attention.cards import GRID
from pages.attention.reading import prompt_of, reading_of
from pages.attention.state import AttentionState
from pages.cards import content
from pages.common import ask_for, ask_job, kept_reply, reply_of
from pages.texts import BUNDLED, MOST, file_of, listed

FEWEST_WORDS = 20
"""Words of a file of one's own: how many texts of it are long enough is seen when they are read."""


def over_texts(state: AttentionState) -> Node:
    """What measures the scores over texts; it stands there for those scores alone."""
    return html.Div(
        [
            html.Button("Measure", id="texts-start", className="attune-button attune-primary", type="button"),
            html.Button("Cancel", id="texts-stop", className="attune-button", type="button", disabled=True),
            dbc.Input(
                id="texts-count", type="number", step="any", value=state.texts, size="sm", className="attune-number"
            ),
            dbc.Label("texts of", html_for="texts-count", className="mb-0"),
            dbc.Input(
                id="texts-length", type="number", step="any", value=state.length, size="sm", className="attune-number"
            ),
            dbc.Label("tokens from", html_for="texts-length", className="mb-0"),
            named(
                "From which texts",
                dcc.Dropdown(_known(state.corpus), state.corpus, id="texts-source", clearable=False, searchable=False),
                "attune-pick",
            ),
            dcc.Upload(
                html.Button(
                    "or your own",
                    className="attune-button",
                    type="button",
                    title="A file of texts: .txt with blank lines between them, .jsonl, .json or .csv",
                ),
                id="texts-upload",
                max_size=MOST,
            ),
            html.Span(id="texts-cost", className="attune-note", **{"aria-live": "polite"}),
            progress("texts-bar", "scoring all heads over texts"),
            html.Span(id="texts-text", className="attune-note", **{"aria-live": "polite"}),
            html.Div(id="texts-brought", className="attune-note", **{"aria-live": "polite"}),
            html.Div(id="texts-error"),
        ],
        id="texts-row",
        className="attune-row",
        hidden=True,
    )


def _known(source: str) -> list[dict[str, str]]:
    """The list of texts: the corpus, and those that the address brings."""
    own = [] if source == BUNDLED["value"] else [{"label": source_of(source).label or "own texts", "value": source}]
    return [BUNDLED, *own]


def stores() -> list[Node]:
    """The question that was measured, and what of a running measurement there is so far."""
    return [dcc.Store(id="texts-scored"), dcc.Store(id="texts-grown"), dcc.Store(id="texts-so-far")]


def _settings(count: Typed, length: Typed, source: str | None) -> dict[str, Any]:
    """What the row asks for, as fields of an operation."""
    if is_empty(count):
        raise empty_number("The number of texts", "a whole number from 2", "passages")
    if is_empty(length):
        raise empty_number("The length of a text", "a whole number from 4", "tokens")
    return {"passages": int(count), "tokens": int(length), "source": source or BUNDLED["value"]}


@callback(
    Output("texts-source", "options"),
    Output("texts-source", "value"),
    Output("texts-brought", "children"),
    Input("texts-upload", "contents"),
    State("texts-upload", "filename"),
    State("texts-source", "options"),
    prevent_initial_call=True,
)
def bring(contents: str | None, name: str | None, options: Json) -> tuple[Json, Node, Node]:
    """Take in texts of the user's own."""
    if not contents:
        raise PreventUpdate
    options, source, said = listed(file_of(contents, name, FEWEST_WORDS), options)
    return options, source or no_update, said


@callback(
    Output("texts-scored", "data"),
    Output("texts-cost", "children"),
    Output("texts-error", "children", allow_duplicate=True),
    Input("score", "value"),
    Input("reading", "data"),
    Input("texts-count", "value"),
    Input("texts-length", "value"),
    Input("texts-source", "value"),
    State("session", "data"),
    prevent_initial_call=True,
)
def plan(
    score: str, question: Json, count: Typed, length: Typed, source: str | None, session: str
) -> tuple[Json, str, Node]:
    """What the scores cost; those that were measured before are there at once."""
    if score not in CORPUS_SCORES or not question:
        raise PreventUpdate
    model = prompt_of(reading_of(question)).model
    reply, panel = ask_for(lambda: CorpusPlan(model, **_settings(count, length, source)), session, "texts", CorpusPlan)
    if reply is None:
        return None, "", panel
    cost = reply.answer
    kept = kept_reply(CorpusScores.from_params(reply.question.params)) if cost.kept else None
    if kept is not None:
        return kept.question.to_dict(), "measured before", None
    return None, f"about {duration(cost.seconds)} for {cost.tokens:,} tokens", None


@callback(
    Output("texts-scored", "data", allow_duplicate=True),
    Output("texts-error", "children"),
    Input("texts-start", "n_clicks"),
    State("reading", "data"),
    State("texts-count", "value"),
    State("texts-length", "value"),
    State("texts-source", "value"),
    State("session", "data"),
    State("address", "data"),
    background=True,
    progress=[Output("texts-bar", "value"), Output("texts-text", "children"), Output("texts-grown", "data")],
    progress_default=["0", "", None],
    running=[(Output("texts-start", "disabled"), True, False), (Output("texts-stop", "disabled"), False, True)],
    cancel=[Input("texts-stop", "n_clicks")],
    interval=300,
    prevent_initial_call=True,
)
def measure(
    set_progress: Relay,
    clicks: int | None,
    question: Json,
    count: Typed,
    length: Typed,
    source: str | None,
    session: str,
    address: str,
) -> tuple[Json, Node]:
    """Score every head over the texts, as a job; what there is so far goes to the page."""
    if not clicks or not question:
        raise PreventUpdate
    model, grown = prompt_of(reading_of(question)).model, None

    def relay(bar: tuple[str, str], facts: Facts) -> None:
        nonlocal grown
        if facts.get("so_far"):
            grown = {"model": model.to_dict(), "so_far": facts["so_far"]}
        set_progress((*bar, grown))

    reply, panel = ask_job(
        lambda: CorpusScores(model, **_settings(count, length, source)), set_progress, session, address, relay,
        CorpusScores,
    )  # fmt: skip
    return (no_update, panel) if reply is None else (reply.question.to_dict(), None)


# Dash hands on what is so far at every look at the job, also where it is what it was.
clientside_callback(
    "(grown, before) => JSON.stringify(grown) === JSON.stringify(before) ? dash_clientside.no_update : grown",
    Output("texts-so-far", "data"),
    Input("texts-grown", "data"),
    State("texts-so-far", "data"),
    prevent_initial_call=True,
)


def texts_grid(
    reading: Reply[Reading], options: HeadOptions, scored: Json, so_far: Json, theme: str
) -> tuple[Content, HeadScore | None, str]:
    """The picture of all heads by a score over texts, the score itself, and what stands beside the sentence; no score
    where it has not been measured in this model. While it is measured, the means so far, which cannot be pinned."""
    model = reading.question.params["model"]
    if so_far and so_far["model"] == model:
        now = CorpusHeads.received(so_far["so_far"])
        drawing = heads_over_texts.draw(reading.answer, now, options, theme)
        words = f"Being measured: means over {now.texts:,} texts so far."
        return (
            Content(figure=drawing.figure, caption=words, ref=None),
            corpus_score(reading.answer, now, options.score),
            OWN,
        )
    if not scored or scored["params"]["model"] != model:
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
