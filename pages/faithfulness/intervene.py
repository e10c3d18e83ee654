"""Callbacks of intervening: one's own edits of steps and key, and what they do to answer and scores.

The form is the browser's (assets/pages/faithfulness/form.js): it knows when something has changed, keeps the edits when
the regime is switched over the same text, and hands what is applied to a store that this module answers.
"""

from __future__ import annotations

from typing import Any

from dash import Input, Output, State, callback, clientside_callback, html, no_update

from analysis.errors import UserError
from analysis.faithfulness.ops.item import FaithIntervene
from components.faithfulness.item import edited_text, item_text, moved_table
from components.faithfulness.item_figures import options
from components.kit.figure_card import blank
from components.kit.panels import empty
from pages.common import attempt, spec_of
from pages.faithfulness.state import is_edit
from pages.frame.drawn import tree

HEIGHT = 280
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
def intervene(asked: Any, model: Any, session: str) -> tuple[Any, Any]:
    """The item after the edits; refusals are said at the form, and the last answer goes away."""
    if not asked:
        return None, None
    result, panel = attempt(lambda: asked_for(asked, spec_of(model)), session, "fth-intervene")
    if result is None:
        return None, panel
    return result.data | {"of": {k: asked[k] for k in ("item", "study", "edits", "key")}}, None


def asked_for(asked: dict[str, Any], model: Any) -> FaithIntervene:
    """The operation that answers what was applied. Raises UserError (field "edits") for edits that are none."""
    edits = asked.get("edits") or []
    for at, edit in enumerate(edits, 1):
        if isinstance(edit, str) and edit.startswith("text:") and not edit[5:].strip():
            raise UserError(f"Write the text of step {at}, or choose to delete it.", "edits")
        if not is_edit(edit):
            raise UserError(f"The edit of step {at} cannot be used: its text may be too long.", "edits")
    return FaithIntervene(
        model, study=asked.get("study") or "", item=str(asked["item"]), edits=tuple(edits), key=asked.get("key") or ""
    )


@callback(
    Output("fth-after-said", "children"),
    Output("fth-after-text", "children"),
    Output("fth-after-passes", "children"),
    Output("fth-options", "figure"),
    Output("fth-options-caption", "children"),
    Output({"settings": "fth-options"}, "data"),
    Output("fth-after-scores-tree", "data"),
    Output("fth-after-note", "children"),
    Input("fth-moved", "data"),
    Input("fth-tab", "active_tab"),
    Input("theme", "data"),
    Input("fth-data", "data"),
    State("fth-intervene-error", "children"),
)
def show_moved(moved: Any, tab: str, theme: str, data: Any, problem: Any = None) -> tuple[Any, ...]:
    """Answer, options and scores, before and after."""
    if tab != "intervene":
        return (no_update,) * 8
    if not data:
        return "", None, "", blank(HEIGHT, "no item is open"), "", None, tree(empty(WAITING)), ""
    if not moved or any(moved["of"][k] != data[k] for k in ("item", "study")):
        rows = [{"measure": r["measure"], "before": r["value"], "after": None, "note": ""} for r in data["scores"]]
        text = item_text(data["pieces"], data["p"], data.get("step_labels") or ())
        before = {"options": data["options"], "answer": data["answer"]}
        said = REFUSED if problem else WAITING
        return said, text, "", options(before, theme), OPTIONS, None, tree(moved_table(rows)), ""
    settings = {k: v for k, v in moved.items() if k != "pieces"}
    return (
        said_of(moved),
        edited_text(moved),
        passes_of(moved),
        options(moved, theme),
        OPTIONS + f" KL divergence {moved['kl']:.3f} nats.",
        settings,
        tree(moved_table(moved["scores"])),
        "After: the edited chain, measured for the answer that it leads to." if not moved.get("note") else "",
    )


OPTIONS = "Probability among the candidates."


def said_of(moved: dict[str, Any]) -> list[Any]:
    """What became of the answer, with its numbers."""
    went = f"P({moved['answer']}) {moved['before']:.3f} → {moved['after']:.3f}. "
    became = f"The answer {'moves to' if moved['moved'] else 'stays'} {moved['best']}."
    margin = "" if moved["margin"] is None else f", margin {moved['margin']:.2f}"
    effect = f" Effect of the edits: soft {moved['soft']:.2f}{margin}.".replace("-", "−")
    return [html.Strong(went), became, html.Span(effect, className="attune-note")]


def passes_of(moved: dict[str, Any]) -> str:
    """What this action took."""
    passes, scores = moved["passes"], moved.get("passes_scores", 0)
    if not passes + scores:
        return "This action: no pass of the model, all of it was read before."
    said = {0: "no pass", 1: "1 pass"}.get(passes, f"{passes} passes")
    more = f", {scores} more for all scores of the edited item." if scores else "."
    return f"This action: {said} of the model for the answer{more}"
