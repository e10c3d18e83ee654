"""Why this token: the answer line, the attribution bars, and the swap with what the whole model makes of it."""

from __future__ import annotations

from dash import Input, Output, State, callback, clientside_callback, ctx, html, no_update
from dash.exceptions import PreventUpdate

from analysis.qk.contrasts.spec import ContrastSpec
from analysis.qk.ops.prompt import AttentionRow
from analysis.qk.ops.swap import SwapPrediction, SwapRow
from components.kit.card import UNCHANGED
from components.kit.types import Json, Outputs, Typed
from components.qk.figures import (
    PredictionOptions,
    RowOptions,
    SwapOptions,
    key_swap,
    prediction_bars,
    row_bars,
)
from components.qk.prompt_parts import AnswerOptions, attention_answer
from pages.attention.cards import BARS, PREDICTION, STRIPS, SWAP
from pages.attention.reading import on_head, reading_of
from pages.attention.state import Head, features_of, rank_of
from pages.cards import content, ref_of
from pages.common import ask_for


def fitted_features(features: Json, fitted: Json) -> list[tuple[int, ContrastSpec]]:
    """(index, contrast) of the features that have been fitted."""
    flags = (fitted or {}).get("flags", [])
    return [(i, f) for i, (f, done) in enumerate(zip(features_of(features), flags, strict=False)) if done]


@callback(
    output={
        "answer": Output("answer", "children"),
        "asked": Output("asked", "data"),
        "partner": Output("swap-partner", "data"),
        "bars": BARS.outputs,
        "ref": STRIPS.ref,
        "error": Output("bars-error", "children"),
    },
    inputs={
        "question": Input("reading", "data"),
        "head": Input("head", "data"),
        "query": Input("query", "data"),
        "key": Input("key", "data"),
        "fitted": Input("fitted", "data"),
        "side": Input("side", "value"),
        "reference": Input("reference", "value"),
        "token": Input("reference-token", "value"),
        "unit": Input("unit", "value"),
        "orthogonalise": Input("orthogonalise", "value"),
        "skip_first": Input("skip-first", "value"),
        "active": Input("active", "value"),
        "rank": Input("rank", "value"),
        "manual": Input("manual-rank", "value"),
        "before": State("asked", "data"),
        "partner": State("swap-partner", "data"),
        "features": State("features", "data"),
        "theme": State("theme", "data"),
        "session": State("session", "data"),
    },
    prevent_initial_call=True,
)
def explain(
    question: Json,
    head: Json,
    query: int | None,
    key: int | None,
    fitted: Json,
    side: str,
    reference: str,
    token: Typed,
    unit: str,
    orthogonalise: bool,
    skip_first: bool,
    active: int | None,
    rank: Typed,
    manual: bool,
    before: int | None,
    partner: int | None,
    features: Json,
    theme: str,
    session: str,
) -> Outputs:
    """The sentence, the bars and the sum check of one query and key."""
    at = Head.of(head)
    if not question or at is None or query is None:
        raise PreventUpdate
    reading, chosen = reading_of(question), fitted_features(features, fitted)
    if query >= len(reading.answer.labels):
        raise PreventUpdate
    reply, panel = ask_for(
        lambda: AttentionRow(
            **on_head(reading, at),
            query=query,
            key=-1 if key is None else key,
            features=tuple(f for _, f in chosen),
            ranks=tuple(rank_of(rank, manual and i == active) for i, _ in chosen),
            side=side,
            orthogonalise=bool(orthogonalise),
            reference=reference,
            reference_token=int(token or 0),
            skip_first=bool(skip_first),
        ),
        session,
        "row",
        AttentionRow,
    )
    if reply is None:
        return {"answer": panel, "asked": None, "partner": None, "bars": BARS.empty(), "ref": None, "error": None}
    options = RowOptions(query, side, reference, unit, bool(skip_first))
    return {
        "answer": html.P(reply.answer.sentence),
        # What is as it was is not set again: the partner of a swap that somebody chose stays when the rank moves.
        "asked": no_update if (reply.answer.key, reply.answer.partner) == (before, partner) else reply.answer.key,
        "partner": reply.answer.partner,
        # What the head writes is drawn by pages.attention.target.
        "bars": UNCHANGED if unit == "writes" else content(row_bars, reading, reply, options=options, theme=theme),
        "ref": ref_of(attention_answer, reading, reply, options=AnswerOptions(query, bool(skip_first))),
        "error": None,
    }


