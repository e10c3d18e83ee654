"""Callbacks of the frame: theme, address, export, job tray, model badge. They belong to no page."""

from __future__ import annotations

import json
import time

from dash import ALL, Dash, Input, Output, State, ctx, no_update

from components.frame.shell import badge, busy_words, job_rows, nav_id, tray_label
from components.kit.links import local
from components.kit.types import Json, Node
from pages.common import client, spec_of
from pages.frame.token_card import register_token_card
from pages.manifest import PageManifest


def register_frame(app: Dash, pages: list[PageManifest]) -> None:
    """Register the frame's callbacks on the app. ``pages``: all, in the order of the navigation."""
    register_token_card(app)
    app.clientside_callback("dash_clientside.attune.initTheme", Output("theme", "data"), Input("session", "data"))
    app.clientside_callback(
        "dash_clientside.attune.toggleTheme",
        Output("theme", "data", allow_duplicate=True),
        Input("theme-toggle", "n_clicks"),
        State("templates", "data"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        "dash_clientside.attune.wayBack",
        *[Output(nav_id(page.path), name) for page in pages for name in ("href", "active")],
        Input("address", "data"),
        Input("_pages_location", "pathname"),
        State("paths", "data"),
    )
    own = json.dumps([local(page.path) for page in pages if page.own_stage])
    app.clientside_callback(
        f"(path) => dash_clientside.attune_stage.follow(path, {own})",
        Output("stage", "name"),
        Input("_pages_location", "pathname"),
    )
    app.clientside_callback(
        "dash_clientside.attune.copyAddress",
        Output("copy-link", "children"),
        Input("copy-link", "n_clicks"),
        prevent_initial_call=True,
    )

    @app.callback(
        Output("tray", "children"),
        Output("tray-open", "children"),
        Output("busy", "data"),
        Output("model-badge", "children"),
        Output("model-badge", "title"),
        Output("model-badge", "className"),
        Input("pulse", "n_intervals"),
        Input("model", "data"),
        Input("tray-panel", "is_open"),
        Input("tray-cleared", "data"),
        State("session", "data"),
    )
    def show_state(_pulse: int, spec: Json, opened: bool, cleared: float | None, session: str) -> tuple[Node, ...]:
        jobs, status = client().jobs(), client().status()
        rows = job_rows(jobs, session, cleared or 0.0, time.time()) if opened else no_update
        return (rows, tray_label(jobs), busy_words(jobs, status), *badge(status, spec_of(spec)))

    app.clientside_callback(
        "(_pulse, busy) => dash_clientside.attune_waiting.say(busy)",
        Output("tray-open", "name"),
        Input("pulse", "n_intervals"),
        Input("busy", "data"),
    )

    @app.callback(Output("tray-cleared", "data"), Input("tray-clear", "n_clicks"), prevent_initial_call=True)
    def clear_finished(_clicks: int | None) -> float:
        return time.time()

    app.clientside_callback(
        "(clicks, open) => dash_clientside.attune.toggle('tray-panel', clicks, open)",
        Output("tray-panel", "is_open"),
        Input("tray-open", "n_clicks"),
        State("tray-panel", "is_open"),
        prevent_initial_call=True,
    )

    @app.callback(
        Output("message", "children"),
        Output("message", "is_open"),
        Input({"cancel-job": ALL}, "n_clicks"),
        prevent_initial_call=True,
    )
    def cancel(clicks: list[int | None]) -> tuple[Node, Node]:
        if not any(clicks) or not ctx.triggered_id:
            return no_update, no_update
        found = client().cancel(ctx.triggered_id["cancel-job"])
        return ("Cancelled." if found else "That job had already ended."), True
