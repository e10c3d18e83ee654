"""Callback of the distributions: not the AUROC but all that it is made of, each point an item that can be opened."""

from __future__ import annotations

from dash import Input, Output, State, callback, clientside_callback

from components.faithfulness.point_figures import DistributionOptions, distributions
from components.kit.card import UNCHANGED, Content
from components.kit.types import Json
from pages.cards import content
from pages.common import reply_of
from pages.faithfulness.cards import SCORES
from pages.faithfulness.state import OpenItem, points_of


@callback(
    output=SCORES.outputs,
    inputs={
        "points": Input("fth-points-of", "data"),
        "also_free": Input("fth-scores-free", "value"),
        "item": Input("fth-item", "data"),
        "tab": Input("fth-tab", "active_tab"),
        "theme": State("theme", "data"),
        "board": State("fth-board", "data"),
    },
)
def show_scores(points: Json, also_free: bool, item: Json, tab: str, theme: str, board: Json) -> Content:
    """Every score of the open tier, a panel for each measure, a lane for each label."""
    if tab != "scores":
        return UNCHANGED
    reply = points_of(points) if board else None
    if reply is None:
        return SCORES.empty("no scores")
    options = DistributionOptions(bool(also_free), OpenItem.from_dict(item).item)
    return content(distributions, reply, reply_of(board), options=options, theme=theme)


clientside_callback(
    "dash_clientside.attune_faithboard.open",
    Output("fth-open", "data", allow_duplicate=True),
    Input("fth-scores", "clickData"),
    State("fth-points", "data"),
    prevent_initial_call=True,
)
