"""What supports a feature on the opened head: evidence, a test by swaps, and the map."""

from __future__ import annotations

from dataclasses import asdict

from dash import Input, Output, State, callback, no_update
from dash.exceptions import PreventUpdate

from analysis.engine.client import Reply
from analysis.errors import UserError
from analysis.qk.answers.evidence import SubspaceTest
from analysis.qk.answers.prompt import MapPlaces
from analysis.qk.contrasts import in_sample_trial
from analysis.qk.ops.features import Evidence, HeldOut, feature_name
from analysis.qk.ops.prompt import PlaceOnMap
from components.kit.types import Json, Node, Outputs, Relay, Typed
from components.qk.evidence_card import FeatureOptions, evidence_card, head_evidence, trial_title
from components.qk.evidence_figures import TrialOptions, direction_bars, spectrum, swap_test
from components.qk.maps import MapOptions, prompt_map, trial_map
from pages.attention.cards import BY_RANK, DIRECTIONS, EVIDENCE, MAP, SPECTRUM
from pages.attention.reading import on_head, reading_of
from pages.attention.state import Head, features_of, rank_of
from pages.cards import content, ref_of
from pages.common import ask_for, ask_job, reply_of, spec_of

HEAD_WIDTH = 64
"""The longest rank that can be chosen before a prompt is read."""


@callback(
    Output("rank", "disabled"),
    Output("rank", "max"),
    Input("manual-rank", "value"),
    Input("reading", "data"),
)
def rank_slider(manual: bool, question: Json) -> tuple[bool, int]:
    """The slider works when the rank is set by hand, up to the width of a head."""
    return not manual, reading_of(question).answer.head_width if question else HEAD_WIDTH


@callback(
    output={
        "text": Output("evidence-text", "children"),
        "ref": EVIDENCE.ref,
        "spectrum": SPECTRUM.outputs,
        "directions": DIRECTIONS.outputs,
    },
    inputs={
        "tab": Input("tab", "active_tab"),
        "head": Input("head", "data"),
        "_fitted": Input("fitted", "data"),
        "active": Input("active", "value"),
        "rank": Input("rank", "value"),
        "manual": Input("manual-rank", "value"),
        "centred": Input("centred", "value"),
        "rotary": Input("rotary", "value"),
        "_fit": Input("fit-error", "children"),
        "features": State("features", "data"),
        "model": State("model", "data"),
        "theme": State("theme", "data"),
        "session": State("session", "data"),
    },
    prevent_initial_call=True,
)
def show_evidence(
    tab: str,
    head: Json,
    _fitted: Json,
    active: int | None,
    rank: Typed,
    manual: bool,
    centred: bool,
    rotary: str,
    _fit: Node,
    features: Json,
    model: Json,
    theme: str,
    session: str,
) -> Outputs:
    """Spectrum with null, share of the trace per pair, and the sentences that say what they mean."""
    chosen = features_of(features)
    if tab != "evidence" or not head or active is None or active >= len(chosen):
        raise PreventUpdate
    contrast = chosen[active]
    reply, panel = ask_for(
        lambda: Evidence(spec_of(model), contrast, rotary, **head, centred=bool(centred), rank=rank_of(rank, manual)),
        session,
        "evidence",
        Evidence,
    )
    if reply is None:
        return {"text": panel, "ref": None, "spectrum": SPECTRUM.empty(), "directions": DIRECTIONS.empty()}
    return {
        "text": evidence_card(reply.answer, feature_name(contrast)),
        "ref": ref_of(head_evidence, reply, options=FeatureOptions(feature_name(contrast))),
        "spectrum": content(spectrum, reply, theme=theme),
        "directions": content(direction_bars, reply, theme=theme),
    }


