"""Callbacks of the regions: which fit, the map, the list, the card of one region, its name."""

from __future__ import annotations

from typing import Any

from dash import ALL, Input, Output, State, callback, clientside_callback, ctx, no_update

from analysis.mfa.ops.regions import ListFits, RegionCard, RegionEffects, RegionMap, RenameRegion
from components.mfa.card import factor_effects, region_card, region_effects, region_rows
from components.mfa.figures import region_map
from pages.common import attempt, spec_of

_ORDERS = ("theme", "token", "grammar", "size")


@callback(
    Output("model", "data", allow_duplicate=True), Input("start-steer", "data"), State("model", "data"),
    prevent_initial_call="initial_duplicate",
)  # fmt: skip
def use_model_of_address(start: dict[str, Any], current: Any) -> Any:
    """A link may name another model than the one this window used last."""
    return start["model"] if start and start["model"] and start["model"] != current else no_update


@callback(
    Output("region-fit", "options"),
    Output("region-fit", "value"),
    Output("slider-error", "children", allow_duplicate=True),
    Input("model", "data"),
    Input("fits-changed", "data"),
    State("start-steer", "data"),
    State("region-fit", "value"),
    prevent_initial_call="initial_duplicate",
)
def list_fits(model: Any, changed: Any, start: dict[str, Any], chosen: str | None) -> tuple[Any, Any, Any]:
    """The fits of the model in use; a new one is opened as soon as it is there."""
    result, panel = attempt(lambda: ListFits(spec_of(model)))
    if result is None:
        return [], None, panel
    fits = result.data["fits"]
    names = [f["name"] for f in fits]
    options = [{"label": f["title"], "value": f["name"]} for f in fits]
    asked = (start.get("steer") or {}).get("fit") if chosen is None else None
    newest = changed if isinstance(changed, str) and ctx.triggered_id == "fits-changed" else None
    value = next((n for n in (newest, chosen, asked) if n in names), names[0] if names else None)
    problem = None
    if asked and asked not in names:
        from components.kit.panels import user_error

        problem = user_error(
            "The fit that the address names is not in this data folder; the first one is open instead."
        )
    if not fits:
        from components.kit.panels import user_error

        problem = user_error("There is no fit for this model yet. Open the tab “Fit another” below and press Fit.")
    return options, value, problem


@callback(
    Output("regions", "data"),
    Output("slider-error", "children", allow_duplicate=True),
    Input("region-fit", "value"),
    Input("label-said", "children"),
    State("model", "data"),
    prevent_initial_call=True,
)
def load_map(fit: str | None, _renamed: Any, model: Any) -> tuple[Any, Any]:
    """All regions of the fit as plain rows; drawn and searched from there."""
    if not fit:
        return None, no_update
    result, panel = attempt(lambda: RegionMap(spec_of(model), fit))
    return (result.data, None) if result else (None, panel)


@callback(
    Output("region-map", "figure"),
    Output("region-map-caption", "children"),
    Output({"settings": "region-map"}, "data"),
    Output("region-list", "children"),
    Input("regions", "data"),
    Input("search", "value"),
    Input("order", "value"),
    Input("chosen-region", "data"),
    Input("on-sliders", "data"),
    Input("theme", "data"),
    prevent_initial_call=True,
)
def draw_map(
    data: dict[str, Any] | None, words: str | None, order: str, chosen: int | None, active: Any, theme: str
) -> tuple[Any, ...]:
    """The map and the ranked list; a search leaves the matching regions and makes the others faint."""
    if not data:
        return no_update, no_update, no_update, no_update
    rows = ranked(data["regions"], order)
    found = matching(rows, words)
    shown = {r["region"] for r in found} if (words or "").strip() else None
    on = [r["region"] for r in active or []]
    figure = region_map(data["regions"], theme, chosen, on, shown)
    return figure, data["facts"]["caption"], {**data["facts"], "fit": data["fit"]}, region_rows(found, chosen)


def ranked(rows: list[dict[str, Any]], order: str) -> list[dict[str, Any]]:
    """Regions in the order chosen: those of one character first, by their score, or by size."""
    if order == "size" or order not in _ORDERS:
        return sorted(rows, key=lambda r: -r["size"])
    return sorted(rows, key=lambda r: (r["character"] != order, -r["score"]))


