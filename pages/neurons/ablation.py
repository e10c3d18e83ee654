"""Callback of the ablation: one channel taken out of the running model, beside controls of the same size."""

from __future__ import annotations

from typing import Any

from dash import Input, Output, State, callback, html, no_update

from analysis.rotate.ops.ablation import AblateChannel
from components.kit.figure_card import blank
from components.kit.panels import note
from components.rotate.cards import activation_strip, arms_table
from components.rotate.channel_figures import ablation_arms, before_after
from pages.common import attempt, spec_of
from pages.frame.drawn import tree
from pages.neurons.channels import found_of


@callback(
    Output("nrn-ab-said", "children"),
    Output("nrn-ab-strip-tree", "data"),
    Output("nrn-arms", "figure"),
    Output("nrn-arms-caption", "children"),
    Output({"settings": "nrn-arms"}, "data"),
    Output("nrn-before", "figure"),
    Output("nrn-before-caption", "children"),
    Output({"settings": "nrn-before"}, "data"),
    Output("nrn-arms-table-tree", "data"),
    Output("nrn-ab-error", "children"),
    Input("nrn-channel", "data"),
    Input("nrn-text", "value"),
    Input("nrn-tab", "active_tab"),
    Input("nrn-found", "data"),
    Input("theme", "data"),
    State("nrn-neuron", "data"),
    State("model", "data"),
    State("session", "data"),
    running=[(Output("nrn-ab-busy", "children"), "taking it out …", "")],
    prevent_initial_call=True,
)
def show_ablation(
    channel: int | None, text: str | None, tab: str, found: Any, theme: str, neuron: Any, model: Any, session: str
) -> tuple[Any, ...]:  # fmt: skip
    """What falls without the chosen channel."""
    if tab != "ablation":
        return (no_update,) * 10
    found = found_of(found, neuron)
    if not found or channel is None or channel > len(found["channels"]):
        nothing = blank(400, "find channels first")
        return "", [], nothing, "", None, nothing, "", None, [], None
    fields = {**found["fields"], "excluded": tuple(found["fields"]["excluded"])}
    result, panel = attempt(
        lambda: AblateChannel(spec_of(model), **fields, channel=channel, text=text or ""), session, "nrn-ablation"
    )
    if result is None:
        nothing = blank(400, "nothing was taken out")
        return "", [], nothing, "", None, nothing, "", None, [], panel
    data = result.data
    arms = [*data["arms"], *([data["whole"]] if data.get("whole") else [])]
    unit = data.get("unit", "logits" if data["kind"] == "output" else "mean activation")
    settings = {**{k: v for k, v in found["fields"].items() if k != "fresh"}, "channel": channel, "text": text or ""}
    rows = shown_rows(data)
    return (
        data["sentence"],
        tree(strip(data)),
        ablation_arms(arms, unit, theme),
        caption_of(data),
        settings | {"arms": arms},
        before_after(rows, "logit" if data["kind"] == "output" else "activation", theme),
        rows_caption(data),
        settings | {"rows": rows},
        tree(arms_table(arms)),
        None,
    )


def strip(data: dict[str, Any]) -> list[Any]:
    """The text, shaded by the neuron's activation; a down vector's effect is looked at where it has a frame."""
    used = data["shown"] if data["kind"] == "output" else []
    said = "shaded by the neuron's activation"
    said += "; framed: where the logits are looked at" if used else "; what falls is measured on the sentences below"
    if data.get("text"):
        said += "; the context of the bundled corpus in which it is most active"
    tokens = activation_strip(data["labels"], data["activation"], used)
    return [html.Div(tokens, className="nrn-strip-tokens"), note(said)]


def shown_rows(data: dict[str, Any]) -> list[dict[str, Any]]:
    """Tokens or sentences as rows of the figure: strongest first, the channel's own before others."""
    if data["kind"] == "output":
        return [
            {"label": t["token"], "own": True, **{k: t[k] for k in ("id", "before", "after")}} for t in data["tokens"]
        ]
    rows = [
        {"label": ending(s["labels"]), "own": s["own"], "before": s["before"], "after": s["after"]}
        for s in data["sentences"]
    ]
    return sorted(rows, key=lambda r: (not r["own"], -abs(r["before"])))


def ending(labels: list[str], length: int = 34) -> str:
    """The last words of a sentence that is known by its tokens."""
    text = "".join(labels).replace("␣", " ").strip()
    return text if len(text) <= length else "…" + text[-(length - 1) :]


def caption_of(data: dict[str, Any]) -> str:
    """How to read the arms, and what they are held against."""
    what = "logits, at the framed positions" if data["kind"] == "output" else "shares of the neuron's mean activation"
    return (
        f"In {what}, with 95 % intervals. Every control takes as much out of the neuron as the channel does and "
        "differs only in where it points, so a random direction that does the same is the null. Without the "
        "whole neuron falls what it did at all; a channel that takes more than that pushes tokens down by itself."
    )


def rows_caption(data: dict[str, Any]) -> str:
    """What the dots are."""
    if data["kind"] == "output":
        first = data["shown"][0]
        label, value = data["labels"][first], data["activation"][first]
        said = (
            f"Logits of the channel's {len(data['tokens'])} tokens, less the mean over the vocabulary, after "
            f"“{label}”, where the neuron is most active ({value:+.2f})."
        )
        pressed = " Its activation is negative there: it presses down what its vector favours." if value < 0 else ""
        return said + pressed
    return "Filled: sentences that end with a token of the channel. Hollow: sentences that end with another token."
