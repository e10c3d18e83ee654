"""Callbacks of the directions: a TPR probe's 192 against the linear probe's, and accuracy against parameters."""

from __future__ import annotations

from dash import Input, Output, State, callback, no_update
from dash.exceptions import PreventUpdate

from analysis.engine.client import Reply
from analysis.tpr.answers.model import ModelFigures
from analysis.tpr.ops.reading import OthelloDirections
from components.kit.card import UNCHANGED
from components.kit.types import Json, Outputs, Typed
from components.othello.board import cosine_board
from components.othello.position import CLASSES, cosines
from components.othello.views import OfModel, accuracy_by_parameters
from pages.cards import content, ref_of
from pages.common import ask_for, reply_of
from pages.othello.cards import COSINES, RANKS
from pages.othello.state import label_of, probes_of

MAIN = 52


@callback(
    Output("oth-roles-dim", "max"),
    Output("oth-roles-dim", "marks"),
    Output("oth-roles-dim", "value"),
    Input("oth-facts", "data"),
    State("oth-roles-dim", "value"),
)
def sizes(figures: Json, value: Typed) -> tuple[int, dict[str, str], Typed]:
    """The role dimensions that there are probes of."""
    if figures is None:
        raise PreventUpdate
    kinds = role_dims(figures)
    marks = {str(i): str(size) for i, (size, _kind) in enumerate(kinds)}
    main = next((i for i, (size, _kind) in enumerate(kinds) if size == MAIN), len(kinds) - 1)
    return max(1, len(kinds) - 1), marks, main if value is None or int(value) >= len(kinds) else value


def role_dims(figures: Json) -> tuple[tuple[int, str], ...]:
    """(role dimension, kind) of the TPR probes of the model on the page."""
    reply: Reply[ModelFigures] = reply_of(figures)
    return reply.answer.role_dims


@callback(
    output={
        "boards": Output("oth-board-directions", "data"),
        "boards_ref": COSINES.ref,
        "caption": Output("oth-cosine-caption", "children"),
        "words": Output("oth-directions-said", "children"),
        "ranks": RANKS.outputs,
        "error": Output("oth-directions-error", "children"),
    },
    inputs={
        "size": Input("oth-roles-dim", "value"),
        "layer": Input("oth-layer", "value"),
        "labels": Input("oth-labels", "value"),
        "tab": Input("oth-tab", "active_tab"),
        "figures": Input("oth-facts", "data"),
        "theme": State("theme", "data"),
        "source": State("oth-source", "data"),
        "session": State("session", "data"),
    },
)
def show_directions(
    size: Typed, layer: Typed, labels: str, tab: str, figures: Json, theme: str, source: str, session: str
) -> Outputs:
    """Three cosine boards of the probe with that many role coordinates, and the curve of all of them."""
    if tab != "directions" or figures is None or layer is None:
        raise PreventUpdate
    kinds = role_dims(figures)
    if not kinds:
        raise PreventUpdate
    _size, kind = kinds[min(int(size or 0), len(kinds) - 1)]
    reply, panel = ask_for(
        lambda: OthelloDirections(source, int(layer), kind, labels, probes=probes_of(figures)),
        session,
        "oth-directions",
    )
    if reply is None:
        unchanged = dict.fromkeys(("boards", "boards_ref", "caption", "words"), no_update)
        return unchanged | {"ranks": UNCHANGED, "error": panel}
    values = reply.answer.cosines
    return {
        "boards": {f"oth-cosine-{name}": cosine_board(values[:, i], name) for i, name in enumerate(CLASSES)},
        "boards_ref": ref_of(cosines, reply),
        "caption": reply.answer.caption,
        "words": reply.answer.words,
        "ranks": content(accuracy_by_parameters, reply, options=OfModel(label_of(source, figures)), theme=theme),
        "error": None,
    }
