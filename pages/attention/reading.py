"""From a prompt to a reading: the job that records it, presets, what the model would say next, the address.

The store of a reading holds its question. What the browser draws tokens from (labels, and where they come from for the
token card) has a store of its own, which never goes up.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import islice
from typing import Any

from dash import Input, Output, State, callback, clientside_callback, ctx, html, no_update

from analysis.engine.client import Reply
from analysis.models.spec import OTHELLO
from analysis.qk.answers.prompt import Reading
from analysis.qk.contrasts import MOVE_PROMPTS, PRESET_PROMPTS
from analysis.qk.ops.prompt import ReadingCost, TracePrompt
from analysis.spoken import counted
from components.kit.panels import note
from components.kit.types import Json, Node, Relay, Typed
from components.qk.prompt_parts import prompt_text
from pages.address import link_to, remember
from pages.attention.cards import PROMPT
from pages.attention.state import AttentionState, Head
from pages.cards import ref_of
from pages.common import ask_for, ask_job, reply_of, spec_of
from pages.state import names_of

NEXT_TOKENS = 6
LONG = 4_000
"""Characters from which the cost of reading is said."""
PROMPTS = [*PRESET_PROMPTS, *MOVE_PROMPTS]


def reading_of(question: Json) -> Reply[Reading]:
    """The reading whose question a store holds."""
    return reply_of(question)


def prompt_of(reading: Reply[Reading]) -> TracePrompt:
    """Which prompt was read, in which model."""
    return TracePrompt.from_params(reading.question.params)


def on_head(reading: Reply[Reading], head: Head) -> dict[str, Any]:
    """The arguments that say which head of which reading an operation is asked about."""
    prompt = prompt_of(reading)
    where = {"model": prompt.model, "text": prompt.text, "chat": prompt.chat, "generate": prompt.generate}
    return where | asdict(head)


@callback(
    Output("model", "data", allow_duplicate=True),
    Input("start", "data"),
    State("model", "data"),
    prevent_initial_call="initial_duplicate",
)
def model_from_address(start: Json, current: Json) -> Json:
    """A link may name another model than the one this window used last."""
    return start["model"] if start and start["model"] and start["model"] != current else no_update


@callback(Output("preset", "options"), Input("model", "data"))
def preset_options(model: Json) -> list[dict[str, Any]]:
    """The presets that a model can read: moves for the one that knows only moves, texts for all others."""
    moves = spec_of(model).source == OTHELLO
    return [{"label": p["title"], "value": i} for i, p in enumerate(PROMPTS) if (p in MOVE_PROMPTS) == moves]


@callback(
    Output("prompt", "value"),
    Output("preset-why", "children"),
    Output("chat", "value"),
    Input("preset", "value"),
    State("prompt", "value"),
    State("chat", "value"),
    prevent_initial_call=True,
)
def choose_preset(index: int | None, text: str, chat: bool) -> tuple[str, str, bool]:
    """Put a preset into the prompt and say what to look at in it."""
    if index is None or not 0 <= index < len(PROMPTS):
        return text, "", chat
    preset = PROMPTS[index]
    return preset["text"], preset["why"], bool(preset.get("chat", False))


# A short prompt is read at once; of a long one it is said before the press what it takes.
clientside_callback(
    f"(text) => text && text.length >= {LONG} ? text : ''",
    Output("long-text", "data"),
    Input("prompt", "value"),
)


@callback(
    Output("read-cost", "children"),
    Input("long-text", "data"),
    Input("model", "data"),
    Input("chat", "value"),
    State("session", "data"),
    prevent_initial_call=True,
)
def say_cost(text: str, model: Json, chat: bool, session: str) -> Node:
    """How many tokens a long prompt has, and what reading it takes, or why it cannot be read."""
    if not text:
        return ""
    reply, panel = ask_for(lambda: ReadingCost(spec_of(model), text, bool(chat)), session, "read-cost", ReadingCost)
    return panel if reply is None else f"{counted(reply.answer.tokens, 'token')}: {reply.answer.words}"


@callback(
    Output("reading", "data"),
    Output("tokens", "data"),
    Output("prompt-error", "children"),
    Output("address-text", "data"),
    Input("read", "n_clicks"),
    Input("model", "data"),
    State("prompt", "value"),
    State("chat", "value"),
    State("generate", "value"),
    State("session", "data"),
    State("address", "data"),
    background=True,
    progress=[Output("read-bar", "value"), Output("read-text", "children")],
    progress_default=["0", ""],
    running=[(Output("read", "disabled"), True, False), (Output("read-cancel", "disabled"), False, True)],
    cancel=[Input("read-cancel", "n_clicks")],
    interval=300,
)
def read_prompt(
    set_progress: Relay,
    _clicks: int | None,
    model: Json,
    text: str | None,
    chat: bool,
    generate: Typed,
    session: str,
    address: str,
) -> tuple[Json, Json, Node, Json]:
    """Record the prompt in the model; the reading is kept by content, so an equal one comes from the store."""
    spec = spec_of(model)
    set_progress(("0", "waiting for the model"))
    reply, panel = ask_job(
        lambda: TracePrompt(spec, text or "", bool(chat), generate),
        set_progress,
        session,
        link_to(address or "", spec, text or "", bool(chat), generate or 0),
    )
    if reply is None:
        hint = "The model “othello” reads moves, such as F5 D6 C3. There are presets of moves above."
        return no_update, no_update, [panel, note(hint)] if spec.source == OTHELLO else panel, no_update
    # A prompt that was typed is asked about from its end; one that came with an address keeps the address's tokens.
    question = asdict(reply.question) | {"typed": ctx.triggered_id == "read"}
    tokens = {"labels": reply.answer.labels, "text": text, "chat": bool(chat), "generate": generate or 0}
    return question, tokens, None, remember(text or "")


@callback(Output("prompt-notes", "children"), Output("next-tokens", "children"), PROMPT.ref, Input("reading", "data"))
def describe_reading(question: Json) -> tuple[Node, Node, Json]:
    """Remarks on the prompt, and the model's next-token distribution as small bars."""
    if not question:
        return "", "", None
    reply = reading_of(question)
    reading = reply.answer
    tokens = len(reading.labels)
    generated = tokens - reading.prompt_tokens
    count = [f"{generated} of the {tokens} tokens are generated (greedy)."] if generated else []
    top = max(reading.next.probabilities[0], 1e-9)
    ids = reading.next.ids or (None,) * len(reading.next.labels)
    rows = [
        html.Div(
            [
                html.Span(label, className="attune-next-label attune-tok", tabIndex="0", **{"data-token-id": token_id}),
                html.Span(style={"width": f"{100 * p / top:.0f}%"}, className="attune-next-bar"),
                html.Span(f"{p:.1%}", className="attune-next-share"),
                *([_why(token_id, label)] if token_id is not None else []),
            ],
            className="attune-next-row",
        )
        for token_id, label, p in islice(
            zip(ids, reading.next.labels, reading.next.probabilities, strict=True), NEXT_TOKENS
        )
    ]
    bars = [html.Div(f"After {tokens} tokens the model would go on with", className="attune-note"), *rows]
    return " ".join([*count, *reading.notes]), bars, ref_of(prompt_text, reply)


