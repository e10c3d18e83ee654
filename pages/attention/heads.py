"""Which head: the grid of all heads, the list of the best, the opened head's matrix and token strips."""

from __future__ import annotations

from dataclasses import replace

from dash import ALL, Input, Output, State, callback, clientside_callback, ctx, html, no_update
from dash.exceptions import PreventUpdate

from analysis.qk.contrasts.spec import ContrastSpec
from analysis.qk.ops.features import FeatureScores, feature_name
from analysis.qk.ops.prompt import HeadAttention
from components.kit.panels import failure
from components.kit.types import Json, Node, Outputs
from components.qk.corpus_heads import CORPUS_SCORES
from components.qk.drawn_heads import DRAWN_NAME, DRAWN_SCORE
from components.qk.evidence_card import place_name
from components.qk.heads import (
    FEATURE_SCORES,
    SCORE_NAMES,
    HeadOptions,
    HeadScore,
    feature_score,
    heads_of_feature,
    heads_of_prompt,
    prompt_score,
)
from components.qk.prompt_parts import OWN
from components.qk.token_heads import TOKEN_SCORES
from components.qk.token_matrix import ASK_WHY, attention_caption, attention_matrix, for_browser
from pages.attention.cards import GRID
from pages.attention.drawn import drawn_grid
from pages.attention.over_texts import texts_grid
from pages.attention.reading import on_head, prompt_of, reading_of
from pages.attention.state import Head, features_of
from pages.attention.target import token_grid
from pages.cards import content
from pages.common import ask_for


@callback(
    Output("score", "options"),
    Output("score", "value"),
    Input("fitted", "data"),
    State("features", "data"),
    State("score", "value"),
)
def score_options(fitted: Json, features: Json, value: str) -> tuple[list[dict[str, str]], str]:
    """Scores of a predicted token, of the prompt, and of every fitted feature."""
    always = TOKEN_SCORES | SCORE_NAMES | {DRAWN_SCORE: DRAWN_NAME} | CORPUS_SCORES
    options = [{"label": label, "value": name} for name, label in always.items()]
    for i, (feature, done) in enumerate(zip(features_of(features), fitted["flags"], strict=False)):
        if done:
            options += [
                {"label": text.format(feature_name(feature)), "value": f"{short}:{i}"}
                for short, text in FEATURE_SCORES.items()
            ]
    # A link may ask for the score of a feature whose fit is still being looked up: keep it until that is known.
    known = {o["value"] for o in options} | ({value} if not fitted["flags"] else set())
    return options, value if value in known else "falls"


def scored_feature(score: str, features: Json) -> ContrastSpec | None:
    """The feature that a score such as "gap:0" is of; None for a score of the prompt, and for one that is not there."""
    short, _, index = score.partition(":")
    chosen = features_of(features)
    if short not in FEATURE_SCORES or not index.isdigit() or int(index) >= len(chosen):
        return None
    return chosen[int(index)]


@callback(
    output={
        "card": GRID.outputs,
        "top": Output("top-heads", "children"),
        "why": Output("head-why", "children"),
    },
    inputs={
        "question": Input("reading", "data"),
        "score": Input("score", "value"),
        "mode": Input("grid-mode", "value"),
        "ranked": Input("grid-ranked", "value"),
        "head": Input("head", "data"),
        "_fitted": Input("fitted", "data"),
        "writing": Input("writing", "data"),
        "taken_out": Input("taken-out", "data"),
        "scored": Input("texts-scored", "data"),
        "so_far": Input("texts-so-far", "data"),
        "drawn": Input("drawn-asked", "data"),
        "baseline": Input("out-baseline", "value"),
        "way": Input("out-path", "value"),
        "features": State("features", "data"),
        "theme": State("theme", "data"),
    },
    prevent_initial_call=True,
)
def show_grid(
    question: Json,
    score: str,
    mode: str,
    ranked: bool,
    head: Json,
    _fitted: Json,
    writing: Json,
    taken_out: Json,
    scored: Json,
    so_far: Json,
    drawn: Json,
    baseline: str,
    way: str,
    features: Json,
    theme: str,
) -> Outputs:
    """All heads in one picture, and the eight best by name."""
    if not question or (ctx.triggered_id == "texts-so-far" and score not in CORPUS_SCORES):
        raise PreventUpdate
    reading, feature = reading_of(question), scored_feature(score, features)
    at = Head.of(head)
    chosen = None if at is None else (at.layer, at.head)
    options = HeadOptions(patterns=mode == "patterns", ranked=bool(ranked), chosen=chosen)
    if score in TOKEN_SCORES:
        options = replace(options, score=score)
        card, first, why = token_grid(reading, options, writing, taken_out, (baseline, way), theme)
        return {"card": card, "top": first, "why": why}
    if score in CORPUS_SCORES or score == DRAWN_SCORE:
        options = replace(options, score=score)
        if score in CORPUS_SCORES:
            card, ranked_by, words = texts_grid(reading, options, scored, so_far, theme)
        else:
            card, ranked_by, words = drawn_grid(reading, options, drawn, theme)
        return {"card": card, "top": [] if ranked_by is None else best_heads(ranked_by, chosen), "why": words}
    scores = None
    if feature is not None:
        scores, _ = ask_for(lambda: FeatureScores(prompt_of(reading).model, feature))
    if feature is None or scores is None:  # a feature that is not fitted has no score
        options = replace(options, score=score if score in SCORE_NAMES else options.score)
        top = best_heads(prompt_score(reading.answer, options.score), chosen)
        card = content(heads_of_prompt, reading, options=options, theme=theme)
        return {"card": card, "top": top, "why": OWN}
    options = replace(options, score=score.partition(":")[0], feature=feature_name(feature))
    top = best_heads(feature_score(scores.answer, options.score, options.feature), chosen)
    card = content(heads_of_feature, reading, scores, options=options, theme=theme)
    return {"card": card, "top": top, "why": OWN}


