"""Callbacks of bias and agreement. The server draws both figures at the measures' own thresholds; the browser moves
the bars and the cells while a threshold is dragged, because that takes counting only and no model."""

from __future__ import annotations

from dash import Input, Output, State, callback, clientside_callback, no_update

from analysis.engine.client import Reply
from analysis.faithfulness.answers.board import Board
from components.faithfulness.bias_figures import bias, kappa_map
from components.kit.types import Json
from pages.cards import content
from pages.common import reply_of
from pages.faithfulness.board import Choice, board_of, listed
from pages.faithfulness.cards import BIAS, KAPPA
from pages.faithfulness.state import points_of

ALL = "all"


@callback(
    Output("fth-bias-of", "options"),
    Output("fth-bias-of", "value"),
    Input("fth-board", "data"),
    State("fth-bias-of", "value"),
)
def offer(question: Json, now: str | None) -> tuple[list[Json], str]:
    """Measures that have a threshold."""
    board = board_of(question)
    names = [row.measure for row in (board.rows if board else ()) if row.thresholded]
    choices = [Choice("all measures", ALL), *(Choice(name, name) for name in names)]
    return listed(choices), now if now in names else ALL


@callback(
    Output("fth-bias-base", "data"),
    Input("fth-points-of", "data"),
    Input("fth-tab", "active_tab"),
    Input("theme", "data"),
    State("fth-board", "data"),
)
def draw(points: Json, tab: str, theme: str, question: Json) -> Json:
    """Both figures at the measures' own thresholds, with what the browser needs to move them."""
    if tab != "bias":
        return no_update
    scores = points_of(points) if question else None
    if scores is None:
        return {"bias": BIAS.empty("no scores"), "kappa": KAPPA.empty("no scores"), "names": [], "of": None}
    board: Reply[Board] = reply_of(question)
    return {
        "bias": content(bias, board, scores, theme=theme),
        "kappa": content(kappa_map, board, scores, theme=theme),
        "names": board.answer.kappa.measures,
        "own": scores.answer.thresholds,
        "of": [board.answer.study, scores.answer.tier],
    }


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

# The cards' stores keep what draws them again at the thresholds that hold.
clientside_callback(
    "dash_clientside.attune_faithboard.bias",
    *BIAS.outputs.values(),
    *KAPPA.outputs.values(),
    Output("fth-bias-said", "children"),
    Input("fth-bias-base", "data"),
    Input("fth-thresholds", "data"),
    State("fth-points", "data"),
    prevent_initial_call=True,
)
