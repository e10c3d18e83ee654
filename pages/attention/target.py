"""From a predicted token to the heads: which of them write it, what falls without them, and from where one writes it.

The question is a token after the chosen query, over another token or the mean of all; it stands in the settings of the
heads' card, and a press on a predicted token asks it. The store of what heads write holds the question that was asked.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from dash import Input, Output, State, callback, html, no_update
from dash.exceptions import PreventUpdate

from analysis.engine.client import Reply
from analysis.engine.operation import Operation
from analysis.qk.answers.prompt import Reading
from analysis.qk.answers.token import TokenAblation, TokenPatch, TokenPath
from analysis.qk.ops.parts import AblateParts, PatchParts, PathParts
from analysis.qk.ops.token import EstimateFalls, WritingHeads, WritingSources
from analysis.view_ref import QuestionRef
from components.kit.card import Content
from components.kit.types import Json, Node
from components.qk.heads import HeadOptions, HeadScore
from components.qk.prompt_parts import OWN
from components.qk.token_heads import (
    TOKEN_SCORES,
    SourceOptions,
    ablation_score,
    decimals,
    heads_before,
    heads_of_token,
    heads_patched,
    heads_taken_out,
    patch_score,
    patch_sentence,
    path_score,
    path_sentence,
    ranking,
    source_bars,
    token_score,
    why_sentence,
)
from pages.attention.cards import BARS, GRID
from pages.attention.opening import estimate, prompt_arguments
from pages.attention.out import ALL, MEASURED, PATCH, SAME
from pages.attention.reading import on_head, reading_of
from pages.attention.state import Head
from pages.cards import content
from pages.common import ask_for, reply_of

PAIRS = ("pair", "weighted", "from-key")
SLOW = 500
"""Tokens from which a picture of the prompt before would stand there for long."""


@callback(
    Output("writing", "data"),
    Output("asked-token", "options"),
    Output("asked-over", "options"),
    Output("token-error", "children"),
    Input("reading", "data"),
    Input("query", "data"),
    Input("key", "data"),
    Input("asked-token", "value"),
    Input("asked-over", "value"),
    Input("score", "value"),
    State("session", "data"),
    prevent_initial_call=True,
)
def ask_heads(
    question: Json, query: int | None, key: int | None, token: int | None, over: int | None, score: str, session: str
) -> tuple[Json, Any, Any, Node]:
    """What every head writes towards the token that is asked about, and, for a score of a pair, where it looks."""
    if not question or query is None or score not in TOKEN_SCORES:
        raise PreventUpdate
    reading = reading_of(question)
    if query >= len(reading.answer.labels):
        raise PreventUpdate
    pair = key if score in PAIRS and key is not None and key <= query else -1
    asked = partial(WritingHeads, **prompt_arguments(reading), query=query, token=_chosen(token), against=_chosen(over))
    reply, panel = ask_for(lambda: asked(key=pair), session, "writing", WritingHeads)
    if reply is None:
        return None, no_update, no_update, panel
    target = reply.answer.target
    likely = target.likely
    options = {
        i: f"{label}  {p:.1%}" for i, label, p in zip(likely.ids, likely.labels, likely.probabilities, strict=True)
    }
    for i, label in zip(reading.answer.ids, reading.answer.labels, strict=True):
        options.setdefault(i, label)
    options.setdefault(target.token, target.label)
    if target.against >= 0:
        options.setdefault(target.against, target.other)
    listed = [{"label": label, "value": i} for i, label in options.items()]
    tokens = [{"label": "the most probable token", "value": -1}, *listed]
    return reply.question.to_dict(), tokens, [{"label": "the mean of all tokens", "value": -1}, *listed], None


def _chosen(value: int | None) -> int:
    return -1 if value is None else value


def token_grid(
    reading: Reply[Reading], options: HeadOptions, writing: Json, taken_out: Json, how: tuple[str, str], theme: str
) -> tuple[Content, list[Node], Node]:
    """The picture of all heads, the list of the first, and why the open head is what it is, by a score of a token.
    ``how``: what stands in place of an output, and by which ways its change goes. While the answer to the present
    question is on its way, which for a long prompt may be a minute, says so; for a short one raises PreventUpdate."""
    prompt = reading.question.params
    if not writing or any(writing["params"][name] != prompt[name] for name in prompt):
        if len(reading.answer.labels) >= SLOW:
            return GRID.empty("Another pass works out what each head writes"), [], OWN
        raise PreventUpdate
    reply = reply_of(writing)
    score: HeadScore
    estimated = False
    if options.score == "falls":
        asked = {name: writing["params"][name] for name in SAME}
        baseline, way = how
        if way != ALL:
            asked |= {"side": way, "baseline": "other" if baseline == PATCH else baseline}
            return _by_way(reading, options, asked, taken_out, theme)
        if baseline == PATCH:
            return _patched(reading, options, asked, taken_out, theme)
        asked |= {"baseline": baseline}
        out: Reply[TokenAblation] | None
        if _is(taken_out, AblateParts) and all(taken_out["params"].get(name) == value for name, value in asked.items()):
            out = reply_of(QuestionRef.from_dict(taken_out))
        elif baseline in MEASURED:
            return GRID.empty("Press “Take each out”"), [], OWN
        else:
            out, refused = estimate(EstimateFalls.from_params(asked))
            estimated = True
            if out is None:
                return GRID.empty("Press “Take each out”", refused), [], OWN
        score, shown = ablation_score(out.answer), content(heads_taken_out, reading, out, options=options, theme=theme)
    else:
        score = token_score(reply.answer, options.score)
        shown = content(heads_of_token, reading, reply, options=options, theme=theme)
    at = options.chosen
    why = why_sentence(score, reply.answer.target.words, *at, options.score, estimated) if at else ""
    return shown, _first(score, at), f"{why} {OWN}".strip()


def _patched(
    reading: Reply[Reading], options: HeadOptions, asked: Json, taken_out: Json, theme: str
) -> tuple[Content, list[Node], Node]:
    """The same of a patch from another prompt, once it has been made."""
    if not _is(taken_out, PatchParts) or any(taken_out["params"].get(name) != value for name, value in asked.items()):
        return GRID.empty("Write the other prompt, then press “Take each out”"), [], OWN
    reply: Reply[TokenPatch] = reply_of(QuestionRef.from_dict(taken_out))
    score, at = patch_score(reply.answer, reading.answer.labels), options.chosen
    why = patch_sentence(score, reply.answer, *at) if at else ""
    return (
        content(heads_patched, reading, reply, options=options, theme=theme),
        _first(score, at),
        f"{why} {OWN}".strip(),
    )


def _by_way(
    reading: Reply[Reading], options: HeadOptions, asked: Json, taken_out: Json, theme: str
) -> tuple[Content, list[Node], Node]:
    """The same of ways into one head, once they have been measured."""
    if not _is(taken_out, PathParts) or any(taken_out["params"].get(name) != value for name, value in asked.items()):
        return GRID.empty("Open the head that the ways lead to, then press “Take each out”"), [], OWN
    reply: Reply[TokenPath] = reply_of(QuestionRef.from_dict(taken_out))
    score, at = path_score(reply.answer), options.chosen
    why = path_sentence(score, reply.answer, *at) if at else ""
    if reply.answer.other_total is not None:  # the box may hold another text by now
        why += f" The other prompt was “{taken_out['params']['other']}”."
    return (
        content(heads_before, reading, reply, options=options, theme=theme),
        _first(score, at),
        f"{why} {OWN}".strip(),
    )


def _is(question: Json, operation: type[Operation[Any]]) -> bool:
    return bool(question) and question["operation"] == operation.__name__


def _first(score: HeadScore, chosen: tuple[int, int] | None) -> list[Node]:
    """Buttons of the heads that come first and last by a score; MLPs stand among them and open nothing."""
    signed, digits = "+" if score.signed else "", decimals(score.values)
    parts: list[Node] = []
    for layer, head, value in ranking(score):
        number = f"{value:{signed}.{digits}f}"
        if head < 0:
            parts.append(html.Span(f"MLP {layer}  {number}", className="attune-button attn-mlp"))
            continue
        name = "attune-button" + (" attune-chosen" if (layer, head) == chosen else "")
        where = {"top-layer": layer, "top-head": head}
        parts.append(html.Button(f"L{layer} H{head}  {number}", id=where, className=name, type="button"))
    return [html.Span("most:", className="attune-note"), *parts]


@callback(
    output=BARS.more_outputs,
    inputs={
        "unit": Input("unit", "value"),
        "question": Input("reading", "data"),
        "head": Input("head", "data"),
        "query": Input("query", "data"),
        "asked": Input("asked", "data"),
        "token": Input("asked-token", "value"),
        "over": Input("asked-over", "value"),
        "skip_first": Input("skip-first", "value"),
        "theme": State("theme", "data"),
        "session": State("session", "data"),
    },
    prevent_initial_call=True,
)
def show_sources(
    unit: str,
    question: Json,
    head: Json,
    query: int | None,
    asked: int | None,
    token: int | None,
    over: int | None,
    skip_first: bool,
    theme: str,
    session: str,
) -> Content:
    """What the open head writes towards the token, by source token, where the bars are asked for that."""
    at = Head.of(head)
    if unit != "writes" or not question or at is None or query is None:
        raise PreventUpdate
    reading = reading_of(question)
    if query >= len(reading.answer.labels):
        raise PreventUpdate
    where = on_head(reading, at) | {"query": query, "token": _chosen(token), "against": _chosen(over)}
    reply, panel = ask_for(lambda: WritingSources(**where), session, "sources", WritingSources)
    if reply is None:
        return BARS.empty("Nothing to show", panel)
    options = SourceOptions(query, -1 if asked is None else asked, bool(skip_first))
    return content(source_bars, reading, reply, options=options, theme=theme)
