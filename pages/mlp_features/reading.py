"""Callback of a typed sentence: tokens x features, the features held fixed."""

from __future__ import annotations

import numpy as np
from dash import Input, Output, State, callback, clientside_callback, html, no_update

from analysis.snmf.answers.factorization import TextReading
from analysis.snmf.ops.factorization import FeatureReading
from components.kit.card import UNCHANGED
from components.kit.token import token
from components.kit.types import Json, Node, Outputs
from components.snmf.maps import reading_map
from pages.cards import content
from pages.common import ask_for, spec_of
from pages.mlp_features.cards import READING
from pages.mlp_features.state import table_of


@callback(
    output={
        "card": READING.outputs,
        "strip": Output("mlp-strip", "children"),
        "problem": Output("mlp-reading-error", "children"),
    },
    inputs={
        "text": Input("mlp-text", "value"),
        "question": Input("mlp-facts", "data"),
        "tab": Input("mlp-tab", "active_tab"),
        "chosen": Input("mlp-feature", "data"),
        "theme": State("theme", "data"),
        "model": State("model", "data"),
        "session": State("session", "data"),
    },
    prevent_initial_call=True,
)
def read(
    text: str | None, question: Json, tab: str, chosen: int | None, theme: str, model: Json, session: str
) -> Outputs:
    """The features that the sentence uses, and the sentence shaded by the feature that is open."""
    nothing = {"card": UNCHANGED, "strip": no_update, "problem": no_update}
    table = table_of(question)
    if table is None or tab != "reading":
        return nothing
    fit = table.answer.fit
    reply, panel = ask_for(lambda: FeatureReading(spec_of(model), fit, text or ""), session, "mlp-reading")
    if reply is None:
        return nothing | {"problem": panel}
    card = content(reading_map, reply, theme=theme)
    return {"card": card, "strip": strip(reply.answer, chosen), "problem": None}


def strip(reading: TextReading, chosen: int | None) -> list[Node]:
    """The sentence as tokens, shaded by the open feature if it is among those that the sentence uses."""
    numbers = [f.feature for f in reading.features]
    inside = chosen in numbers
    column = reading.activations[:, numbers.index(chosen)] if chosen in numbers else np.zeros(len(reading.labels))
    top = float(column.max(initial=0.0)) or 1.0
    spans = []
    for label, token_id, value in zip(reading.labels, reading.ids, column.tolist(), strict=True):
        span = token(label, token_id, title=f"feature {chosen}: {value:.3g}", style={"--shade": f"{value / top:.3f}"})
        span.className = f"{span.className} mlp-strip-token"
        spans.append(span)
    note = f"shaded by feature {chosen}" if inside else f"feature {chosen} is not among those most active here"
    return [*spans, html.Span(note, className="mlp-theme")]


clientside_callback(
    "dash_clientside.attune_features.cell",
    Output("mlp-picked", "data", allow_duplicate=True),
    Input("mlp-reading", "clickData"),
    State("mlp-reading", "figure"),
    prevent_initial_call=True,
)
