"""Callbacks of the binding: the matrix of this ply, the 64 unbound squares and the three colours."""

from __future__ import annotations

from typing import Any

from dash import Input, Output, State, callback, no_update

from analysis.othello.squares import NAMES
from analysis.tpr.ops.reading import OthelloBinding
from components.kit.figure_card import blank
from components.othello.pieces import binding_heatmap, filler_plane
from pages.common import attempt

SAID = (
    "Each point is a square s: its unbound vector v = Bᵀ R_s. The logit of a colour is the dot product of v with that "
    "colour's star, so the regions between the lines are the classifier itself. Filled as the true board is."
)


@callback(
    Output("oth-plane", "figure"),
    Output("oth-plane-caption", "children"),
    Output({"settings": "oth-plane"}, "data"),
    Output("oth-matrix", "figure"),
    Output("oth-matrix-caption", "children"),
    Output({"settings": "oth-matrix"}, "data"),
    Output("oth-binding-said", "children"),
    Output("oth-binding-error", "children"),
    Input("oth-game", "data"),
    Input("oth-layer", "value"),
    Input("oth-labels", "value"),
    Input("oth-probe", "value"),
    Input("oth-tab", "active_tab"),
    Input("oth-facts", "data"),
    Input("theme", "data"),
    State("oth-source", "data"),
    State("session", "data"),
)
def show_binding(
    game: Any, layer: Any, labels: str, probe: str, tab: str, facts: Any, theme: str, source: str, session: str
) -> tuple[Any, ...]:
    """Take the residual vector under the cursor apart."""
    moves, ply = tuple(game["moves"]), int(game["ply"])
    if tab != "binding" or facts is None or layer is None:
        return (no_update,) * 8
    if not 1 <= ply <= 59:
        return blank(520, "Play a move first."), "", {}, blank(520, ""), "", {}, "", None
    result, panel = attempt(
        lambda: OthelloBinding(source, moves, ply, int(layer), labels, probe=probe), session, "oth-binding"
    )
    if result is None:
        return blank(520), "", {}, blank(520), "", {}, "", panel
    arrays = result.arrays
    settings = {"model": facts["facts"]["label"], "moves": list(moves[:ply]), "layer": layer, "probe": probe}
    roles, fillers = arrays["binding"].shape
    right = int((arrays["logits"].argmax(-1) == arrays["truth"]).sum())
    return (
        filler_plane(arrays["unbound"], arrays["fillers"], arrays["truth"], NAMES, theme),
        SAID,
        settings,
        binding_heatmap(arrays["binding"], theme),
        f"B(h) = Σ_d h_d M_d: {roles} role coordinates by {fillers} filler coordinates, in the coordinates of the fit.",
        settings,
        f"block {layer}, ply {ply}: {right} of 64 squares lie on the right side of the lines",
        None,
    )
