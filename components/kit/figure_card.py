"""A figure as every page shows it: title, graph, caption, export menu.

The menu works on what the browser holds (assets/frame/export.js): PNG and SVG with the settings printed below the
picture, standalone HTML, CSV and JSON with the settings in them. ``settings`` is whatever made the figure; pages write
it to the card's store together with the figure.
"""

from __future__ import annotations

from typing import Any

from dash import dcc, html

from components.kit.theme import GRAPH_CONFIG


def figure_card(
    name: str,
    title: str,
    caption: str = "",
    height: int = 360,
    controls: Any = None,
    title_id: str | None = None,
    start: str = "",
) -> Any:
    """A card whose graph has the id ``name`` and whose settings store has the id ``{"settings": name}``. ``title_id``:
    of the heading, where a page words it after what the figure turns out to be. ``height`` in pixels; on the first
    screen of a page the graph takes the room that there is (assets/attune.css). ``start``: what
    stands in the graph's place until there is one."""
    # Its entries are made in the browser, where it is opened: on a page with twenty cards they would be a hundred parts
    # of what Dash looks through at each change.
    menu = html.Div(
        html.Button(
            "Export",
            className="dropdown-toggle btn btn-link btn-sm",
            type="button",
            **{"data-export": name, "aria-haspopup": "menu", "aria-expanded": "false"},
        ),
        className="attune-export dropdown",
    )
    # The graph's code arrives after the page; until then the box keeps its place.
    first = blank(height, start)
    graph = dcc.Graph(id=name, figure=first, config=GRAPH_CONFIG, style={"height": "100%"}, responsive=True)
    children = [
        html.Div(graph, className="attune-graph", style={"--height": f"{height}px"}),
        html.P(caption, className="attune-caption", id=f"{name}-caption"),
    ]
    return section(name, title, children, controls, title_id, menu)


def section(
    name: str,
    title: str,
    children: Any,
    controls: Any = None,
    title_id: str | None = None,
    menu: Any = None,
    **attributes: Any,
) -> Any:
    """A card around anything: title, controls, *Pin*, a menu if there is one, the children, and the store of what it
    shows, whose id is ``{"settings": name}``."""
    heading = html.H3(title) if title_id is None else html.H3(title, id=title_id)
    head = [
        heading,
        html.Div(controls, className="attune-card-controls"),
        html.Div([pin_button(name, title), menu], className="attune-exits"),
    ]
    return html.Section(
        [html.Div(head, className="attune-card-head"), *children, dcc.Store(id={"settings": name})],
        **{"className": "attune-card", "aria-label": title, "data-card": name} | attributes,
    )


def pin_button(name: str, title: str) -> Any:
    """What pins the card of that name (assets/frame/pin.js), whose title is ``title``."""
    return html.Button(
        "Pin",
        className="attune-pin",
        type="button",
        title="Pin to the board of findings (key p)",
        **{"data-pin": name, "aria-label": f"Pin {title}"},
    )


def blank(height: int = 360, text: str = "") -> dict[str, Any]:
    """An empty figure of the card's height, so that nothing jumps when the real one comes."""
    hidden = {"visible": False}
    # The one grey that reads on both themes: an empty figure has no template to take a colour from.
    note = {"text": text, "showarrow": False, "font": {"size": 16, "color": "#797f87"}}
    notes = [note | {"xref": "paper", "yref": "paper", "x": 0.5, "y": 0.5}] if text else []
    return {
        "data": [],
        "layout": {
            "xaxis": hidden,
            "yaxis": hidden,
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "annotations": notes,
            "height": height,
        },
    }
