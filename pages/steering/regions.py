"""Callbacks of the regions: which fit, the map, the list, the card of one region, its name."""

from __future__ import annotations

from dataclasses import asdict

from dash import ALL, Input, Output, State, callback, clientside_callback, ctx, html, no_update

from analysis.engine.client import Reply
from analysis.mfa.answers.regions import FitMap, RegionFacts
from analysis.mfa.ops.regions import ListFits, RegionCard, RegionEffects, RegionMap, RenameRegion
from analysis.view_ref import QuestionRef, ViewRef
from components.frame.prepare_card import offer
from components.kit.card import UNCHANGED, Card, Panel
from components.kit.panels import user_error
from components.kit.types import Json, Node, Outputs
from components.mfa.card import factor_effects, region_card, region_effects
from components.mfa.parts import ListOptions, factor_parts, region_parts, region_table
from components.mfa.region_figures import MapOptions, region_map
from components.mfa.region_list import matching, ranked, region_rows, themeless
from pages.cards import content, ref_of
from pages.common import ask_for, reply_of, spec_of
from pages.steering.state import rows_of, rows_on, settings_at_start

MAP = Card("region-map", "Map of regions", 360)
REGIONS = Panel("regions-listed", "List of regions")
REGION = Panel("region-card", "Region")
_OF_REGION = {
    "region": State("chosen-region", "data"),
    "fit": State("region-fit", "value"),
    "rotation": State("rotation", "value"),
    "model": State("model", "data"),
    "session": State("session", "data"),
}


@callback(
    Output("model", "data", allow_duplicate=True), Input("start-steer", "data"), State("model", "data"),
    prevent_initial_call="initial_duplicate",
)  # fmt: skip
def use_model_of_address(start: Json, current: Json) -> Json:
    """A link may name another model than the one this window used last."""
    model = start["model"] if start else None
    return model if model and model != current else no_update


@callback(
    Output("region-fit", "options"),
    Output("region-fit", "value"),
    Output("slider-error", "children"),
    Input("model", "data"),
    Input("fits-changed", "data"),
    Input("prepare-filled", "data"),
    State("start-steer", "data"),
    State("region-fit", "value"),
    State("region-fit", "options"),
    prevent_initial_call="initial_duplicate",
)
def list_fits(
    model: Json, changed: Json, _filled: Json, start: Json, chosen: str | None, before: Json
) -> tuple[Json, str | None, Node]:
    """The fits of the model in use; one that was fitted here is opened as soon as it is there, one that a run made
    beside the open one is offered."""
    reply, panel = ask_for(lambda: ListFits(spec_of(model)))
    if reply is None:
        return [], None, panel
    fits = reply.answer.fits
    names = [fit.name for fit in fits]
    options = [{"label": fit.title, "value": fit.name} for fit in fits]
    settings = settings_at_start(start) if chosen is None else None
    named = settings.fit if settings else ""
    newest = changed if isinstance(changed, str) and ctx.triggered_id == "fits-changed" else None
    value = next((n for n in (newest, chosen, named) if n in names), names[0] if names else None)
    problem = offer(options, before, "region-fit", "slider-error") if ctx.triggered_id == "prepare-filled" else None
    if not fits:
        problem = user_error("There is no fit for this model yet. Open the tab “Fit another” below and press Fit.")
    elif named and named not in names:
        problem = user_error(
            "The fit that the address names is not in this data folder; the first one is open instead."
        )
    return options, value, problem


# A fit that was opened from a file is opened as one that was just made.
clientside_callback(
    "(file) => file && file.kind === 'fit' && file.ours ? file.name : dash_clientside.no_update",
    Output("fits-changed", "data", allow_duplicate=True),
    Input("files-opened", "data"),
    prevent_initial_call=True,
)


@callback(
    Output("regions", "data"),
    Output("regions-error", "children"),
    Input("region-fit", "value"),
    Input("label-said", "children"),
    State("model", "data"),
    prevent_initial_call=True,
)
def load_map(fit: str | None, _renamed: Node, model: Json) -> tuple[Json, Node]:
    """The question whose answer is all regions of the fit; asked anew after a renaming."""
    if not fit:
        return None, no_update
    reply, panel = ask_for(lambda: RegionMap(spec_of(model), fit))
    return (None, panel) if reply is None else (asdict(reply.question), None)


@callback(
    output={"card": MAP.outputs},
    inputs={
        "question": Input("regions", "data"),
        "words": Input("search", "value"),
        "chosen": Input("chosen-region", "data"),
        "active": Input("on-sliders", "data"),
        "theme": State("theme", "data"),
    },
    prevent_initial_call=True,
)
def draw_map(question: Json, words: str | None, chosen: int | None, active: Json, theme: str) -> Outputs:
    """The map; a search makes the regions faint that it does not meet."""
    if not question:
        return {"card": UNCHANGED}
    options = MapOptions(chosen, tuple(row.region for row in rows_of(active)), words or "")
    return {"card": content(region_map, reply_of(question), options=options, theme=theme)}


@callback(
    Output("region-list", "children"),
    REGIONS.ref,
    Input("regions", "data"),
    Input("search", "value"),
    Input("order", "value"),
    prevent_initial_call=True,
)
def draw_list(question: Json, words: str | None, order: str) -> tuple[Node, Json]:
    """The ranked list, or what a search meets. Which row is chosen the browser marks, so that the list stays where it
    was scrolled to."""
    if not question:
        return no_update, no_update
    reply: Reply[FitMap] = reply_of(question)
    rows = matching(ranked(reply.answer.regions, order), words)
    listed = ref_of(region_table, reply, options=ListOptions(order, words or ""))
    return [*_themeless(reply.answer, order), *region_rows(rows, words)], listed


