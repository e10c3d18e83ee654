"""Callbacks of the search for channels: the job and its descent, cards, exclusions, what channels have in common."""

from __future__ import annotations

from typing import Any

from dash import Input, Output, State, callback, clientside_callback, ctx, no_update

from analysis.errors import UserError
from analysis.rotate.ops.channels import FindChannels, OfChannels
from components.kit.figure_card import blank
from components.kit.panels import empty
from components.rotate.cards import banner, channel_cards, channel_choice, chips
from components.rotate.channel_figures import cosine_map, descent, rebuilding
from pages.common import attempt_job, refusal, spec_of
from pages.frame.drawn import tree
from pages.neurons.state import PATH, SETTINGS, asked
from pages.presses import Press, queue_callbacks, settle

NAMES = ("layer", "vector", "neuron")
_DIGITS = {"edges": 3, "counts": 0, "cosines": 4, "reconstruction": 4, "trace": 4}
WAITING = "the descent is drawn while it runs"


def found_of(found: Any, neuron: Any) -> Any:
    """What was found, if it was found in the open neuron; else None."""
    if not found or not neuron or any(found["of"][k] != neuron[k] for k in (*NAMES, "model")):
        return None
    return found


def ready(facts: Any, neuron: Any, fields: dict[str, Any]) -> bool:
    """Whether channels made beforehand answer these settings."""
    row = next((r for r in facts["bundled"] if all(r[k] == neuron[k] for k in NAMES)), None)
    return row is not None and fields["channels"] <= row["channels"] and OfChannels(**fields).ready


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
def prepare(neuron: Any, excluded: Any, facts: Any, start: Any, auto: Any, *values: Any) -> tuple[Any, Any]:
    """Which tokens are left out; and whether to begin unasked: where the answer is there already, or where the address
    names a channel, so that it was computed before."""
    excluded = list(excluded or [])
    if not neuron or not facts:
        return no_update, no_update
    first = auto is None
    if not first and auto["of"] != {k: neuron[k] for k in NAMES}:
        excluded = []  # tokens are left out of one neuron's search
    try:
        answer = ready(facts, neuron, asked(values, excluded))
    except UserError:
        answer = False
    linked = first and (start or {}).get("channel") is not None and facts["measured"]
    begun = {"of": {k: neuron[k] for k in NAMES}, "go": bool(answer or linked), "turn": (auto or {}).get("turn", 0) + 1}
    return begun, excluded


@callback(Output("nrn-excluded-done", "data"), Input("nrn-excluded-presses", "data"), prevent_initial_call=True)
def change_excluded(asked_of: Any) -> Any:
    """The tokens left out after all that was pressed."""
    return settle(asked_of, left_out)[0] if asked_of else no_update


def left_out(excluded: Any, press: Press) -> list[dict[str, Any]]:
    """The tokens left out after one press, each with its id and its text."""
    kept = [row for row in excluded or [] if row["id"] != press["id"]]
    return [*kept, {"id": int(press["id"]), "token": str(press["token"])}] if press["kind"] == "skip" else kept


queue_callbacks("nrn-excluded", Input("nrn-neuron", "data"))


