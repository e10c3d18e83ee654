"""Callbacks of measuring a model's neurons: a job, since without random vectors' channels nothing can be said."""

from __future__ import annotations

from dash import Input, Output, State, callback, no_update

from analysis.rotate.ops.neurons import MeasureNull
from components.kit.types import Json, Node, Relay
from components.rotate.lists import attractor_table
from components.rotate.parts import null_parts
from pages.cards import ref_of
from pages.common import ask_job, reply_of, spec_of
from pages.frame.drawn import tree
from pages.neurons.cards import NULL
from pages.neurons.state import PATH, known_of


@callback(
    Output("nrn-measured", "data"),
    Output("nrn-measure-problem", "children"),
    Input("nrn-measure", "n_clicks"),
    State("nrn-measured", "data"),
    State("model", "data"),
    State("session", "data"),
    background=True,
    progress=[Output("nrn-measure-bar", "value"), Output("nrn-measure-state", "children")],
    progress_default=["0", ""],
    running=[
        (Output("nrn-measure", "disabled"), True, False),
        (Output("nrn-measure-stop", "disabled"), False, True),
    ],
    cancel=[Input("nrn-measure-stop", "n_clicks")],
    interval=500,
    prevent_initial_call=True,
)
def measure(set_progress: Relay, clicks: int | None, turn: int, model: Json, session: str) -> tuple[Json, Node]:
    """The job; when it is done, what is known of the model is asked again."""
    if not clicks:
        return no_update, no_update
    reply, panel = ask_job(lambda: MeasureNull(spec_of(model)), set_progress, session, PATH)
    return (no_update, panel) if reply is None else ((turn or 0) + 1, None)


@callback(
    Output("nrn-null-said", "children"), Output("nrn-attractors-tree", "data"), NULL.ref, Input("nrn-facts", "data")
)
def show_null(facts: Json) -> tuple[str, Json, Json]:
    """What random vectors give, and the tokens on which they land."""
    known = known_of(facts)
    if known is None:
        return no_update, no_update, no_update
    if known.null is None:
        return known.why_not, [], None
    words = (
        f"{known.null.sentence} A channel counts as beyond the null if at most one in twenty of them has any channel "
        f"that its own vector favours as much. {known.caption}"
    )
    return words, tree(attractor_table(known.null.attractors)), ref_of(null_parts, reply_of(facts))