def best_heads(score: HeadScore, chosen: tuple[int, int] | None) -> list[Node]:
    """Buttons of the eight heads that come first, with their values and, where the score is not attention itself, with
    the attention that their matching keys get."""
    buttons = [
        html.Button(
            f"L{layer} H{head}  {score.values[layer, head]:.2f}"
            + ("" if score.beside is None else f" (here {score.beside[layer, head]:.2f})".replace("nan", "–"))
            + ("" if score.matching is None else f", attention {score.matching[layer, head]:.0%}"),
            id={"top-layer": layer, "top-head": head},
            className="attune-button" + (" attune-chosen" if (layer, head) == chosen else ""),
            type="button",
        )
        for layer, head in score.best
    ]
    return [html.Span("highest:", className="attune-note"), *buttons]


clientside_callback(
    "dash_clientside.attune.headClick",
    Output("head", "data", allow_duplicate=True),
    Input("grid", "clickData"),
    State("grid", "figure"),
    prevent_initial_call=True,
)


@callback(
    Output("head", "data", allow_duplicate=True),
    Input({"top-layer": ALL, "top-head": ALL}, "n_clicks"),
    prevent_initial_call=True,
)
def choose_top(clicks: list[int | None]) -> Json:
    """A head chosen from the list of the best."""
    if not any(clicks) or not ctx.triggered_id:
        raise PreventUpdate
    return {"layer": ctx.triggered_id["top-layer"], "head": ctx.triggered_id["top-head"]}


@callback(
    Output("packed", "data"),
    Output("matrix-caption", "children"),
    Output("tokens-title", "children"),
    Input("reading", "data"),
    Input("head", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
def open_head(question: Json, head: Json, session: str) -> tuple[Json, Node, Node]:
    """The attention of one head, packed for the browser, which draws it and shades the tokens."""
    at = Head.of(head)
    if not question or at is None:
        return no_update, no_update, no_update
    reading = reading_of(question)
    reply, panel = ask_for(lambda: HeadAttention(**on_head(reading, at)), session, "matrix")
    if reply is None:
        return None, panel or failure("No attention to show."), "Tokens"
    ref = attention_matrix.ref([reading.question, reply.question])
    matrix = for_browser(reading.answer, reply.answer, ref)
    caption = f"{attention_caption(matrix, reply.answer)} {ASK_WHY}"
    return matrix, caption, f"Tokens, {place_name(at.layer, at.head)}"


# The browser draws the matrix, and so writes what draws it again as well: with or without the first token.
clientside_callback(
    "dash_clientside.attune.matrix",
    Output("matrix", "figure"),
    Output({"settings": "matrix"}, "data"),
    Input("packed", "data"),
    Input("skip-first", "value"),
    State("templates", "data"),
    prevent_initial_call=True,
)
clientside_callback(
    "dash_clientside.attune.cellClick",
    Output("query", "data", allow_duplicate=True),
    Output("key", "data", allow_duplicate=True),
    Input("matrix", "clickData"),
    State("packed", "data"),
    prevent_initial_call=True,
)
clientside_callback(
    "dash_clientside.attune.tokens",
    Output("strip-sink", "children"),
    Input("tokens", "data"),
    Input("packed", "data"),
    Input("query", "data"),
    Input("asked", "data"),
    Input("skip-first", "value"),
    prevent_initial_call=True,
)