def matching(rows: list[dict[str, Any]], words: str | None) -> list[dict[str, Any]]:
    """Regions whose label, themes, kinds or tokens hold all the words."""
    wanted = (words or "").lower().split()
    return [r for r in rows if all(w in r["words"] for w in wanted)]


@callback(
    Output("chosen-region", "data"),
    Input("picked", "data"),
    Input({"open-region": ALL}, "n_clicks"),
    Input("regions", "data"),
    State("chosen-region", "data"),
    State("start-steer", "data"),
    State("on-sliders", "data"),
    prevent_initial_call=True,
)
def choose_region(picked: Any, _open: Any, data: Any, chosen: int | None, start: Any, active: Any) -> Any:
    """The region whose card is open; at opening, that of the address, else the most thematic one."""
    if isinstance(ctx.triggered_id, dict):
        return ctx.triggered_id["open-region"] if ctx.triggered[0]["value"] else no_update
    if ctx.triggered_id == "picked":
        return picked["region"] if picked else no_update
    if not data:
        return None
    numbers = {r["region"] for r in data["regions"]}
    asked = [r["region"] for r in (active or (start.get("steer") or {}).get("regions") or [])]
    if chosen in numbers:
        return no_update
    return next((n for n in asked if n in numbers), ranked(data["regions"], "theme")[0]["region"])


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
    Input("chosen-region", "data"),
    Input("region-fit", "value"),
    Input("rotation", "value"),
    Input("label-said", "children"),
    State("model", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
def show_card(
    region: int | None, fit: str | None, rotation: str, _renamed: Any, model: Any, session: str
) -> tuple[Any, Any, Any]:
    """What the chosen region is."""
    if region is None or not fit:
        return no_update, no_update, no_update
    result, panel = attempt(lambda: RegionCard(spec_of(model), fit, region, rotation), session, "card")
    if result is None:
        return panel, "Region", no_update
    card = result.data
    # A name that is being typed is left alone unless another region has come.
    renewed = {"chosen-region.data", "region-fit.value", "label-said.children"} & set(ctx.triggered_prop_ids)
    return region_card(card), f"{region}: {card['label']}", card["own_label"] if renewed else no_update


@callback(
    Output("card-effects", "children"),
    Input("card-title", "children"),
    State("chosen-region", "data"),
    State("region-fit", "value"),
    State("rotation", "value"),
    State("model", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
def show_effects(_title: str, region: int | None, fit: str | None, rotation: str, model: Any, session: str) -> Any:
    """What steering there does; asked after the card, because it runs the model."""
    if region is None or not fit:
        return no_update
    result, panel = attempt(lambda: RegionEffects(spec_of(model), fit, region, rotation), session, "effects")
    return region_effects(result.data) if result else panel


@callback(
    Output("factor-effects", "children"),
    Input("measure-factors", "n_clicks"),
    State("chosen-region", "data"),
    State("region-fit", "value"),
    State("rotation", "value"),
    State("model", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
def show_factor_effects(
    clicks: int | None, region: int | None, fit: str | None, rotation: str, model: Any, session: str
) -> Any:
    """What each factor adds; a second or two of passes, so only when asked for."""
    if not clicks or region is None or not fit:
        return no_update
    result, panel = attempt(lambda: RegionEffects(spec_of(model), fit, region, rotation, True), session, "effects")
    return factor_effects(result.data) if result else panel


@callback(
    Output("label-said", "children"),
    Input("label", "value"),
    State("chosen-region", "data"),
    State("region-fit", "value"),
    State("regions", "data"),
    prevent_initial_call=True,
)
def rename(label: str | None, region: int | None, fit: str | None, data: Any) -> Any:
    """Keep the name that was typed."""
    row = next((r for r in (data or {}).get("regions", []) if r["region"] == region), None)
    if row is None or not fit or region is None or (label or "") == row["own_label"]:
        return no_update
    number: int = region
    result, panel = attempt(lambda: RenameRegion(fit, number, label or ""))
    return f"Region {region} is called “{result.data['label']}” now." if result else panel
