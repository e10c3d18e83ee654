"""Callbacks of the search for channels: the job and its descent, cards, exclusions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from dash import Input, Output, State, callback, clientside_callback, ctx, no_update

from analysis.errors import UserError
from analysis.rotate.answers.channels import Channel, DescentPart, NullBands
from analysis.rotate.answers.neurons import NeuronsKnown, Place
from analysis.rotate.ops.channels import FindChannels
from analysis.rotate.ops.neurons import NeuronVector
from components.kit.card import Content
from components.kit.figure_card import blank
from components.kit.panels import empty
from components.kit.types import Facts, Json, Node, Relay, Typed
from components.rotate.cards import banner, channel_cards, channel_choice
from components.rotate.channel_figures import OpenChannel, descent, descent_lines
from components.rotate.lists import chips
from components.rotate.parts import neuron_channels
from pages.cards import content, ref_of
from pages.common import ask_job, refusal
from pages.frame.drawn import tree
from pages.neurons.cards import CHANNELS, DESCENT
from pages.neurons.state import (
    PATH,
    SETTINGS,
    Autostart,
    Pick,
    channels_of,
    known_of,
    neuron_of,
    pick_of,
    place_of,
    question_of,
    search_of,
    tokens_of,
)
from pages.presses import Press, queue_callbacks, settle

WAITING = "the descent is drawn while it runs"


def is_ready(known: NeuronsKnown, search: FindChannels) -> bool:
    """Whether channels made beforehand answer a search."""
    place = place_of(search)
    row = next((r for r in known.bundled if place == Place(r.layer, r.vector, r.neuron)), None)
    return row is not None and search.channels <= row.channels and search.ready


@callback(
    Output("nrn-auto", "data"),
    Output("nrn-excluded", "data"),
    Input("nrn-neuron", "data"),
    State("nrn-excluded", "data"),
    State("nrn-facts", "data"),
    State("nrn-start", "data"),
    State("nrn-auto", "data"),
    *[State(f"nrn-{name}", "value") for name in SETTINGS],
    prevent_initial_call=True,
)
def prepare(neuron: Json, excluded: Json, facts: Json, start: Json, auto: Json, *values: Typed) -> tuple[Json, Json]:
    """Which tokens are left out; and whether to begin unasked: where the answer is there already, or where the address
    names a channel, so that it was computed before."""
    vector, known, last = neuron_of(neuron), known_of(facts), Autostart.from_dict(auto)
    if vector is None or known is None:
        return no_update, no_update
    place = place_of(vector)
    rows = excluded or []
    if last is not None and last.place != place:
        rows = []  # tokens are left out of one neuron's search
    try:
        go = is_ready(known, search_of(vector, values, tokens_of(rows)))
    except UserError:
        go = False
    if last is None:
        go = go or (pick_of(start).channel is not None and known.measured)
    return asdict(Autostart(place, go, 1 if last is None else last.turn + 1)), rows


@callback(Output("nrn-excluded-done", "data"), Input("nrn-excluded-presses", "data"), prevent_initial_call=True)
def change_excluded(presses: Json) -> Json:
    """The tokens left out after all that was pressed."""
    return settle(presses, exclusions)[0] if presses else no_update


def exclusions(excluded: Json, press: Press) -> Json:
    """The tokens left out after one press, each with its id and its text."""
    others = [row for row in excluded or [] if row["id"] != press["id"]]
    return [*others, {"id": int(press["id"]), "token": str(press["token"])}] if press["kind"] == "skip" else others


queue_callbacks("nrn-excluded", Input("nrn-neuron", "data"))


@callback(Output("nrn-chips", "children"), Input("nrn-excluded", "data"), prevent_initial_call=True)
def draw_chips(excluded: Json) -> Node:
    """The tokens left out, each with a button that takes it back."""
    return chips(tokens_of(excluded))


# The answer goes through the browser into its store. Named as an output, all that shows channels would wait for the
# job whenever another neuron is opened meanwhile.
clientside_callback(
    "dash_clientside.attune_neurons.take",
    Output("nrn-sink", "title"),
    Input("nrn-answer", "data"),
    State("nrn-neuron", "data"),
    prevent_initial_call=True,
)


@callback(
    Output("nrn-answer", "data"),
    Output("nrn-run-error", "children"),
    Input("nrn-go", "n_clicks"),
    Input("nrn-auto", "data"),
    State("nrn-neuron", "data"),
    State("nrn-excluded", "data"),
    State("nrn-facts", "data"),
    State("nrn-found", "data"),
    *[State(f"nrn-{name}", "value") for name in SETTINGS],
    State("theme", "data"),
    State("session", "data"),
    background=True,
    progress=[
        Output("nrn-bar", "value"),
        Output("nrn-state", "children"),
        Output("nrn-descent", "figure", allow_duplicate=True),
    ],
    progress_default=["0", "", blank(290, WAITING)],
    running=[(Output("nrn-go", "disabled"), True, False), (Output("nrn-stop", "disabled"), False, True)],
    cancel=[Input("nrn-stop", "n_clicks")],
    interval=400,
    prevent_initial_call=True,
)
def find(
    set_progress: Relay, clicks: int | None, auto: Json, neuron: Json, excluded: Json, facts: Json, before: Json,
    *rest: Any,
) -> tuple[Json, Node]:  # fmt: skip
    """The job, with the descent drawn as it runs; pressed where an answer is ready, it is computed all the same."""
    *values, theme, session = rest
    pressed = ctx.triggered_id == "nrn-go"
    vector, known, start = neuron_of(neuron), known_of(facts), Autostart.from_dict(auto)
    if vector is None or known is None or not (pressed or (start is not None and start.go)):
        return no_update, None
    try:
        search = search_of(vector, values, tokens_of(excluded))
    except UserError as error:
        return no_update, refusal(error, FindChannels)
    if pressed and is_ready(known, search):
        search = replace(search, fresh=True)
    null = last_null(before, search)
    trace: dict[int, list[tuple[float, ...]]] = {}

    def relay(bar: tuple[str, str], facts: Facts) -> None:
        if facts.get("trace"):
            part = DescentPart(**facts["trace"])
            rows = zip(part.step, part.loss, part.kurtosis, part.cosine, strict=True)
            trace[part.channel] = [(part.channel, *row) for row in rows]
        lines = [row for rows in trace.values() for row in rows]
        set_progress((*bar, descent_lines(lines, max(trace), null, theme) if trace else no_update))

    link = f"{PATH}?layer={search.layer}&vector={search.vector}&neuron={search.neuron}&channel=1"
    reply, panel = ask_job(lambda: search, set_progress, session, link, relay)
    return (no_update, panel) if reply is None else (asdict(reply.question), None)


def last_null(question: Json, search: FindChannels) -> NullBands | None:
    """Where random vectors ended in the last run, if they were searched alike: they end there again, unless the weights
    have changed."""
    last = channels_of(question, question and question["params"])
    if last is None or question_of(last).model != search.model or not (search.usual and question_of(last).usual):
        return None
    return last.answer.null


@callback(
    Output("nrn-channel", "data"),
    Input("nrn-found", "data"),
    Input("nrn-asked", "data"),
    Input("nrn-picked", "data"),
    Input("nrn-neuron", "data"),
    State("nrn-channel", "data"),
    State("nrn-start", "data"),
    prevent_initial_call=True,
)
def choose_channel(search: Json, pressed: Json, picked: Json, neuron: Json, now: int | None, start: Json) -> int | None:
    """The channel that histogram, descent and ablation are about."""
    channels, vector = channels_of(search, neuron), neuron_of(neuron)
    if channels is None or vector is None:
        return None
    triggers = set(ctx.triggered_prop_ids.values())
    press = ChannelPress(**pressed) if pressed and "nrn-asked" in triggers else None
    channel = chosen_channel(channels.answer.channels, vector, press, pick_of(picked), now, pick_of(start))
    return no_update if channel == now else channel


@dataclass(frozen=True)
class ChannelPress:
    """A press on a channel: on its card, or in the row from which one is taken out."""

    channel: int
    turn: float = 0


def chosen_channel(
    channels: Sequence[Channel],
    neuron: NeuronVector,
    press: ChannelPress | None,
    picked: Pick,
    now: int | None,
    start: Pick,
) -> int:
    """The number of the channel that is open after what was pressed: that which was asked for, else the first that is
    beyond the null, else the first."""
    place = place_of(neuron)
    wanted: list[int | None] = []
    if press is not None:
        wanted.append(press.channel)
    elif (picked.layer, picked.vector, picked.neuron) == (place.layer, place.vector, place.neuron):
        wanted.append(picked.channel)
    if now is None and start.completed(place) == place:
        wanted.append(start.channel)
    wanted.append(now)
    first = next((c.number for c in channels if c.beyond), 1)
    return next((n for n in wanted if n is not None and 1 <= n <= len(channels)), first)


@callback(
    Output("nrn-banner", "children"),
    Output("nrn-cards-tree", "data"),
    Output("nrn-ab-choice", "children"),
    CHANNELS.ref,
    Input("nrn-found", "data"),
    Input("nrn-channel", "data"),
    Input("nrn-neuron", "data"),
    State("nrn-facts", "data"),
    prevent_initial_call=True,
)
def show_channels(search: Json, chosen: int | None, neuron: Json, facts: Json) -> tuple[Node, Json, Node, Json]:
    """The verdict and the cards of the open neuron."""
    reply = channels_of(search, neuron)
    if reply is None:
        known = known_of(facts)
        words = (
            "No channels of this neuron yet: press Run."
            if known is not None and known.measured
            else "Channels can be judged once this model's neurons have been measured: press Measure above."
        )
        return banner(words, False, (), ""), tree(empty(words)), empty(words), None
    answer = reply.answer
    null = answer.null
    low, middle, high = null.own_z
    source = f"{answer.source[:1].upper()}{answer.source[1:]}"
    words = (
        f"Null: {null.vectors} random vectors, whose best channels have own z {low:.1f} to {high:.1f} (half below "
        f"{middle:.1f}). {source.partition(' by ')[0]}."
    )
    how = (
        f"{answer.recipe} Own z is the mean z of the neuron itself on a channel's tokens; the channels of random "
        f"vectors were found by {null.manner}. {source}."
    )
    top = banner(answer.verdict, answer.nothing, answer.left_out, words, how.strip())
    cards, choice = channel_cards(answer.channels, null, chosen), channel_choice(answer.channels, chosen)
    return top, tree(cards), choice, ref_of(neuron_channels, reply, options=OpenChannel(chosen))


@callback(
    output=DESCENT.outputs,
    inputs={
        "search": Input("nrn-found", "data"),
        "chosen": Input("nrn-channel", "data"),
        "neuron": Input("nrn-neuron", "data"),
        "theme": State("theme", "data"),
    },
    prevent_initial_call=True,
)
def show_descent(search: Json, chosen: int | None, neuron: Json, theme: str) -> Content:
    """The descent of all channels of the open neuron."""
    channels = channels_of(search, neuron)
    if channels is None:
        return DESCENT.empty(WAITING)
    return content(descent, channels, options=OpenChannel(chosen), theme=theme)


@callback(
    Output("nrn-stale", "children"),
    Output("nrn-go", "children"),
    Input("nrn-found", "data"),
    Input("nrn-excluded", "data"),
    Input("nrn-neuron", "data"),
    *[Input(f"nrn-{name}", "value") for name in SETTINGS],
    prevent_initial_call=True,
)
def say_stale(search: Json, excluded: Json, neuron: Json, *values: Typed) -> tuple[str, str]:
    """Whether the channels shown are those of the settings shown."""
    channels = channels_of(search, neuron)
    if channels is None:
        return "", "Run"
    shown, without = question_of(channels), tuple(token.id for token in tokens_of(excluded))
    typed = dict(zip(SETTINGS, values, strict=True)) | {"excluded": without}
    if all(getattr(shown, name) == value for name, value in typed.items()):
        return "", "Run again" if channels.answer.source == "computed here" else "Run here"
    difference = "other tokens left out" if len(without) != len(shown.excluded) else "other settings"
    return f"The channels shown were found with {difference}.", "Run again"
