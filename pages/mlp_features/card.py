"""Callbacks of the open feature: its card, the neurons it keeps, and whether it tells its theme."""

from __future__ import annotations

from collections.abc import Sequence

from dash import Input, Output, State, callback, clientside_callback, dcc, no_update

from analysis.snmf.ops.factorization import FeatureCard
from components.kit.card import UNCHANGED
from components.kit.links import local
from components.kit.types import Json, Node, Outputs
from components.snmf.card import context_rows, detection, feature_card
from components.snmf.figures import neuron_bars
from components.snmf.parts import feature_parts
from pages.cards import content, ref_of
from pages.common import ask_for, spec_of
from pages.mlp_features.cards import FEATURE, NEURONS
from pages.mlp_features.state import table_of


@callback(
    output={
        "card": Output("mlp-card", "children"),
        "evidence": Output("mlp-evidence", "children"),
        "contexts": Output("mlp-contexts", "data"),
        "sentence": Output("mlp-card-said", "children"),
        "title": Output("mlp-card-title", "children"),
        "neurons": NEURONS.outputs,
        "ref": FEATURE.ref,
    },
    inputs={
        "feature": Input("mlp-feature", "data"),
        "theme": State("theme", "data"),
        "question": State("mlp-facts", "data"),
        "model": State("model", "data"),
        "session": State("session", "data"),
    },
    prevent_initial_call=True,
)
def show_card(feature: int | None, theme: str, question: Json, model: Json, session: str) -> Outputs:
    """What the chosen feature is."""
    table = table_of(question)
    blank = dict.fromkeys(("card", "evidence", "contexts", "ref"))
    if feature is None or table is None:
        title, empty = FEATURE.title, NEURONS.empty("no feature is open")
        return blank | {"sentence": "No feature is open.", "title": title, "neurons": empty}
    fit, number = table.answer, feature
    reply, panel = ask_for(lambda: FeatureCard(spec_of(model), fit.fit, number), session, "mlp-card")
    if reply is None:
        return blank | {"sentence": panel, "title": no_update, "neurons": UNCHANGED}
    facts = reply.answer
    neurons = content(neuron_bars, reply, table, theme=theme)
    if fit.site == "mlp_hidden" and facts.neurons:
        links = [
            dcc.Link(str(n.neuron), href=local(f"/neurons?layer={fit.layer}&vector=down&neuron={n.neuron}"))
            for n in facts.neurons[:8]
        ]
        neurons["caption"] = [neurons["caption"], " Alone: ", *spaced(links), "."]
    return {
        "card": feature_card(facts),
        "evidence": detection(facts.detection),
        "contexts": {"top": context_rows(facts.contexts), "random": context_rows(facts.random_contexts)},
        "sentence": facts.sentence,
        "title": f"{number}: {facts.label}",
        "neurons": neurons,
        "ref": ref_of(feature_parts, reply),
    }


clientside_callback(
    "dash_clientside.attune_features.contexts",
    Output("mlp-contexts-top", "data-drawn"),
    Input("mlp-contexts", "data"),
)


def spaced(parts: Sequence[Node]) -> list[Node]:
    """Parts with commas between them."""
    return [p for part in parts for p in (part, ", ")][:-1]
