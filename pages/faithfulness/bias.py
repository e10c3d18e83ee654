"""Callbacks of bias and agreement. The server draws both figures at the measures' own thresholds; the browser moves
the bars and the cells while a threshold is dragged, because that takes counting only and no model."""

from __future__ import annotations

from typing import Any

import numpy as np
from dash import Input, Output, State, callback, clientside_callback, no_update

from components.faithfulness.board_figures import bias, kappa_map
from components.kit.figure_card import blank

HEIGHT = 560
ALL = "all"
DASHED = "Dashed: the share labelled faithful. A measure far from it leans to one answer, whatever the item."
NOT_RANKED = "These items are shown and not ranked. A measure near an end leans to one answer, whatever the item."


@callback(
    Output("fth-bias-of", "options"),
    Output("fth-bias-of", "value"),
    Input("fth-board", "data"),
    State("fth-bias-of", "value"),
)
def offer(board: Any, now: str | None) -> tuple[Any, Any]:
    """Measures that have a threshold."""
    names = [r["measure"] for r in (board or {}).get("rows", ()) if r.get("thresholded", True)]
    options = [{"label": "all measures", "value": ALL}, *({"label": n, "value": n} for n in names)]
    return options, now if now in names else ALL


@callback(
    Output("fth-bias-base", "data"),
    Input("fth-points", "data"),
    Input("fth-tab", "active_tab"),
    Input("theme", "data"),
    State("fth-board", "data"),
)
def draw(data: Any, tab: str, theme: str, board: Any) -> Any:
    """Both figures at the measures' own thresholds, with what the browser needs to move them."""
    if tab != "bias":
        return no_update
    if not data or "scores" not in data or not board:
        return {"bias": blank(HEIGHT, "no scores"), "kappa": blank(HEIGHT, "no scores"), "names": [], "of": None}
    own = data["thresholds"]
    figure, agreement = bias(rows_of(board, data), data["tier"], own, theme), kappa_of(board, data)
    settings = {"study": data["study"] or "default", "tier": data["tier"], "source": data["source"]}
    return {
        "bias": figure,
        "kappa": kappa_map(agreement, data["tier"], theme),
        "names": agreement["measures"],
        "own": own,
        "of": [data["study"], data["tier"]],
        "settings": settings,
        "caption": DASHED if data["tier"] in board["kappa"]["tiers"] else NOT_RANKED,
    }


def rows_of(board: Any, data: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of the board with the share that they call faithful among these points, ranked or not, and of how many."""
    rows = []
    for row in board["rows"]:
        level = data["thresholds"].get(row["measure"])
        known = [s for s in data["scores"].get(row["measure"], ()) if s is not None]
        share = None if level is None or not known else sum(s >= level for s in known) / len(known)
        rows.append(row | {"called": {data["tier"]: share}, "counted": {data["tier"]: len(known)}})
    return rows


def kappa_of(board: Any, data: dict[str, Any]) -> dict[str, Any]:
    """The board's agreements, and on how many points each pair has both scores; for a tier that is not ranked an empty
    table that the browser fills."""
    found, tier = board["kappa"], data["tier"]
    names = found["measures"]
    empty = [[None for _ in names] for _ in names]
    missing = [None] * len(data["item"])
    known = np.array([[s is not None for s in data["scores"].get(n, missing)] for n in names], int)
    table = found["tiers"].get(tier, empty)
    return {"measures": names, "tiers": {tier: table}, "counts": {tier: (known @ known.T).tolist()}}


# Which thresholds hold, and where the slider stands. The slider answers to two masters (the choice of a measure and
# the hand), so one function in the browser does both and nothing echoes.
clientside_callback(
    "dash_clientside.attune_faithboard.thresholds",
    Output("fth-thresholds", "data"),
    Output("fth-bias-threshold", "value"),
    Output("fth-bias-value", "children"),
    Input("fth-bias-threshold", "value"),
    Input("fth-bias-of", "value"),
    Input("fth-bias-reset", "n_clicks"),
    Input("fth-bias-base", "data"),
    State("fth-thresholds", "data"),
    prevent_initial_call=True,
)

clientside_callback(
    "dash_clientside.attune_faithboard.bias",
    Output("fth-bias", "figure"),
    Output("fth-bias-caption", "children"),
    Output({"settings": "fth-bias"}, "data"),
    Output("fth-kappa", "figure"),
    Output("fth-kappa-caption", "children"),
    Output({"settings": "fth-kappa"}, "data"),
    Output("fth-bias-said", "children"),
    Input("fth-bias-base", "data"),
    Input("fth-thresholds", "data"),
    State("fth-points", "data"),
    prevent_initial_call=True,
)
