"""Callbacks of choosing: what is known of the model, the list of neurons, search, the open neuron; the address."""

from __future__ import annotations

import random
from typing import Any

from dash import Input, Output, State, callback, clientside_callback, ctx, no_update

from analysis.rotate.ops.neurons import NeuronFacts, NeuronVector, SearchChannels
from components.kit.panels import note
from components.rotate.cards import found_rows, matching, neuron_rows, ordered
from pages.common import attempt, spec_of
from pages.frame.drawn import tree
from pages.neurons.state import ADDRESS, SETTINGS


@callback(
    Output("model", "data", allow_duplicate=True), Input("nrn-start", "data"), State("model", "data"),
    prevent_initial_call="initial_duplicate",
)  # fmt: skip
def use_model_of_address(start: dict[str, Any], current: Any) -> Any:
    """A link may name another model than the one this window used last."""
    return start["model"] if start and start["model"] and start["model"] != current else no_update


@callback(
    Output("nrn-facts", "data"),
    Output("nrn-vector", "options"),
    Output("nrn-measure-panel", "hidden"),
    Output("nrn-estimate", "children"),
    Output("nrn-pick-error", "children"),
    Input("model", "data"),
    Input("nrn-measured", "data"),
)
def load_facts(model: Any, _measured: Any) -> tuple[Any, ...]:
    """Which vectors the model has, and whether its neurons have been measured."""
    result, panel = attempt(lambda: NeuronFacts(spec_of(model)))
    if result is None:
        return None, [], True, "", panel
    facts = result.data
    said = "" if facts["measured"] else f"{facts['why_not']} {facts['estimate']}"
    return {**facts, "model": model}, facts["vectors"], facts["measured"], said, None


@callback(
    Output("nrn-neuron", "data"),
    Output("nrn-card", "data"),
    Output("nrn-layer", "value"),
    Output("nrn-vector", "value"),
    Output("nrn-index", "value"),
    Output("nrn-pick-error", "children", allow_duplicate=True),
    Input("nrn-facts", "data"),
    Input("nrn-layer", "value"),
    Input("nrn-vector", "value"),
    Input("nrn-index", "value"),
    Input("nrn-picked", "data"),
    Input("nrn-random", "n_clicks"),
    State("nrn-neuron", "data"),
    State("nrn-start", "data"),
    State("model", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
def choose_neuron(
    facts: Any, layer: Any, vector: Any, index: Any, picked: Any, _random: Any, now: Any, start: Any, model: Any,
    session: str,
) -> tuple[Any, ...]:  # fmt: skip
    """The open neuron with its vector; what cannot be opened is said where it was typed, and the last one stays."""
    if not facts:
        return (no_update,) * 6
    trigger = {"nrn-facts", "nrn-picked", "nrn-random"} & set(ctx.triggered_prop_ids.values())
    typed = {"layer": layer, "vector": vector, "neuron": index}
    wanted = asked_neuron(trigger, facts, typed, picked, now, start or {})
    if wanted is None:
        return (no_update,) * 6
    problem = None
    for tried in wanted:
        result, panel = attempt(lambda one=tried: NeuronVector(spec_of(model), **one), session, "nrn-vector")  # type: ignore[misc]
        if result is not None:
            card = {**result.data, **{k: v.tolist() for k, v in result.arrays.items()}}
            fields = tuple(no_update if typed[k] == tried[k] else tried[k] for k in ("layer", "vector", "neuron"))
            return {**tried, "model": facts["model"]}, card, *fields, problem
        problem = problem or panel
    return *(no_update,) * 5, problem


def asked_neuron(
    trigger: set[str], facts: dict[str, Any], typed: dict[str, Any], picked: Any, now: Any, start: dict[str, Any]
) -> list[dict[str, Any]] | None:
    """The neurons to try, the wanted one first, as fields of an operation; None if the open one is meant."""
    names = ("layer", "vector", "neuron")
    usual = facts["start"]
    if "nrn-facts" in trigger:
        if now and now.get("model") == facts["model"]:
            return [{k: now[k] for k in names}, usual]
        if now or all(start.get(k) is None for k in names):
            return [usual]
        # An address may name a layer only; what it leaves out is that of the neuron one would start with.
        return [{k: usual[k] if start.get(k) is None else start[k] for k in names}, usual]
    if "nrn-picked" in trigger and picked:
        # A point of the layer map has no neuron: its number stays.
        return [{k: picked[k] if picked.get(k) is not None else (now or usual)[k] for k in names}]
    if "nrn-random" in trigger:
        here = now or usual
        return [{"layer": here["layer"], "vector": here["vector"], "neuron": random.randrange(facts["neurons"])}]  # noqa: S311
    if now and all(typed[k] == now[k] for k in names):
        return None
    return [typed]


@callback(
    Output("nrn-list-tree", "data"),
    Output("nrn-count", "children"),
    Input("nrn-facts", "data"),
    Input("nrn-search", "value"),
    Input("nrn-order", "value"),
    Input("nrn-neuron", "data"),
)
def draw_list(facts: Any, words: str | None, order: str, chosen: Any) -> tuple[Any, Any]:
    """Neurons whose channels are ready; a search leaves those that match."""
    if not facts:
        return no_update, no_update
    rows = facts["bundled"]
    if not rows:
        return tree(note("No neuron's channels were made beforehand for this model. Choose any above.")), ""
    found = matching(ordered(rows, order), words)
    held = sum(not r["nothing"] for r in rows)
    said = f"{len(found)} of {len(rows)} ready neurons; {held} hold something beyond the null."
    return tree(neuron_rows(found, chosen)), said


@callback(
    Output("nrn-found-box-tree", "data"),
    Input("nrn-search", "value"),
    State("nrn-facts", "data"),
    State("model", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
def search_tokens(words: str | None, facts: Any, model: Any, session: str) -> Any:
    """Below the list: channels among whose tokens the typed one is."""
    text = (words or "").strip()
    if not text or not (facts or {}).get("measured"):
        return []
    result, panel = attempt(lambda: SearchChannels(spec_of(model), text), session, "nrn-search")
    if result is None:
        return tree(panel)
    return tree([note(result.data["sentence"]), *found_rows(result.data["rows"])])


clientside_callback(
    "dash_clientside.attune_neurons.layer",
    Output("nrn-picked", "data", allow_duplicate=True),
    Input("nrn-map", "clickData"),
    prevent_initial_call=True,
)
clientside_callback(
    "dash_clientside.attune_neurons.layer",
    Output("nrn-picked", "data", allow_duplicate=True),
    Input("nrn-shares", "clickData"),
    prevent_initial_call=True,
)
# The model is no input here: it belongs to the frame, and its change would call this on other pages too.
clientside_callback(
    "function(n, ...values) { if (!n) return dash_clientside.no_update;"
    "const model = values.pop(), without = values.splice(6, 1)[0];"
    "return dash_clientside.attune.address(model, n.layer, n.vector, n.neuron, ...values.slice(0, 6),"
    "(without || []).map((row) => row.id), ...values.slice(6), " + str(ADDRESS).replace("'", '"') + "); }",
    Output("address", "data", allow_duplicate=True),
    Input("nrn-neuron", "data"),
    *[Input(f"nrn-{name}", "value") for name in SETTINGS],
    Input("nrn-excluded", "data"),
    Input("nrn-channel", "data"),
    Input("nrn-text", "value"),
    Input("nrn-tab", "active_tab"),
    Input("nrn-order", "value"),
    State("model", "data"),
    prevent_initial_call=True,
)
