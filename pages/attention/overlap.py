"""Alignment of tokens in a feature's subspace, and overlap of features, on the opened head."""

from __future__ import annotations

from typing import Any

import numpy as np
from dash import Input, Output, State, callback, clientside_callback, no_update

from analysis.qk.ops.features import Overlap, feature_name
from analysis.qk.ops.prompt import Alignment
from components.kit.cells import pack_cells
from components.kit.figure_card import blank
from components.kit.panels import empty
from components.qk.maps import matrices
from pages.attention.answer import fitted_features, on_head
from pages.attention.heads import settings_of
from pages.attention.state import rank_of
from pages.common import attempt, spec_of


@callback(
    Output("aligned", "data"),
    Output("alignment-caption", "children"),
    Output({"settings": "alignment"}, "data"),
    Output("overlap", "figure"),
    Output("overlap-caption", "children"),
    Output({"settings": "overlap"}, "data"),
    Output("overlap-error", "children"),
    Input("tab", "active_tab"),
    Input("reading", "data"),
    Input("head", "data"),
    Input("fitted", "data"),
    Input("active", "value"),
    Input("rank", "value"),
    Input("manual-rank", "value"),
    State("features", "data"),
    State("theme", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
def show_overlap(
    tab: str,
    reading: Any,
    head: Any,
    fitted: Any,
    active: Any,
    rank: Any,
    manual: bool,
    features: Any,
    theme: str,
    session: str,
) -> tuple[Any, ...]:
    """The feature's part of every logit of the prompt, and how far the fitted features share their subspaces."""
    if tab != "overlap" or not reading or not head:
        return (no_update,) * 7
    ready = fitted_features(features, fitted)
    feature = dict(ready).get(active)
    if feature is None:
        return None, "", no_update, blank(460, "Fit a feature first"), "", no_update, empty("Fit a feature first.")
    result, panel = attempt(
        lambda: Alignment(**on_head(reading, head), feature=feature, rank=rank_of(rank, manual)),
        session,
        "alignment",
        Alignment,
    )
    if result is None:
        return None, "", no_update, no_update, no_update, no_update, panel
    packed = pack_cells(result.arrays["cells"]) | result.data
    caption = (
        f"{feature_name(feature)}, rank {packed['rank']}: the product of the query's and the key's "
        "coordinates, in nats. "
        "It includes what all keys share, so compare along a row."
    )
    settings = settings_of(reading, **head, feature=feature.to_dict(), rank=packed["rank"])
    both, problem = attempt(
        lambda: Overlap(spec_of(reading["model"]), tuple(f for _, f in ready), **head), session, "overlap"
    )
    if both is None:
        return packed, caption, settings, no_update, no_update, no_update, problem
    facts = both.data
    panels = [
        ("queries", np.array(facts["query"])),
        ("keys", np.array(facts["key"])),
        ("UᵀV", np.array(facts["interaction"])),
    ]
    text = (
        "Queries and keys: mean cosine of the principal angles, 1 the same subspace, 0 orthogonal. UᵀV: how strongly "
        "queries in the row's subspace meet keys in the column's. "
    )
    if len(ready) == 1:
        text += "Fit a second feature to compare."
    return (
        packed,
        caption,
        settings,
        matrices(panels, facts["names"], theme),
        text,
        {**settings, "features": [f.to_dict() for _, f in ready]},
        None,
    )


clientside_callback(
    "(packed, reading, t) => dash_clientside.attune.heatmap(packed, reading, t, 'aligned', false)",
    Output("alignment", "figure"),
    Input("aligned", "data"),
    State("reading", "data"),
    State("templates", "data"),
    prevent_initial_call=True,
)
