"""Taking out each head and each MLP, one at a time, or making each as it is in another prompt: what is asked beside the
picture of all heads, which shows the answer.
"""

from __future__ import annotations

import dash_bootstrap_components as dbc
from dash import Input, Output, State, callback, clientside_callback, dcc, html, no_update

from analysis.qk.ops.parts import AblateParts, PartsCost, PatchParts, PathParts
from analysis.qk.ops.token import WritingHeads
from components.kit.names import named, progress
from components.kit.panels import user_error
from components.kit.types import Json, Node, Relay
from pages.attention.state import AttentionState
from pages.common import ask_for, ask_job

SIDES = ("query", "key", "value")
SAME = ("model", "text", "chat", "generate", "query", "token", "against")
"""What a question about parts has in common with the one about what heads write."""
PATCH = "patch"
"""The baseline that is no baseline: each part as it is in another prompt."""
ALL = "all"
"""All ways of a change, not only those into one head."""
MEASURED = (PATCH, "resampled")
"""Baselines to which there is no estimate to first order."""


def taken_out(state: AttentionState) -> Node:
    """What takes out each head and MLP; it stands there for that score alone."""
    return html.Div(
        [
            html.Button("Take each out", id="out", className="attune-button attune-primary", type="button"),
            html.Button("Cancel", id="out-cancel", className="attune-button", type="button", disabled=True),
            dbc.RadioItems(
                id="out-baseline",
                inline=True,
                value=state.baseline,
                options=[
                    {"label": "mean", "value": "mean", "title": "Each output at its mean over the prompt"},
                    {"label": "zero", "value": "zero", "title": "Each output at zero"},
                    {
                        "label": "other texts",
                        "value": "resampled",
                        "title": "Each output as in three texts of the corpus",
                    },
                    {"label": "other prompt", "value": "patch", "title": "Each as it is in a prompt that you write"},
                ],
            ),
            html.Span(id="out-cost", className="attune-note", **{"aria-live": "polite"}),
            progress("out-bar", "taking out heads and MLPs"),
            html.Span(id="out-text", className="attune-note", **{"aria-live": "polite"}),
            named(
                "By which ways its change goes",
                dcc.Dropdown(
                    [
                        {"label": "by all ways", "value": ALL},
                        *({"label": f"only into the open head’s {side}", "value": side} for side in SIDES),
                    ],
                    state.way,
                    id="out-path",
                    clearable=False,
                    searchable=False,
                ),
                "attune-pick",
            ),
            html.Div(_other_prompt(state), id="patch-row", className="attn-patch", hidden=True),
            html.Div(id="out-error"),
        ],
        id="out-row",
        className="attune-row",
        hidden=True,
    )


def _other_prompt(state: AttentionState) -> list[Node]:
    """From which prompt each part is made, what of it, and at which tokens."""
    what = {"output": "outputs", "pattern": "patterns", "query": "queries", "key": "keys", "value": "values"}
    return [
        named(
            "The other prompt",
            dbc.Input(
                id="out-other",
                value=state.source,
                placeholder="this prompt with another word",
                size="sm",
                debounce=True,
            ),
            "attn-other",
        ),
        html.Div(
            [
                named(
                    "What is taken from it",
                    dcc.Dropdown(
                        [{"label": words, "value": name} for name, words in what.items()],
                        state.what,
                        id="out-what",
                        clearable=False,
                        searchable=False,
                    ),
                    "attune-pick",
                ),
                named(
                    "At which tokens",
                    dbc.RadioItems(
                        [{"label": "all tokens", "value": "all"}, {"label": "the key", "value": "key"}],
                        state.at,
                        id="out-at",
                        inline=True,
                    ),
                    "attune-inline",
                ),
            ],
            id="out-part",
            className="attune-inline",
        ),
    ]


