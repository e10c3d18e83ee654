"""Callbacks of the sliders: which regions are on them, their values, resetting."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace

from dash import ALL, Input, Output, State, callback, clientside_callback, ctx, no_update

from analysis.errors import UserError
from analysis.mfa.answers.regions import FitMap, RegionFacts
from analysis.mfa.ops.regions import FactorsOfContext, RegionCard
from analysis.mfa.settings import MAX_REGIONS, SteeringSettings
from components.kit.panels import empty, user_error
from components.kit.types import Json, Node
from components.mfa.sliders import END, Zone, region_sliders, usual_zone
from pages.common import ask_for, reply_of, spec_of
from pages.presses import Press, queue_callbacks, settle
from pages.state import names_of
from pages.steering.state import (
    HOW,
    Row,
    SteeringState,
    how_of,
    plain_rows,
    rows_of,
    rows_on,
    settings_at_start,
    settings_of,
)

START_STRENGTH, START_MODE = 0.6, "add"
FIRST = ("small", "grammar", "token", "mixed", "theme")
"""Characters of regions, that on which a page opens last; of one that says nothing (a score of zero) none."""
FactorsOf = Callable[[str], tuple[int, Sequence[float]] | None]
"""Region and local factors of a context, "region:row"; None if they cannot be had."""


@callback(
    Output("on-sliders", "data"),
    Output("slider-open-error", "children"),
    Input("regions", "data"),
    State("on-sliders", "data"),
    State("start-steer", "data"),
    State("region-fit", "value"),
    prevent_initial_call=True,
)
def open_fit(question: Json, before: Json, start: Json, fit: str | None) -> tuple[Json, Node]:
    """What stands on the sliders once a fit is there."""
    if not question or not fit:
        return no_update, no_update
    rows_before = None if before is None else rows_of(before)
    rows, problem = opening(reply_of(question).answer, rows_before, settings_at_start(start))
    return no_update if rows is None else plain_rows(rows), problem


def opening(fit: FitMap, before: Sequence[Row] | None, start: SteeringSettings | None) -> tuple[list[Row] | None, Node]:
    """What stands on the sliders when a fit is opened, None for what stands there already; and what is left out."""
    numbers = {r.region for r in fit.regions}
    if before is None and start is not None and start.fit in ("", fit.fit):
        rows = [replace(row, fit=fit.fit) for row in rows_on(start) if row.region in numbers]
        if len(rows) < len(start.regions):
            return rows, user_error("The address names regions that this fit does not have; they were left out.")
        if rows:
            return rows, None
    if before and before[0].fit in ("", fit.fit):
        return None, None
    best = max(fit.regions, key=lambda r: (FIRST.index(r.character) if r.score > 0 else -1, r.score, r.size))
    return [Row(best.region, START_STRENGTH, (), fit.fit)], None


@callback(
    Output("on-sliders-done", "data"),
    Output("slider-press-error", "children"),
    Input("on-sliders-presses", "data"),
    State("steer", "data"),
    State("region-fit", "value"),
    State("rotation", "value"),
    State("model", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
def change_regions(
    asked: Json, steer: Json, fit: str | None, rotation: str, model: Json, session: str
) -> tuple[Json, Node]:
    """The regions on the sliders after all that was pressed; the values under the hand are kept."""
    if not asked or not fit:
        return no_update, no_update
    panel: Node = None

    def factors_of(context: str) -> tuple[int, Sequence[float]] | None:
        nonlocal panel
        region, row = (int(part) for part in context.split(":"))
        ask = lambda: FactorsOfContext(spec_of(model), fit, region, rotation, row)  # noqa: E731
        reply, panel = ask_for(ask, session, "factors")
        return None if reply is None else (region, reply.answer.factors)

    def one(now: Json, press: Press) -> Json:
        nonlocal panel
        panel = None
        rows = pressed(rows_of(now), press, factors_of)
        return plain_rows([replace(row, fit=fit) for row in rows])

    now = current(rows_of(asked["state"]), settings_of(steer), fit)
    done, refused = settle(asked, one, plain_rows(now))
    return done, panel if refused is None else user_error(refused.message)


queue_callbacks("on-sliders", Input("region-fit", "value"))

# Why a press was refused stands apart from what is said of the fit, whose answer may come later.
clientside_callback(
    "() => null",
    Output("slider-press-error", "children", allow_duplicate=True),
    Input("region-fit", "value"),
    prevent_initial_call=True,
)


def pressed(now: list[Row], press: Press, factors_of: FactorsOf) -> list[Row]:
    """The rows after one press. Raises UserError for one that cannot be followed."""
    kind, region = press["kind"], press.get("region")
    if kind == "reset":
        return [replace(row, strength=0.0, factors=()) for row in now]
    if kind == "remove":
        return [row for row in now if row.region != region]
    if kind == "strength":
        return [replace(row, strength=press["strength"]) if row.region == region else row for row in now]
    if kind == "factors":
        return with_factors(now, int(press["region"]), press["factors"])
    if kind == "only" and region is not None:
        factors = tuple(float(f) for f in press.get("factors") or ())
        return [Row(int(region), float(press.get("strength", START_STRENGTH)), factors)]
    if kind == "choose":
        return added([], region) if region is not None and as_placed(now) else now
    if kind == "use":
        place = factors_of(str(press["context"]))
        return now if place is None else with_factors(now, *place)
    return added(now, region)


def current(before: Sequence[Row], steer: SteeringSettings | None, fit: str) -> list[Row]:
    """The rows with the values that the sliders have now."""
    values = {row.region: row for row in rows_on(steer)} if steer is not None and steer.fit == fit else {}
    return [replace(values.get(row.region, row), fit=row.fit or fit) for row in before]


def added(now: list[Row], region: int | None) -> list[Row]:
    """One region more, at the strength to start from. Raises UserError where there are too many."""
    if region is None or any(row.region == region for row in now):
        return now
    if len(now) >= MAX_REGIONS:
        raise UserError(f"At most {MAX_REGIONS} regions can steer at once. Remove one first.")
    return [*now, Row(region, 0.2 if now else START_STRENGTH)]


def as_placed(now: Sequence[Row]) -> bool:
    """Whether the sliders stand as a press put them there: no hand has moved one, no region was added."""
    return len(now) == 0 or (len(now) == 1 and now[0].strength == START_STRENGTH and not any(now[0].factors))


def with_factors(now: list[Row], region: int, factors: Sequence[float]) -> list[Row]:
    """All local factors of a region set at once; the region joins the sliders if it is not there. Raises as
    :func:`added`."""
    limited = tuple(max(-END, min(END, round(f, 2))) for f in factors)
    return [replace(row, factors=limited) if row.region == region else row for row in added(now, region)]


@callback(
    Output("sliders-drawn", "data"),
    Input("on-sliders", "data"),
    Input("rotation", "value"),
    Input("mode", "value"),
    Input("limit", "data"),
    State("steer", "data"),
    State("region-fit", "value"),
    State("model", "data"),
    prevent_initial_call=True,
)
def draw_sliders(data: Json, rotation: str, mode: str, limit: Json, steer: Json, fit: str | None, model: Json) -> Node:
    """A block of sliders for each region; the ends named from its card, and where texts break marked."""
    if data is None or not fit:
        return no_update
    rows = rows_of(data)
    if ctx.triggered_id != "on-sliders":
        rows = current(rows, settings_of(steer), fit)
    if not rows:
        return empty("No region is on the sliders. Choose one above.")
    blocks = []
    for row in rows:
        # Asked without a widget, so that the cards of several regions do not replace each other.
        reply, panel = ask_for(lambda row=row: RegionCard(spec_of(model), fit, row.region, rotation))  # type: ignore[misc]
        blocks.append(panel if reply is None else _block(reply.answer, row, mode, limit))
    return blocks


def _block(region: RegionFacts, row: Row, mode: str, limit: Json) -> Node:
    measured = bool(limit) and limit["region"] == row.region
    zone = Zone(limit["breaks"], True) if measured else usual_zone(mode)
    return region_sliders(region, row.strength, row.factors, zone)


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
    Input("own-block", "value"),
    Input("rotation", "value"),
    *[Input(f"gate-{name}", "value") for name in ("after", "kind", "region", "side", "value")],
    Input({"vector": ALL}, "value"),
    State("region-fit", "value"),
    State("on-sliders", "data"),
    State({"strength": ALL}, "id"),
    State({"factor": ALL, "region": ALL}, "id"),
    State({"vector": ALL}, "id"),
    prevent_initial_call=True,
)


@callback([Output(name, "value") for name in HOW], Input("start-steer", "data"))
def options_of_address(start: Json) -> tuple[Json, ...]:
    """How, where, when and at which blocks, as the address says."""
    return how_of(settings_at_start(start) or SteeringSettings(mode=START_MODE))


@callback(Output("layers", "options"), Input("regions", "data"), prevent_initial_call=True)
def block_options(question: Json) -> Json:
    """The blocks of the model beside the fit's own."""
    if not question:
        return no_update
    facts = reply_of(question).answer.facts
    return [{"label": f"block {b}", "value": b} for b in range(facts.layers) if b != facts.layer]


# The region that the picker shows is the first on the sliders; choosing another puts that one there alone.
clientside_callback(
    "dash_clientside.attune.pickOf",
    Output("region-pick", "value"),
    Input("on-sliders", "data"),
    Input("region-pick", "options"),
    prevent_initial_call=True,
)
clientside_callback(
    "dash_clientside.attune.pickRegion",
    Output("on-sliders-sink", "role"),
    Input("region-pick", "value"),
    State("on-sliders", "data"),
    prevent_initial_call=True,
)


# The answer to a question joins the presses on the sliders.
for _store in ("reached", "liked", "limit"):
    clientside_callback(
        "(answer) => { if (answer && answer.kind) dash_clientside.attune.press('on-sliders', answer);"
        " return dash_clientside.no_update; }",
        Output("on-sliders-sink", "className", allow_duplicate=True),
        Input(_store, "data"),
        prevent_initial_call=True,
    )


clientside_callback(
    # The model is a state: as an input it would call this on every page, also where the other inputs are not.
    "function(...values) { values.unshift(values.pop()); return dash_clientside.attune.address(...values, "
    + json.dumps(names_of(SteeringState))
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
    Input("chat-kept", "data"),
    State("model", "data"),
    prevent_initial_call=True,
)
