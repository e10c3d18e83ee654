"""Callbacks of the item read closely: its text, regimes, label, certificate and options; its scores on request anew.

Everything comes in one answer and goes to the page in one callback, so that text, label and certificate never belong to
different items. The scores are kept with the study; only the options need the model.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from dash import Input, Output, State, callback, clientside_callback, dcc, html, no_update

from analysis.engine.client import Reply
from analysis.faithfulness.answers.board import Board
from analysis.faithfulness.answers.item import ItemReading
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
from components.faithfulness.tables import certified, claim_words, item_certificate
from components.kit.links import local
from components.kit.panels import empty
from components.kit.types import Json, Node
from pages.address import link_to
from pages.cards import ref_of
from pages.common import ask_for, reply_of, spec_of
from pages.faithfulness.cards import ITEM
from pages.faithfulness.state import OpenItem

FAILED = "This item could not be read; why is said below. Choose it again, or another one."
NOTHING = "No item is open. Make a study under Studies, or choose the default model."


@callback(
    output={
        "question": Output("fth-reading", "data"),
        "form": Output("fth-data", "data"),
        "switch": Output("fth-switch", "children"),
        "same": Output("fth-same", "children"),
        "before_name": Output("fth-before-name", "children"),
        "before": Output("fth-before", "children"),
        "text": Output("fth-text", "children"),
        "bars": Output("fth-bars", "children"),
        "own": Output("fth-own-says", "children"),
        "badge": Output("fth-badge", "children"),
        "claim": Output("fth-claim", "children"),
        "certified": Output("fth-certified", "children"),
        "certificate": Output("fth-certificate", "children"),
        "attention": Output("fth-attention", "children"),
        "error": Output("fth-item-error", "children"),
    },
    inputs={
        "item": Input("fth-item", "data"),
        "model": State("model", "data"),
        "session": State("session", "data"),
    },
    running=[(Output("fth-item-card", "data-busy"), "true", "")],
    prevent_initial_call=True,
)
def show_item(item: Json, model: Json, session: str) -> dict[str, Any]:
    """The open item, closely."""
    here = OpenItem.from_dict(item)
    if not here.item:
        return _without(NOTHING)
    reply, panel = ask_for(lambda: FaithItem(spec_of(model), here.study, here.item), session, "fth-item")
    if reply is None:
        # The list and the address name the new item: nothing of the old one may stand beside its name.
        return _without(FAILED, panel)
    reading = reply.answer
    name, before = demonstrations(reading.pieces[0].text, reading.tier)
    return {
        "question": asdict(reply.question),
        "form": form_of(reading, here.study),
        "switch": regime_switch(reading),
        "same": SAME.get("1" if reading.tier == "Z" else reading.tier, ""),
        "before_name": name,
        "before": before,
        "text": item_text(reading.pieces, reading.p, reading.step_labels),
        "bars": option_bars(reading.options, reading.answer),
        "own": reading.own.sentence,
        "badge": badge(reading.label),
        "claim": claim_words(reading.claim),
        "certified": certified(reading),
        "certificate": certificate(reading),
        "attention": attention_link(reading, spec_of(model)),
        "error": None,
    }


def _without(words: str, panel: Node = None) -> dict[str, Any]:
    """No item, and why."""
    blank = dict.fromkeys(("same", "before_name", "before", "own", "claim", "certified"), "")
    nothing = dict.fromkeys(("question", "form", "bars", "badge", "certificate", "attention"))
    return {**blank, **nothing, "switch": [], "text": [empty(words)], "error": panel}


def form_of(item: ItemReading, study: str) -> Json:
    """What the form of interventions is drawn from, in the browser."""
    twins = [{"item": twin.item} for twin in item.twins]
    parts = {"item": item.item, "study": study, "tier": item.tier, "key": item.key}
    return parts | {"steps": list(item.steps), "twins": twins}


def attention_link(item: ItemReading, model: ModelSpec) -> list[Node]:
    """The way to the Attention page with this prompt; too long a prompt goes there without what stands before it."""
    words = "nothing is hidden from the model there" if item.tier == "0" else ""
    href = link_to("", model, item.text, False, 0)
    if href == "/attention":
        text = "".join(piece.text for piece in item.pieces if piece.kind not in ("before", "answer"))
        href = link_to("", model, text, False, 0)
        words = "question and chain only: the whole text is too long for that page"
    if href == "/attention":
        return [html.Span("This prompt is too long for the Attention page.", className="attune-note")]
    link = dcc.Link("Open this prompt on the Attention page", href=local(href), className="attune-link fth-link")
    return [link, html.Span(words, className="attune-note")]


@callback(ITEM.ref, Input("fth-reading", "data"), Input("fth-board", "data"))
def pinned_item(question: Json, board: Json) -> Json:
    """What a pin of the item draws: the item beside the board of its study, once both are there."""
    if not question or not board:
        return None
    reading: Reply[ItemReading] = reply_of(question)
    ranked: Reply[Board] = reply_of(board)
    same = OpenItem.from_dict(reading.question.params).study == ranked.answer.study
    return ref_of(item_certificate, reading, ranked) if same else None


# A twin is what is opened next as a rule, so its text is read while the open one is looked at.
@callback(
    Output("fth-sink", "title"),
    Input("fth-reading", "data"),
    State("model", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
def read_twins(question: Json, model: Json, session: str) -> Node:
    """Ask for the twins of the open item, for the memory of the service only."""
    if not question:
        return no_update
    reply: Reply[ItemReading] = reply_of(question)
    here = OpenItem.from_dict(reply.question.params)
    if reply.answer.tier not in MADE:
        return no_update
    for at, twin in enumerate(reply.answer.twins):
        if twin.item != here.item:
            ask_for(
                lambda item=twin.item: FaithItem(spec_of(model), here.study, item),  # type: ignore[misc]
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
def compute_anew(clicks: int | None, item: Json, model: Json, session: str) -> tuple[Json, Node]:
    """All measures of the open item, computed now and step by step."""
    here = OpenItem.from_dict(item)
    if not clicks or not here.item:
        return no_update, no_update
    reply, panel = ask_for(lambda: FaithItem(spec_of(model), here.study, here.item, full=True), session, "fth-full")
    if reply is None:
        return no_update, [html.Div(f"{here.item}:", className="attune-note"), panel]  # another may be open by now
    return asdict(reply.question), None


# What was said of one item does not stand over the numbers of the next.
clientside_callback(
    "function() { return null; }",
    Output("fth-full-error", "children", allow_duplicate=True),
    Input("fth-item", "data"),
    prevent_initial_call=True,
)
