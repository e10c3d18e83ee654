"""Callbacks of lists of neurons: results of others, a run over a list, both beside each other, and the way out."""

from __future__ import annotations

import json
from dataclasses import asdict

from dash import Input, Output, State, callback, ctx, dcc, no_update

from analysis.engine.client import Reply
from analysis.rotate.answers.sets import ChannelSetCard, KnownSet, KnownSets
from analysis.rotate.ops.sets import (
    FindMany,
    KeepTokens,
    KnownChannelSets,
    OpenChannels,
    ReadChannels,
    ReadNeuronList,
    WriteChannels,
)
from analysis.spoken import counted
from components.kit.panels import user_error
from components.kit.types import Json, Node, Outputs, Relay, Typed
from components.rotate.sets import channel_set, set_table
from pages.cards import ref_of
from pages.common import ask_for, ask_job, reply_of, spec_of
from pages.neurons.cards import SETS
from pages.neurons.state import PATH

TAB = f"{PATH}?tab=lists"
CHOOSE = "Choose a set first: open results.pt, or run over a list."


def _base64(content: str) -> str:
    return content.partition(",")[2]


def options_of(sets: tuple[KnownSet, ...]) -> list[dict[str, str]]:
    """Sets as a dropdown takes them."""
    return [{"label": f"{s.label} ({counted(len(s.neurons), 'neuron')})", "value": s.name} for s in sets]


@callback(
    Output("nrn-set", "options"),
    Output("nrn-set", "value"),
    Output("nrn-set-against", "options"),
    Input("nrn-tab", "active_tab"),
    Input("nrn-known-sets", "data"),
    Input("model", "data"),
    State("nrn-set", "value"),
    State("session", "data"),
)
def list_sets(tab: str, newest: str | None, model: Json, chosen: str | None, session: str) -> tuple[Json, Json, Json]:
    """The sets of the model in use; the newest one is chosen when it comes."""
    if tab != "lists":
        return no_update, no_update, no_update
    reply, _panel = ask_for(lambda: KnownChannelSets(spec_of(model)), session, "nrn-sets")
    if reply is None:
        return [], None, []
    known: KnownSets = reply.answer
    names = [s.name for s in known.sets]
    kept = next((name for name in (newest, chosen) if name in names), names[0] if names else None)
    options = options_of(known.sets)
    return options, chosen if newest is None and chosen in names else kept, options