@callback(Output("nrn-chips", "children"), Input("nrn-excluded", "data"), prevent_initial_call=True)
def draw_chips(excluded: Any) -> Any:
    """The tokens left out, each with a button that takes it back."""
    return chips(excluded or [])


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
    State("model", "data"),
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
    set_progress: Any, clicks: int | None, auto: Any, neuron: Any, excluded: Any, facts: Any, before: Any, *rest: Any
) -> tuple[Any, Any]:
    """The job, with the descent drawn as it runs; pressed where an answer is ready, it is computed all the same."""
    *values, model, theme, session = rest
    pressed = ctx.triggered_id == "nrn-go"
    if not neuron or (not pressed and not (auto or {}).get("go")):
        return no_update, None
    try:
        fields = asked(tuple(values), excluded)
    except UserError as error:
        return no_update, refusal(error, FindChannels)
    place = {k: neuron[k] for k in NAMES}
    fields |= place | {"fresh": pressed and ready(facts, neuron, fields)}
    # Random vectors end where they did in the last run, unless the weights have changed.
    null = before["null"] if before and OfChannels(**fields).usual and before["usual"] else None
    trace: dict[int, list[list[float]]] = {}

    def relay(progress: tuple[str, str], said: dict[str, Any]) -> None:
        part = said.get("trace")
        if part:
            rows = zip(part["step"], part["loss"], part["kurtosis"], part["cosine"], strict=True)
            trace[part["channel"]] = [[part["channel"], *row] for row in rows]
        drawn = [row for lines in trace.values() for row in lines]
        set_progress((*progress, descent(drawn, max(trace), null, theme) if trace else no_update))

    link = PATH + "?layer={layer}&vector={vector}&neuron={neuron}&channel=1".format(**place)
    result, panel = attempt_job(lambda: FindChannels(spec_of(model), **fields), set_progress, session, link, relay)
    if result is None:
        return no_update, panel
    plain = {k: v.round(_DIGITS.get(k, 4)).tolist() for k, v in result.arrays.items()}
    usual = OfChannels(**fields).usual
    fields["excluded"] = list(fields["excluded"])
    return {**result.data, **plain, "of": {**place, "model": neuron["model"]}, "fields": fields, "usual": usual}, None


@callback(
    Output("nrn-channel", "data"),
    Output("nrn-tab", "active_tab"),
    Input("nrn-found", "data"),
    Input("nrn-asked", "data"),
    Input("nrn-picked", "data"),
    Input("nrn-neuron", "data"),
    State("nrn-channel", "data"),
    State("nrn-start", "data"),
    prevent_initial_call=True,
)
def choose_channel(found: Any, pressed: Any, picked: Any, neuron: Any, now: int | None, start: Any) -> tuple[Any, Any]:
    """The channel that histogram, descent and ablation are about."""
    found = found_of(found, neuron)
    triggers = set(ctx.triggered_prop_ids.values())
    if not found:
        return None, no_update
    channel = chosen_channel(triggers, found, pressed, picked, neuron, now, start or {})
    tab = "ablation" if "nrn-asked" in triggers and (pressed or {}).get("ablate") else no_update
    return (no_update if channel == now else channel), tab


def chosen_channel(
    triggers: set[str], found: Any, pressed: Any, picked: Any, neuron: Any, now: int | None, start: dict[str, Any]
) -> int:
    """The number of the channel that is open after what was pressed: that which was asked for, else the first that is
    beyond the null, else the first."""
    count = len(found["channels"])
    wanted: list[Any] = []
    if "nrn-asked" in triggers and pressed:
        wanted.append(pressed["channel"])
    if picked and all(picked.get(k) == neuron[k] for k in NAMES) and "nrn-asked" not in triggers:
        wanted.append(picked.get("channel"))
    if all(start.get(k) in (None, neuron[k]) for k in NAMES) and now is None:
        wanted.append(start.get("channel"))
    wanted.append(now)
    first = next((c["number"] for c in found["channels"] if c["beyond"]), 1)
    return next((n for n in wanted if n is not None and 1 <= n <= count), first)


@callback(
    Output("nrn-banner", "children"),
    Output("nrn-cards-tree", "data"),
    Output("nrn-ab-choice", "children"),
    Input("nrn-found", "data"),
    Input("nrn-channel", "data"),
    Input("nrn-neuron", "data"),
    State("nrn-facts", "data"),
    prevent_initial_call=True,
)
def show_channels(found: Any, chosen: int | None, neuron: Any, facts: Any) -> tuple[Any, Any, Any]:
    """The verdict and the cards of the open neuron."""
    found = found_of(found, neuron)
    if not found:
        measured = (facts or {}).get("measured")
        said = (
            "No channels of this neuron yet: press Run."
            if measured
            else "Channels can be judged once this model's neurons have been measured: press Measure above."
        )
        return empty(said), [], empty(said)
    null = found["null"]
    low, middle, high = null["own_z"]
    said = (
        f"Null: the best channels of {null['vectors']} random vectors, found by {null['manner']}; their own z is "
        f"{low:.1f} to {high:.1f}, half of them below {middle:.1f}. Own z is the mean z of the neuron itself on a "
        f"channel's tokens. {found['source'][:1].upper()}{found['source'][1:]}."
    )
    if found["recipe"]:
        said = f"{found['recipe']} {said}"
    top = banner(found["verdict"], found["nothing"], found.get("left_out", []), said)
    return top, tree(channel_cards(found["channels"], null, chosen)), channel_choice(found["channels"], chosen)


