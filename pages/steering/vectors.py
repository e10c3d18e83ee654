"""Callbacks of steering vectors: those of others into the set-up, the set-up as vectors for other programs."""

from __future__ import annotations

import base64
import binascii

from dash import ALL, Input, Output, State, callback, clientside_callback, ctx, no_update

from analysis.errors import UserError
from analysis.mfa.ops.vectors import ListVectors, OpenVectors, SaveVectors
from analysis.mfa.settings import RegionSetting, SteeringSettings
from components.kit.panels import note, user_error
from components.kit.types import Json, Node, Typed
from components.mfa.vectors import vector_table
from pages.common import ask_for, spec_of
from pages.steering.state import settings_at_start, settings_of


@callback(
    Output("vectors-changed", "data"),
    Output("vectors-said", "children"),
    Input("vectors-open", "contents"),
    State("vectors-open", "filename"),
    State("vectors-block", "value"),
    State("model", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
def open_vectors(contents: str | None, name: str | None, block: Typed, model: Json, session: str) -> tuple[Json, Node]:
    """Keep the vectors of a file; a refusal stands where it was dropped."""
    try:
        raw = base64.b64decode((contents or "").partition(",")[2], validate=True)
    except (binascii.Error, ValueError):
        return no_update, user_error("That file could not be read. Choose it again.")
    body = base64.b64encode(raw).decode()
    reply, panel = ask_for(lambda: OpenVectors(spec_of(model), name or "", body, block), session, "vectors")
    return (no_update, panel) if reply is None else (reply.answer.name, note(reply.answer.sentence))


@callback(
    Output("vectors-list", "children"),
    Input("region-fit", "value"),
    Input("vectors-changed", "data"),
    Input("files-opened", "data"),
    Input("vectors-set", "data"),
    State("model", "data"),
    State("steer", "data"),
    State("start-steer", "data"),
    prevent_initial_call=True,
)
def list_vectors(
    fit: str | None, _changed: Json, _opened: Json, taken: Json, model: Json, steer: Json, start: Json
) -> Node:
    """The table, with the strengths of the set-up; a preset or a file that was taken brings its own."""
    if not fit:
        return no_update
    settings = settings_of(steer) if steer else settings_at_start(start)
    strengths = {v.name: v.strength for v in settings.vectors} if settings else {}
    if ctx.triggered_id == "vectors-set":
        strengths = {v["name"]: v["strength"] for v in taken or []}
    reply, panel = ask_for(lambda: ListVectors(spec_of(model), fit))
    return panel if reply is None else vector_table(reply.answer.vectors, strengths)


# Reset is of the whole set-up: the regions on the sliders, and the vectors beside them.
clientside_callback(
    "(clicks, ids) => clicks ? ids.map(() => 0) : ids.map(() => dash_clientside.no_update)",
    Output({"vector": ALL}, "value"),
    Input("reset", "n_clicks"),
    State({"vector": ALL}, "id"),
    prevent_initial_call=True,
)


# Beside the sliders, since the strengths themselves stand in a tab below.
clientside_callback(
    "(steer) => steer && steer.vectors"
    " ? `Also added (tab Keep it): ${steer.vectors.map((v) => `${v.name} × ${v.strength}`).join(', ')}` : ''",
    Output("vectors-on", "children"),
    Input("steer", "data"),
    prevent_initial_call=True,
)


@callback(
    Output("saved-file", "data", allow_duplicate=True),
    Output("vectors-saved", "children"),
    Input("vectors-save", "n_clicks"),
    Input("vectors-save-region", "n_clicks"),
    State("vectors-format", "value"),
    State("steer", "data"),
    State("chosen-region", "data"),
    State("region-fit", "value"),
    State("model", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
def save_vectors(
    setup: int | None, one: int | None, form: str, steer: Json, region: int | None, fit: str | None, model: Json,
    session: str,
) -> tuple[Json, Node]:  # fmt: skip
    """What the set-up adds, or a region's offset from the mean, as a file for other programs."""
    if not (setup or one):
        return no_update, no_update

    def make() -> SaveVectors:
        settings = settings_of(steer)
        if ctx.triggered_id == "vectors-save-region":
            if region is None or not fit:
                raise UserError("Open a region on the map first.")
            settings = SteeringSettings(fit, (RegionSetting(region, 1.0),), "add")
        if settings is None:
            raise UserError("Put a region on the sliders first.")
        return SaveVectors(spec_of(model), settings, form)

    reply, panel = ask_for(make, session, "save-vectors", of=SaveVectors)
    if reply is None:
        return no_update, panel
    file = reply.answer
    blocks = ", ".join(map(str, file.blocks))
    gate = settings_of(steer) if ctx.triggered_id == "vectors-save" else None
    lost = f" It does not hold that this set-up acts {gate.when}." if gate is not None and gate.when else ""
    said = f"Saved {file.name}: the vector behind block {blocks}. Other programs add it at every position.{lost}"
    return {"name": file.name, "bytes": base64.b64encode(file.file.tobytes()).decode()}, note(said)
