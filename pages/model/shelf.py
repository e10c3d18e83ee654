"""The shelf on the Model page: what belongs to the model in use. What is pressed there goes through the script of files
(assets/frame/files.js), which says by the store "files-opened" that the shelf has changed."""

from __future__ import annotations

from dash import Input, Output, State, callback, no_update

from analysis.portable.ops.files import ListShelf
from components.frame.model_shelf import shelf_table, shelf_words
from components.kit.types import Json, Node
from pages.common import ask_for, client, spec_of


@callback(
    Output("shelf-rows", "children"),
    Output("shelf-of", "children"),
    Output("shelf-state", "data"),
    Input("pulse", "n_intervals"),
    Input("model", "data"),
    Input("files-opened", "data"),
    State("shelf-state", "data"),
)
def show_shelf(_pulse: int, model: Json, changed: Json, state: Json) -> tuple[Node, Node, Json]:
    """All that belongs to the model in use; asked anew when another model is used, it was loaded, or a file was opened
    or deleted."""
    spec = spec_of(model)
    resident = client().status().resident(spec)
    now = [spec.to_dict(), None if resident is None else resident.facts.fingerprint, changed]
    if now == state:
        return no_update, no_update, no_update
    reply, panel = ask_for(lambda: ListShelf(spec))
    if reply is None:
        return panel, "", now
    return shelf_table(reply.answer), shelf_words(reply.answer), now