@callback(
    Output("nrn-known-sets", "data"),
    Output("nrn-set-said", "children"),
    Output("nrn-set-error", "children"),
    Input("nrn-results-upload", "contents"),
    Input("nrn-results-path", "n_submit"),
    State("nrn-results-path", "value"),
    State("nrn-results-upload", "filename"),
    State("nrn-layer", "value"),
    State("nrn-vector", "value"),
    State("model", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
def open_results(
    contents: list[str] | None, _enter: int | None, path: str | None, names: list[str] | None, layer: Typed,
    vector: Typed, model: Json, session: str,
) -> tuple[Json, Node, Node]:  # fmt: skip
    """Take in results of others; the block and the vector above hold where the files name none."""
    typed = (path or "").strip() if ctx.triggered_id == "nrn-results-path" else ""
    if not typed and not contents:
        return no_update, no_update, no_update
    pairs = () if typed else zip(names or (), contents or (), strict=True)
    files = tuple((name, _base64(content)) for name, content in pairs)
    reply, panel = ask_for(
        lambda: OpenChannels(spec_of(model), files=files, path=typed, layer=layer, vector=vector), session, "nrn-open"
    )
    return (no_update, None, panel) if reply is None else (reply.answer.name, reply.answer.sentence, None)


@callback(
    Output("nrn-list-numbers", "data"),
    Output("nrn-list-said", "children"),
    Input("nrn-list-upload", "contents"),
    State("nrn-list-upload", "filename"),
    prevent_initial_call=True,
)
def open_list(content: str | None, name: str | None) -> tuple[Json, Node]:
    """The numbers of the neurons to run over."""
    if not content:
        return no_update, no_update
    reply, panel = ask_for(lambda: ReadNeuronList(name=(name or "list")[:200], content=_base64(content)))
    return (None, panel) if reply is None else (list(reply.answer.numbers), reply.answer.sentence)


@callback(
    Output("nrn-outliers", "data"),
    Output("nrn-outliers-said", "children"),
    Input("nrn-outliers-upload", "contents"),
    State("nrn-outliers-upload", "filename"),
    prevent_initial_call=True,
)
def open_tokens(content: str | None, name: str | None) -> tuple[Json, Node]:
    """The tokens that the run leaves out."""
    if not content:
        return no_update, no_update
    reply, panel = ask_for(lambda: KeepTokens(name=(name or "tokens")[:200], content=_base64(content)))
    return (None, panel) if reply is None else (reply.answer.key, reply.answer.sentence)


@callback(
    Output("nrn-known-sets", "data", allow_duplicate=True),
    Output("nrn-set-said", "children", allow_duplicate=True),
    Output("nrn-many-error", "children"),
    inputs={
        "clicks": Input("nrn-many", "n_clicks"),
        "numbers": State("nrn-list-numbers", "data"),
        "chosen": State("nrn-set", "value"),
        "form": {
            "layer": State("nrn-layer", "value"),
            "vector": State("nrn-vector", "value"),
            "channels": State("nrn-many-channels", "value"),
            "mask_z": State("nrn-many-mask", "value"),
            "optimiser": State("nrn-many-optimiser", "value"),
        },
        "outliers": State("nrn-outliers", "data"),
        "model": State("model", "data"),
        "session": State("session", "data"),
    },
    background=True,
    progress=[Output("nrn-many-bar", "value"), Output("nrn-many-state", "children")],
    progress_default=["0", ""],
    running=[(Output("nrn-many", "disabled"), True, False), (Output("nrn-many-stop", "disabled"), False, True)],
    cancel=[Input("nrn-many-stop", "n_clicks")],
    interval=500,
    prevent_initial_call=True,
)
def run_list(
    set_progress: Relay, clicks: int | None, numbers: list[int] | None, chosen: str | None, form: dict[str, Typed],
    outliers: str | None, model: Json, session: str,
) -> tuple[Json, Node, Node]:  # fmt: skip
    """The job over the list that was opened, or over the neurons, block and vector of the set that is chosen."""
    if not clicks:
        return no_update, no_update, no_update
    neurons = tuple(numbers or ())
    if not neurons and chosen:
        reply, panel = ask_for(lambda: KnownChannelSets(spec_of(model)))
        one = None if reply is None else next((s for s in reply.answer.sets if s.name == chosen), None)
        if one is None:
            return no_update, no_update, panel
        neurons, form = one.neurons, form | {"layer": one.layer, "vector": one.vector}
    if not neurons:
        said = "Open a list of neurons first, or choose a set whose neurons are to be run over."
        return no_update, no_update, user_error(said)
    job, panel = ask_job(
        lambda: FindMany(spec_of(model), neurons=neurons, outliers=outliers or "", **form), set_progress, session, TAB
    )
    return (no_update, no_update, panel) if job is None else (job.answer.name, job.answer.sentence, None)


@callback(
    Output("nrn-set-question", "data"),
    Output("nrn-set-error", "children", allow_duplicate=True),
    Input("nrn-set-read", "n_clicks"),
    State("nrn-set", "value"),
    State("nrn-set-against", "value"),
    State("model", "data"),
    State("session", "data"),
    background=True,
    progress=[Output("nrn-set-bar", "value"), Output("nrn-set-state", "children")],
    progress_default=["0", ""],
    running=[(Output("nrn-set-read", "disabled"), True, False), (Output("nrn-set-stop", "disabled"), False, True)],
    cancel=[Input("nrn-set-stop", "n_clicks")],
    interval=500,
    prevent_initial_call=True,
)
def read_set(
    set_progress: Relay, clicks: int | None, chosen: str | None, against: str | None, model: Json, session: str
) -> tuple[Json, Node]:
    """Read the set that is chosen, beside another."""
    if not clicks:
        return no_update, no_update
    if not chosen:
        return no_update, user_error(CHOOSE)
    reply, panel = ask_job(
        lambda: ReadChannels(spec_of(model), name=chosen, against=against or ""), set_progress, session, TAB
    )
    return (no_update, panel) if reply is None else (asdict(reply.question), None)


@callback(
    output={
        "table": Output("nrn-set-table", "children"),
        "words": Output("nrn-set-said", "children", allow_duplicate=True),
        "ref": SETS.ref,
    },
    inputs={"question": Input("nrn-set-question", "data")},
    prevent_initial_call=True,
)
def show_set(question: Json) -> Outputs:
    """The table of the set that was read."""
    reply: Reply[ChannelSetCard] = reply_of(question)
    return {"table": set_table(reply.answer), "words": reply.answer.sentence, "ref": ref_of(channel_set, reply)}


@callback(
    Output("nrn-set-file", "data"),
    Output("nrn-set-notes", "data"),
    Output("nrn-set-error", "children", allow_duplicate=True),
    Input("nrn-set-write", "n_clicks"),
    State("nrn-set", "value"),
    State("model", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
def write_set(clicks: int | None, chosen: str | None, model: Json, session: str) -> tuple[Json, Json, Node]:
    """The set as the official code keeps it: results.pt and metadata.json."""
    if not clicks:
        return no_update, no_update, no_update
    if not chosen:
        return no_update, no_update, user_error(CHOOSE)
    reply, panel = ask_for(lambda: WriteChannels(spec_of(model), name=chosen), session, "nrn-write")
    if reply is None:
        return no_update, no_update, panel
    file = {"content": reply.answer.content, "filename": "results.pt", "base64": True}
    return file, dcc.send_string(json.dumps(reply.answer.metadata, indent=1), "metadata.json"), None
