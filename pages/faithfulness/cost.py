"""Callback of length and cost: what was counted while the study was made."""

from __future__ import annotations

from typing import Any

from dash import Input, Output, State, callback, no_update

from analysis.engine.client import Reply
from analysis.faithfulness.answers.board import Board
from components.faithfulness.cost_figures import cost, lengths, sweep
from components.kit.card import UNCHANGED
from components.kit.types import Json
from pages.cards import content
from pages.common import reply_of
from pages.faithfulness.cards import COST, LENGTHS, SWEEP


@callback(
    output={
        "cost": COST.outputs,
        "lengths": LENGTHS.outputs,
        "sweep": SWEEP.outputs,
        "words": Output("fth-cost-said", "children"),
    },
    inputs={
        "tab": Input("fth-tab", "active_tab"),
        "board": Input("fth-board", "data"),
        "theme": State("theme", "data"),
    },
)
def show_cost(tab: str, board: Json, theme: str) -> dict[str, Any]:
    """Passes and seconds per item, AUROC by the number of steps, and the sweep of FUR's learning rates."""
    if tab != "cost":
        return {"cost": UNCHANGED, "lengths": UNCHANGED, "sweep": UNCHANGED, "words": no_update}
    if not board:
        nothing = {name: card.empty("no study yet") for name, card in _CARDS.items()}
        return nothing | {"words": ""}
    reply: Reply[Board] = reply_of(board)
    return {
        "cost": content(cost, reply, theme=theme),
        "lengths": content(lengths, reply, theme=theme),
        "sweep": content(sweep, reply, theme=theme),
        "words": reply.answer.cost.sentence,
    }


_CARDS = {"cost": COST, "lengths": LENGTHS, "sweep": SWEEP}
