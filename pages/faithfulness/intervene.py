"""Callbacks of intervening: one's own edits of steps and key, and what they do to answer and scores.

The form is the browser's (assets/faithfulness/form.js): it knows when something has changed, keeps the edits when
the regime is switched over the same text, and hands what is applied to a store that this module answers.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from dash import Input, Output, State, callback, clientside_callback, html, no_update

from analysis.engine.client import Reply
from analysis.errors import UserError
from analysis.faithfulness.answers.item import Intervention, ItemReading, MovedScore
from analysis.faithfulness.ops.item import FaithIntervene
from analysis.models.spec import ModelSpec
from components.faithfulness.item import edited_text, item_text, moved_table
from components.faithfulness.item_figures import item_options, moved_options
from components.faithfulness.tables import intervention, moved_scores
from components.kit.card import UNCHANGED
from components.kit.panels import empty
from components.kit.types import Json, Node
from pages.cards import content, ref_of
from pages.common import ask_for, reply_of, spec_of
from pages.faithfulness.cards import INTERVENE, MOVED, OPTIONS
from pages.faithfulness.state import OpenItem, is_edit
from pages.faithfulness.trace import is_same_item
from pages.frame.drawn import tree

WAITING = "Change a step or the key, and press Apply."
REFUSED = "Not applied: why is said at the form. Below stands the item as it was."

# The form follows the item; the edits of an address are applied to the first item that opens.
clientside_callback(
    "dash_clientside.attune_faith.form",
    Output("fth-form", "data-drawn"),
    Input("fth-data", "data"),
    State("fth-start", "data"),
    prevent_initial_call=True,
)
clientside_callback(
    "dash_clientside.attune_faith.apply",
    Output("fth-asked", "data"),
    Output("fth-apply", "disabled"),
    Input("fth-apply", "n_clicks"),
    prevent_initial_call=True,
)
clientside_callback(
    "dash_clientside.attune_faith.reset",
    Output("fth-asked", "data", allow_duplicate=True),
    Input("fth-reset", "n_clicks"),
    prevent_initial_call=True,
)
clientside_callback(
    "dash_clientside.attune_faith.failed",
    Output("fth-form", "data-failed"),
    Input("fth-intervene-error", "children"),
    prevent_initial_call=True,
)


@callback(
    Output("fth-moved", "data"),
    Output("fth-intervene-error", "children"),
    Input("fth-asked", "data"),
    State("model", "data"),
    State("session", "data"),
    running=[(Output("fth-moved-box", "data-busy"), "true", "")],
    prevent_initial_call=True,
)
def intervene(asked: Json, model: Json, session: str) -> tuple[Json, Node]:
    """The item after the edits; refusals are said at the form, and the last answer goes away."""
    if not asked:
        return None, None
    reply, panel = ask_for(lambda: operation_of(asked, spec_of(model)), session, "fth-intervene")
    return (None, panel) if reply is None else (asdict(reply.question), None)


def operation_of(asked: Json, model: ModelSpec) -> FaithIntervene:
    """The operation that answers what was applied. Raises UserError (field "edits") for edits that are none."""
    edits, here = asked.get("edits") or [], OpenItem.from_dict(asked)
    for at, edit in enumerate(edits, 1):
        if isinstance(edit, str) and edit.startswith("text:") and not edit[5:].strip():
            raise UserError(f"Write the text of step {at}, or choose to delete it.", "edits")
        if not is_edit(edit):
            raise UserError(f"The edit of step {at} cannot be used: its text may be too long.", "edits")
    return FaithIntervene(model, here.study, here.item, tuple(edits), asked.get("key") or "")


@callback(
    output={
        "answer": Output("fth-after-said", "children"),
        "text": Output("fth-after-text", "children"),
        "passes": Output("fth-after-passes", "children"),
        "options": OPTIONS.outputs,
        "scores": Output("fth-after-scores-tree", "data"),
        "note": Output("fth-after-note", "children"),
        "refs": [INTERVENE.ref, MOVED.ref],
    },
    inputs={
        "moved": Input("fth-moved", "data"),
        "tab": Input("fth-tab", "active_tab"),
        "theme": State("theme", "data"),
        "question": Input("fth-reading", "data"),
        "problem": State("fth-intervene-error", "children"),
    },
)
def show_moved(moved: Json, tab: str, theme: str, question: Json, problem: Node = None) -> dict[str, Any]:
    """Answer, options and scores, before and after."""
    if tab != "intervene":
        unchanged = dict.fromkeys(("answer", "text", "passes", "scores", "note"), no_update)
        return unchanged | {"options": UNCHANGED, "refs": [no_update] * 2}
    if not question:
        nothing = {"answer": "", "text": None, "passes": "", "scores": tree(empty(WAITING)), "note": ""}
        return nothing | {"options": OPTIONS.empty("no item is open"), "refs": [None] * 2}
    if not moved or not is_same_item(moved, question):
        reading: Reply[ItemReading] = reply_of(question)
        item = reading.answer
        rows = [MovedScore(score.measure, score.value, None) for score in item.scores]
        return {
            "answer": REFUSED if problem else WAITING,
            "text": item_text(item.pieces[1:], item.p, item.step_labels),
            "passes": "",
            "options": content(item_options, reading, theme=theme),
            "scores": tree(moved_table(rows)),
            "note": "",
            "refs": [None] * 2,
        }
    reply: Reply[Intervention] = reply_of(moved)
    after = reply.answer
    return {
        "answer": answer_words(after),
        "text": edited_text(after),
        "passes": passes_words(after),
        "options": content(moved_options, reply, theme=theme),
        "scores": tree(moved_table(after.scores)),
        "note": "" if after.note else "After: the edited chain, measured for the answer that it leads to.",
        "refs": [ref_of(intervention, reply, reply_of(question)), ref_of(moved_scores, reply)],
    }


def answer_words(moved: Intervention) -> list[Node]:
    """What became of the answer, with its numbers."""
    change = f"P({moved.answer}) {moved.before:.3f} → {moved.after:.3f}. "
    best = f"The answer {'moves to' if moved.moved else 'stays'} {moved.best}."
    margin = "" if moved.margin is None else f", margin {moved.margin:.2f}"
    effect = f" Effect of the edits: soft {moved.soft:.2f}{margin}.".replace("-", "−")
    return [html.Strong(change), best, html.Span(effect, className="attune-note")]


def passes_words(moved: Intervention) -> str:
    """What this action took."""
    passes, scores = moved.passes, moved.passes_scores
    if not passes + scores:
        return "This action: no pass of the model, all of it was read before."
    words = {0: "no pass", 1: "1 pass"}.get(passes, f"{passes} passes")
    more = f", {scores} more for all scores of the edited item." if scores else "."
    return f"This action: {words} of the model for the answer{more}"
