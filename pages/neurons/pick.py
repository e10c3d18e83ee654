"""Callbacks of choosing: what is known of the model, the list of neurons, search, the open neuron; the address."""

from __future__ import annotations

import json
import random
from dataclasses import asdict
from typing import Any

from dash import Input, Output, State, callback, clientside_callback, ctx, no_update
from dash.exceptions import PreventUpdate

from analysis.rotate.answers.neurons import NeuronsKnown, Place
from analysis.rotate.ops.neurons import NeuronFacts, NeuronVector, SearchChannels
from components.kit.panels import note
from components.kit.types import Json, Node, Typed
from components.rotate.lists import in_order, match_rows, neuron_rows, with_words
from components.rotate.parts import ListOptions, ready_neurons
from pages.cards import ref_of
from pages.common import ask_for, reply_of, spec_of
from pages.frame.drawn import tree
from pages.neurons.cards import READY
from pages.neurons.state import SETTINGS, NeuronsState, Pick, known_of, neuron_of, open_place, pick_of
from pages.state import names_of


@callback(
    Output("model", "data", allow_duplicate=True), Input("nrn-model", "data"), State("model", "data"),
    prevent_initial_call="initial_duplicate",
)  # fmt: skip
def use_model_of_address(model: Json, current: Json) -> Json:
    """A link may name another model than the one this window used last."""
    return model if model and model != current else no_update


@callback(
    Output("nrn-facts", "data"),
    Output("nrn-vector", "options"),
    Output("nrn-measure-panel", "hidden"),
    Output("nrn-estimate", "children"),
    Output("nrn-pick-error", "children"),
    Output("nrn-banner", "children", allow_duplicate=True),
    Input("model", "data"),
    Input("nrn-measured", "data"),
    Input("prepare-filled", "data"),
    prevent_initial_call="initial_duplicate",
)
def load_facts(model: Json, _measured: int, _filled: Json) -> tuple[Json, Node, bool, str, Node, Node]:
    """Which vectors the model has, and whether its neurons have been measured."""
    reply, panel = ask_for(lambda: NeuronFacts(spec_of(model)))
    if reply is None:
        return None, [], True, "", panel, note("No neuron is open.")
    known = reply.answer
    full = known.null is not None and not known.null.narrow
    short = "A narrow null serves for first verdicts; the full one tells more." if known.measured else known.why_not
    estimate = "" if full else f"{short} {known.estimate}"
    return asdict(reply.question), list(known.vectors), full, estimate, None, no_update


# A measurement that was opened from a file is there as one that was just made.
clientside_callback(
    "(file, turn) => file && file.kind === 'neurons' && file.ours ? (turn || 0) + 1 : dash_clientside.no_update",
    Output("nrn-measured", "data", allow_duplicate=True),
    Input("files-opened", "data"),
    State("nrn-measured", "data"),
    prevent_initial_call=True,
)


@callback(
    output={
        "neuron": Output("nrn-neuron", "data"),
        "card": Output("nrn-card", "data"),
        "layer": Output("nrn-layer", "value"),
        "vector": Output("nrn-vector", "value"),
        "index": Output("nrn-index", "value"),
        "error": Output("nrn-pick-error", "children", allow_duplicate=True),
        "unasked": Output("nrn-unasked", "data"),
    },
    inputs={
        "facts": Input("nrn-facts", "data"),
        "layer": Input("nrn-layer", "value"),
        "vector": Input("nrn-vector", "value"),
        "index": Input("nrn-index", "value"),
        "picked": Input("nrn-picked", "data"),
        "_random": Input("nrn-random", "n_clicks"),
        "neuron": State("nrn-neuron", "data"),
        "start": State("nrn-start", "data"),
        "unasked": State("nrn-unasked", "data"),
        "model": State("model", "data"),
        "session": State("session", "data"),
    },
    prevent_initial_call=True,
)
def choose_neuron(
    facts: Json, layer: Typed, vector: Typed, index: Typed, picked: Json, _random: int | None, neuron: Json,
    start: Json, unasked: bool | None, model: Json, session: str,
) -> dict[str, Any]:  # fmt: skip
    """The open neuron with its vector; what cannot be opened is said where it was typed, and the last one stays.

    ``unasked``: the open neuron stands in for one, as nothing is measured yet and nobody named another. It is left out
    of the address, and the first measurement puts a neuron worth showing in its place."""
    known, now = known_of(facts), neuron_of(neuron)
    if known is None:
        raise PreventUpdate
    trigger = {"nrn-facts", "nrn-picked", "nrn-random"} & set(ctx.triggered_prop_ids.values())
    typed = Place(layer, vector, index)
    same = now is not None and now.model == NeuronFacts.from_params(facts["params"]).model
    here = None if unasked and "nrn-facts" in trigger else open_place(neuron)
    wanted = wanted_neuron(trigger, known, typed, pick_of(picked), here, same, pick_of(start))
    if wanted is None:
        raise PreventUpdate
    problem = None
    for place in wanted:
        reply, panel = ask_for(
            lambda p=place: NeuronVector(spec_of(model), p.layer, p.vector, p.neuron),  # type: ignore[misc]
            session,
            "nrn-vector",
        )
        if reply is not None:
            return {
                "neuron": reply.question.params,
                "card": asdict(reply.question),
                "layer": no_update if typed.layer == place.layer else place.layer,
                "vector": no_update if typed.vector == place.vector else place.vector,
                "index": no_update if typed.neuron == place.neuron else place.neuron,
                "error": problem,
                "unasked": not known.measured and "nrn-facts" in trigger and here is None and pick_of(start).empty,
            }
        problem = problem or panel
    return dict.fromkeys(("neuron", "card", "layer", "vector", "index", "unasked"), no_update) | {"error": problem}


