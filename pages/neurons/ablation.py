"""Callback of the ablation: one channel taken out of the running model, beside controls of the same size."""

from __future__ import annotations

from typing import Any

from dash import Input, Output, State, callback, html
from dash.exceptions import PreventUpdate

from analysis.answer import extended
from analysis.rotate.answers.channels import Ablation
from analysis.rotate.ops.ablation import AblateChannel
from components.kit.panels import note
from components.kit.types import Json, Node
from components.rotate.ablation_figures import ablation_arms, activation_strip, arms_table, before_after
from components.rotate.parts import ablation_parts, arm_rows
from pages.cards import content, ref_of
from pages.common import ask_for
from pages.frame.drawn import tree
from pages.neurons.cards import ABLATION, ARM_ROWS, ARMS, BEFORE
from pages.neurons.state import channels_of, question_of


@callback(
    output={
        "sentence": Output("nrn-ab-said", "children"),
        "strip": Output("nrn-ab-strip-tree", "data"),
        "arms": ARMS.outputs,
        "before": BEFORE.outputs,
        "table": Output("nrn-arms-table-tree", "data"),
        "text": ABLATION.ref,
        "rows": ARM_ROWS.ref,
        "error": Output("nrn-ab-error", "children"),
    },
    inputs={
        "channel": Input("nrn-channel", "data"),
        "text": Input("nrn-text", "value"),
        "tab": Input("nrn-tab", "active_tab"),
        "search": Input("nrn-found", "data"),
        "theme": State("theme", "data"),
        "neuron": State("nrn-neuron", "data"),
        "session": State("session", "data"),
    },
    running=[(Output("nrn-ab-busy", "children"), "taking it out …", "")],
    prevent_initial_call=True,
)
def show_ablation(
    channel: int | None, text: str | None, tab: str, search: Json, theme: str, neuron: Json, session: str
) -> dict[str, Any]:
    """What falls without the chosen channel."""
    if tab != "ablation":
        raise PreventUpdate
    channels = channels_of(search, neuron)
    if channels is None or channel is None or channel > len(channels.answer.channels):
        return _nothing("find channels first")
    search = question_of(channels)
    reply, panel = ask_for(
        lambda: extended(AblateChannel, search, channel=channel, text=text or ""), session, "nrn-ablation"
    )
    if reply is None:
        return _nothing("nothing was taken out", panel)
    answer = reply.answer
    return {
        "sentence": answer.sentence,
        "strip": tree(strip(answer)),
        "arms": content(ablation_arms, reply, theme=theme),
        "before": content(before_after, reply, theme=theme),
        "table": tree(arms_table((*answer.arms, answer.whole))),
        "text": ref_of(ablation_parts, reply),
        "rows": ref_of(arm_rows, reply),
        "error": None,
    }


def _nothing(text: str, panel: Node = None) -> dict[str, Any]:
    empty = {"arms": ARMS.empty(text), "before": BEFORE.empty(text)}
    return {"sentence": "", "strip": [], "table": [], "text": None, "rows": None, "error": panel, **empty}


def strip(answer: Ablation) -> list[Node]:
    """The text, shaded by the neuron's activation; a down vector's effect is looked at where it has a frame."""
    output = answer.kind == "output"
    words = "shaded by the neuron's activation"
    words += "; framed: where the logits are looked at" if output else "; what falls is measured on the sentences below"
    if answer.text:
        words += "; the context of the bundled corpus in which it is most active"
    tokens = activation_strip(answer.labels, answer.activation, answer.shown if output else ())
    return [html.Div(tokens, className="nrn-strip-tokens"), note(words)]
