"""The tab *Two prompts*: a clean and a corrupted prompt side by side, their tokens paired, and what each block's site
carries at each token. The tokens are drawn and paired in the browser (assets/pairs.js)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import dash_bootstrap_components as dbc
from dash import Input, Output, State, callback, clientside_callback, ctx, dcc, html, no_update
from dash.exceptions import PreventUpdate

from analysis.engine.client import Reply
from analysis.errors import UserError
from analysis.qk.answers.sites import PatchedSites
from analysis.qk.ops.sites import PairTokens, PatchSites
from components.kit.card import Card
from components.kit.names import named, progress
from components.kit.panels import note, user_error
from components.kit.types import Json, Node, Outputs, Relay
from components.qk.site_view import HEIGHT, SiteOptions, claim, sites_patched
from pages.attention.opening import prompt_arguments
from pages.attention.reading import reading_of
from pages.attention.state import AttentionState, pairs_by_hand
from pages.cards import card_callbacks, content
from pages.common import ask_for, ask_job, kept_reply, reply_of

SITES_CARD = Card("sites", "Which place carries it", HEIGHT, start="Write the other prompt, then press “Patch each”")
card_callbacks(SITES_CARD)
_SITES = [
    {"label": "residual stream", "value": "residual"},
    {"label": "attention", "value": "attention"},
    {"label": "MLP", "value": "mlp"},
]
_UNITS = [{"label": "chosen tokens", "value": "nats"}, {"label": "all tokens (KL)", "value": "kl"}]

# What a measurement is of, by the field of its question, in the words in which another one is named.
_WORDS = {
    "model": "another model", "text": "another prompt", "chat": "another prompt",
    "generate": "another number of generated tokens", "query": "another query", "token": "another predicted token",
    "against": "another token beside it", "other": "a different other prompt", "site": "another site",
    "pairs": "other pairs of tokens",
}  # fmt: skip


def _asked(
    query: int | None, token: int | None, over: int | None, other: str | None, site: str, by_hand: Json
) -> dict[str, Any]:
    """What the controls say, as the fields of the question hold it."""
    return {
        "query": query,
        "token": -1 if token is None else token,
        "against": -1 if over is None else over,
        "other": other or "",
        "site": site,
        # No pair left by hand is not the same as pairs by slot, for which the question has none.
        "pairs": None if by_hand == [] else [list(pair) for pair in by_hand or ()],
    }


def _changed(asked: Json, stands: dict[str, Any]) -> str:
    """What of a measurement is not as it ``stands`` on the page now, or ""."""
    params = asked["params"]
    return next((w for name, w in _WORDS.items() if name in stands and params.get(name) != stands[name]), "")


def two_prompts(state: AttentionState) -> list[Node]:
    """The tab."""
    return [
        dcc.Store(id="site-both"),
        dcc.Store(id="site-pairs", data=pairs_by_hand(state.pairs)),
        dcc.Store(id="site-asked"),
        html.Div(
            [
                named(
                    "The other prompt",
                    dbc.Input(
                        id="site-other",
                        value=state.other,
                        placeholder="this prompt with another word",
                        size="sm",
                        debounce=True,
                    ),
                    "attn-both-other",
                ),
                named("Site", dbc.RadioItems(_SITES, state.site, id="site-kind", inline=True), "attune-inline"),
                html.Button("Patch each", id="site-start", className="attune-button attune-primary", type="button"),
                html.Button("Cancel", id="site-stop", className="attune-button", type="button", disabled=True),
                progress("site-bar", "patching token by token"),
                html.Span(id="site-text", className="attune-note", **{"aria-live": "polite"}),
                html.Span(id="site-cost", className="attune-note", **{"aria-live": "polite"}),
            ],
            className="attune-row",
        ),
        html.Div(
            [
                html.Span("this", className="attune-note"),
                html.Div(id="pair-mine", className="attune-strip", role="group", **{"aria-label": "this prompt"}),
                html.Div(
                    [
                        "Press one of each to pair them, twice the same to part it. ",
                        html.Button("Pair by slot", id="site-slot", className="attune-small", type="button"),
                    ],
                    className="attune-note attn-both-how",
                ),
                html.Span("other", className="attune-note"),
                html.Div(id="pair-theirs", className="attune-strip", role="group", **{"aria-label": "other prompt"}),
            ],
            className="attn-both",
        ),
        html.Div(id="site-error"),
        html.Div(id="site-pairs-error"),
        html.Div(id="site-sink", hidden=True),
        html.Div(id="site-claim", **{"aria-live": "polite"}),
        SITES_CARD.layout(
            named(
                "What is measured",
                dbc.RadioItems(_UNITS, state.measured, id="site-unit", inline=True),
                "attune-inline",
            )
        ),
    ]  # fmt: skip


@callback(
    Output("site-both", "data"),
    Output("site-pairs", "data", allow_duplicate=True),
    Output("site-pairs-error", "children"),
    Output("site-cost", "children"),
    Input("site-other", "value"),
    Input("reading", "data"),
    Input("query", "data"),
    Input("site-slot", "n_clicks"),
    State("site-both", "data"),
    State("site-pairs", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
def pair_tokens(
    other: str | None,
    question: Json,
    query: int | None,
    _clicks: int | None,
    before: Json,
    by_hand: Json,
    session: str,
) -> tuple[Json, Any, Node, str]:
    """Both prompts' tokens, paired by slot; another prompt or query takes away what was paired by hand. What an
    address brings has nothing before it, and stays where it fits."""
    gone = None if before else no_update
    if not question or query is None or not (other or "").strip():
        return None, gone, None, ""
    arguments = prompt_arguments(reading_of(question))
    reply, panel = ask_for(
        lambda: PairTokens(**arguments, query=query, other=other or ""), session, "pairs", PairTokens
    )
    if reply is None:
        return None, gone, panel, ""
    found = asdict(reply.answer)
    both = {name: found[name] for name in ("labels", "others", "pairs")}
    stay, said = no_update, None
    if by_hand is not None:
        same = not before or all(list(before[name]) == list(both[name]) for name in ("labels", "others"))
        fit = all(a < len(both["labels"]) and b < len(both["others"]) for a, b in by_hand)
        if ctx.triggered_id == "site-slot" or not same:
            stay = None
        elif not fit:
            stay, said = None, note("The pairs of this link do not fit these prompts: they are paired by slot.")
    return both, stay, said, reply.answer.cost.words


@callback(
    Output("site-asked", "data"),
    Output("site-error", "children"),
    Input("site-start", "n_clicks"),
    State("reading", "data"),
    State("query", "data"),
    State("asked-token", "value"),
    State("asked-over", "value"),
    State("site-other", "value"),
    State("site-kind", "value"),
    State("site-pairs", "data"),
    State("session", "data"),
    State("address", "data"),
    background=True,
    progress=[Output("site-bar", "value"), Output("site-text", "children")],
    progress_default=["0", ""],
    running=[(Output("site-start", "disabled"), True, False), (Output("site-stop", "disabled"), False, True)],
    cancel=[Input("site-stop", "n_clicks")],
    interval=300,
    prevent_initial_call=True,
)
def patch_sites(
    set_progress: Relay,
    clicks: int | None,
    question: Json,
    query: int | None,
    token: int | None,
    over: int | None,
    other: str | None,
    kind: str,
    by_hand: Json,
    session: str,
    address: str,
) -> tuple[Json, Node]:
    """Patch each block's site at each paired token, one at a time, as a job."""
    if not clicks:
        raise PreventUpdate
    if not question or query is None:
        return no_update, user_error("Read a prompt first.")
    if by_hand is not None and not by_hand:
        return no_update, user_error("No token is paired. Pair some, or press “Pair by slot”.")
    prompt, chosen = prompt_arguments(reading_of(question)), _asked(query, token, over, other, kind, by_hand)
    reply, panel = ask_job(
        lambda: PatchSites(**prompt, **chosen), set_progress, session, address, None, PatchSites,
    )  # fmt: skip
    return (no_update, panel) if reply is None else (reply.question.to_dict(), None)


