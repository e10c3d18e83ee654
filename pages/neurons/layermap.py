"""Callback of the layers: kurtosis against the band of random vectors, and channels beyond the null."""

from __future__ import annotations

from typing import Any

import numpy as np
from dash import Input, Output, State, callback, no_update

from analysis.rotate.ops.neurons import NeuronMap
from components.kit.figure_card import blank
from components.rotate.neuron_figures import layer_map, shares_beyond
from pages.common import attempt, spec_of


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
def load_map(tab: str, facts: Any, known: Any, model: Any, session: str) -> tuple[Any, Any]:
    """The layer map, asked for when it is looked at and kept."""
    if tab != "layers" or not facts or (known and known["model"] == facts["model"]):
        return no_update, no_update
    result, panel = attempt(lambda: NeuronMap(spec_of(model)), session, "nrn-map")
    if result is None:
        return None, panel
    arrays = {k: np.round(v.astype(np.float64), 4).tolist() for k, v in result.arrays.items()}
    return {**result.data, **arrays, "model": facts["model"]}, None


@callback(
    Output("nrn-map", "figure"),
    Output("nrn-map-caption", "children"),
    Output({"settings": "nrn-map"}, "data"),
    Output("nrn-shares", "figure"),
    Output("nrn-shares-caption", "children"),
    Output({"settings": "nrn-shares"}, "data"),
    Input("nrn-map-data", "data"),
    Input("nrn-neuron", "data"),
    Input("theme", "data"),
    State("nrn-facts", "data"),
    prevent_initial_call=True,
)
def draw_map(known: Any, neuron: Any, theme: str, facts: Any) -> tuple[Any, ...]:
    """Both figures; the open neuron's layer is marked."""
    if not known or not facts or known["model"] != facts["model"]:
        empty = blank(400, "not measured for this model")
        return empty, "", None, empty, "", None
    chosen = (neuron["layer"], neuron["vector"]) if neuron else None
    arrays = {k: np.asarray(known[k]) for k in ("median", "upper", "top")}
    caption = f"{known['sentence']} Dotted: the open neuron. Click a point to go to its layer and vector."
    rows, null = facts["shares"], facts["null"]
    return (
        layer_map(known["layers"], known["vectors"], arrays, known["band"], chosen, theme),
        caption,
        {"band": known["band"], "layers": known["layers"]},
        shares_beyond(rows, theme),
        said_of(rows, null),
        {"rows": rows},
    )


def said_of(rows: list[dict[str, Any]], null: Any) -> str:
    """What the shares say, the early layers as plainly as the late ones."""
    if not rows or not null:
        return "Shares are measured for the default model only."
    counts = sorted({r["neurons"] for r in rows})
    told, below = sum(r["low"] > 0.05 for r in rows), sum(r.get("high", 1.0) < 0.05 for r in rows)
    fewer = f"in {below} it lies below, where there are fewer than by chance; " if below else ""
    return (
        f"{counts[0]} random neurons of each layer and vector, with 95 % intervals over neurons; the null: "
        f"{null['vectors']} random vectors with {null['rounds']} channels each. In {told} of {len(rows)} places the "
        f"whole interval lies above 5 %; {fewer}the others are not told apart from chance. Crosses: random "
        "mixtures of a late layer's own vectors, a stricter null."
    )
