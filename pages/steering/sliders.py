"""Callbacks of the sliders: which regions are on them, their values, resetting, and a strength for a wanted KL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dash import ALL, Input, Output, State, callback, clientside_callback, ctx, no_update

from analysis.mfa.ops.regions import FactorsOfContext, RegionCard
from analysis.mfa.ops.steer import StrengthForKL
from analysis.mfa.settings import MAX_REGIONS, SteeringSettings
from components.kit.panels import empty, user_error
from components.mfa.sliders import END, region_sliders
from pages.common import attempt, spec_of
from pages.presses import Press, queue_callbacks, settle
from pages.steering.state import ADDRESS

START_STRENGTH, START_MODE = 0.6, "add"
Rows = list[dict[str, Any]]


@callback(
    Output("on-sliders", "data"),
    Output("slider-error", "children"),
    Input("regions", "data"),
    State("on-sliders", "data"),
    State("start-steer", "data"),
    State("region-fit", "value"),
    prevent_initial_call=True,
)
def open_fit(data: Any, before: Rows | None, start: Any, fit: str | None) -> tuple[Any, Any]:
    """What stands on the sliders once a fit is there."""
    if not data or not fit:
        return no_update, no_update
    return opening(data, before, start, fit, {r["region"] for r in data["regions"]})


@callback(
    Output("on-sliders-done", "data"),
    Output("slider-error", "children", allow_duplicate=True),
    Input("on-sliders-presses", "data"),
    State("steer", "data"),
    State("region-fit", "value"),
    State("rotation", "value"),
    State("model", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
def change_regions(asked: Any, steer: Any, fit: str | None, rotation: str, model: Any, session: str) -> tuple[Any, Any]:
    """The regions on the sliders after all that was pressed; the values under the hand are kept."""
    if not asked or not fit:
        return no_update, no_update
    said: list[Any] = [None]

    def factors_of(context: str) -> tuple[int, list[float] | None]:
        region, row = (int(part) for part in context.split(":"))
        ask = lambda: FactorsOfContext(spec_of(model), fit, region, rotation, row)  # noqa: E731
        result, said[0] = attempt(ask, session, "factors")
        return region, None if result is None else result.data["factors"]

    def one(now: Rows, press: Press) -> Rows:
        said[0] = None
        rows, problem = pressed(now, press, factors_of)
        said[0] = problem or said[0]
        return now if rows is no_update else of_fit((rows, None), fit)[0]  # type: ignore[no-any-return]

    done, _ = settle(asked, one, current(asked["state"], steer, fit))
    return done, said[0]


queue_callbacks("on-sliders", Input("region-fit", "value"))


def pressed(now: Rows, press: Press, factors_of: Callable[[str], tuple[int, list[float] | None]]) -> tuple[Any, Any]:
    """The rows after one press, or no_update, and what is to be said. ``factors_of``: region and local factors of a
    context, "region:row"; None if they cannot be had."""
    kind, region = press["kind"], press.get("region")
    if kind == "reset":
        return [{**r, "strength": 0.0, "factors": []} for r in now], None
    if kind == "remove":
        return [r for r in now if r["region"] != region], None
    if kind == "strength":
        return [{**r, "strength": press["strength"]} if r["region"] == region else r for r in now], None
    if kind == "factors":
        return with_factors(now, int(press["region"]), press["factors"])
    if kind == "use":
        number, factors = factors_of(str(press["context"]))
        return (no_update, None) if factors is None else with_factors(now, number, factors)
    return added(now, region)


def opening(data: Any, before: Rows | None, start: Any, fit: str, numbers: set[int]) -> tuple[Any, Any]:
    """What stands on the sliders when a fit is opened."""
    asked = start.get("steer") or {}
    if before is None and asked and asked.get("fit") in ("", fit):
        rows = [{**r, "fit": fit} for r in asked["regions"] if r["region"] in numbers]
        if len(rows) < len(asked["regions"]):
            return rows, user_error("The address names regions that this fit does not have; they were left out.")
        if rows:
            return rows, None
    if before and data.get("fit") == before[0].get("fit", data.get("fit")):
        return no_update, None
    best = max(data["regions"], key=lambda r: (r["character"] == "theme", r["score"]))
    return [{"region": best["region"], "strength": START_STRENGTH, "factors": [], "fit": data["fit"]}], None


def of_fit(answer: tuple[Any, Any], fit: str) -> tuple[Any, Any]:
    """The answer with the fit said in each row: a number means another region in another fit."""
    rows, said = answer
    return rows if rows is no_update else [{**r, "fit": fit} for r in rows], said


def current(before: Rows | None, steer: Any, fit: str) -> Rows:
    """The rows with the values that the sliders have now."""
    values = {r["region"]: r for r in (steer or {}).get("regions", [])} if (steer or {}).get("fit") == fit else {}
    return [{"fit": fit, **r, **values.get(r["region"], {})} for r in before or []]


def added(now: Rows, region: int | None) -> tuple[Any, Any]:
    """One region more, at the strength to start from."""
    if region is None or any(r["region"] == region for r in now):
        return no_update, None
    if len(now) >= MAX_REGIONS:
        return no_update, user_error(f"At most {MAX_REGIONS} regions can steer at once. Remove one first.")
    return [*now, {"region": region, "strength": START_STRENGTH if not now else 0.2, "factors": []}], None


def with_factors(now: Rows, region: int, factors: list[float]) -> tuple[Any, Any]:
    """All local factors of a region set at once; the region joins the sliders if it is not there."""
    limited = [max(-END, min(END, round(f, 2))) for f in factors]
    if all(r["region"] != region for r in now):
        rows, problem = added(now, region)
        if rows is no_update:
            return no_update, problem
        now = rows
    return [{**r, "factors": limited} if r["region"] == region else r for r in now], None


@callback(
    Output("sliders-drawn", "data"),
    Input("on-sliders", "data"),
    Input("rotation", "value"),
    Input("mode", "value"),
    State("steer", "data"),
    State("region-fit", "value"),
    State("model", "data"),
    prevent_initial_call=True,
)
def draw_sliders(rows: Rows | None, rotation: str, mode: str, steer: Any, fit: str | None, model: Any) -> Any:
    """A block of sliders for each region; the ends named from its card."""
    if rows is None or not fit:
        return no_update
    if ctx.triggered_id != "on-sliders":
        rows = current(rows, steer, fit)
    if not rows:
        return empty("No region is on the sliders. Choose one and press Steer here.")
    blocks = []
    for row in rows:
        # Asked without a widget, so that the cards of several regions do not replace each other.
        result, panel = attempt(lambda row=row: RegionCard(spec_of(model), fit, row["region"], rotation))  # type: ignore[misc]
        blocks.append(region_sliders(result.data, row["strength"], row.get("factors") or [], mode) if result else panel)
    return blocks


# What a hand has moved since the rows were set is not set back by the drawing of them.
clientside_callback(
    "(drawn) => dash_clientside.attune.underHand(drawn)",
    Output("sliders", "children"),
    Input("sliders-drawn", "data"),
    prevent_initial_call=True,
)
clientside_callback(
    "(rows) => dash_clientside.attune.rowsSet(rows)",
    Output("on-sliders-sink", "className"),
    Input("on-sliders", "data"),
    prevent_initial_call=True,
)
clientside_callback(
    "dash_clientside.attune.gather",
    Output("steer", "data"),
    Input({"strength": ALL}, "drag_value"),
    Input({"strength": ALL}, "value"),
    Input({"factor": ALL, "region": ALL}, "drag_value"),
    Input({"factor": ALL, "region": ALL}, "value"),
    Input("mode", "value"),
    Input("where", "value"),
    Input("layers", "value"),
    Input("rotation", "value"),
    State("region-fit", "value"),
    State("on-sliders", "data"),
    State({"strength": ALL}, "id"),
    State({"factor": ALL, "region": ALL}, "id"),
    prevent_initial_call=True,
)


@callback(
    Output("mode", "value"),
    Output("where", "value"),
    Output("layers", "value"),
    Output("rotation", "value"),
    Input("start-steer", "data"),
)
def options_of_address(start: Any) -> tuple[Any, ...]:
    """How, where and at which blocks, as the address says."""
    steer = start.get("steer") or {}
    defaults = SteeringSettings()
    return (
        steer.get("mode", defaults.mode if steer else START_MODE),
        steer.get("where", defaults.where),
        list(steer.get("layers", [])),
        steer.get("rotation", defaults.rotation),
    )


@callback(Output("layers", "options"), Input("regions", "data"), prevent_initial_call=True)
def block_options(data: Any) -> Any:
    """The blocks of the model beside the fit's own."""
    if not data:
        return no_update
    facts = data["facts"]
    return [{"label": f"block {b}", "value": b} for b in range(facts["layers"]) if b != facts["layer"]]


