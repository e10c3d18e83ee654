"""Callbacks of the open feature: its card, the neurons it keeps, and the ways from it to the tabs."""

from __future__ import annotations

from typing import Any

from dash import Input, Output, State, callback, clientside_callback, ctx, dcc, no_update

from analysis.snmf.ops.factorization import FeatureCard
from components.kit.links import local
from components.snmf.card import context_rows, feature_card
from components.snmf.figures import neuron_bars
from pages.common import attempt, spec_of


@callback(
    Output("mlp-card", "children"),
    Output("mlp-contexts", "data"),
    Output("mlp-card-said", "children"),
    Output("mlp-card-title", "children"),
    Output("mlp-neurons", "figure"),
    Output("mlp-neurons-caption", "children"),
    Output({"settings": "mlp-neurons"}, "data"),
    Input("mlp-feature", "data"),
    Input("theme", "data"),
    State("mlp-facts", "data"),
    State("model", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
def show_card(feature: int | None, theme: str, facts: Any, model: Any, session: str) -> tuple[Any, ...]:
    """What the chosen feature is."""
    if feature is None or not facts:
        return (no_update,) * 7
    result, panel = attempt(lambda: FeatureCard(spec_of(model), facts["fit"], feature), session, "mlp-card")
    if result is None:
        return (None, None, panel, *[no_update] * 4)
    card = result.data
    unit = "neuron" if facts["site"] == "mlp_hidden" else "dimension"
    kept = len(card["neurons"])
    said = (
        f"{kept} of {facts['width']:,} {unit}s, the heaviest first; the whole has length 1. Blue adds, orange takes "
        f"away. Its null is the same weights on other {unit}s: it stands beside the feature in detection and steering."
    )
    links = [
        dcc.Link(str(n), href=local(f"/neurons?layer={facts['layer']}&vector=down&neuron={n}"))
        for n in [row["neuron"] for row in card["neurons"][:8]]
    ]
    caption = [said, " What they are alone: ", *spaced(links), "."] if unit == "neuron" and links else said
    settings = {"fit": facts["fit"], "feature": feature, "label": card["label"], "neurons": card["neurons"]}
    title = f"{feature}: {card['label']}"
    contexts = {"top": context_rows(card["contexts"]), "random": context_rows(card["random_contexts"])}
    figure = neuron_bars(card["neurons"], theme, unit)
    return feature_card(card), contexts, card["sentence"], title, figure, caption, settings


clientside_callback(
    "dash_clientside.attune_features.contexts",
    Output("mlp-contexts-top", "data-drawn"),
    Input("mlp-contexts", "data"),
)


def spaced(parts: list[Any]) -> list[Any]:
    """Parts with commas between them."""
    return [p for part in parts for p in (part, ", ")][:-1]


@callback(
    Output("mlp-tab", "active_tab"),
    Input("mlp-to-steer", "n_clicks"),
    Input("mlp-to-overlap", "n_clicks"),
    Input("mlp-to-tree", "n_clicks"),
    prevent_initial_call=True,
)
def go(*_clicks: Any) -> Any:
    """Open the tab that a button of the card leads to."""
    return {"mlp-to-steer": "steer", "mlp-to-overlap": "overlap", "mlp-to-tree": "tree"}.get(str(ctx.triggered_id))