@callback(
    output={"card": SITES_CARD.outputs, "claim": Output("site-claim", "children")},
    inputs={
        "asked": Input("site-asked", "data"),
        "question": Input("reading", "data"),
        "query": Input("query", "data"),
        "token": Input("asked-token", "value"),
        "over": Input("asked-over", "value"),
        "other": Input("site-other", "value"),
        "site": Input("site-kind", "value"),
        "by_hand": Input("site-pairs", "data"),
        "unit": Input("site-unit", "value"),
        "theme": State("theme", "data"),
    },
    prevent_initial_call=True,
)
def show_sites(
    asked: Json,
    question: Json,
    query: int | None,
    token: int | None,
    over: int | None,
    other: str | None,
    site: str,
    by_hand: Json,
    unit: str,
    theme: str,
) -> Outputs:
    """The picture and the sentence of what stands on the page, as soon as it is measured: now, or before."""
    chosen = _asked(query, token, over, other, site, by_hand)
    changed = _changed(asked, (question["params"] if question else {}) | chosen) if asked else ""
    try:
        reply = reply_of(asked) if asked and not changed else _measured_before(question, chosen)
    except UserError as error:
        return {"card": SITES_CARD.empty(error.message), "claim": None}
    if reply is None:
        was = f"Measured with {changed}. Press “Patch each” to measure this one." if changed else ""
        return {"card": SITES_CARD.empty(was), "claim": None}
    said = html.P(claim(reply.answer), className="attune-answer")
    return {"card": content(sites_patched, reply, options=SiteOptions(unit), theme=theme), "claim": said}


def _measured_before(question: Json, chosen: dict[str, Any]) -> Reply[PatchedSites] | None:
    """The answer to what is chosen, where it is kept: so a link, or a site that one goes back to, needs no press."""
    if not question or chosen["query"] is None or not chosen["other"].strip() or chosen["pairs"] is None:
        return None
    try:
        return kept_reply(PatchSites(**prompt_arguments(reading_of(question)), **chosen))
    except UserError:
        return None


clientside_callback(
    "dash_clientside.attune.pairing",
    Output("site-sink", "children"),
    Input("site-both", "data"),
    Input("site-pairs", "data"),
    prevent_initial_call=True,
)
