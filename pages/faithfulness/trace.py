"""Callbacks of the first tab: the answer's probability step by step, and where the item's scores lie."""

from __future__ import annotations

from typing import Any

from dash import Input, Output, State, callback, no_update

from analysis.faithfulness.ops.item import FaithTrace
from analysis.spoken import duration
from components.faithfulness.item import score_table
from components.faithfulness.item_figures import score_strip, trace
from components.kit.figure_card import blank
from components.kit.panels import empty
from pages.common import attempt, spec_of
from pages.frame.drawn import tree

TRACE_HEIGHT, STRIP_HEIGHT = 470, 560
STRIP = "Triangle: this item. Tick: the threshold, called faithful at or above it."
MEDIANS = (
    " Circle and diamond: the medians of faithful and of unfaithful items of its tier; the bar between them is the "
    "distance of the medians, which says nothing of the spread. Rows with * have a range of their own, so their bars "
    "compare with no other row."
)


@callback(
    Output("fth-trace", "figure"),
    Output("fth-trace-caption", "children"),
    Output({"settings": "fth-trace"}, "data"),
    Output("fth-trace-error", "children"),
    Input("fth-item", "data"),
    Input("fth-tab", "active_tab"),
    Input("theme", "data"),
    State("model", "data"),
    State("session", "data"),
    running=[(Output("fth-trace-box", "data-busy"), "true", "")],
)
def show_trace(item: Any, tab: str, theme: str, model: Any, session: str) -> tuple[Any, ...]:
    """P(answer) after each step of the true chain and of chains in its place."""
    if tab != "trace":
        return (no_update,) * 4
    if not item or not item.get("item"):
        return blank(TRACE_HEIGHT, "no item is open"), "", None, None
    study = item.get("study") or ""
    result, panel = attempt(lambda: FaithTrace(spec_of(model), study=study, item=item["item"]), session, "fth-trace")
    if result is None:
        return blank(TRACE_HEIGHT, "no trace"), "", None, panel
    data = result.data
    return trace(data, theme), caption(data), {"item": item["item"], "study": study or "default", **data}, None


def caption(data: dict[str, Any]) -> str:
    """What the lines are, in the operation's own words, and what it took."""
    lines = " ".join(f"{line['name'].capitalize()}: {line['sentence'][:1].lower()}{line['sentence'][1:]}"
                     for line in data["lines"])  # fmt: skip
    return f"{data['sentence']} {lines}"


@callback(
    Output("fth-strip", "figure"),
    Output("fth-strip-caption", "children"),
    Output({"settings": "fth-strip"}, "data"),
    Output("fth-numbers-tree", "data"),
    Output("fth-numbers-said", "children"),
    Input("fth-data", "data"),
    Input("fth-full", "data"),
    Input("fth-tab", "active_tab"),
    Input("theme", "data"),
)
def show_scores(data: Any, full: Any, tab: str, theme: str) -> tuple[Any, ...]:
    """All measures of the open item, as they were kept or as they were computed anew."""
    if tab != "trace":
        return (no_update,) * 5
    if not data:
        return blank(STRIP_HEIGHT, "no item is open"), "", None, tree(empty("No item is open.")), ""
    anew = bool(full) and all(full[k] == data[k] for k in ("item", "study"))
    scores = full["scores"] if anew else data["scores"]
    settings = {"item": data["item"], "study": data["study"] or "default", "scores": scores}
    table = tree(score_table(scores, data["label"], anew))
    held = any(s[k] is not None for s in scores for k in ("median_faithful", "median_unfaithful"))
    took = passes_said(full["passes"] if anew else data["passes"], anew, data.get("seconds"))
    return score_strip(scores, theme), STRIP + MEDIANS * held, settings, table, took


def passes_said(passes: dict[str, int], anew: bool, seconds: float | None = None) -> str:
    """How much of the model the scores take, how long that would be, and whether it was spent now."""
    asked, distinct = passes["asked"], passes["distinct"]
    said = f"All measures ask for {asked} contexts, {distinct} of them different."
    if not anew:
        return f"Kept with the study. {said}" + (
            "" if seconds is None else f" Computing them takes about {duration(seconds)}."
        )
    spent = passes.get("passes", 0)
    return (
        f"Computed now: {spent} {'pass' if spent == 1 else 'passes'} of the model, what was known not counted. {said}"
    )
