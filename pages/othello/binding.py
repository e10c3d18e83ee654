"""Callbacks of the binding: the matrix of this ply, the 64 unbound squares and the three colours."""

from __future__ import annotations

from dash import Input, Output, State, callback
from dash.exceptions import PreventUpdate

from analysis.tpr.ops.reading import OthelloBinding
from components.kit.types import Json, Outputs, Typed
from components.othello.views import OfModel, binding_matrix, unbound_squares
from pages.cards import content
from pages.common import ask_for, reply_of
from pages.othello.cards import MATRIX, PLANE
from pages.othello.state import Game, label_of, probes_of


@callback(
    output={
        "plane": PLANE.outputs,
        "matrix": MATRIX.outputs,
        "words": Output("oth-binding-said", "children"),
        "error": Output("oth-binding-error", "children"),
    },
    inputs={
        "data": Input("oth-game", "data"),
        "layer": Input("oth-layer", "value"),
        "labels": Input("oth-labels", "value"),
        "probe": Input("oth-probe", "value"),
        "tab": Input("oth-tab", "active_tab"),
        "figures": Input("oth-facts", "data"),
        "theme": State("theme", "data"),
        "source": State("oth-source", "data"),
        "session": State("session", "data"),
    },
)
def show_binding(
    data: Json, layer: Typed, labels: str, probe: str, tab: str, figures: Json, theme: str, source: str, session: str
) -> Outputs:
    """Take the residual vector under the cursor apart."""
    if tab != "binding" or figures is None or layer is None:
        raise PreventUpdate
    game = Game.from_dict(data)
    if not game.readable:
        plane = PLANE.empty("Play a move first.")
        return {"plane": plane, "matrix": MATRIX.empty(), "words": "", "error": None}
    reply, panel = ask_for(
        lambda: OthelloBinding(
            source, game.moves, game.ply, int(layer), labels, probe=probe, probes=probes_of(figures)
        ),
        session,
        "oth-binding",
    )
    if reply is None:
        return {"plane": PLANE.empty(), "matrix": MATRIX.empty(), "words": "", "error": panel}
    right = int((reply.answer.logits.argmax(-1) == reply.answer.truth).sum())
    of_model = OfModel(label_of(source, figures))
    return {
        "plane": content(unbound_squares, reply, reply_of(figures), options=of_model, theme=theme),
        "matrix": content(binding_matrix, reply, options=of_model, theme=theme),
        "words": f"block {layer}, ply {game.ply}: {right} of 64 squares lie on the right side of the lines",
        "error": None,
    }
