"""Callbacks of the item read closely: its text, regimes, label, certificate and options; its scores on request anew.

Everything comes in one answer and goes to the page in one callback, so that text, label and certificate never belong to
different items. The scores are kept with the study; only the options need the model.
"""

from __future__ import annotations

from typing import Any

from dash import Input, Output, State, callback, clientside_callback, dcc, html, no_update

from analysis.faithfulness.ops.item import FaithItem
from analysis.models.spec import ModelSpec
from components.faithfulness.item import (
    MADE,
    SAME,
    badge,
    certificate,
    demonstrations,
    item_text,
    option_bars,
    regime_switch,
)
from components.kit.links import local
from components.kit.panels import empty
from pages.address import link_to
from pages.common import attempt, spec_of

FAILED = "This item could not be read; why is said below. Choose it again, or another one."
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
        # The list and the address name the new item: nothing of the old one may stand beside its name.
        return None, [], "", "", "", [empty(FAILED)], None, "", None, "", "", None, None, panel
    data = result.data | {"study": item.get("study") or ""}
    name, before = demonstrations(data["pieces"][0]["text"], data["tier"])
    kept = {k: v for k, v in data.items() if k != "text"} | {"pieces": data["pieces"][1:]}
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
        sentence(data["claim"]),
        certified(data),
        certificate(data),
        attention_link(data, spec_of(model)),
        None,
    )


def sentence(claim: str) -> str:
    """A claim as a sentence: rows of a file bring phrases."""
    said = claim.strip()
    return said[:1].upper() + said[1:] + ("" if said.endswith((".", "!", "?")) or not said else ".")


def certified(data: dict[str, Any]) -> str:
    """Whether all checks went as the label says, in a few words."""
    checks = data["certificate"]
    if data["tier"] == "0":
        return "by construction"
    if not checks:
        return "not certified"
    passed = sum(bool(c["passed"]) for c in checks)
    return f"{passed} of {len(checks)} checks passed"


def attention_link(data: dict[str, Any], model: ModelSpec) -> list[Any]:
    """The way to the Attention page with this prompt; too long a prompt goes there without what stands before it."""
    said = "nothing is hidden from the model there" if data["tier"] == "0" else ""
    href = link_to("", model, data["text"], False, 0)
    if href == "/attention":
        text = "".join(p["text"] for p in data["pieces"] if p["kind"] not in ("before", "answer"))
        href = link_to("", model, text, False, 0)
        said = "question and chain only: the whole text is too long for that page"
    if href == "/attention":
        return [html.Span("This prompt is too long for the Attention page.", className="attune-note")]
    link = dcc.Link("Open this prompt on the Attention page", href=local(href), className="attune-link fth-link")
    return [link, html.Span(said, className="attune-note")]


# A twin is what is opened next as a rule, so its text is read while the open one is looked at.
@callback(
    Output("fth-sink", "title"),
    Input("fth-data", "data"),
    State("model", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
def read_twins(data: Any, model: Any, session: str) -> Any:
    """Ask for the twins of the open item, for the memory of the service only."""
    if not data or data["tier"] not in MADE:
        return no_update
    for at, twin in enumerate(data["twins"]):
        if twin["item"] != data["item"]:
            attempt(
                lambda one=twin["item"]: FaithItem(spec_of(model), study=data["study"], item=one),  # type: ignore[misc]
                session,
                f"fth-twin-{at}",
            )
    return no_update


@callback(
    Output("fth-full", "data"),
    Output("fth-full-error", "children"),
    Input("fth-full-go", "n_clicks"),
    State("fth-item", "data"),
    State("model", "data"),
    State("session", "data"),
    running=[
        (Output("fth-full-go", "disabled"), True, False),
        (Output("fth-numbers-card", "data-busy"), "true", ""),
    ],
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
        return no_update, [html.Div(f"{item['item']}:", className="attune-note"), panel]  # another may be open by now
    data = result.data
    return {"item": data["item"], "study": study, "scores": data["scores"], "passes": data["passes"]}, None


# What was said of one item does not stand over the numbers of the next.
clientside_callback(
    "function() { return null; }",
    Output("fth-full-error", "children", allow_duplicate=True),
    Input("fth-item", "data"),
    prevent_initial_call=True,
)
