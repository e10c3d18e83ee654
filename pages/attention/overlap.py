"""Alignment of tokens in a feature's subspace, and overlap of features, on the opened head."""

from __future__ import annotations

from dash import Input, Output, State, callback, clientside_callback
from dash.exceptions import PreventUpdate

from analysis.qk.ops.features import Overlap
from analysis.qk.ops.prompt import Alignment
from components.kit.card import UNCHANGED
from components.kit.panels import empty
from components.kit.types import Json, Outputs, Typed
from components.qk.maps import overlap_matrices
from components.qk.token_matrix import alignment_caption, alignment_matrix, for_browser
from pages.attention.answer import fitted_features
from pages.attention.cards import OVERLAP
from pages.attention.reading import on_head, prompt_of, reading_of
from pages.attention.state import Head, rank_of
from pages.cards import content
from pages.common import ask_for


@callback(
    output={
        "aligned": Output("aligned", "data"),
        "caption": Output("alignment-caption", "children"),
        "overlap": OVERLAP.outputs,
        "error": Output("overlap-error", "children"),
    },
    inputs={
        "tab": Input("tab", "active_tab"),
        "question": Input("reading", "data"),
        "head": Input("head", "data"),
        "fitted": Input("fitted", "data"),
        "active": Input("active", "value"),
        "rank": Input("rank", "value"),
        "manual": Input("manual-rank", "value"),
        "features": State("features", "data"),
        "theme": State("theme", "data"),
        "session": State("session", "data"),
    },
    prevent_initial_call=True,
)
def show_overlap(
    tab: str,
    question: Json,
    head: Json,
    fitted: Json,
    active: int | None,
    rank: Typed,
    manual: bool,
    features: Json,
    theme: str,
    session: str,
) -> Outputs:
    """The feature's part of every logit of the prompt, and how far the fitted features share their subspaces."""
    at = Head.of(head)
    if tab != "overlap" or not question or at is None:
        raise PreventUpdate
    ready = fitted_features(features, fitted)
    feature = dict(ready).get(-1 if active is None else active)
    if feature is None:
        card = OVERLAP.empty("Fit a feature first")
        return {"aligned": None, "caption": "", "overlap": card, "error": empty("Fit a feature first.")}
    reading = reading_of(question)
    aligned, problem = ask_for(
        lambda: Alignment(**on_head(reading, at), feature=feature, rank=rank_of(rank, manual)),
        session,
        "alignment",
        Alignment,
    )
    if aligned is None:
        return {"aligned": None, "caption": "", "overlap": UNCHANGED, "error": problem}
    ref = alignment_matrix.ref([reading.question, aligned.question])
    matrix = for_browser(reading.answer, aligned.answer, ref)
    overlap, problem = ask_for(
        lambda: Overlap(prompt_of(reading).model, tuple(f for _, f in ready), at.layer, at.head), session, "overlap"
    )
    return {
        "aligned": matrix,
        "caption": alignment_caption(aligned.answer),
        "overlap": UNCHANGED if overlap is None else content(overlap_matrices, overlap, theme=theme),
        "error": problem,
    }


clientside_callback(
    "(packed, templates) => dash_clientside.attune.matrix(packed, false, templates)",
    Output("alignment", "figure"),
    Output({"settings": "alignment"}, "data"),
    Input("aligned", "data"),
    State("templates", "data"),
    prevent_initial_call=True,
)
