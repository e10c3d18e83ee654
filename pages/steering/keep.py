"""Callbacks of keeping: presets in the data folder, and the whole set-up as a file."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from dash import ALL, Input, Output, State, callback, clientside_callback, ctx, html, no_update

from analysis.errors import UserError
from analysis.mfa.ops.setup import OpenSetup, SaveSetup
from analysis.mfa.presets import delete_preset, keep_preset, presets
from analysis.mfa.settings import SteeringSettings
from components.kit.panels import note, user_error
from pages.common import attempt, spec_of

GENERATION = ("steer-prompt", "steer-chat", "count", "temperature", "top-p", "seed")


@callback(
    Output("preset-list", "children"),
    Output("preset-said", "children"),
    Input("preset-keep", "n_clicks"),
    Input({"preset-delete": ALL}, "n_clicks"),
    Input("region-fit", "value"),
    State("preset-name", "value"),
    State("steer", "data"),
    *[State(name, "value") for name in GENERATION],
)
def show_presets(_keep: Any, deleted: Any, _fit: Any, name: Any, steer: Any, *generation: Any) -> tuple[Any, Any]:
    """The presets, after keeping or deleting one."""
    said: Any = ""
    if ctx.triggered_id == "preset-keep":
        try:
            if not steer:
                raise UserError("Put a region on the sliders first.")
            keep_preset(
                str(name or ""), SteeringSettings.from_dict(steer), dict(zip(GENERATION, generation, strict=True))
            )
            said = f"Kept as “{name}”."
        except UserError as error:
            said = user_error(error.message, "preset-name" if error.field else None)
    elif isinstance(ctx.triggered_id, dict) and any(deleted):
        for key in ctx.triggered_prop_ids.values():  # two that come as one
            delete_preset(key["preset-delete"])
    return _rows(), said


def _rows() -> Any:
    rows = [
        html.Div(
            [
                html.Button(p["name"], id={"preset-use": p["key"]}, className="attune-link", type="button"),
                html.Span(p["summary"], className="attune-note"),
                html.Button(
                    "×",
                    id={"preset-delete": p["key"]},
                    className="attune-small",
                    type="button",
                    **{"aria-label": f"delete the preset {p['name']}"},
                )
                if p["own"]
                else None,
            ],
            className="attune-region-row",
        )
        for p in presets()
    ]
    return rows


@callback(
    Output("on-sliders", "data", allow_duplicate=True),
    Output("mode", "value", allow_duplicate=True),
    Output("where", "value", allow_duplicate=True),
    Output("layers", "value", allow_duplicate=True),
    Output("rotation", "value", allow_duplicate=True),
    *[Output(name, "value", allow_duplicate=True) for name in GENERATION],
    Output("preset-said", "children", allow_duplicate=True),
    Output("file-said", "children"),
    Input({"preset-use": ALL}, "n_clicks"),
    Input("open-file", "contents"),
    State("region-fit", "value"),
    State("model", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
def use(clicks: Any, contents: str | None, fit: str | None, model: Any, session: str) -> tuple[Any, ...]:
    """Take a preset or a file back onto the page; a refusal leaves everything as it is."""
    nothing = (no_update,) * (5 + len(GENERATION))
    if isinstance(ctx.triggered_id, dict):
        if not any(clicks):
            return (*nothing, no_update, no_update)
        found = next((p for p in presets() if p["key"] == ctx.triggered_id["preset-use"]), None)
        if found is None:
            return (*nothing, user_error("This preset is gone."), no_update)
        wrong = _wrong_fit(found["steer"], fit)
        if wrong is not None:
            return (*nothing, wrong, no_update)
        return (*_onto(found["steer"]), *[found["generation"].get(n) for n in GENERATION], "", no_update)
    try:
        raw = base64.b64decode((contents or "").partition(",")[2], validate=True)
    except (binascii.Error, ValueError):
        return (*nothing, no_update, user_error("That file could not be read. Choose it again."))
    result, panel = attempt(lambda: OpenSetup(spec_of(model), base64.b64encode(raw).decode()), session, "open")
    if result is None:
        return (*nothing, no_update, panel)
    data = result.data
    wrong = _wrong_fit(data["steer"], fit)
    if wrong is not None:
        return (*nothing, no_update, wrong)
    said = note(" ".join([f"Opened: {data['interventions']} interventions.", *data["remarks"]]))
    return (*_onto(data["steer"]), *[data["generation"].get(n) for n in GENERATION], no_update, said)


def _wrong_fit(steer: dict[str, Any] | None, fit: str | None) -> Any:
    if steer is None:
        return user_error(
            "The vectors in this file are in order, but it does not say which regions they come from, so the sliders "
            "cannot show it. Apply it in a notebook with analysis.steering."
        )
    if steer["fit"] != fit:
        return user_error(
            f"This set-up belongs to the fit “{steer['fit']}”. Choose that fit above the map, then open it again."
        )
    return None


def _onto(steer: dict[str, Any]) -> tuple[Any, ...]:
    rows = [{**r, "fit": steer["fit"]} for r in steer["regions"]]
    return rows, steer["mode"], steer["where"], list(steer["layers"]), steer["rotation"]


@callback(
    Output("saved-file", "data"),
    Output("file-said", "children", allow_duplicate=True),
    Input("save-file", "n_clicks"),
    State("steer", "data"),
    *[State(name, "value") for name in GENERATION],
    State("model", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
def save(clicks: int | None, steer: Any, *values: Any) -> tuple[Any, Any]:
    """The set-up as a file for the browser to keep."""
    *generation, model, session = values
    if not clicks or not steer:
        return no_update, user_error("Put a region on the sliders first.") if clicks else no_update
    settings = json.dumps(dict(zip(GENERATION, generation, strict=True)))
    result, panel = attempt(
        lambda: SaveSetup(spec_of(model), SteeringSettings.from_dict(steer), settings), session, "save"
    )
    if result is None:
        return no_update, panel
    raw = result.arrays["file"].tobytes()
    file = {"name": result.data["name"], "bytes": base64.b64encode(raw).decode()}
    return file, note(
        f"Saved {result.data['name']}, {len(raw) / 1024:.0f} kB, {result.data['interventions']} interventions."
    )


clientside_callback(
    "dash_clientside.attune.saveBytes",
    Output("steer-sink", "lang"),
    Input("saved-file", "data"),
    prevent_initial_call=True,
)
