"""Callback of the open neuron: its tokens as a histogram, before and after, and those of both ends."""

from __future__ import annotations

from typing import Any

from dash import Input, Output, State, callback, no_update

from components.rotate.cards import ends
from components.rotate.neuron_figures import token_histogram
from pages.frame.drawn import tree
from pages.neurons.channels import found_of


@callback(
    Output("nrn-histogram", "figure"),
    Output("nrn-histogram-caption", "children"),
    Output({"settings": "nrn-histogram"}, "data"),
    Output("nrn-title", "children"),
    Output("nrn-ends-tree", "data"),
    Input("nrn-card", "data"),
    Input("nrn-found", "data"),
    Input("nrn-channel", "data"),
    Input("theme", "data"),
    State("nrn-neuron", "data"),
    prevent_initial_call=True,
)
def show_vector(card: Any, found: Any, chosen: int | None, theme: str, neuron: Any) -> tuple[Any, ...]:
    """The neuron's vector over the vocabulary, and the chosen channel over it."""
    if not card or not neuron:
        return (no_update,) * 5
    edges, counts, after, name = card["edges"], card["counts"], None, ""
    said = f"{card['sentence']} Dashed: a normal distribution."
    found = found_of(found, neuron)
    if found and chosen is not None and chosen < len(found["counts"]):
        edges, counts, after = found["edges"], found["counts"][0], found["counts"][chosen]
        channel = found["channels"][chosen - 1]
        name = f"channel {chosen}"
        said += tail_words(chosen, channel["kurtosis"], found["null"]["kurtosis"])
    place = {k: neuron[k] for k in ("layer", "vector", "neuron")}
    settings = place | {"channel": chosen if after else None, "kurtosis": card["kurtosis"], "norm": card["norm"]}
    title = f"{neuron['vector']} {neuron['neuron']} of layer {neuron['layer']}"
    figure = token_histogram(edges, counts, after, theme, name)
    return figure, said, settings, title, tree(ends(card["high"], card["low"]))


def tail_words(channel: int, kurtosis: float, null: list[float]) -> str:
    """A channel's kurtosis beside those of random vectors' channels (``null``: low end, median, high end)."""
    low, _, high = null
    text = f" Channel {channel} has kurtosis {kurtosis:.1f}; "
    if kurtosis <= high:
        return f"{text}channels of random vectors reach {low:.0f} to {high:.0f}, so a tail alone says nothing."
    return f"{text}9 in 10 channels of random vectors have {low:.0f} to {high:.0f}: this tail is heavier."