@callback(
    Output("out-cost", "children"),
    Input("writing", "data"),
    Input("score", "value"),
    Input("out-baseline", "value"),
    Input("out-what", "value"),
    Input("out-path", "value"),
    Input("head", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
def say_cost(writing: Json, score: str, baseline: str, what: str, way: str, head: Json, session: str) -> str:
    """What the press would take here, before it."""
    into = way != ALL
    if not writing or score != "falls" or (into and (not head or baseline == "resampled")):
        return ""
    asked = WritingHeads.from_params(writing["params"])
    other = baseline == PATCH
    reply, _ = ask_for(
        lambda: PartsCost(
            **{name: getattr(asked, name) for name in SAME},
            baseline="other" if other else baseline,
            what=what if other and not into else "output",
            side=way,
            layer=head["layer"] if into else 0,
        ),
        session,
        "out-cost",
        PartsCost,
    )
    return "" if reply is None else reply.answer.words


@callback(
    Output("taken-out", "data"),
    Output("out-error", "children"),
    Input("out", "n_clicks"),
    State("writing", "data"),
    State("out-baseline", "value"),
    State("out-other", "value"),
    State("out-what", "value"),
    State("out-at", "value"),
    State("out-path", "value"),
    State("head", "data"),
    State("key", "data"),
    State("session", "data"),
    State("address", "data"),
    background=True,
    progress=[Output("out-bar", "value"), Output("out-text", "children")],
    progress_default=["0", ""],
    running=[(Output("out", "disabled"), True, False), (Output("out-cancel", "disabled"), False, True)],
    cancel=[Input("out-cancel", "n_clicks")],
    interval=300,
    prevent_initial_call=True,
)
def take_out(
    set_progress: Relay,
    clicks: int | None,
    writing: Json,
    baseline: str,
    other: str | None,
    what: str,
    at: str,
    way: str,
    head: Json,
    key: int | None,
    session: str,
    address: str,
) -> tuple[Json, Node]:
    """Take out each head and each MLP, one at a time, or make it as in another prompt, and see by how much the token
    that is asked about falls."""
    if not clicks or not writing:
        return no_update, no_update
    asked = WritingHeads.from_params(writing["params"])
    settings = {name: getattr(asked, name) for name in SAME}
    if way != ALL:
        if baseline == "resampled":
            return no_update, user_error("Ways into a head are measured at the mean, at zero, or from another prompt.")
        kind = "other" if baseline == PATCH else baseline
        path, panel = ask_job(
            lambda: PathParts(
                **settings, **head, side=way, baseline=kind, other=(other or "") if kind == "other" else ""
            ),
            set_progress, session, address, None, PathParts,
        )  # fmt: skip
        return (no_update, panel) if path is None else (path.question.to_dict(), None)
    if baseline == PATCH:
        if at == "key" and key is None:
            return no_update, user_error("Choose a key first: click a token below the question.", "out-at")
        where = key if at == "key" and key is not None else -1
        patched, panel = ask_job(
            lambda: PatchParts(**settings, other=other or "", what=what, at=where),
            set_progress, session, address, None, PatchParts,
        )  # fmt: skip
        return (no_update, panel) if patched is None else (patched.question.to_dict(), None)
    reply, panel = ask_job(lambda: AblateParts(**settings, baseline=baseline), set_progress, session, address)
    return (no_update, panel) if reply is None else (reply.question.to_dict(), None)


clientside_callback(
    "(score) => score !== 'falls'",
    Output("out-row", "hidden"),
    Input("score", "value"),
)
clientside_callback(
    f"(baseline, text, other) => baseline !== '{PATCH}' || other ? dash_clientside.no_update : text",
    Output("out-other", "value"),
    Input("out-baseline", "value"),
    State("prompt", "value"),
    State("out-other", "value"),
)
clientside_callback(f"(way) => way !== '{ALL}'", Output("out-part", "hidden"), Input("out-path", "value"))
clientside_callback(
    f"(score, baseline) => score !== 'falls' || baseline !== '{PATCH}'",
    Output("patch-row", "hidden"),
    Input("score", "value"),
    Input("out-baseline", "value"),
)
