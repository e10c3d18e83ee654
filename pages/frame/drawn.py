"""Long lists on their way to the page as plain trees, which assets/neurons.js turns into elements.

Dash's renderer lets every component look at every change of the page, so two thousand small ones (tokens, bars,
numbers) cost seconds at each click. These lists have no callbacks of their own, hence need not be components: Python
says what they are made of, with the same functions that would build components, and the browser draws them in one go.
Text goes in as text, never as markup.
"""

from __future__ import annotations

from collections.abc import Sequence

from dash import Input, Output, State, clientside_callback, dcc, html

from components.kit.types import Json, Node

_TAGS = frozenset("div span button section h4 p i b strong table thead tbody tr th td details summary".split())
_NAMES = {"className": "class", "tabIndex": "tabindex"}
_ATTRIBUTES = frozenset(("class", "tabindex", "title", "type", "role", "hidden"))


def tree(component: Node) -> Json:
    """A component of plain HTML as a tree: text, a list, or ``{"t": tag, "a": attributes, "s": style, "c": content}``.

    An alert becomes the element that it would be drawn as. Raises ValueError for what is not plain HTML, or has an id:
    such a component must be one of the page.
    """
    if component is None or isinstance(component, str):
        return component or ""
    if isinstance(component, (int, float)):
        return str(component)
    if isinstance(component, (list, tuple)):
        return [tree(part) for part in component if part is not None]
    tag = str(component._type).lower()
    if tag == "alert":
        component = html.Div(component.children, className=f"alert alert-{component.color} attune-alert")
        tag = "div"
    if tag not in _TAGS or getattr(component, "id", None) is not None:
        raise ValueError(f"{tag} cannot be drawn as plain HTML")
    made: dict[str, Json] = {"t": tag}
    attributes = {}
    for name in component.to_plotly_json()["props"]:
        value = getattr(component, name)
        plain = _NAMES.get(name, name)
        if name in ("children", "style", "key") or value is None:
            continue
        if plain not in _ATTRIBUTES and not plain.startswith(("data-", "aria-")):
            raise ValueError(f"{name} is no attribute of a drawn list")
        attributes[plain] = str(value)
    if attributes:
        made["a"] = attributes
    if getattr(component, "style", None):
        made["s"] = component.style
    content = tree(getattr(component, "children", None))
    if content not in ("", []):
        made["c"] = content
    return made


def store_of(host: str) -> str:
    """The store whose tree is drawn inside the element ``host``."""
    return f"{host}-tree"


def stores(hosts: Sequence[str]) -> list[Node]:
    """One store for each element that is drawn into."""
    return [dcc.Store(id=store_of(host)) for host in hosts]


def draw_into(hosts: Sequence[str], sink: str) -> None:
    """Register the drawing of these elements; ``sink`` is an element whose title may be written to."""
    for host in hosts:
        clientside_callback(
            "dash_clientside.attune_neurons.draw",
            Output(sink, "title", allow_duplicate=True),
            Input(store_of(host), "data"),
            State(store_of(host), "id"),
            prevent_initial_call="initial_duplicate",
        )
