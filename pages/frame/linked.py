"""A link loads nothing unasked: the page that stands in for one whose address names a model that is not in memory.

A model takes memory, minutes and whatever its files do to a reader, and a link can come from anyone. So an address may
name the model that this app was started with, the default one, the bundled OthelloGPT, or one that is in memory then;
any other is named, with a button that loads it and opens the address again. All pages are guarded in one place, so that
a page added later is, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html, no_update

from analysis.engine.loading import LoadModel
from analysis.engine.operation import Operation
from analysis.errors import UserError
from analysis.models.spec import OTHELLO, ModelSpec
from analysis.othello.sources import OthelloSource
from analysis.tpr.ops.reading import OpenOthello
from components.kit.links import local
from components.kit.names import progress
from components.kit.types import Json, Node, Query, Relay
from pages.address import parse_json
from pages.common import ask_job, client

_MAX_OPENED = 1000
_own: list[ModelSpec] = []
_opened: dict[str, None] = {}


def may_open(spec: ModelSpec) -> bool:
    """Whether an address may name this model: the app's own, a bundled one, or one that is in memory now."""
    if spec in (ModelSpec(), ModelSpec(OTHELLO), *_own):
        return True
    return client().status().resident(spec) is not None


def opened(source: str) -> None:
    """Remember that someone at this app has opened a checkpoint on the Othello page: links may name it from now on."""
    _opened[source] = None
    while len(_opened) > _MAX_OPENED:
        del _opened[next(iter(_opened))]


def stand_in(query: Query, path: str) -> Node:
    """What stands in for a page whose address names a model that it may not load; None where the page may open."""
    named = _model_of(query)
    if named is not None and not may_open(named):
        return _card(named.source, {"model": named.to_dict()}, _without(query, "model", path))
    source = _checkpoint_of(query)
    if source is not None and source.text != "bundled" and source.text not in _opened:
        return _card(source.label, {"othello": source.text}, _without(query, "othello", path))
    return None


def _model_of(query: Query) -> ModelSpec | None:
    data = parse_json(query.get("model"))
    try:
        return None if data is None else ModelSpec.from_dict(data)
    except UserError:  # the page itself says what is wrong with it
        return None


def _checkpoint_of(query: Query) -> OthelloSource | None:
    text = query.get("othello")
    try:
        return OthelloSource(text) if isinstance(text, str) and text else None
    except UserError:
        return None


def _without(query: Query, name: str, path: str) -> str:
    return path + "?" + urlencode({k: v for k, v in query.items() if k != name})


def _card(name: str, wanted: Json, otherwise: str) -> Node:
    return html.Div(
        [
            dcc.Store(id="linked-wanted", data=wanted),
            dcc.Store(id="linked-loaded"),
            html.H1("This link names a model that is not loaded", className="attune-title"),
            html.Section(
                [
                    html.Div([html.H3(name)], className="attune-card-head"),
                    html.P(
                        "Loading reads its files and takes memory, so a link alone does not do it. Load it if you know "
                        "who made the link and where the model comes from."
                    ),
                    html.Div(
                        [
                            html.Button(
                                "Load", id="linked-load", className="attune-button attune-primary", type="button"
                            ),
                            html.Button(
                                "Cancel", id="linked-cancel", className="attune-button", type="button", disabled=True
                            ),
                            progress("linked-bar", "loading the model"),
                        ],
                        className="attune-row",
                    ),
                    html.Div(id="linked-text", className="attune-note", **{"aria-live": "polite"}),
                    html.Div(id="linked-error"),
                    html.Div(
                        [dcc.Link("Open this page with the model in use", href=local(otherwise)), " instead."],
                        className="attune-note",
                    ),
                ],
                className="attune-card",
            ),
        ],
        className="attune-page",
        id="linked",
    )


def guarded(layout: Callable[..., Node], path: str) -> Callable[..., Node]:
    """The layout of a page behind its address: it is made only where the address may be opened."""

    def behind(**query: str) -> Node:
        held = stand_in(query, path)
        return layout(**query) if held is None else held

    return behind


def register_linked(app: Dash, own: ModelSpec) -> None:
    """Register the button that loads what an address names. ``own``: the app's first model."""
    _own[:] = [own]
    app.clientside_callback(
        ClientsideFunction("attune_linked", "again"),
        Output("linked", "lang"),
        Input("linked-loaded", "data"),
        prevent_initial_call=True,
    )

    @app.callback(
        Output("linked-loaded", "data"),
        Output("linked-error", "children"),
        Input("linked-load", "n_clicks"),
        State("linked-wanted", "data"),
        State("session", "data"),
        background=True,
        progress=[Output("linked-bar", "value"), Output("linked-text", "children")],
        progress_default=["0", ""],
        running=[
            (Output("linked-load", "disabled"), True, False),
            (Output("linked-cancel", "disabled"), False, True),
        ],
        cancel=[Input("linked-cancel", "n_clicks")],
        interval=300,
        prevent_initial_call=True,
    )
    def load(set_progress: Relay, clicks: int | None, wanted: Json, session: str) -> tuple[Json, Node]:
        """Load what the address names; the browser then opens the address again."""
        if not clicks or not isinstance(wanted, dict):
            return no_update, no_update
        source = wanted.get("othello")
        make: Callable[[], Operation[Any]] = (
            (lambda: LoadModel(ModelSpec.from_dict(wanted.get("model"))))
            if source is None
            else (lambda: OpenOthello(source))
        )
        reply, panel = ask_job(make, set_progress, session, "")
        if reply is None:
            return no_update, panel
        if source is not None:
            opened(source)
        return clicks, None
