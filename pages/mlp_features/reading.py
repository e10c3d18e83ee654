"""Callback of a typed sentence: tokens x features, the features held fixed."""

from __future__ import annotations

from typing import Any

import numpy as np
from dash import Input, Output, State, callback, clientside_callback, html, no_update

from analysis.snmf.ops.factorization import FeatureReading
from components.kit.token import token
from components.snmf.figures import reading_map
from pages.common import attempt, spec_of


@callback(
    Output("mlp-reading", "figure"),
    Output("mlp-reading-caption", "children"),
    Output({"settings": "mlp-reading"}, "data"),
    Output("mlp-strip", "children"),
    Output("mlp-reading-error", "children"),
    Input("mlp-text", "value"),
    Input("mlp-facts", "data"),
    Input("mlp-tab", "active_tab"),
    Input("mlp-feature", "data"),
    Input("theme", "data"),
    State("model", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
def read(
    text: str | None, facts: Any, tab: str, chosen: int | None, theme: str, model: Any, session: str
) -> tuple[Any, ...]:  # fmt: skip
    """The features that the sentence uses, and the sentence shaded by the feature that is open."""
    if not facts or tab != "reading":
        return (no_update,) * 5
    result, panel = attempt(lambda: FeatureReading(spec_of(model), facts["fit"], text or ""), session, "mlp-reading")
    if result is None:
        return (*[no_update] * 4, panel)
    data, values = result.data, result.arrays["activations"]
    caption = (
        f"{data['sentence']} Each row is a share of its own largest value here, so it says where, not how much; point "
        "at a cell for the number. Click a cell to open its feature."
    )
    settings = {"fit": facts["fit"], "text": text, "features": data["features"]}
    figure = reading_map(data["labels"], data["features"], values, theme)
    return figure, caption, settings, strip(data, values, chosen), None


def strip(data: dict[str, Any], values: np.ndarray, chosen: int | None) -> list[Any]:
    """The sentence as tokens, shaded by the open feature if it is among those that the sentence uses."""
    numbers = [f["feature"] for f in data["features"]]
    column = values[:, numbers.index(chosen)] if chosen in numbers else np.zeros(len(data["labels"]))
    top = float(column.max(initial=0.0)) or 1.0
    ids = data.get("ids") or [None] * len(data["labels"])
    spans = []
    for label, token_id, value in zip(data["labels"], ids, column.tolist(), strict=True):
        span = token(label, token_id, title=f"feature {chosen}: {value:.3g}", style={"--shade": f"{value / top:.3f}"})
        span.className = f"{span.className} mlp-strip-token"
        spans.append(span)
    inside = chosen in numbers
    said = f"shaded by feature {chosen}" if inside else f"feature {chosen} is not among those most active here"
    return [*spans, html.Span(said, className="mlp-theme")]


clientside_callback(
    "dash_clientside.attune_features.cell",
    Output("mlp-picked", "data", allow_duplicate=True),
    Input("mlp-reading", "clickData"),
    State("mlp-reading", "figure"),
    prevent_initial_call=True,
)
