"""From a prompt to a reading: the job that records it, presets, what the model would say next, the address."""

from __future__ import annotations

from typing import Any

from dash import Input, Output, State, callback, clientside_callback, ctx, html, no_update

from analysis.models.spec import OTHELLO
from analysis.qk.contrasts import MOVE_PROMPTS, PRESET_PROMPTS
from analysis.qk.ops.prompt import TracePrompt
from components.kit.panels import note
from pages.address import link_to, remember
from pages.attention.state import ADDRESS
from pages.common import attempt_job, spec_of

SCORE_NAMES = {
    "induction": "induction: attention to what followed this token before",
    "previous": "previous token: attention one step back",
    "sink": "sink: attention on the first token",
    "entropy": "entropy of attention (nats)",
    "self": "attention on the token itself",
}


@callback(
    Output("model", "data", allow_duplicate=True),
    Input("start", "data"),
    State("model", "data"),
    prevent_initial_call="initial_duplicate",
)
def model_from_address(start: dict[str, Any], current: dict[str, Any]) -> Any:
    """A link may name another model than the one this window used last."""
    return start["model"] if start and start["model"] and start["model"] != current else no_update


PROMPTS = [*PRESET_PROMPTS, *MOVE_PROMPTS]


@callback(Output("preset", "options"), Input("model", "data"))
def preset_options(model: Any) -> list[dict[str, Any]]:
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
def choose_preset(index: int | None, text: str, chat: bool) -> Any:
    """Put a preset into the prompt and say what to look at in it."""
    if index is None or not 0 <= index < len(PROMPTS):
        return text, "", chat
    preset = PROMPTS[index]
    return preset["text"], preset["why"], bool(preset.get("chat", False))


@callback(
    Output("reading", "data"),
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
    set_progress: Any,
    _clicks: int | None,
    model: Any,
    text: str | None,
    chat: bool,
    generate: Any,
    session: str,
    address: str,
) -> tuple[Any, Any, Any]:
    """Record the prompt in the model; the reading is kept by content, so an equal one comes from the store."""
    spec = spec_of(model)
    set_progress(("0", "waiting for the model"))
    result, panel = attempt_job(
        lambda: TracePrompt(spec, text or "", bool(chat), generate),
        set_progress,
        session,
        link_to(address or "", spec, text or "", bool(chat), generate or 0),
    )
    if result is None:
        hint = "The model “othello” reads moves, such as F5 D6 C3. There are presets of moves above."
        return no_update, [panel, note(hint)] if spec.source == OTHELLO else panel, no_update
    scores = {
        n: [[None if v != v else round(float(v), 4) for v in row] for row in a.tolist()]
        for n, a in result.arrays.items()
        if n != "thumbnails"
    }
    reading = {
        **result.data,
        "scores": scores,
        "key": result.key,
        "model": spec.to_dict(),
        "text": text,
        "chat": bool(chat),
        "generate": generate or 0,
        # A prompt that was typed is asked about from its end; one that came with an address keeps the address's tokens.
        "typed": ctx.triggered_id == "read",
    }
    return reading, None, remember(text or "")


@callback(Output("prompt-notes", "children"), Output("next-tokens", "children"), Input("reading", "data"))
def describe_reading(reading: dict[str, Any] | None) -> tuple[Any, Any]:
    """Remarks on the prompt, and the model's next-token distribution as small bars."""
    if not reading:
        return "", ""
    made = len(reading["labels"]) - reading["prompt_tokens"]
    count = f"{len(reading['labels'])} tokens" + (f", {made} of them generated (greedy)" if made else "")
    following = reading["next"]
    top = max(following["probabilities"][0], 1e-9)
    rows = [
        html.Div(
            [
                html.Span(label, className="attune-next-label attune-tok", tabIndex="0", **{"data-token": label}),
                html.Span(style={"width": f"{100 * p / top:.0f}%"}, className="attune-next-bar"),
                html.Span(f"{p:.1%}", className="attune-next-share"),
            ],
            className="attune-next-row",
        )
        for label, p in list(zip(following["labels"], following["probabilities"], strict=True))[:6]
    ]
    return " ".join([count + ".", *reading["notes"]]), [
        html.Div("The model would continue with", className="attune-note"),
        *rows,
    ]


@callback(
    Output("query", "data"),
    Output("key", "data"),
    Output("head", "data"),
    Input("reading", "data"),
    State("query", "data"),
    State("key", "data"),
    State("head", "data"),
    prevent_initial_call=True,
)
def choose_defaults(
    reading: dict[str, Any] | None, query: int | None, key: int | None, head: Any
) -> tuple[Any, Any, Any]:
    """Keep what still exists in the new reading; otherwise the last prompt token, and the strongest induction head."""
    if not reading:
        return no_update, no_update, no_update
    count = len(reading["labels"])
    new_query, new_key = reading["prompt_tokens"] - 1, None
    if isinstance(query, int) and query < count and not reading.get("typed"):
        new_query, new_key = query, key if isinstance(key, int) and key <= query else None
    exists = head and head["layer"] in reading["attention_layers"] and head["head"] < reading["heads"]
    return new_query, new_key, head if exists else best_head(reading)


def best_head(reading: dict[str, Any]) -> dict[str, int]:
    """The head with the strongest induction score, or, where nothing repeats, the strongest previous-token score."""
    for name in ("induction", "previous"):
        cells = [
            (v, layer, head)
            for layer, row in enumerate(reading["scores"][name])
            for head, v in enumerate(row)
            if v is not None
        ]
        if cells:
            _, layer, head = max(cells)
            return {"layer": layer, "head": head}
    return {"layer": reading["attention_layers"][0], "head": 0}


clientside_callback(
    # The model is a state: as an input it would call this on every page, also where the other inputs are not.
    "function(...values) { values.unshift(values.pop()); return dash_clientside.attune.address(...values, "
    + str(ADDRESS).replace("'", '"')
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
    State("model", "data"),
    prevent_initial_call=True,
)