@callback(Output("region-pick", "options"), Input("regions", "data"), prevent_initial_call=True)
def pick_options(question: Json) -> Json:
    """All regions in the picker of the first screen, thematic ones first; its search meets their names."""
    if not question:
        return []
    regions = ranked(reply_of(question).answer.regions, "theme")
    return [{"label": r.label, "value": r.region} for r in regions]


clientside_callback(
    "dash_clientside.attune.markChosen",
    Output("steer-sink", "className"),
    Input("chosen-region", "data"),
    Input("region-list", "children"),
    prevent_initial_call=True,
)


def _themeless(answer: FitMap, order: str) -> list[Node]:
    sentence = themeless(answer.regions) if order == "theme" else ""
    return [html.P(sentence, className="attune-note", role="listitem")] if sentence else []


@callback(
    Output("chosen-region", "data"),
    Input({"open-region": ALL}, "n_clicks"),
    Input("regions", "data"),
    State("chosen-region", "data"),
    State("start-steer", "data"),
    State("on-sliders", "data"),
    prevent_initial_call=True,
)
def choose_region(_open: Json, question: Json, chosen: int | None, start: Json, active: Json) -> Json:
    """The region whose card is open; at opening, that of the address, else the most thematic one."""
    if isinstance(ctx.triggered_id, dict):
        return ctx.triggered_id["open-region"] if ctx.triggered[0]["value"] else no_update
    if not question:
        return None
    regions = reply_of(question).answer.regions
    numbers = {r.region for r in regions}
    if chosen in numbers:
        return no_update
    asked = [row.region for row in rows_of(active) or rows_on(settings_at_start(start))]
    return next((n for n in asked if n in numbers), ranked(regions, "theme")[0].region)


clientside_callback(
    "dash_clientside.attune.mapClick",
    Output("chosen-region", "data", allow_duplicate=True),
    Input("region-map", "clickData"),
    prevent_initial_call=True,
)


@callback(
    Output("card", "children"),
    Output("card-title", "children"),
    Output("label", "value"),
    REGION.ref,
    Input("chosen-region", "data"),
    Input("region-fit", "value"),
    Input("rotation", "value"),
    Input("label-said", "children"),
    State("model", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
def show_card(
    region: int | None, fit: str | None, rotation: str, _renamed: Node, model: Json, session: str
) -> tuple[Node, Node, str, Json]:
    """What the chosen region is."""
    if region is None or not fit:
        return no_update, no_update, no_update, no_update
    reply, panel = ask_for(lambda: RegionCard(spec_of(model), fit, region, rotation), session, "card")
    if reply is None:
        return panel, "Region", no_update, None
    facts: RegionFacts = reply.answer
    # A name that is being typed is left alone unless another region has come.
    renewed = {"chosen-region.data", "region-fit.value", "label-said.children"} & set(ctx.triggered_prop_ids)
    # What steering there does is shown later, but belongs to what is pinned.
    effects = QuestionRef("RegionEffects", RegionEffects(spec_of(model), fit, region, rotation).to_params())
    ref = region_parts.ref([reply.question, effects]).to_dict()
    return region_card(facts), f"{region}: {facts.label}", facts.own_label if renewed else no_update, ref


clientside_callback(
    "(region) => typeof region === 'number' ? 'Measuring what steering there does …' : ''",
    Output("card-effects", "children", allow_duplicate=True),
    Input("chosen-region", "data"),
    prevent_initial_call=True,
)


@callback(
    Output("card-effects", "children"),
    inputs={"_title": Input("card-title", "children"), **_OF_REGION},
    prevent_initial_call=True,
)
def show_effects(_title: Node, region: int | None, fit: str | None, rotation: str, model: Json, session: str) -> Node:
    """What steering there does; asked after the card, because it runs the model."""
    if region is None or not fit:
        return no_update
    reply, panel = ask_for(lambda: RegionEffects(spec_of(model), fit, region, rotation), session, "effects")
    return panel if reply is None else region_effects(reply.answer)


@callback(
    Output("factor-effects", "children"),
    REGION.more_ref,
    inputs={
        "clicks": Input("measure-factors", "n_clicks"),
        **_OF_REGION,
        "shown": State({"settings": REGION.name}, "data"),
    },
    prevent_initial_call=True,
)
def show_factor_effects(
    clicks: int | None, region: int | None, fit: str | None, rotation: str, model: Json, session: str, shown: Json
) -> tuple[Node, Json]:
    """What each factor adds; a second or two of passes, so only when asked for."""
    if not clicks or region is None or not fit:
        return no_update, no_update
    reply, panel = ask_for(lambda: RegionEffects(spec_of(model), fit, region, rotation, True), session, "effects")
    if reply is None:
        return panel, no_update
    card, effects = ViewRef.from_dict(shown).questions[:2]
    return factor_effects(reply.answer), factor_parts.ref([card, effects, reply.question]).to_dict()


@callback(
    Output("label-said", "children"),
    Input("label", "value"),
    State("chosen-region", "data"),
    State("region-fit", "value"),
    State("regions", "data"),
    prevent_initial_call=True,
)
def rename(label: str | None, region: int | None, fit: str | None, question: Json) -> Node:
    """Keep the name that was typed."""
    if not question or not fit or region is None:
        return no_update
    own = {r.region: r.own_label for r in reply_of(question).answer.regions}
    number, name = region, label or ""
    if own.get(number, name) == name:
        return no_update
    reply, panel = ask_for(lambda: RenameRegion(fit, number, name))
    return panel if reply is None else f"Region {region} is called “{reply.answer.label}” now."
