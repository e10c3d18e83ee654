"""Callbacks of the layers: kurtosis against the band of random vectors, and channels beyond the null."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from dash import Input, Output, State, callback, no_update

from analysis.rotate.ops.neurons import NeuronMap
from components.kit.types import Json, Node
from components.rotate.neuron_figures import OpenVector, layer_map, shares_by_layer
from pages.cards import content
from pages.common import ask_for, reply_of, spec_of
from pages.neurons.cards import MAP, SHARES
from pages.neurons.state import neuron_of


def same_model(question: Json, other: Json) -> bool:
    """Whether two questions, of which a model is the only setting, are about one model."""
    return bool(question and other and question["params"] == other["params"])


@callback(
    Output("nrn-map-data", "data"),
    Output("nrn-map-error", "children"),
    Input("nrn-tab", "active_tab"),
    Input("nrn-facts", "data"),
    State("nrn-map-data", "data"),
    State("model", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
def load_map(tab: str, facts: Json, layers: Json, model: Json, session: str) -> tuple[Json, Node]:
    """The layer map, asked for when it is looked at and kept."""
    if tab != "layers" or not facts or same_model(layers, facts):
        return no_update, no_update
    reply, panel = ask_for(lambda: NeuronMap(spec_of(model)), session, "nrn-map")
    return (None, panel) if reply is None else (asdict(reply.question), None)


@callback(
    output={"map": MAP.outputs, "shares": SHARES.outputs},
    inputs={
        "layers": Input("nrn-map-data", "data"),
        "neuron": Input("nrn-neuron", "data"),
        "facts": State("nrn-facts", "data"),
        "theme": State("theme", "data"),
    },
    prevent_initial_call=True,
)
def draw_map(layers: Json, neuron: Json, facts: Json, theme: str) -> dict[str, Any]:
    """Both figures; the open neuron's layer is marked."""
    if not same_model(layers, facts):
        nothing = "not measured for this model"
        return {"map": MAP.empty(nothing), "shares": SHARES.empty(nothing)}
    place = neuron_of(neuron)
    options = OpenVector() if place is None else OpenVector(place.layer, place.vector)
    return {
        "map": content(layer_map, reply_of(layers), options=options, theme=theme),
        "shares": content(shares_by_layer, reply_of(facts), theme=theme),
    }
