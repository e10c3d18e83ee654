"""Callbacks of the directions: a TPR probe's 192 against the linear probe's, and accuracy against parameters."""

from __future__ import annotations

from typing import Any

from dash import Input, Output, State, callback, no_update

from analysis.tpr.ops.reading import OthelloDirections
from components.othello.board import cosine_board
from components.othello.pieces import rank_curve
from pages.common import attempt

CLASSES = ("empty", "moved", "turn")


@callback(
    Output("oth-roles-dim", "max"),
    Output("oth-roles-dim", "marks"),
    Output("oth-roles-dim", "value"),
    Input("oth-facts", "data"),
    State("oth-roles-dim", "value"),
)
def sizes(facts: Any, value: Any) -> tuple[Any, Any, Any]:
    """The role dimensions that there are probes of."""
    if facts is None:
        return no_update, no_update, no_update
    found = facts["role_dims"]
    marks = {str(i): str(r) for i, (r, _kind) in enumerate(found)}
    main = next((i for i, (r, _kind) in enumerate(found) if r == 52), len(found) - 1)
    return max(1, len(found) - 1), marks, main if value is None or int(value) >= len(found) else value


@callback(
    Output("oth-board-directions", "data"),
    Output("oth-cosine-caption", "children"),
    Output("oth-directions-said", "children"),
    Output("oth-rank", "figure"),
    Output("oth-rank-caption", "children"),
    Output({"settings": "oth-rank"}, "data"),
    Output("oth-directions-error", "children"),
    Input("oth-roles-dim", "value"),
    Input("oth-layer", "value"),
    Input("oth-labels", "value"),
    Input("oth-tab", "active_tab"),
    Input("oth-facts", "data"),
    Input("theme", "data"),
    State("oth-source", "data"),
    State("session", "data"),
)
def show_directions(
    size: Any, layer: Any, labels: str, tab: str, facts: Any, theme: str, source: str, session: str
) -> tuple[Any, ...]:
    """Three cosine boards of the probe with that many role coordinates, and the curve of all of them."""
    if tab != "directions" or facts is None or layer is None or not facts["role_dims"]:
        return (no_update,) * 7
    _roles, kind = facts["role_dims"][min(int(size or 0), len(facts["role_dims"]) - 1)]
    result, panel = attempt(lambda: OthelloDirections(source, int(layer), kind, labels), session, "oth-directions")
    if result is None:
        return (*[no_update] * 6, panel)
    data, arrays = result.data, result.arrays
    boards = {f"oth-cosine-{name}": cosine_board(arrays["cosines"][:, i], name) for i, name in enumerate(CLASSES)}
    return (
        boards,
        data["caption"],
        data["said"],
        rank_curve(data["curve"], theme),
        data["curve_caption"],
        {"model": facts["facts"]["label"], "layer": layer, "probe": kind, "rows": data["curve"]},
        None,
    )
