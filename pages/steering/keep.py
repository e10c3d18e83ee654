"""Callbacks of keeping: presets in the data folder, and the whole set-up as a file."""

from __future__ import annotations

import base64
import binascii
import json
from urllib.parse import urlencode

from dash import ALL, Input, Output, State, callback, clientside_callback, ctx, html, no_update

from analysis.answer import plain_of
from analysis.errors import UserError
from analysis.mfa.answers.regions import FitMap
from analysis.mfa.ops.setup import OpenSetup, SaveSetup
from analysis.mfa.presets import delete_preset, keep_preset, presets
from analysis.mfa.settings import SteeringSettings
from components.kit.links import local
from components.kit.panels import note, user_error
from components.kit.types import Json, Node, Outputs, Typed
from pages.common import ask_for, reply_of, spec_of
from pages.state import write
from pages.steering.state import HOW, PATH, SteeringState, how_of, plain_rows, rows_on

GENERATION = ("steer-prompt", "steer-chat", "count", "temperature", "top-p", "seed")
"""The controls that say how a text is generated."""
_NOTHING = {
    "rows": no_update,
    "how": dict.fromkeys(HOW, no_update),
    "generation": dict.fromkeys(GENERATION, no_update),
    "vectors": no_update,
    "chosen": no_update,
    "preset": no_update,
    "file": no_update,
}


@callback(
    output=[Output("preset-list", "children"), Output("preset-said", "children")],
    inputs={
        "_keep": Input("preset-keep", "n_clicks"),
        "deleted": Input({"preset-delete": ALL}, "n_clicks"),
        "_fit": Input("region-fit", "value"),
        "name": State("preset-name", "value"),
        "steer": State("steer", "data"),
        "generation": {name: State(name, "value") for name in GENERATION},
    },
)
def show_presets(
    _keep: int | None, deleted: Json, _fit: str | None, name: str | None, steer: Json, generation: dict[str, Typed]
) -> tuple[Node, Node]:
    """The presets, after keeping or deleting one."""
    message: Node = ""
    if ctx.triggered_id == "preset-keep":
        try:
            if not steer:
                raise UserError("Put a region on the sliders first.")
            keep_preset(str(name or ""), SteeringSettings.from_dict(steer), generation)
            message = f"Kept as “{name}”."
        except UserError as error:
            message = user_error(error.message, "preset-name" if error.field else None)
    elif isinstance(ctx.triggered_id, dict) and any(deleted):
        try:
            for key in ctx.triggered_prop_ids.values():  # two that come as one
                delete_preset(key["preset-delete"])
        except UserError as error:
            message = user_error(error.message)
    return _rows(), message


def _rows() -> Node:
    return [
        html.Div(
            [
                html.Button(p.name, id={"preset-use": p.key}, className="attune-link", type="button"),
                html.Span(p.summary, className="attune-note"),
                html.Button(
                    "×",
                    id={"preset-delete": p.key},
                    className="attune-small",
                    type="button",
                    **{"aria-label": f"delete the preset {p.name}"},
                )
                if p.own
                else None,
            ],
            className="attune-region-row",
        )
        for p in presets()
    ]


