"""Callback of the distributions: not the AUROC but all that it is made of, each point an item that can be opened."""

from __future__ import annotations

from typing import Any

from dash import Input, Output, State, callback, clientside_callback, no_update

from components.faithfulness.board_figures import distributions
from components.faithfulness.style import free
from components.kit.figure_card import blank
from pages.faithfulness.truth import chosen_of, unpacked

HEIGHT = 700


@callback(
    Output("fth-scores", "figure"),
    Output("fth-scores-caption", "children"),
    Output({"settings": "fth-scores"}, "data"),
    Input("fth-points", "data"),
    Input("fth-scores-free", "value"),
    Input("fth-item", "data"),
    Input("fth-tab", "active_tab"),
    Input("theme", "data"),
    State("fth-board", "data"),
)
def show_scores(data: Any, also_free: bool, item: Any, tab: str, theme: str, board: Any) -> tuple[Any, ...]:
    """Every score of the open tier, a panel for each measure, a lane for each label."""
    if tab != "scores":
        return (no_update,) * 3
    if not data or "scores" not in data or not board:
        return blank(HEIGHT, "no scores"), "", None
    points = unpacked(data)
    names = [r["measure"] for r in board["rows"] if also_free or not free(r)]
    figure = distributions(points, names, data["tier"], theme, data["thresholds"], chosen_of(item))
    settings = {"study": data["study"] or "default", "tier": data["tier"], "source": data["source"]}
    settings["points"] = [{k: p[k] for k in ("item", "label", "regime", "scores")} for p in points]
    return figure, caption(points), settings


def caption(points: list[dict[str, Any]]) -> str:
    """Counts by label, and how to read the panels."""
    counts = {name: sum(p["label"] is label for p in points) for name, label in (("faithful", True),
              ("unfaithful", False), ("without a label", None))}  # fmt: skip
    said = ", ".join(f"{n} {name}" for name, n in counts.items() if n)
    return (
        f"{said[:1].upper()}{said[1:]}. Dashed: the threshold. Every panel has a scale of its own; a point's place "
        "across its lane means nothing. Click a point to open its item; it is ringed in every panel."
    )


clientside_callback(
    "dash_clientside.attune_faithboard.open",
    Output("fth-open", "data", allow_duplicate=True),
    Input("fth-scores", "clickData"),
    State("fth-points", "data"),
    prevent_initial_call=True,
)
