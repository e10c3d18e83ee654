"""What supports a feature on the opened head: evidence, a test by swaps, and the map."""

from __future__ import annotations

from typing import Any

from dash import Input, Output, State, callback, no_update

from analysis.errors import UserError
from analysis.qk.contrasts import in_sample_trial
from analysis.qk.contrasts.spec import ContrastSpec
from analysis.qk.ops.features import Evidence, HeldOut, feature_name
from analysis.qk.ops.prompt import PlaceOnMap
from components.kit.figure_card import blank
from components.qk.evidence_card import evidence_card, swap_sentence, trial_title
from components.qk.evidence_figures import direction_bars, spectrum, swaps_by_rank
from components.qk.maps import subspace_map
from pages.attention.answer import on_head
from pages.attention.state import features_of, rank_of
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
            rank=rank_of(rank, manual),
        ),
        session,
        "evidence",
        Evidence,
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
        f"Vectors {vectors} the rotary embedding, "
        f"{'centred' if centred else 'not centred (second moments, as in the paper)'}, "
        f"{facts['examples']:,} examples. Dashed line: the rank in use."
    )
    second = (
        f"Pair i adds s u·v to the mean logit gap of {facts['trace']:.2f}; blue pairs are inside the rank and hold "
        f"{facts['trace_in_rank']:.2f} of it."
    )
    return (
        evidence_card(facts, feature_name(contrast)),
        spectrum(facts, theme),
        first,
        settings,
        direction_bars(facts, theme),
        second,
        settings,
    )


@callback(
    Output("held-out", "children"),
    Input("features", "data"),
    Input("active", "value"),
)
def name_test(features: Any, active: Any) -> str:
    """What the button will test on, as far as the feature tells beforehand."""
    chosen = features_of(features)
    if active is None or active >= len(chosen):
        return "Test by swaps"
    try:
        given = in_sample_trial(chosen[active])
    except UserError:  # a file that cannot be read says so when it is fitted
        return "Test by swaps"
    return "Test on the fitted examples" if given else "Test on held-out examples"


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
    """Try the subspace on examples that the fit has not seen, or on the fitted ones where there are no others."""
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
        "tested_on": result.data["basis"],
    }
    return {"key": result.key, "settings": settings}, None


def _own_places(
    settings: dict[str, Any], reading: Any, head: Any, query: Any, asked: Any, session: str
) -> tuple[Any, list[str], int] | None:
    """The prompt's query and keys on the map; None where the map is of another head or of vectors before rotation."""
    here = {"layer": settings["layer"], "head": settings["head"]}
    if not reading or query is None or head != here or settings["vectors"] != "post-rotary":
        return None
    held = HeldOut(
        spec_of(settings["model"]), ContrastSpec.from_dict(settings["feature"]), **here, centred=settings["centred"]
    )
    result, _ = attempt(lambda: PlaceOnMap(**on_head(reading, head), query=query, held_out=held), session, "map")
    if result is None:
        return None
    positions = result.data["positions"]
    labels = [f"{p} {reading['labels'][p]}" for p in positions]
    return result.arrays["places"], labels, positions.index(asked, 1) if asked in positions[1:] else 0


@callback(
    Output("map", "figure"),
    Output("map-caption", "children"),
    Output({"settings": "map"}, "data"),
    Output("by-rank", "figure"),
    Output("by-rank-caption", "children"),
    Output({"settings": "by-rank"}, "data"),
    Output("by-rank-title", "children"),
    Output("held-basis", "children"),
    Input("held", "data"),
    Input("map-deep", "value"),
    Input("map-by-label", "value"),
    Input("map-own", "value"),
    Input("reading", "data"),
    Input("head", "data"),
    Input("query", "data"),
    Input("asked", "data"),
    State("theme", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
def show_held_out(
    held: Any,
    deep: bool,
    by_label: bool,
    own: bool,
    reading: Any,
    head: Any,
    query: Any,
    asked: Any,
    theme: str,
    session: str,
) -> tuple[Any, ...]:
    """The map with the prompt's own query and keys on it, and the swaps by rank, of a test."""
    stored = client().store.get(held["key"]) if held else None
    if stored is None:
        return (no_update,) * 8
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
        _own_places(settings, reading, head, query, asked, session) if own else None,
    )
    given, basis = stored.data["in_sample"], stored.data["basis"]
    heading = trial_title(given)
    many = len(set(points["labels"])) > 12
    caption = f"{place}: coordinates in the query and key bases, on common principal axes. {basis}"
    if by_label and many:
        caption += " More than twelve values: coloured by kind instead."
    table = stored.data["swaps"]
    if table is None or not table["rows"]:
        if settings["vectors"] == "pre-rotary":
            text = "Before the rotary embedding there is no logit to swap."
        elif table is None:
            text = "The other keys of this contrast lie in another prompt, so there is nothing to swap within one."
        else:
            text = "No query of these examples sees both a matching key and another one, so there is nothing to swap."
        return figure, caption, settings, blank(460, text), text, settings, heading, basis
    text = swap_sentence(table, place, given)
    return figure, caption, settings, swaps_by_rank(table, theme), text, settings, heading, basis
