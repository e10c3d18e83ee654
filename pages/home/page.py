"""The home page at ``/``: what Attune is, the tours, recent boards, the model in use, and what each page answers.

It computes nothing until the page stands. Then each picture is asked for by itself, once the model in use is in memory,
so that a slow one holds up no other.
"""

from __future__ import annotations

from typing import Any

from dash import MATCH, Input, Output, State, callback, dcc, html, no_update, page_registry
from dash.exceptions import PreventUpdate

from analysis.engine.client import OperationFailed, Superseded, WorkerGone
from analysis.errors import Cancelled, UserError
from analysis.findings.store import findings
from analysis.findings.tours import bundled_tours
from components.frame.home import (
    PICTURE_HEIGHT,
    boards_box,
    introduction,
    page_card,
    picture_box,
    thumbnail,
    tour_list,
    words_box,
)
from components.kit.figure_card import blank
from components.kit.links import local
from components.kit.types import Json, Node, Outputs
from pages.cards import render
from pages.common import client, spec_of
from pages.manifest import PageManifest

PATH = "/"
RECENT = 4
NO_BOARD = "No board yet. “Pin”, on any card, makes the first one."
NO_PICTURE = "Nothing is computed here before you ask for it."


def layout(**_query: str) -> Node:
    """The page, before anything is asked."""
    cards = [
        page_card(page.name, page.path, page.question, _picture(page)) for page in _pages() if page.path != "/model"
    ]
    return html.Div(
        [
            dcc.Store(id="home-model"),
            dcc.Interval(id="home-pulse", interval=700),
            html.Div([html.Div([introduction(), _model()]), tour_list(bundled_tours())], className="home-top"),
            html.Ul(cards, className="home-pages", **{"aria-label": "What each page answers"}),
        ],
        className="attune-page home",
    )


MANIFEST = PageManifest("Home", PATH, order=0, layout=layout, navigation=False)


def _pages() -> list[PageManifest]:
    """The pages that the header leads to. A page cannot import the registry, but Dash's own holds what that gave it."""
    entries: list[dict[str, Any]] = [*page_registry.values()]
    return [entry["manifest"] for entry in entries if entry["manifest"].navigation]


def _slug(page: PageManifest) -> str:
    return page.path.strip("/")


def _picture(page: PageManifest) -> Node:
    if page.picture:
        return picture_box(_slug(page))
    return _boards() if page.path == "/findings" else words_box(NO_PICTURE)


def _boards() -> Node:
    try:
        boards = findings().boards()[:RECENT]
    except UserError as error:  # a database of a newer version
        return words_box(error.message)
    return boards_box(boards) if boards else words_box(NO_BOARD)


def _model() -> Node:
    return html.P(
        ["Model in use: ", dcc.Link("…", href=local("/model"), id="home-model-name")],
        className="home-model",
    )


@callback(
    Output("home-model", "data"),
    Output("home-model-name", "children"),
    Output("home-pulse", "disabled"),
    Input("home-pulse", "n_intervals"),
    Input("model", "data"),
)
def look_at_model(_pulse: int | None, model: Json) -> tuple[Json, Node, bool]:
    """The name of the model in use, once it is in memory; until then, what it is waiting for."""
    status = client().status()
    spec = spec_of(model)
    resident = status.resident(spec)
    if resident is None:
        return no_update, status.loading.text if status.loading else f"{spec.source}, not in memory yet", False
    facts = resident.facts
    return {"label": facts.label}, f"{facts.label}, {facts.numbers}", True


@callback(
    output={
        "figure": Output({"home": "picture", "page": MATCH}, "figure"),
        "label": Output({"home": "label", "page": MATCH}, "children"),
    },
    inputs={
        "ready": Input("home-model", "data"),
        "theme": Input("theme", "data"),
        "slug": State({"home": "picture", "page": MATCH}, "id"),
        "model": State("model", "data"),
    },
)
def draw_picture(ready: Json, theme: str | None, slug: Json, model: Json) -> Outputs:
    """A page's picture in a theme, or the reason why there is none."""
    page = next((p for p in _pages() if _slug(p) == slug["page"]), None)
    if not ready or not theme or page is None or page.picture is None:
        raise PreventUpdate
    try:
        picture = page.picture(spec_of(model))
        figure = render(picture.ref, theme).figure
    except UserError as error:
        return {"figure": blank(PICTURE_HEIGHT, "nothing to draw yet"), "label": error.message}
    except (WorkerGone, OperationFailed, Cancelled, Superseded):
        return {"figure": no_update, "label": "This picture could not be drawn now."}
    text = f"{picture.own_model or ready['label']}: {picture.text}"
    return {"figure": no_update if figure is None else thumbnail(figure), "label": text}
