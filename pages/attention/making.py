"""From a query and a key of the prompt to a fitted feature: propose a template, let it be edited, check it, fit it.

What is proposed opens in the form of templates, where every word of it can be changed; *Check and fit* takes what
stands there then. A proposal that does not hold is shown all the same, with the reason, so that it can be mended.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from dash import ALL, Input, Output, State, callback, clientside_callback, html, no_update

from analysis.errors import UserError
from analysis.qk.answers.contrast import DrawnCheck, ProposedContrast
from analysis.qk.contrasts.kinds import OptionValue
from analysis.qk.contrasts.spec import ContrastSpec
from analysis.qk.ops.contrast import CheckContrast, MakeContrast
from analysis.qk.ops.features import Evidence, FitContrast, PreviewContrast
from components.kit.panels import note, user_error
from components.kit.types import Json, Node, Relay, Typed
from components.qk.evidence_card import place_name
from pages.attention.features import contrast_of
from pages.attention.reading import on_head, reading_of
from pages.attention.state import MOST_FEATURES, Head, features_of
from pages.common import ask_for, ask_job, refusal, spec_of

FULL = f"At most {MOST_FEATURES} features fit side by side. Remove one first."


def checked(check: DrawnCheck) -> list[Node]:
    """A check in words: its refusal, its sentence, its remarks."""
    said: list[Node] = [user_error(check.refused)] if check.refused else []
    return [*said, html.P(check.sentence), *[note(remark) for remark in check.remarks]]


def proposal(made: ProposedContrast) -> Node:
    """What was made of the prompt, before it is fitted."""
    return html.Div([*checked(made.check), *[note(text) for text in made.notes]])


# The place where it will stand comes into view at the press, since the answer takes some seconds.
clientside_callback(
    "(clicks) => dash_clientside.attune.showMade(clicks)",
    Output("made-box", "hidden"),
    Input("make", "n_clicks"),
    prevent_initial_call=True,
)


@callback(
    Output("made", "data"),
    Output("kind", "value"),
    Output("made-said", "children"),
    Input("make", "n_clicks"),
    State("reading", "data"),
    State("head", "data"),
    State("query", "data"),
    State("asked", "data"),
    State("asked-token", "value"),
    State("session", "data"),
    State("address", "data"),
    background=True,
    progress=[Output("made-bar", "value"), Output("made-text", "children")],
    progress_default=["0", ""],
    running=[(Output("make", "disabled"), True, False), (Output("made-cancel", "disabled"), False, True)],
    cancel=[Input("made-cancel", "n_clicks")],
    interval=300,
    prevent_initial_call=True,
)
def make(
    set_progress: Relay,
    clicks: int | None,
    question: Json,
    head: Json,
    query: int | None,
    key: int | None,
    token: int | None,
    session: str,
    address: str,
) -> tuple[Json, Any, Node]:
    """The template that the chosen query and key make, into the form."""
    at = Head.of(head)
    if not clicks:
        return no_update, no_update, no_update
    if not question or at is None or query is None or key is None:
        return no_update, no_update, user_error("Choose a query and a key first: one token of each row above.")
    where = on_head(reading_of(question), at) | {"query": query, "key": key}
    asked = partial(MakeContrast, **where, token=-1 if token is None else token)
    reply, panel = ask_job(asked, set_progress, session, address, None, MakeContrast)
    if reply is None:
        return no_update, no_update, html.Div([panel, _other_heads(key)])
    made = reply.answer
    options: dict[str, OptionValue] = {
        "template": made.template,
        "word_lists": made.word_lists,
        "shuffle": made.shuffle,
    }
    contrast = ContrastSpec("template", options=options, name=made.name)
    return {"contrast": contrast.to_dict(), "copied": made.copied}, "template", proposal(made)


clientside_callback(
    "(made) => !made",
    Output("made-fit", "disabled"),
    Input("made", "data"),
    prevent_initial_call=True,
)


def _other_heads(key: int) -> Node:
    """What leads on from a pair of which nothing can be made."""
    return html.Button(
        "Which heads look from this query to this key?",
        id={"pair-heads": key},
        className="attune-button",
        type="button",
    )


clientside_callback(
    "(clicks) => { const c = dash_clientside.callback_context; if (!clicks.some(Boolean) || !c.triggered_id)"
    " return [dash_clientside.no_update, dash_clientside.no_update];"
    " window.scrollTo(0, 0); return ['pair', c.triggered_id['pair-heads']]; }",
    Output("score", "value", allow_duplicate=True),
    Output("key", "data", allow_duplicate=True),
    Input({"pair-heads": ALL}, "n_clicks"),
    prevent_initial_call=True,
)


# What an earlier check said is not about a newer proposal.
clientside_callback(
    "(made, clicks) => dash_clientside.callback_context.triggered.some((t) => t.prop_id === 'made.data')",
    Output("made-outcome", "hidden"),
    Input("made", "data"),
    Input("made-fit", "n_clicks"),
    prevent_initial_call=True,
)


@callback(
    Output("feature-made", "data", allow_duplicate=True),
    Output("just-fitted", "data", allow_duplicate=True),
    Output("made-outcome", "children"),
    Input("made-fit", "n_clicks"),
    State("made", "data"),
    State("kind", "value"),
    State("examples", "value"),
    State("contrast-seed", "value"),
    State("contrast-name", "value"),
    State({"option": ALL}, "value"),
    State({"option": ALL}, "id"),
    State("features", "data"),
    State("head", "data"),
    State("model", "data"),
    State("session", "data"),
    State("address", "data"),
    background=True,
    progress=[Output("made-fit-bar", "value"), Output("made-fit-text", "children")],
    progress_default=["0", ""],
    running=[(Output("made-fit", "disabled"), True, False), (Output("made-fit-cancel", "disabled"), False, True)],
    cancel=[Input("made-fit-cancel", "n_clicks")],
    interval=300,
    prevent_initial_call=True,
)
def check_and_fit(
    set_progress: Relay,
    clicks: int | None,
    made: Json,
    kind: str,
    examples: Typed,
    seed: Typed,
    name: str,
    values: list[Typed],
    ids: list[dict[str, str]],
    features: Json,
    head: Json,
    model: Json,
    session: str,
    address: str,
) -> tuple[Json, Json, Node]:
    """What stands in the form: looked at on drawn examples, and fitted and made the active feature if it holds."""
    at = Head.of(head)
    if not clicks or not made or at is None:
        return no_update, no_update, no_update
    try:
        contrast = contrast_of(kind, examples, seed, values, ids, name)
    except UserError as error:
        return no_update, no_update, refusal(error, PreviewContrast)
    known = features_of(features)
    if contrast not in known and len(known) >= MOST_FEATURES:
        return no_update, no_update, user_error(FULL)
    spec = spec_of(model)
    # What was seen of the proposal's answer says nothing of a template that was rewritten since.
    proposed = ContrastSpec.from_dict(made["contrast"])
    copied = bool(made["copied"]) and (contrast.kind, contrast.options) == (proposed.kind, proposed.options)
    check, panel = ask_job(
        partial(CheckContrast, spec, contrast, layer=at.layer, head=at.head, copied=copied),
        set_progress, session, address, None, CheckContrast,
    )  # fmt: skip
    if check is None:
        return no_update, no_update, panel
    if check.answer.refused:
        return no_update, no_update, html.Div(checked(check.answer))
    fitted, panel = ask_job(partial(FitContrast, spec, contrast), set_progress, session, address)
    if fitted is None:
        return no_update, no_update, panel
    evidence, panel = ask_for(lambda: Evidence(spec, contrast, layer=at.layer, head=at.head))
    what = panel if evidence is None else html.Div([html.P([html.Strong(f"{contrast.name or 'The feature'}, "),
        f"{place_name(at.layer, at.head)}, is fitted on {evidence.answer.examples} examples. "
        f"{evidence.answer.verdict}"]), _onwards()])  # fmt: skip
    turn = time.time_ns()
    feature = {"feature": contrast.to_dict(), "turn": turn}
    return feature, feature, html.Div([what, *[note(said) for said in (check.answer.sentence, *check.answer.remarks)]])


def _onwards() -> Node:
    """From a fitted feature to the test whether it is its subspace that carries what the head does."""
    return html.Button(
        "Is it this subspace that carries it?", id={"patch-here": 0}, className="attune-button", type="button"
    )


clientside_callback(
    "(clicks) => { if (!clicks.some(Boolean)) return Array(2).fill(dash_clientside.no_update);"
    " requestAnimationFrame(() => document.getElementById('tab').scrollIntoView()); return ['evidence', Date.now()]; }",
    Output("tab", "active_tab", allow_duplicate=True),
    Output("patch-start", "n_clicks"),
    Input({"patch-here": ALL}, "n_clicks"),
    prevent_initial_call=True,
)
