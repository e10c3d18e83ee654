"""Callback of length and cost: what was counted while the study was made."""

from __future__ import annotations

from typing import Any

from dash import Input, Output, callback, no_update

from components.faithfulness.cost_figures import cost, lengths, sweep
from components.kit.figure_card import blank
from pages.faithfulness.board import withheld

_NAMES = ("fth-cost", "fth-lengths", "fth-sweep")


@callback(
    *[out for n in _NAMES for out in (Output(n, "figure"), Output(f"{n}-caption", "children"),
                                      Output({"settings": n}, "data"))],
    Output("fth-cost-said", "children"),
    Input("fth-tab", "active_tab"),
    Input("fth-board", "data"),
    Input("theme", "data"),
)  # fmt: skip
def show_cost(tab: str, board: Any, theme: str) -> tuple[Any, ...]:
    """Passes and seconds per item, AUROC by the number of steps, and the sweep of FUR's learning rates."""
    if tab != "cost":
        return (no_update,) * 10
    if not board:
        nothing = (blank(500, "no study yet"), "", None)
        return (*nothing * 3, "")
    rows = [r for r in board["lengths"] if not withheld(board, r["tier"])]
    made = {"study": board["study"] or "default", "source": board["source"]}
    timed = any(r.get("passes") is not None for r in board["rows"])
    # What takes no time worth the name would stretch a logarithmic axis over five decades.
    drawn = [r | {"seconds": 0.0} if 0 < (r.get("seconds") or 0) < LEAST else r for r in board["rows"]]
    costs = [{k: r.get(k) for k in ("measure", "passes", "seconds")} for r in board["rows"]]
    return (
        cost(drawn, theme), COSTS if timed else UNTIMED, made | {"rows": costs, "cost": board["cost"]},
        lengths(rows, theme), LENGTHS if rows else "", made | {"rows": rows},
        sweep(board["fur"], theme), fur_said(board["fur"]), made | {"fur": board["fur"]},
        board["cost"]["sentence"],
    )  # fmt: skip


LEAST = 1e-3
"""Seconds below which a cost is drawn as none."""
COSTS = (
    "Each measure alone, one pass for each context that it asks for. On the board they are read together, where what "
    "they share is computed once."
)
UNTIMED = "Measures are timed one by one for the bundled study only; what this study cost is said above."
LENGTHS = "Half is chance. Few chains of a length make a wide interval: n stands below each column."


def fur_said(fur: Any) -> str:
    """What the sweep chose, in the study's own words."""
    if not fur:
        return "FUR changes the weights for every item, so it is measured only on request: see Studies."
    return str(fur["sentence"])