@callback(
    Output("reference-token", "options"),
    Output("swap-a", "options"),
    Output("swap-b", "options"),
    Input("reading", "data"),
    Input("query", "data"),
    prevent_initial_call=True,
)
def token_options(question: Json, query: int | None) -> tuple[list[Json], list[Json], list[Json]]:
    """Tokens that the query can see, for the pickers."""
    if not question or query is None:
        return [], [], []
    labels = reading_of(question).answer.labels[: query + 1]
    options = [{"label": f"{i} {label}", "value": i} for i, label in enumerate(labels)]
    return options, options, options


@callback(
    Output("swap-a", "value"),
    Output("swap-b", "value"),
    Input("asked", "data"),
    State("swap-partner", "data"),
    prevent_initial_call=True,
)
def swap_defaults(asked: int | None, partner: int | None) -> tuple[int, int | None]:
    """Swap the token that was asked about with the strongest other one of its kind."""
    if asked is None:
        raise PreventUpdate
    return asked, None if partner is None or partner < 0 else partner


@callback(
    output={
        "swap": SWAP.outputs,
        "prediction": PREDICTION.outputs,
        "error": Output("swap-error", "children"),
    },
    inputs={
        "tab": Input("tab", "active_tab"),
        "question": Input("reading", "data"),
        "head": Input("head", "data"),
        "query": Input("query", "data"),
        "a": Input("swap-a", "value"),
        "b": Input("swap-b", "value"),
        "fitted": Input("fitted", "data"),
        "active": Input("active", "value"),
        "rank": Input("rank", "value"),
        "manual": Input("manual-rank", "value"),
        "_clicks": Input("ask-model", "n_clicks"),
        "features": State("features", "data"),
        "theme": State("theme", "data"),
        "session": State("session", "data"),
    },
    prevent_initial_call=True,
)
def what_if(
    tab: str,
    question: Json,
    head: Json,
    query: int | None,
    a: int | None,
    b: int | None,
    fitted: Json,
    active: int | None,
    rank: Typed,
    manual: bool,
    _clicks: int | None,
    features: Json,
    theme: str,
    session: str,
) -> Outputs:
    """Attention of this head after the swap; on demand, what the whole model predicts with that head so changed."""
    at = Head.of(head)
    if tab != "swap" or not question or at is None or query is None or a is None or b is None:
        raise PreventUpdate
    feature = dict(fitted_features(features, fitted)).get(-1 if active is None else active)
    if feature is None:
        return {"swap": SWAP.empty(), "prediction": PREDICTION.empty(SWAP.start), "error": None}
    reading = reading_of(question)
    where = on_head(reading, at) | {"query": query, "a": a, "b": b, "feature": feature}
    if ctx.triggered_id == "ask-model":
        effect, panel = ask_for(
            lambda: SwapPrediction(**where, rank=rank_of(rank, manual)), session, "swap-model", SwapPrediction
        )
        if effect is None:
            return {"swap": UNCHANGED, "prediction": UNCHANGED, "error": panel}
        prediction = content(prediction_bars, effect, options=PredictionOptions(query), theme=theme)
        return {"swap": UNCHANGED, "prediction": prediction, "error": None}
    swap, panel = ask_for(lambda: SwapRow(**where, rank=rank_of(rank, manual)), session, "swap", SwapRow)
    if swap is None:
        return {"swap": SWAP.empty(), "prediction": UNCHANGED, "error": panel}
    return {
        "swap": content(key_swap, reading, swap, options=SwapOptions(query, a, b), theme=theme),
        "prediction": PREDICTION.empty(),
        "error": None,
    }


# A bar is a token, so a click opens the token card of it.
clientside_callback(
    "dash_clientside.attune_token.clicked",
    Output("strip-sink", "title"),
    Input("prediction", "clickData"),
    prevent_initial_call=True,
)
