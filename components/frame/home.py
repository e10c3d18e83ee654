"""The home page's parts: what Attune is, a card for each page, and its figures made small.

A page's card is one link; its picture is drawn after the page stands, in a box that has its size from the beginning.
Every picture says which model it is of, or in words why there is none.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from dash import dcc, html

from analysis.findings.records import Board
from analysis.findings.tours import Tour
from components.kit.figure import Figure
from components.kit.links import local
from components.kit.types import Node

TITLE = "Ask a model how it works, and doubt the answer"
LINES = (
    ("Ask", "a real model, live: why a head attended to a token, which neurons work together, which board it sees."),
    ("Change", "it: steer its activations, swap two keys, edit a square, and read what that costs."),
    ("Doubt", "it: every claim stands beside its control. What holds is pinned to a board, presented and handed over."),
)
PICTURE_HEIGHT = 104
_SMALL = {"l": 2, "r": 2, "t": 2, "b": 2}
_SCALE = 0.6
"""Of the marks, in a picture that is a quarter as wide as on its page."""
_BARE = {"visible": False, "fixedrange": True}
_CLEAR = {"paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)"}
"""Of a figure without a template, which would be white in both themes."""


def introduction() -> Node:
    """What Attune is, in three lines."""
    return html.Div(
        [
            html.H1(TITLE, className="attune-title"),
            html.Ul([html.Li([html.Strong(f"{verb} "), text]) for verb, text in LINES], className="home-lines"),
        ]
    )


def page_card(name: str, path: str, question: str, picture: Node) -> Node:
    """What a page answers, with its picture; all of it leads there."""
    return html.Li(
        [
            html.H3(dcc.Link(name, href=local(path), className="home-link")),
            html.P(question, className="home-question"),
            picture,
        ],
        className="attune-card home-card",
    )


def picture_box(slug: str) -> Node:
    """The place of a page's picture, grey until it comes, and below it the words that say what it is."""
    graph = dcc.Graph(
        id={"home": "picture", "page": slug},
        figure={"data": [], "layout": _layout({}) | _CLEAR},
        config={"staticPlot": True, "displayModeBar": False},
        style={"height": f"{PICTURE_HEIGHT}px"},
        responsive=True,
    )
    return html.Div(
        [
            html.Div(graph, className="home-picture", **{"aria-hidden": "true"}),
            html.P("waiting for the model", id={"home": "label", "page": slug}, className="home-label"),
        ]
    )


def words_box(text: str) -> Node:
    """In place of a picture: why there is none."""
    return html.Div(
        [html.Div(html.Span(text), className="home-picture home-words"), html.P("", className="home-label")]
    )


def boards_box(boards: Sequence[Board]) -> Node:
    """In place of a picture: the boards that were changed last."""
    rows = [
        html.Li(
            [
                dcc.Link(board.title, href=local(f"/findings?board={board.id}"), className="home-board"),
                html.Span(time.strftime("%d %b", time.gmtime(board.changed)), className="home-when"),
            ]
        )
        for board in boards
    ]
    return html.Div(
        [
            html.Ul(rows, className="home-picture home-boards", **{"aria-label": "Recent boards"}),
            html.P("recent boards", className="home-label"),
        ]
    )


def tour_list(tours: Sequence[Tour]) -> Node:
    """The tours that come with Attune; assets/tour.js leads through them."""
    rows = [
        html.Li(
            [
                html.A(
                    tour.title, href=local(f"/?tour={tour.name}"), className="home-tour", **{"data-tour": tour.name}
                ),
                html.Span(f"{len(tour.steps)} steps", className="home-when"),
                html.P(tour.about),
            ]
        )
        for tour in tours
    ]
    return html.Section(
        [html.H2("Guided tours"), html.Ul(rows)], className="attune-card home-tours", **{"aria-label": "Guided tours"}
    )


def thumbnail(figure: Figure) -> Figure:
    """A figure without words: data and colours alone, for a box of a few centimetres."""
    return {"data": [_bare(trace) for trace in figure["data"]], "layout": _layout(figure["layout"])}


def _bare(trace: dict[str, Any]) -> dict[str, Any]:
    small = {k: v for k, v in trace.items() if k not in ("colorbar", "texttemplate", "textposition")}
    if isinstance(marker := trace.get("marker"), dict) and "size" in marker:
        sizes = marker["size"]
        less = [size * _SCALE for size in sizes] if isinstance(sizes, list) else sizes * _SCALE
        small["marker"] = {k: v for k, v in marker.items() if k != "line"} | {"size": less}
    if "text" in str(trace.get("mode", "")):
        small["mode"] = str(trace["mode"]).replace("+text", "").replace("text+", "").replace("text", "markers")
    return small | {"showlegend": False} | ({"showscale": False} if "colorscale" in trace else {})


def _layout(layout: dict[str, Any]) -> dict[str, Any]:
    axes = {k: {**v, **_BARE} for k, v in layout.items() if k.startswith(("xaxis", "yaxis"))}
    kept: dict[str, Any] = {k: layout[k] for k in ("template", "images", "barmode", "grid", "bargap") if k in layout}
    shapes = [{k: v for k, v in shape.items() if k != "label"} for shape in layout.get("shapes", ())]
    return {"xaxis": _BARE, "yaxis": _BARE, **kept, **axes, "shapes": shapes, "margin": _SMALL, "showlegend": False}