def wanted_neuron(
    trigger: set[str],
    known: NeuronsKnown,
    typed: Place,
    picked: Pick,
    now: Place | None,
    same_model: bool,
    start: Pick,
) -> list[Place] | None:
    """The neurons to try, the wanted one first; None if the open one is meant. ``same_model``: the open one is of the
    model that is known."""
    usual = known.start
    if "nrn-facts" in trigger:
        if now is not None and same_model:
            return [now, usual]
        if now is not None or start.empty:
            return [usual]
        # An address may name a layer only; what it leaves out is that of the neuron one would start with.
        return [start.completed(usual), usual]
    here = now or usual
    if "nrn-picked" in trigger and not picked.empty:
        return [picked.completed(here)]  # a point of the layer map has no neuron: its number stays
    if "nrn-random" in trigger:
        return [Place(here.layer, here.vector, random.randrange(known.neurons))]  # noqa: S311
    return None if typed == now else [typed]


@callback(
    Output("nrn-list-tree", "data"),
    Output("nrn-count", "children"),
    READY.ref,
    Input("nrn-facts", "data"),
    Input("nrn-search", "value"),
    Input("nrn-order", "value"),
    Input("nrn-neuron", "data"),
)
def draw_list(facts: Json, words: str | None, order: str, neuron: Json) -> tuple[Json, str, Json]:
    """Neurons whose channels are ready; a search leaves those that match."""
    known = known_of(facts)
    if known is None:
        return no_update, no_update, no_update
    rows = known.bundled
    if not rows:
        return tree(note("No neuron's channels were made beforehand for this model. Choose any above.")), "", None
    shown = with_words(in_order(rows, order), words)
    more = sum(not r.nothing for r in rows)
    count = f"{len(shown)} of {len(rows)} ready neurons; {more} hold something beyond the null."
    ref = ref_of(ready_neurons, reply_of(facts), options=ListOptions(order, words or ""))
    return tree(neuron_rows(shown, open_place(neuron))), count, ref


@callback(
    Output("nrn-found-box-tree", "data"),
    Input("nrn-search", "value"),
    State("nrn-facts", "data"),
    State("model", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
def search_tokens(words: str | None, facts: Json, model: Json, session: str) -> Json:
    """Below the list: channels among whose tokens the typed one is."""
    text, known = (words or "").strip(), known_of(facts)
    if not text or known is None or not known.measured:
        return []
    reply, panel = ask_for(lambda: SearchChannels(spec_of(model), text), session, "nrn-search")
    return tree(panel if reply is None else [note(reply.answer.sentence), *match_rows(reply.answer.rows)])


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
    "const unasked = values.pop(), model = values.pop(), without = values.splice(6, 1)[0];"
    "const place = unasked ? [null, null, null] : [n.layer, n.vector, n.neuron];"
    "return dash_clientside.attune.address(model, ...place, ...values.slice(0, 6),"
    "(without || []).map((row) => row.id), ...values.slice(6), " + json.dumps(names_of(NeuronsState)) + "); }",
    Output("address", "data", allow_duplicate=True),
    Input("nrn-neuron", "data"),
    *[Input(f"nrn-{name}", "value") for name in SETTINGS],
    Input("nrn-excluded", "data"),
    Input("nrn-channel", "data"),
    Input("nrn-text", "value"),
    Input("nrn-tab", "active_tab"),
    Input("nrn-order", "value"),
    State("model", "data"),
    State("nrn-unasked", "data"),
    prevent_initial_call=True,
)
