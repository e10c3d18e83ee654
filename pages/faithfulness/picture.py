"""The small picture of the Faithfulness page: how well each measure ranks items whose label is known."""

from __future__ import annotations

from analysis.faithfulness.ops.study import FaithBoard
from analysis.models.spec import ModelSpec
from components.faithfulness.board_figures import LeaderboardOptions, leaderboard
from pages.common import reply_to
from pages.manifest import Picture


def picture(model: ModelSpec) -> Picture:
    """The leaderboard of the usual study. UserError where the model has none."""
    reply = reply_to(FaithBoard(model))
    shown = tuple(row.tier for row in reply.answer.tiers if row.shown)
    return Picture(leaderboard.ref([reply.question], LeaderboardOptions(shown)), "AUROC of measures")
