"""Callbacks of importance against truth, and the points that it shares with the tabs Bias and Scores.

The points of a tier travel once, packed by measure with four significant digits. The browser counts on them by itself
(the thresholds of the Bias tab), and the server gets them back to draw.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from dash import Input, Output, State, callback, clientside_callback, no_update

from analysis.faithfulness.ops.study import FaithScores
from components.faithfulness.board_figures import importance_truth
from components.kit.figure_card import blank
from components.kit.panels import empty
from pages.common import attempt, spec_of
from pages.faithfulness.board import kept, rounded, usual_tier, with_points, withheld

HEIGHT = 560
READERS = ("truth", "bias", "scores")
"""Tabs that look at the points."""
_FIELDS = ("item", "label", "regime", "text", "steps")


def packed(data: dict[str, Any]) -> dict[str, Any]:
    """The answer of FaithScores by column: ``scores`` has a list per measure, other fields a list each."""
    points = data["points"]
    columns = {name: [p[name] for p in points] for name in _FIELDS}
    scores = {m: [rounded(p["scores"].get(m)) for p in points] for m in data["measures"]}
    return columns | {"scores": scores, **{k: data[k] for k in ("measures", "thresholds", "importance")}}


def unpacked(data: dict[str, Any], importance: str = "") -> list[dict[str, Any]]:
    """The points again, as the figures take them; ``importance``: the measure that stands for it."""
    by = importance or data["importance"]
    count = len(data["item"])
    missing = [None] * count
    return [
        {name: data[name][i] for name in _FIELDS}
        | {
            "scores": {m: values[i] for m, values in data["scores"].items()},
            "importance": data["scores"].get(by, missing)[i],
        }
        for i in range(count)
    ]


def chosen_of(item: Any) -> str:
    """The id of the open item, "" for none."""
    return str(item.get("item") or "") if isinstance(item, dict) else str(item or "")


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
def offer(board: Any, tier: str | None, measure: str | None, by: str | None, start: Any) -> tuple[Any, ...]:
    """Tiers and measures of the open study; what was chosen stays as far as it is there."""
    if not board:
        return ([], None) * 5
    tiers = with_points(board)
    start = start or {}
    open_tier = kept(tiers, tier, start.get("tier"), usual_tier(tiers))
    measures = [{"label": r["measure"], "value": r["measure"]} for r in board["rows"]]
    used = [m for m, r in zip(measures, board["rows"], strict=True) if r["family"] == "importance"]
    used += [m for m, r in zip(measures, board["rows"], strict=True) if r["family"] == "other"]
    shown = kept(measures, measure, start.get("measure"), "SCM")
    return (*(tiers, open_tier) * 3, measures, shown, used, kept(used, by, "Adding Mistakes"))


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
    *[Output(f"fth-{tab}-error", "children") for tab in READERS],
    Input("fth-tab", "active_tab"),
    Input("fth-tier", "data"),
    Input("fth-board", "data"),
    State("fth-points", "data"),
    State("model", "data"),
    State("session", "data"),
)
def load_points(tab: str, tier: str | None, board: Any, known: Any, model: Any, session: str) -> tuple[Any, ...]:
    """The points of the open tier, asked for when a tab that shows them is open."""
    if not board:  # a model without a study: what is left of another one goes
        return None if known else no_update, None, None, None
    if tab not in READERS or not tier or tier not in [o["value"] for o in with_points(board)]:
        return (no_update,) * 4
    what = {"study": board["study"], "source": board["source"], "tier": tier}
    if known and all(known.get(k) == v for k, v in what.items()):
        return (no_update,) * 4
    why = withheld(board, tier)
    if why:
        return what | {"why": why}, *(empty(why),) * 3
    result, panel = attempt(lambda: FaithScores(spec_of(model), board["study"], tier), session, "fth-points")
    if result is None:
        return None, *(panel,) * 3
    return what | packed(result.data), None, None, None


@callback(
    Output("fth-truth", "figure"),
    Output("fth-truth-caption", "children"),
    Output({"settings": "fth-truth"}, "data"),
    Input("fth-points", "data"),
    Input("fth-truth-measure", "value"),
    Input("fth-truth-by", "value"),
    Input("fth-item", "data"),
    Input("fth-tab", "active_tab"),
    Input("theme", "data"),
    State("fth-board", "data"),
)
def show_truth(
    data: Any, measure: str | None, by: str | None, item: Any, tab: str, theme: str, board: Any
) -> tuple[Any, ...]:
    """Every item's score against its importance, coloured by what is true of it."""
    if tab != "truth":
        return (no_update,) * 3
    if not data or "scores" not in data or not measure or not by:
        return blank(HEIGHT, "no points"), "", None
    points = unpacked(data, by)
    threshold = data["thresholds"].get(measure)
    figure = importance_truth(points, measure, by, theme, chosen_of(item), threshold)
    settings = {"study": data["study"] or "default", "tier": data["tier"], "measure": measure, "importance": by}
    settings["points"] = [{**{k: p[k] for k in ("item", "label", "importance")}, "score": p["scores"][measure]}
                          for p in points]  # fmt: skip
    return figure, caption(points, measure, by, area_on(board, measure, data["tier"]), threshold), settings


def area_on(board: Any, measure: str, tier: str) -> float | None:
    """AUROC of a measure on a tier of the board, None where it has none."""
    row = next((r for r in (board or {}).get("rows", ()) if r["measure"] == measure), None)
    area = row["auroc"].get(tier) if row else None
    return area["auroc"] if area else None


FEW_POINTS = 10
"""A rank correlation of fewer items is often large by chance: of five, one order in fifteen gives 0.8 or more."""


def caption(
    points: list[dict[str, Any]], measure: str, by: str, area: float | None, threshold: float | None = None
) -> str:
    """How closely the score follows importance, how well it tells the label, and what a click does."""
    pairs = [(p["importance"], p["scores"].get(measure)) for p in points]
    x, y = np.array([p for p in pairs if None not in p], float).reshape(-1, 2).T
    said = "Dashed: the threshold. " if len(x) and threshold is not None else ""
    follows = rank_correlation(x, y)
    if measure == by:
        said += f"{measure} against itself: the diagonal that every copy of importance would make. "
    elif follows is not None:
        said += f"Rank correlation of {measure} with {by}: {follows:+.2f} over {len(x)} items".replace("-", "−")
        said += ". " if len(x) >= FEW_POINTS else ", too few to tell it from chance. "
    if area is not None:
        said += f"AUROC of {measure} for the label: {area:.2f}. "
    return said + "Click a point to open its item."


def rank_correlation(x: np.ndarray, y: np.ndarray) -> float | None:
    """Spearman's correlation of two lists (N,) with mid-ranks; None where one of them is constant or too short."""
    if len(x) < 3:
        return None
    a, b = _ranks(x), _ranks(y)
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    return None if size == 0 else float(a @ b) / size


def _ranks(values: np.ndarray) -> np.ndarray:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[place], float)


clientside_callback(
    "dash_clientside.attune_faithboard.open",
    Output("fth-open", "data", allow_duplicate=True),
    Input("fth-truth", "clickData"),
    State("fth-points", "data"),
    prevent_initial_call=True,
)
