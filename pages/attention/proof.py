"""What supports a feature on the opened head: evidence, held-out swaps, map, alignment, overlap."""

from __future__ import annotations

from typing import Any

import numpy as np
from dash import Input, Output, State, callback, clientside_callback, html, no_update

from analysis.service.ops_features import Evidence, HeldOut, Overlap, feature_name
from analysis.service.ops_prompt import Alignment
from components.cells import pack_cells
from components.figure_card import blank
from components.figures import direction_bars, spectrum, swaps_by_rank
from components.maps import matrices, subspace_map
from components.panels import empty
from pages.attention.answer import fitted_features, on_head
from pages.attention.heads import settings_of
from pages.attention.state import features_of
from pages.common import attempt, attempt_job, client, spec_of


@callback(
    Output("rank", "disabled"),
    Output("rank", "max"),
    Input("manual-rank", "value"),
    Input("reading", "data"),
    State("model", "data"),
)
def rank_slider(manual: bool, reading: Any, _model: Any) -> tuple[bool, Any]:
    """The slider works when the rank is set by hand, up to the width of a head."""
    return not manual, (reading or {}).get("head_width", 64)


@callback(
    Output("evidence-text", "children"),
    Output("spectrum", "figure"),
    Output("spectrum-caption", "children"),
    Output({"settings": "spectrum"}, "data"),
    Output("directions", "figure"),
    Output("directions-caption", "children"),
    Output({"settings": "directions"}, "data"),
    Input("tab", "active_tab"),
    Input("head", "data"),
    Input("fitted", "data"),
    Input("active", "value"),
    Input("rank", "value"),
    Input("manual-rank", "value"),
    Input("centred", "value"),
    Input("rotary", "value"),
    Input("fit-error", "children"),
    State("features", "data"),
    State("model", "data"),
    State("theme", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
def show_evidence(
    tab: str,
    head: Any,
    _fitted: Any,
    active: Any,
    rank: Any,
    manual: bool,
    centred: bool,
    rotary: str,
    _fit: Any,
    features: Any,
    model: Any,
    theme: str,
    session: str,
) -> tuple[Any, ...]:
    """Spectrum with null, share of the trace per pair, and the sentences that say what they mean."""
    chosen = features_of(features)
    if tab != "evidence" or not head or active is None or active >= len(chosen):
        return (no_update,) * 7
    contrast = chosen[active]
    result, panel = attempt(
        lambda: Evidence(
            spec_of(model),
            contrast,
            rotary,
            **head,
            centred=bool(centred),
            rank=int(rank) if manual and rank is not None else -1,
        ),
        session,
        "evidence",
    )
    if result is None:
        return panel, blank(360), "", no_update, blank(360), "", no_update
    facts = result.data
    settings = {
        "model": model,
        "feature": contrast.to_dict(),
        "vectors": f"{rotary}-rotary",
        "centred": centred,
        **head,
        "rank": facts["rank"],
        "permutations": facts["permutations"],
    }
    vectors = "after" if rotary == "post" else "before"
    first = (
        f"Vectors {vectors} the rotary embedding, {'centred' if centred else 'not centred (second moments, as in the paper)'}, "
        f"{facts['examples']:,} examples. Dashed line: the rank in use."
    )
    second = (
        f"Pair i adds s u·v to the mean logit gap of {facts['trace']:.2f}; blue pairs are inside the rank and hold "
        f"{facts['trace_in_rank']:.2f} of it."
    )
    return (
        _evidence_text(facts, feature_name(contrast)),
        spectrum(facts, theme),
        first,
        settings,
        direction_bars(facts, theme),
        second,
        settings,
    )


def _evidence_text(facts: dict[str, Any], name: str) -> Any:
    cosine = (
        f"{facts['split_half_query']:.2f} on the query side, {facts['split_half_key']:.2f} on the key side; "
        f"whole key subspace {facts['split_half_subspace']:.2f}"
    )
    rows = [
        (
            "Mean logit gap (trace)",
            f"{facts['trace']:.2f} ± {facts['trace_error']:.2f} raw, {facts['trace_nats']:.2f} nats",
        ),
        (
            "Attention on matching keys / others",
            f"{facts['attention_positive']:.3f} / {facts['attention_negative']:.3f}",
        ),
        ("Matching key wins", f"{facts['hits']:.0%} of examples"),
        ("Rank by the 99 % energy rule", f"{facts['rank_by_rule']}"),
        (
            "Singular values above the null's 95 %",
            "no null" if facts["above_null"] is None else f"{facts['above_null']}",
        ),
        ("Split-half cosine of the first pair", cosine),
        ("Sampling noise", f"{facts['noise_share']:.1%} of the squared norm"),
        ("Examples", f"{facts['examples']:,}"),
    ]
    if facts["centred"]:
        rows[0] = ("Mean logit gap, not centred (trace)", rows[0][1])
    warning = facts["noise_share"] > 0.01
    return html.Div(
        [
            html.P([html.Strong(f"{name}, layer {facts['layer']}, head {facts['head']}. "), facts["verdict"]]),
            html.Ul(
                [html.Li(r) for r in facts["remarks"]], className="attune-remarks" + (" attune-warn" if warning else "")
            ),
            html.Table([html.Tr([html.Th(a, scope="row"), html.Td(b)]) for a, b in rows], className="attune-facts"),
        ],
        className="attune-card",
    )


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
    set_progress: Any,
    clicks: Any,
    head: Any,
    features: Any,
    active: Any,
    rotary: str,
    centred: bool,
    model: Any,
    session: str,
    address: str,
) -> tuple[Any, Any]:
    """Try the subspace on examples that the fit has not seen."""
    chosen = features_of(features)
    if not clicks or not head or active is None or active >= len(chosen):
        return no_update, no_update
    result, panel = attempt_job(
        lambda: HeldOut(spec_of(model), chosen[active], rotary, **head, centred=bool(centred)),
        set_progress,
        session,
        address,
    )
    if result is None:
        return no_update, panel
    settings = {
        "model": model,
        "feature": chosen[active].to_dict(),
        "vectors": f"{rotary}-rotary",
        **head,
        "centred": bool(centred),
        "examples": result.data["examples"],
    }
    return {"key": result.key, "settings": settings}, None


@callback(
    Output("map", "figure"),
    Output("map-caption", "children"),
    Output({"settings": "map"}, "data"),
    Output("by-rank", "figure"),
    Output("by-rank-caption", "children"),
    Output({"settings": "by-rank"}, "data"),
    Input("held", "data"),
    Input("map-deep", "value"),
    Input("map-by-label", "value"),
    State("theme", "data"),
    prevent_initial_call=True,
)
def show_held_out(held: Any, deep: bool, by_label: bool, theme: str) -> tuple[Any, ...]:
    """The map and the swaps by rank of a held-out test."""
    stored = client().store.get(held["key"]) if held else None
    if stored is None:
        return (no_update,) * 6
    settings, points = held["settings"], stored.data["map"]
    place = f"layer {settings['layer']}, head {settings['head']}"
    figure = subspace_map(
        stored.arrays["points"],
        points["labels"],
        points["kinds"],
        points["explained"],
        bool(deep),
        bool(by_label),
        theme,
    )
    seen = (
        " These examples are the ones that were fitted."
        if stored.data["in_sample"]
        else " Examples that the fit has not seen."
    )
    many = len(set(points["labels"])) > 12
    caption = f"{place}: coordinates in the query and key bases, on common principal axes." + seen
    if by_label and many:
        caption += " More than twelve values: coloured by kind instead."
    table = stored.data["swaps"]
    if table is None:
        text = (
            "Before the rotary embedding there is no logit to swap."
            if settings["vectors"] == "pre-rotary"
            else ("The other keys of this contrast lie in another prompt, so there is nothing to swap within one.")
        )
        return figure, caption, settings, blank(460, text), text, settings
    rule = next(r for r in table["rows"] if r["rank"] == table["rule_rank"])
    none = table["rows"][0]
    text = (
        f"{place}, {table['pairs']} examples: original / target attention {none['orig']:.3f} / {none['target']:.3f} without a "
        f"swap, {rule['orig']:.3f} / {rule['target']:.3f} at rank {table['rule_rank']} (dashed), "
        f"{rule.get('random_orig', float('nan')):.3f} / {rule.get('random_target', float('nan')):.3f} in random subspaces of that rank. "
        f"At this rank the subspace keeps {rule.get('share_query', float('nan')):.0%} (query side), "
        f"{rule.get('share_key', float('nan')):.0%} (key side), {rule.get('share_both', float('nan')):.0%} (both) of the held-out gap."
    )
    return figure, caption, settings, swaps_by_rank(table, theme), text, settings


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
        lambda: Alignment(
            **on_head(reading, head), feature=feature, rank=int(rank) if manual and rank is not None else -1
        ),
        session,
        "alignment",
    )
    if result is None:
        return None, "", no_update, no_update, no_update, no_update, panel
    packed = pack_cells(result.arrays["cells"]) | result.data
    caption = (
        f"{feature_name(feature)}, rank {packed['rank']}: the product of the query's and the key's coordinates, in nats. "
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
        ("queries: mean cosine", np.array(facts["query"])),
        ("keys: mean cosine", np.array(facts["key"])),
        ("UᵀV: queries of row, keys of column", np.array(facts["interaction"])),
    ]
    text = (
        "Mean cosine of the principal angles: 1 the same subspace, 0 orthogonal. UᵀV: how strongly queries in the row's "
        "subspace meet keys in the column's. "
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
