"""Callbacks of importance against truth, and the points that it shares with the tabs Bias and Scores.

The page keeps the question of a tier's points. The browser, which counts on them by itself (the thresholds of the Bias
tab), gets their scores once, by measure and with four significant digits.
"""

from __future__ import annotations

from dataclasses import asdict

from dash import Input, Output, State, callback, clientside_callback, no_update

from analysis.engine.client import Reply
from analysis.faithfulness.answers.board import Board, TierScores
from analysis.faithfulness.ops.study import FaithScores
from components.faithfulness.point_figures import TruthOptions, importance_truth
from components.kit.card import UNCHANGED, Content
from components.kit.panels import empty
from components.kit.types import Json
from pages.cards import content
from pages.common import ask_for, reply_of, spec_of
from pages.faithfulness.board import Choice, board_of, first_of, listed, usual_tier, with_points
from pages.faithfulness.cards import TRUTH
from pages.faithfulness.state import FaithState, OpenItem, TierPoints, points_of

READERS = ("truth", "bias", "scores")
"""Tabs that look at the points."""


def packed(scores: TierScores) -> Json:
    """The points as the browser counts on them: ``scores`` has a list per measure, other fields a list each."""
    return {
        "item": [point.item for point in scores.points],
        "label": [point.label for point in scores.points],
        "scores": {measure: scores.column(measure) for measure in scores.measures},
    }


@callback(
    *[Output(f"fth-{tab}-tier", what) for tab in READERS for what in ("options", "value")],
    Output("fth-truth-measure", "options"),
    Output("fth-truth-measure", "value"),
    Output("fth-truth-by", "options"),
    Output("fth-truth-by", "value"),
    Input("fth-board", "data"),
    State("fth-tier", "data"),
    State("fth-truth-measure", "value"),
    State("fth-truth-by", "value"),
    State("fth-start", "data"),
)
def offer(question: Json, tier: str | None, measure: str | None, by: str | None, start: Json) -> tuple[Json, ...]:
    """Tiers and measures of the open study; what was chosen stays as far as it is there."""
    board = board_of(question)
    if board is None:
        return ([], None) * 5
    opening = FaithState.from_dict(start)
    tiers = with_points(board)
    open_tier = first_of(tiers, tier, opening.tier, usual_tier(tiers))
    measures = [Choice(row.measure, row.measure) for row in board.rows]
    used = [
        Choice(r.measure, r.measure) for family in ("importance", "other") for r in board.rows if r.family == family
    ]
    shown = first_of(measures, measure, opening.measure, "SCM")
    by = first_of(used, by, "Adding Mistakes")
    return (*(listed(tiers), open_tier) * 3, listed(measures), shown, listed(used), by)


# Three lists show the same tier: whichever is changed, the others follow.
clientside_callback(
    "dash_clientside.attune_faithboard.tier",
    Output("fth-tier", "data"),
    *[Input(f"fth-{tab}-tier", "value") for tab in READERS],
    State("fth-tier", "data"),
    prevent_initial_call=True,
)


@callback(
    Output("fth-points", "data"),
    Output("fth-points-of", "data"),
    *[Output(f"fth-{tab}-error", "children") for tab in READERS],
    Input("fth-tab", "active_tab"),
    Input("fth-tier", "data"),
    Input("fth-board", "data"),
    State("fth-points-of", "data"),
    State("model", "data"),
    State("session", "data"),
)
def load_points(tab: str, tier: str | None, question: Json, known: Json, model: Json, session: str) -> tuple[Json, ...]:
    """The points of the open tier, asked for when a tab that shows them is open."""
    board = board_of(question)
    if board is None:  # a model without a study: what is left of another one goes
        return (None, None, None, None, None) if known else (no_update, no_update, None, None, None)
    if tab not in READERS or not tier or tier not in [choice.value for choice in with_points(board)]:
        return (no_update,) * 5
    points, before = TierPoints(board.study, board.source, tier), TierPoints.from_dict(known)
    if before and (before.study, before.source, before.tier) == (points.study, points.source, points.tier):
        return (no_update,) * 5
    why = board.withheld(tier)
    if why:
        return None, asdict(points), *(empty(why),) * 3
    reply, panel = ask_for(lambda: FaithScores(spec_of(model), board.study, tier), session, "fth-points")
    if reply is None:
        return None, None, *(panel,) * 3
    of = TierPoints(board.study, board.source, tier, asdict(reply.question))
    return packed(reply.answer) | {"study": board.study, "tier": tier}, asdict(of), None, None, None


@callback(
    output=TRUTH.outputs,
    inputs={
        "points": Input("fth-points-of", "data"),
        "measure": Input("fth-truth-measure", "value"),
        "by": Input("fth-truth-by", "value"),
        "item": Input("fth-item", "data"),
        "tab": Input("fth-tab", "active_tab"),
        "theme": State("theme", "data"),
        "board": State("fth-board", "data"),
    },
)
def show_truth(
    points: Json, measure: str | None, by: str | None, item: Json, tab: str, theme: str, board: Json
) -> Content:
    """Every item's score against its importance, coloured by what is true of it."""
    if tab != "truth":
        return UNCHANGED
    scores = points_of(points) if board else None
    if scores is None or not measure or not by:
        return TRUTH.empty("no points")
    ranked: Reply[Board] = reply_of(board)
    options = TruthOptions(measure, by, OpenItem.from_dict(item).item)
    return content(importance_truth, scores, ranked, options=options, theme=theme)


clientside_callback(
    "dash_clientside.attune_faithboard.open",
    Output("fth-open", "data", allow_duplicate=True),
    Input("fth-truth", "clickData"),
    State("fth-points", "data"),
    prevent_initial_call=True,
)
