"""Callbacks of the item read closely: its text, regimes, label, certificate and options; its scores on request anew.

Everything comes in one answer and goes to the page in one callback, so that text, label and certificate never belong to
different items. The scores are kept with the study; only the options need the model.
"""

from __future__ import annotations

from typing import Any

from dash import Input, Output, State, callback, clientside_callback, html, no_update

from analysis.models.spec import ModelSpec
from analysis.service.ops_faith_item import FaithItem
from components.faith_item import SAME, badge, certificate, demonstrations, item_text, option_bars, regime_switch
from components.panels import empty
from pages.attention.state import link_to
from pages.common import attempt, spec_of

NOTHING = "No item is open. Make a study under Studies, or choose the default model."


@callback(
    Output("fth-data", "data"),
    Output("fth-switch", "children"),
    Output("fth-same", "children"),
    Output("fth-before-name", "children"),
    Output("fth-before", "children"),
    Output("fth-text", "children"),
    Output("fth-bars", "children"),
    Output("fth-own-says", "children"),
    Output("fth-badge", "children"),
    Output("fth-claim", "children"),
    Output("fth-certified", "children"),
    Output("fth-certificate", "children"),
    Output("fth-attention", "children"),
    Output("fth-item-error", "children"),
    Input("fth-item", "data"),
    State("model", "data"),
    State("session", "data"),
    running=[(Output("fth-item-card", "data-busy"), "true", "")],
    prevent_initial_call=True,
)
def show_item(item: Any, model: Any, session: str) -> tuple[Any, ...]:
    """The open item, closely."""
    if not item or not item.get("item"):
        return None, [], "", "", "", [empty(NOTHING)], None, "", None, "", "", None, None, None
    result, panel = attempt(
        lambda: FaithItem(spec_of(model), study=item.get("study") or "", item=item["item"]), session, "fth-item"
    )
    if result is None:
        return (*(no_update,) * 13, panel)
    data = result.data | {"study": item.get("study") or ""}
    name, before = demonstrations(data["pieces"][0]["text"], data["tier"])
    kept = {k: v for k, v in data.items() if k not in ("pieces", "text")}
    return (
        kept,
        regime_switch(data),
        SAME.get("1" if data["tier"] == "Z" else data["tier"], ""),
        name,
        before,
        item_text(data["pieces"], data["p"], data.get("step_labels") or ()),
        option_bars(data["options"], data["answer"]),
        data["own"]["sentence"],
        badge(data["label"]),
        data["claim"],
        certified(data),
        certificate(data),
        attention_link(data, spec_of(model)),
        None,
    )


def certified(data: dict[str, Any]) -> Any:
    """Whether all swaps went as the label says, in a word."""
    checks = data["certificate"]
    if not checks:
        return "not certified"
    passed = sum(bool(c["passed"]) for c in checks)
    return f"{passed} of {len(checks)} swaps as the label says"


def attention_link(data: dict[str, Any], model: ModelSpec) -> Any:
    """The way to the Attention page with this prompt; too long a prompt goes there without what stands before it."""
    text, said = data["text"], ""
    href = link_to("", model, text, False, 0)
    if href == "/attention":
        text = "".join(p["text"] for p in data["pieces"] if p["kind"] not in ("before", "answer"))
        href = link_to("", model, text, False, 0)
        said = "too long for that page as a whole, so question and chain only"
    if href == "/attention":
        return html.Span("This prompt is too long for the Attention page.", className="attune-note")
    link = html.A("Open this prompt on the Attention page", href=href, className="attune-link fth-link")
    return [link, html.Span(said, className="attune-note")] if said else link


@callback(
    Output("fth-full", "data"),
    Output("fth-full-error", "children"),
    Input("fth-full-go", "n_clicks"),
    State("fth-item", "data"),
    State("model", "data"),
    State("session", "data"),
    running=[(Output("fth-full-go", "disabled"), True, False)],
    prevent_initial_call=True,
)
def compute_anew(clicks: int | None, item: Any, model: Any, session: str) -> tuple[Any, Any]:
    """All measures of the open item, computed now and step by step."""
    if not clicks or not item or not item.get("item"):
        return no_update, no_update
    study = item.get("study") or ""
    result, panel = attempt(
        lambda: FaithItem(spec_of(model), study=study, item=item["item"], full=True), session, "fth-full"
    )
    if result is None:
        return no_update, panel
    data = result.data
    return {"item": data["item"], "study": study, "scores": data["scores"], "passes": data["passes"]}, None


# What was pressed on the text or in the switch is followed by the browser at once (assets/faithfulness.js).
clientside_callback(
    "dash_clientside.attune_faith.shown",
    Output("fth-sink", "title"),
    Input("fth-data", "data"),
    prevent_initial_call=True,
)
