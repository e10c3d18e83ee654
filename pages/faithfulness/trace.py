"""Callbacks of the first tab: the answer's probability step by step, and where the item's scores lie."""

from __future__ import annotations

from typing import Any

from dash import Input, Output, State, callback, no_update

from analysis.engine.client import Reply
from analysis.faithfulness.answers.item import ItemReading, Passes
from analysis.faithfulness.ops.item import FaithTrace
from analysis.spoken import duration
from components.faithfulness.item import score_table
from components.faithfulness.item_figures import score_strip, trace
from components.faithfulness.tables import score_rows
from components.kit.card import UNCHANGED
from components.kit.panels import empty
from components.kit.types import Json
from pages.cards import content, ref_of
from pages.common import ask_for, reply_of, spec_of
from pages.faithfulness.cards import NUMBERS, STRIP, TRACE
from pages.faithfulness.state import OpenItem
from pages.frame.drawn import tree


@callback(
    output={"trace": TRACE.outputs, "error": Output("fth-trace-error", "children")},
    inputs={
        "item": Input("fth-item", "data"),
        "tab": Input("fth-tab", "active_tab"),
        "theme": State("theme", "data"),
        "model": State("model", "data"),
        "session": State("session", "data"),
    },
    running=[(Output("fth-trace-box", "data-busy"), "true", "")],
)
def show_trace(item: Json, tab: str, theme: str, model: Json, session: str) -> dict[str, Any]:
    """P(answer) after each step of the true chain and of chains in its place."""
    if tab != "trace":
        return {"trace": UNCHANGED, "error": no_update}
    here = OpenItem.from_dict(item)
    if not here.item:
        return {"trace": TRACE.empty("no item is open"), "error": None}
    reply, panel = ask_for(lambda: FaithTrace(spec_of(model), here.study, here.item), session, "fth-trace")
    if reply is None:
        return {"trace": TRACE.empty("no trace"), "error": panel}
    return {"trace": content(trace, reply, theme=theme), "error": None}


@callback(
    output={
        "strip": STRIP.outputs,
        "table": Output("fth-numbers-tree", "data"),
        "table_ref": NUMBERS.ref,
        "passes": Output("fth-numbers-said", "children"),
    },
    inputs={
        "question": Input("fth-reading", "data"),
        "anew": Input("fth-full", "data"),
        "tab": Input("fth-tab", "active_tab"),
        "theme": State("theme", "data"),
    },
)
def show_scores(question: Json, anew: Json, tab: str, theme: str) -> dict[str, Any]:
    """All measures of the open item, as they were kept or as they were computed anew."""
    if tab != "trace":
        return {"strip": UNCHANGED} | dict.fromkeys(("table", "table_ref", "passes"), no_update)
    if not question:
        nothing = tree(empty("No item is open."))
        return {"strip": STRIP.empty("no item is open"), "table": nothing, "table_ref": None, "passes": ""}
    reply: Reply[ItemReading] = reply_of(question)
    if anew and is_same_item(anew, question):
        reply = reply_of(anew)
    item = reply.answer
    return {
        "strip": content(score_strip, reply, theme=theme),
        "table": tree(score_table(item.scores, item.label, item.full)),
        "table_ref": ref_of(score_rows, reply),
        "passes": passes_words(item.passes, item.full, item.seconds),
    }


def is_same_item(one: Json, other: Json) -> bool:
    """Whether two questions are on the same item of the same study."""
    a, b = (OpenItem.from_dict(question.get("params")) for question in (one, other))
    return a == b


def passes_words(passes: Passes, anew: bool, seconds: float | None = None) -> str:
    """How much of the model the scores take, how long that would be, and whether it was spent now."""
    words = f"All measures ask for {passes.asked} contexts, {passes.distinct} of them different."
    if not anew:
        return f"Kept with the study. {words}" + (
            "" if seconds is None else f" Computing them takes about {duration(seconds)}."
        )
    spent = passes.passes
    return (
        f"Computed now: {spent} {'pass' if spent == 1 else 'passes'} of the model, what was known not counted. {words}"
    )