@callback(
    Output("reached", "data"),
    Output("target-said", "children"),
    Input("to-target", "n_clicks"),
    State("target", "value"),
    State("on-sliders", "data"),
    State("steer", "data"),
    State("steer-prompt", "value"),
    State("steer-chat", "value"),
    State("model", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
def reach_target(
    clicks: int | None, target: Any, rows: Any, steer: Any, text: str | None, chat: bool, model: Any, session: str
) -> tuple[Any, Any]:
    """Set the strength of the first region so that the next token costs the wanted KL."""
    if not clicks or not rows or not steer:
        return no_update, "Put a region on the sliders first." if clicks else no_update
    region = rows[0]["region"]
    result, panel = attempt(
        lambda: StrengthForKL(
            spec_of(model), text or "", bool(chat), SteeringSettings.from_dict(steer), region,
            target,
        ),
        session,
        "target",
    )  # fmt: skip
    if result is None:
        return no_update, panel
    strength = round(result.data["strength"], 3)
    return {"kind": "strength", "region": region, "strength": strength, "turn": clicks}, result.data["sentence"]


# What a question found out joins the presses on the sliders.
for _store in ("reached", "liked"):
    clientside_callback(
        "(found) => { if (found) dash_clientside.attune.press('on-sliders', found);"
        " return dash_clientside.no_update; }",
        Output("on-sliders-sink", "className", allow_duplicate=True),
        Input(_store, "data"),
        prevent_initial_call=True,
    )


clientside_callback(
    # The model is a state: as an input it would call this on every page, also where the other inputs are not.
    "function(...values) { values.unshift(values.pop()); return dash_clientside.attune.address(...values, "
    + str(ADDRESS).replace("'", '"')
    + "); }",
    Output("address", "data", allow_duplicate=True),
    Input("steer", "data"),
    Input("steer-prompt", "value"),
    Input("steer-chat", "value"),
    Input("seed", "value"),
    Input("temperature", "value"),
    Input("top-p", "value"),
    Input("count", "value"),
    Input("steer-tab", "active_tab"),
    State("model", "data"),
    prevent_initial_call=True,
)