def _why(token: int, label: str) -> Node:
    """The button that asks which heads write a predicted token."""
    return html.Button(
        "why", id={"ask-token": token}, className="attune-small", type="button", **{"aria-label": f"why {label}"}
    )


clientside_callback(
    "dash_clientside.attune.arrive",
    Output("strip-sink", "title"),
    Input("reading", "data"),
    State("tab", "active_tab"),
    prevent_initial_call=True,
)
clientside_callback(
    # The model is a state: as an input it would call this on every page, also where the other inputs are not.
    "function(...values) { values.unshift(values.pop()); return dash_clientside.attune.address(...values, "
    + json.dumps(names_of(AttentionState))
    + "); }",
    Output("address", "data"),
    Input("address-text", "data"),
    Input("chat", "value"),
    Input("generate", "value"),
    Input("head", "data"),
    Input("query", "data"),
    Input("key", "data"),
    Input("address-features", "data"),
    Input("active", "value"),
    Input("manual-rank", "value"),
    Input("rank", "value"),
    Input("side", "value"),
    Input("reference", "value"),
    Input("tab", "active_tab"),
    Input("score", "value"),
    Input("asked-token", "value"),
    Input("asked-over", "value"),
    Input("steered", "data"),
    Input("address-other", "data"),
    Input("site-kind", "value"),
    Input("address-pairs", "data"),
    Input("site-unit", "value"),
    Input("address-drawn", "data"),
    Input("texts-count", "value"),
    Input("texts-length", "value"),
    Input("texts-source", "value"),
    Input("out-baseline", "value"),
    Input("out-path", "value"),
    Input("address-source", "data"),
    Input("out-what", "value"),
    Input("out-at", "value"),
    Input("rotary", "value"),
    Input("centred", "value"),
    Input("orthogonalise", "value"),
    Input("unit", "value"),
    State("model", "data"),
    prevent_initial_call=True,
)
