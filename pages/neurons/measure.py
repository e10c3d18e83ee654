"""Callbacks of measuring a model's neurons: a job, since without random vectors' channels nothing can be said."""

from __future__ import annotations

from typing import Any

from dash import Input, Output, State, callback, no_update

from analysis.rotate.ops.neurons import MeasureNull
from components.rotate.cards import attractor_table
from pages.common import attempt_job, spec_of
from pages.frame.drawn import tree
from pages.neurons.state import PATH


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
def measure(set_progress: Any, clicks: int | None, turn: int, model: Any, session: str) -> tuple[Any, Any]:
    """The job; when it is done, what is known of the model is asked again."""
    if not clicks:
        return no_update, no_update
    result, panel = attempt_job(lambda: MeasureNull(spec_of(model)), set_progress, session, PATH)
    return (no_update, panel) if result is None else ((turn or 0) + 1, None)


@callback(Output("nrn-null-said", "children"), Output("nrn-attractors-tree", "data"), Input("nrn-facts", "data"))
def show_null(facts: Any) -> tuple[Any, Any]:
    """What random vectors give, and the tokens on which they land."""
    if not facts:
        return no_update, no_update
    null = facts["null"]
    if null is None:
        return facts["why_not"], []
    said = (
        f"{null['sentence']} A channel counts as beyond the null if at most one in twenty of them has any channel that "
        f"its own vector favours as much. {facts['caption']}"
    )
    return said, tree(attractor_table(null))
