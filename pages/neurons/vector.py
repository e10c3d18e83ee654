"""Callback of the open neuron: its tokens as a histogram, before and after, and those of both ends."""

from __future__ import annotations

from typing import Any

from dash import Input, Output, State, callback
from dash.exceptions import PreventUpdate

from analysis.engine.client import Reply
from analysis.rotate.answers.neurons import VectorCard
from components.kit.types import Json
from components.rotate.channel_figures import OpenChannel
from components.rotate.lists import ends
from components.rotate.neuron_figures import channel_histogram, vector_histogram
from components.rotate.parts import token_ends
from pages.cards import content, ref_of
from pages.common import reply_of
from pages.frame.drawn import tree
from pages.neurons.cards import ENDS, HISTOGRAM
from pages.neurons.state import channels_of, neuron_of


@callback(
    output={
        "histogram": HISTOGRAM.outputs,
        "title": Output("nrn-title", "children"),
        "ends": Output("nrn-ends-tree", "data"),
        "tokens": ENDS.ref,
    },
    inputs={
        "card": Input("nrn-card", "data"),
        "search": Input("nrn-found", "data"),
        "chosen": Input("nrn-channel", "data"),
        "theme": State("theme", "data"),
        "neuron": State("nrn-neuron", "data"),
    },
    prevent_initial_call=True,
)
def show_vector(card: Json, search: Json, chosen: int | None, theme: str, neuron: Json) -> dict[str, Any]:
    """The neuron's vector over the vocabulary, and the chosen channel over it."""
    place = neuron_of(neuron)
    if not card or place is None:
        raise PreventUpdate
    vector: Reply[VectorCard] = reply_of(card)
    channels = channels_of(search, neuron)
    if channels is not None and chosen is not None and chosen <= len(channels.answer.channels):
        histogram = content(channel_histogram, vector, channels, options=OpenChannel(chosen), theme=theme)
    else:
        histogram = content(vector_histogram, vector, theme=theme)
    return {
        "histogram": histogram,
        "title": f"{place.vector} {place.neuron} of layer {place.layer}",
        "ends": tree(ends(vector.answer.high, vector.answer.low)),
        "tokens": ref_of(token_ends, vector),
    }
