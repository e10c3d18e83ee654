"""Callback of the geometry: how channels stand to the neuron and to one another."""

from __future__ import annotations

from typing import Any

from dash import Input, State, callback
from dash.exceptions import PreventUpdate

from components.kit.types import Json
from components.rotate.channel_figures import cosines, rebuilding
from pages.cards import content
from pages.neurons.cards import COSINES, REBUILDING
from pages.neurons.state import channels_of


@callback(
    output={"cosines": COSINES.outputs, "rebuilding": REBUILDING.outputs},
    inputs={
        "search": Input("nrn-found", "data"),
        "neuron": Input("nrn-neuron", "data"),
        "tab": Input("nrn-tab", "active_tab"),
        "theme": State("theme", "data"),
    },
    prevent_initial_call=True,
)
def show_geometry(search: Json, neuron: Json, tab: str, theme: str) -> dict[str, Any]:
    """Cosines between channels, and how much of the neuron they rebuild."""
    if tab != "geometry":
        raise PreventUpdate
    channels = channels_of(search, neuron)
    if channels is None:
        nothing = "press Run on the tab Channels"
        return {"cosines": COSINES.empty(nothing), "rebuilding": REBUILDING.empty(nothing)}
    return {
        "cosines": content(cosines, channels, theme=theme),
        "rebuilding": content(rebuilding, channels, theme=theme),
    }