@callback(
    Output("nrn-descent", "figure"),
    Output("nrn-descent-caption", "children"),
    Output({"settings": "nrn-descent"}, "data"),
    Input("nrn-found", "data"),
    Input("nrn-channel", "data"),
    Input("nrn-neuron", "data"),
    Input("theme", "data"),
    prevent_initial_call=True,
)
def show_descent(found: Any, chosen: int | None, neuron: Any, theme: str) -> tuple[Any, Any, Any]:
    """The descent of all channels of the open neuron."""
    found = found_of(found, neuron)
    if not found:
        return blank(290, WAITING), "", None
    caption = (
        f"Grey: where the best channels of {found['null']['vectors']} random vectors end, 90 % of them; dashed, half. "
        f"A line that ends inside is no more than chance. Vermilion: the channel that is open, or at work."
    )
    settings = {**found["of"], **found["settings"], "source": found["source"], "seconds": round(found["seconds"], 2)}
    return descent(found["trace"], chosen, found["null"], theme), caption, settings


@callback(
    Output("nrn-cosines", "figure"),
    Output("nrn-cosines-caption", "children"),
    Output({"settings": "nrn-cosines"}, "data"),
    Output("nrn-rebuilding", "figure"),
    Output("nrn-rebuilding-caption", "children"),
    Output({"settings": "nrn-rebuilding"}, "data"),
    Input("nrn-found", "data"),
    Input("nrn-neuron", "data"),
    Input("nrn-tab", "active_tab"),
    Input("theme", "data"),
    prevent_initial_call=True,
)
def show_geometry(found: Any, neuron: Any, tab: str, theme: str) -> tuple[Any, ...]:
    """Cosines between channels, and how much of the neuron they rebuild."""
    if tab != "geometry":
        return (no_update,) * 6
    found = found_of(found, neuron)
    if not found:
        empty_one = blank(440, "press Run on the tab Channels")
        return empty_one, "", None, empty_one, "", None
    import numpy as np

    settings = {**found["of"], **found["settings"]}
    low, middle, high = found["null"]["cosine"]
    about = (
        f"Channels of one neuron may overlap: each starts from the whole vector. Null: the best channels of "
        f"{found['null']['vectors']} random vectors have cosine {low:.2f} to {high:.2f} with theirs, half of them "
        f"below {middle:.2f}."
    )
    rest = (
        "Least squares on the first channels. The null is what as many unrelated vectors at the same cosines would "
        "rebuild: being near the neuron is enough for that, whatever the channels mean."
    )
    return (
        cosine_map(np.asarray(found["cosines"]), theme),
        about,
        settings,
        rebuilding(np.asarray(found["reconstruction"]), theme),
        rest,
        settings,
    )


@callback(
    Output("nrn-stale", "children"),
    Output("nrn-go", "children"),
    Input("nrn-found", "data"),
    Input("nrn-excluded", "data"),
    Input("nrn-neuron", "data"),
    *[Input(f"nrn-{name}", "value") for name in SETTINGS],
    prevent_initial_call=True,
)
def say_stale(found: Any, excluded: Any, neuron: Any, *values: Any) -> tuple[str, str]:
    """Whether the channels shown are those of the settings shown."""
    found = found_of(found, neuron)
    if not found:
        return "", "Run"
    now = {**dict(zip(SETTINGS, values, strict=True)), "excluded": [r["id"] for r in excluded or []]}
    if all(found["fields"][k] == v for k, v in now.items()):
        return "", "Run again" if found["source"] == "computed here" else "Run here"
    without = len(now["excluded"]) != len(found["fields"]["excluded"])
    said = "with other tokens left out" if without else "with other settings"
    return f"The channels shown were found {said}.", "Run again"