@callback(
    output={
        "rows": Output("on-sliders", "data", allow_duplicate=True),
        "how": {name: Output(name, "value", allow_duplicate=True) for name in HOW},
        "generation": {name: Output(name, "value", allow_duplicate=True) for name in GENERATION},
        "vectors": Output("vectors-set", "data"),
        "chosen": Output("chosen-region", "data", allow_duplicate=True),
        "preset": Output("preset-said", "children", allow_duplicate=True),
        "file": Output("file-said", "children"),
    },
    inputs={
        "clicks": Input({"preset-use": ALL}, "n_clicks"),
        "contents": Input("open-file", "contents"),
        "fit": State("region-fit", "value"),
        "regions": State("regions", "data"),
        "model": State("model", "data"),
        "session": State("session", "data"),
    },
    prevent_initial_call=True,
)
def use(clicks: Json, contents: str | None, fit: str | None, regions: Json, model: Json, session: str) -> Outputs:
    """Take a preset or a file back onto the page; a refusal leaves everything as it is."""
    if isinstance(ctx.triggered_id, dict):
        if not any(clicks):
            return _NOTHING
        preset = next((p for p in presets() if p.key == ctx.triggered_id["preset-use"]), None)
        if preset is None:
            return _NOTHING | {"preset": user_error("This preset is gone.")}
        said = note(f"Opened: {title_of(preset.steer, regions)}.")
        return _onto(preset.steer, preset.generation, fit, "preset", said)
    try:
        raw = base64.b64decode((contents or "").partition(",")[2], validate=True)
    except (binascii.Error, ValueError):
        return _NOTHING | {"file": user_error("That file could not be read. Choose it again.")}
    reply, panel = ask_for(lambda: OpenSetup(spec_of(model), base64.b64encode(raw).decode()), session, "open")
    if reply is None:
        return _NOTHING | {"file": panel}
    setup = reply.answer
    chat = ", chat prompt" if setup.generation.chat else ""
    message = note(" ".join([f"Opened: {title_of(setup.steer, regions)}{chat}.", *setup.remarks]))
    if setup.brought and setup.steer is not None:
        made = setup.generation
        state = SteeringState(
            model, setup.steer.to_dict(), made.prompt, made.chat, made.seed, made.temperature, made.top_p, made.count
        )
        link = html.A("Show them with these settings", href=local(f"{PATH}?{urlencode(write(state))}"))
        return _NOTHING | {"file": html.Div([message, link])}
    return _onto(setup.steer, plain_of(setup.generation), fit, "file", message)


def title_of(steer: SteeringSettings | None, regions: Json) -> str:
    """What a set-up does, in a few words: its regions and vectors with their strengths. ``regions``: the question of
    the map whose names are used where they are of the same fit."""
    if steer is None:
        return "vectors without the names of their regions"
    fit: FitMap | None = reply_of(regions).answer if regions else None
    names = {r.region: r.label for r in fit.regions} if fit is not None and fit.fit == steer.fit else {}
    parts = [f"{names.get(r.region, f'region {r.region}')} at {r.strength:.3g}" for r in steer.regions]
    parts += [f"{v.name} × {v.strength:.3g}" for v in steer.vectors]
    return ", ".join(parts) or "a set-up that moves nothing"


def _onto(
    steer: SteeringSettings | None, generation: dict[str, Typed], fit: str | None, place: str, message: Node
) -> Outputs:
    """A set-up with how its text was generated, on the controls of the page, and a message at its place; or there why
    it cannot stand there."""
    if steer is None:
        return _NOTHING | {
            place: user_error(
                "The vectors in this file are in order, but it does not say which regions they come from, so the "
                "sliders cannot show it. Apply it in a notebook with analysis.steering."
            )
        }
    if steer.fit != fit:
        return _NOTHING | {
            place: user_error(
                f"This set-up belongs to the fit “{steer.fit}”. Choose that fit at the top of the page, then open "
                "it again."
            )
        }
    return _NOTHING | {
        "rows": plain_rows(rows_on(steer)),
        "how": dict(zip(HOW, how_of(steer), strict=True)),
        "generation": {name: generation.get(name) for name in GENERATION},
        "vectors": steer.to_dict().get("vectors", []),
        "chosen": steer.regions[0].region if steer.regions else no_update,
        place: message,
    }


@callback(
    output=[Output("saved-file", "data"), Output("file-said", "children", allow_duplicate=True)],
    inputs={
        "clicks": Input("save-file", "n_clicks"),
        "steer": State("steer", "data"),
        "generation": {name: State(name, "value") for name in GENERATION},
        "model": State("model", "data"),
        "session": State("session", "data"),
    },
    prevent_initial_call=True,
)
def save(clicks: int | None, steer: Json, generation: dict[str, Typed], model: Json, session: str) -> tuple[Json, Node]:
    """The set-up as a file for the browser to keep."""
    if not clicks or not steer:
        return no_update, user_error("Put a region on the sliders first.") if clicks else no_update
    settings = json.dumps(generation)
    reply, panel = ask_for(
        lambda: SaveSetup(spec_of(model), SteeringSettings.from_dict(steer), settings), session, "save"
    )
    if reply is None:
        return no_update, panel
    setup = reply.answer
    file = {"name": setup.name, "bytes": base64.b64encode(setup.file.tobytes()).decode()}
    return file, note(f"Saved {setup.name}, {setup.file.nbytes / 1024:.0f} kB, {setup.interventions} interventions.")


clientside_callback(
    "dash_clientside.attune.saveBytes",
    Output("steer-sink", "lang"),
    Input("saved-file", "data"),
    prevent_initial_call=True,
)