@callback(
    Output("held-out", "children"),
    Input("features", "data"),
    Input("active", "value"),
)
def name_test(features: Json, active: int | None) -> str:
    """What the button will test on, as far as the feature tells beforehand."""
    chosen = features_of(features)
    if active is None or active >= len(chosen):
        return "Test by swaps"
    try:
        in_sample = in_sample_trial(chosen[active])
    except UserError:  # a file that cannot be read says so when it is fitted
        return "Test by swaps"
    return "Test on the fitted examples" if in_sample else "Test on held-out examples"


@callback(
    Output("held", "data"),
    Output("held-out-error", "children"),
    Input("held-out", "n_clicks"),
    State("head", "data"),
    State("features", "data"),
    State("active", "value"),
    State("rotary", "value"),
    State("centred", "value"),
    State("model", "data"),
    State("session", "data"),
    State("address", "data"),
    background=True,
    progress=[Output("held-out-bar", "value"), Output("held-out-text", "children")],
    progress_default=["0", ""],
    running=[(Output("held-out", "disabled"), True, False), (Output("held-out-cancel", "disabled"), False, True)],
    cancel=[Input("held-out-cancel", "n_clicks")],
    interval=300,
    prevent_initial_call=True,
)
def hold_out(
    set_progress: Relay,
    clicks: int | None,
    head: Json,
    features: Json,
    active: int | None,
    rotary: str,
    centred: bool,
    model: Json,
    session: str,
    address: str,
) -> tuple[Json, Node]:
    """Try the subspace on examples that the fit has not seen, or on the fitted ones where there are no others."""
    chosen = features_of(features)
    if not clicks or not head or active is None or active >= len(chosen):
        return no_update, no_update
    reply, panel = ask_job(
        lambda: HeldOut(spec_of(model), chosen[active], rotary, **head, centred=bool(centred)),
        set_progress,
        session,
        address,
    )
    return (no_update, panel) if reply is None else (asdict(reply.question), None)


def own_places(test: HeldOut, question: Json, head: Json, query: int | None, session: str) -> Reply[MapPlaces] | None:
    """The prompt's query and keys on the map; None where the map is of another head or of vectors before rotation."""
    here = Head(test.layer, test.head)
    if not question or query is None or Head.of(head) != here or test.rotary != "post":
        return None
    reading = reading_of(question)
    reply, _ = ask_for(lambda: PlaceOnMap(**on_head(reading, here), query=query, held_out=test), session, "map")
    return reply


@callback(
    output={
        "map": MAP.outputs,
        "by_rank": BY_RANK.outputs,
        "title": Output("by-rank-title", "children"),
        "basis": Output("held-basis", "children"),
    },
    inputs={
        "trial": Input("held", "data"),
        "deep": Input("map-deep", "value"),
        "by_label": Input("map-by-label", "value"),
        "own": Input("map-own", "value"),
        "question": Input("reading", "data"),
        "head": Input("head", "data"),
        "query": Input("query", "data"),
        "asked": Input("asked", "data"),
        "theme": State("theme", "data"),
        "session": State("session", "data"),
    },
    prevent_initial_call=True,
)
def show_held_out(
    trial: Json,
    deep: bool,
    by_label: bool,
    own: bool,
    question: Json,
    head: Json,
    query: int | None,
    asked: int | None,
    theme: str,
    session: str,
) -> Outputs:
    """The map with the prompt's own query and keys on it, and the swaps by rank, of a test."""
    if not trial:
        raise PreventUpdate
    reply: Reply[SubspaceTest] = reply_of(trial)
    test = HeldOut.from_params(reply.question.params)
    places = own_places(test, question, head, query, session) if own else None
    options = MapOptions(test.layer, test.head, bool(deep), bool(by_label), asked)
    if places is None:
        card = content(trial_map, reply, options=options, theme=theme)
    else:
        card = content(prompt_map, reply, reading_of(question), places, options=options, theme=theme)
    place = TrialOptions(test.layer, test.head, test.rotary)
    return {
        "map": card,
        "by_rank": content(swap_test, reply, options=place, theme=theme),
        "title": trial_title(reply.answer.in_sample),
        "basis": reply.answer.basis,
    }
