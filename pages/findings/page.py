"""The Findings page: what was pinned, what is said of it, and whether it still holds.

A board changes under the hands of two people at once, and while it is being typed into. So the page is drawn by its
own scripts (assets/findings/) over JSON routes (pages/findings/routes.py); Dash knows of it the address and the place
where it is drawn.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

from dash import ClientsideFunction, Dash, Input, Output, clientside_callback, dcc, html

from analysis.errors import UserError
from components.kit.types import Node, Query
from pages import state as codec
from pages.address import short
from pages.findings.exits import register_exits
from pages.findings.routes import register_routes
from pages.manifest import PageManifest
from pages.state import Parsed

PATH = "/findings"


def _id(text: Any) -> str:
    if not isinstance(text, str) or not re.fullmatch(r"[\w-]{1,64}", text, re.ASCII):
        raise UserError(f"The address names {short(text)}, which is no board or item.")
    return text


@dataclass(frozen=True)
class FindingsState:
    """What is open: a board, and the item that is brought into view. Empty: the board of the newest change."""

    board: Annotated[str, Parsed(_id, survive=("inbox", "4f2a-1"), raw=True)] = ""
    item: Annotated[str, Parsed(_id, survive=("0a1b",), raw=True)] = ""
    problems: tuple[str, ...] = ()


def read_address(query: Query) -> FindingsState:
    """The state of an address."""
    return codec.read(FindingsState, query)


def layout(**query: str) -> Node:
    """The place of the boards, and what the address opens there."""
    state = read_address(query)
    return html.Div(
        [
            html.H1("Findings", className="visually-hidden"),
            dcc.Store(id="findings-start", data={"board": state.board, "item": state.item}),
            html.Div([html.P(problem, className="attune-note") for problem in state.problems]),
            html.Div(id="findings-host", className="fnd"),
        ],
        className="attune-page fnd-page",
    )


def register(app: Dash) -> None:
    """All that the page's scripts ask for."""
    register_routes(app)
    register_exits(app)


MANIFEST = PageManifest(
    "Findings",
    PATH,
    order=75,
    layout=layout,
    state=FindingsState,
    question="What did I find, what is it held against, and does it still hold?",
    address=codec.names_of(FindingsState),
    read_address=read_address,
    routes=register,
    own_stage=True,
)

clientside_callback(
    ClientsideFunction("attune_findings", "open"),
    Output("findings-host", "title"),
    Input("findings-start", "data"),
)
