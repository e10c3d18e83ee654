"""Which head a reading opens with, and what a press on a predicted token opens: the head that matters most for it.

What an address says stays if it still exists, and so does a head that was chosen while a feature is looked at.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from dash import ALL, Input, Output, State, callback, ctx, no_update
from dash.exceptions import PreventUpdate

from analysis.engine.client import OperationFailed, Reply, Superseded, WorkerGone
from analysis.errors import Cancelled, UserError
from analysis.qk.answers.prompt import Reading
from analysis.qk.answers.token import TokenAblation
from analysis.qk.contrasts.spec import ContrastSpec
from analysis.qk.ops.features import FeatureScores
from analysis.qk.ops.token import EstimateFalls, WritingHeads
from analysis.view_ref import QuestionRef
from components.kit.types import Json, Node
from components.qk.heads import feature_score, prompt_score
from components.qk.token_heads import TOKEN_SCORES, ablation_score, token_score
from pages.attention.reading import prompt_of, reading_of
from pages.attention.state import Head
from pages.common import ask_for, reply_of


def prompt_arguments(reading: Reply[Reading]) -> dict[str, Any]:
    """The arguments that say which prompt an operation is asked about."""
    prompt = prompt_of(reading)
    return {name: getattr(prompt, name) for name in ("model", "text", "chat", "generate")}


def estimate(operation: EstimateFalls) -> tuple[Reply[TokenAblation] | None, str]:
    """What would fall, the recent answer if there is one, since every opened head looks at it; or why it cannot be
    said."""
    try:
        return reply_of(QuestionRef(EstimateFalls.__name__, operation.to_params())), ""
    except UserError as error:
        return None, error.message
    except (Cancelled, Superseded, WorkerGone, OperationFailed):
        return None, "No answer came. Ask again."


def first_head(reading: Reply[Reading], query: int, token: int = -1) -> Head | None:
    """The head without which a token after a query would fall most, the most probable token unless another is given;
    None where that cannot be said."""
    reply, _ = estimate(EstimateFalls(**prompt_arguments(reading), query=query, token=token))
    if reply is not None:
        best = ablation_score(reply.answer).best
    else:  # a long prompt, or a model without gradients: what heads write is known all the same
        writes, _ = ask_for(lambda: WritingHeads(**prompt_arguments(reading), query=query, token=token))
        best = [] if writes is None or writes.answer.split is None else token_score(writes.answer, "writes").best
    return Head(*best[0]) if best else None


def best_head(reading: Reading) -> Head:
    """The head with the strongest induction score, or, where nothing repeats, the strongest previous-token score; of
    equal ones the last."""
    for name in ("induction", "previous"):
        values = prompt_score(reading, name).values
        if np.isfinite(values).any():
            layer, head = np.argwhere(values == np.nanmax(values))[-1].tolist()
            return Head(layer, head)
    return Head(reading.attention_layers[0], 0)


@callback(
    Output("query", "data"),
    Output("key", "data"),
    Output("head", "data"),
    Output("asked-token", "value", allow_duplicate=True),
    Output("asked-over", "value", allow_duplicate=True),
    Input("reading", "data"),
    State("query", "data"),
    State("key", "data"),
    State("head", "data"),
    State("score", "value"),
    prevent_initial_call=True,
)
def choose_defaults(
    question: Json, query: int | None, key: int | None, head: Json, score: str
) -> tuple[Any, Any, Any, Any, Any]:
    """Where a reading opens. What an address says stays if it still exists. A prompt that was typed is asked about from
    its end: which head matters most for the most probable token, unless a feature is what is looked at."""
    if not question:
        return (no_update,) * 5
    reading = reading_of(question)
    answer, typed = reading.answer, bool(question.get("typed"))
    new_query, new_key = answer.prompt_tokens - 1, None
    if isinstance(query, int) and query < len(answer.labels) and not typed:
        new_query, new_key = query, key if isinstance(key, int) and key <= query else None
    asked = (-1, -1) if typed else (no_update, no_update)
    at = Head.of(head)
    exists = at is not None and at.layer in answer.attention_layers and at.head < answer.heads
    if exists and not (typed and score in TOKEN_SCORES):
        return new_query, new_key, head, *asked
    return new_query, new_key, asdict(first_head(reading, new_query) or best_head(answer)), *asked


@callback(
    Output("asked-token", "value", allow_duplicate=True),
    Output("query", "data", allow_duplicate=True),
    Output("key", "data", allow_duplicate=True),
    Output("head", "data", allow_duplicate=True),
    Output("score", "value", allow_duplicate=True),
    Input({"ask-token": ALL}, "n_clicks"),
    State("reading", "data"),
    State("score", "value"),
    prevent_initial_call=True,
)
def ask_token(clicks: list[int | None], question: Json, score: str) -> tuple[int, int, None, Json, str]:
    """A press on a predicted token asks about it, after the last token, and opens the head that matters most for it."""
    if not any(clicks) or not ctx.triggered_id or not question:
        raise PreventUpdate
    reading, token = reading_of(question), int(ctx.triggered_id["ask-token"])
    query = len(reading.answer.labels) - 1
    head = first_head(reading, query, token)
    opened = no_update if head is None else asdict(head)
    return token, query, None, opened, score if score in ("writes", "falls") else "falls"


@callback(
    Output("head", "data", allow_duplicate=True),
    Input("fit-error", "children"),
    State("reading", "data"),
    State("query", "data"),
    State("head", "data"),
    State("just-fitted", "data"),
    prevent_initial_call=True,
)
def open_after_fit(_fitted: Node, question: Json, query: int | None, head: Json, just: Json) -> Json:
    """A feature that was just fitted opens its best head, where the open one is the page's own choice."""
    if not question or query is None or not just:
        raise PreventUpdate
    contrast = ContrastSpec.from_dict(just["feature"])
    reading = reading_of(question)
    if query >= len(reading.answer.labels) or Head.of(head) != first_head(reading, query):
        raise PreventUpdate
    scores, _ = ask_for(lambda: FeatureScores(prompt_of(reading).model, contrast))
    short = "trace" if contrast.kind == "lexical" else "gap"
    best = [] if scores is None else feature_score(scores.answer, short, "").best
    if not best:
        raise PreventUpdate
    return asdict(Head(*best[0]))
