"""Callbacks of the tree: which concept stands at its top, the threshold, clicks on its nodes."""

from __future__ import annotations

from collections.abc import Sequence

from dash import Input, Output, State, callback, clientside_callback, ctx, no_update

from analysis.snmf.answers.factorization import Concept, ConceptGraph
from analysis.snmf.ops.factorization import FeatureTree
from components.kit.card import UNCHANGED
from components.kit.panels import user_error
from components.kit.types import Json, Node, Outputs, Typed
from components.snmf.parts import concept_parts
from components.snmf.tree import TreeOptions, concept_tree, outline, roots_of, start_root
from pages.cards import content, ref_of
from pages.common import ask_for, spec_of
from pages.mlp_features.cards import CONCEPT, TREE
from pages.mlp_features.state import Start, node_of, table_of


@callback(
    output={
        "options": Output("mlp-root", "options"),
        "root": Output("mlp-root", "value"),
        "card": TREE.outputs,
        "outline": Output("mlp-outline", "children"),
        "concept": CONCEPT.ref,
        "threshold": Output("mlp-threshold-said", "children"),
        "problem": Output("mlp-tree-error", "children"),
    },
    inputs={
        "question": Input("mlp-facts", "data"),
        "tab": Input("mlp-tab", "active_tab"),
        "threshold": Input("mlp-threshold", "value"),
        "root": Input("mlp-root", "value"),
        "only": Input("mlp-root-only", "value"),
        "node": Input("mlp-node", "data"),
        "feature": Input("mlp-feature", "data"),
        "theme": State("theme", "data"),
        "start": State("mlp-start", "data"),
        "model": State("model", "data"),
        "session": State("session", "data"),
    },
    prevent_initial_call=True,
)
def show_tree(
    question: Json, tab: str, threshold: Typed, root: str | None, only: bool, node: Json, feature: int | None,
    theme: str, start: Json, model: Json, session: str,
) -> Outputs:  # fmt: skip
    """The concepts that have parts at this threshold, and one of them with its descendants, drawn and as a list."""
    parts = ("options", "root", "outline", "concept", "threshold", "problem")
    nothing = {"card": UNCHANGED, **dict.fromkeys(parts, no_update)}
    table = table_of(question)
    if table is None or tab != "tree":
        return nothing
    fit = table.answer.fit
    reply, panel = ask_for(lambda: FeatureTree(spec_of(model), fit, threshold), session, "mlp-tree")
    if reply is None:
        return nothing | {"problem": panel}
    tree = reply.answer
    triggers = set(ctx.triggered_prop_ids.values())
    wanted = [node_of(node)] if "mlp-node" in triggers else []
    # What another fit had at its top means nothing here; what the address names is for the fit that it names.
    wanted += [] if "mlp-facts" in triggers else [str(root)]
    opening = Start.from_dict(start)
    wanted += [str(opening.root)] if opening.names(fit) else []
    rows, top, problem = top_of(tree, wanted, feature if only else None)
    if top is None:
        why = "this fit has no tree" if len(tree.levels) < 2 else "no weight reaches the threshold"
        card, concept = TREE.empty(why, tree.sentence), None
    else:
        options = TreeOptions(top, feature)
        card = content(concept_tree, reply, options=options, theme=theme)
        concept = ref_of(concept_parts, reply, options=options)
    return {
        "options": [{"label": f"{n.id}  {n.label}  ({count} below)", "value": n.id} for n, count in rows],
        "root": top,
        "card": card,
        "outline": outline(tree, top),
        "concept": concept,
        "threshold": f"{float(threshold):.2f}",
        "problem": problem,
    }


def top_of(
    tree: ConceptGraph, wanted: Sequence[str], feature: int | None
) -> tuple[list[tuple[Concept, int]], str | None, Node]:
    """The concepts to choose from, the one at the top, and a panel if none holds ``feature``."""
    rows, problem = roots_of(tree, feature), None
    if feature is not None and not rows:
        problem = user_error(
            f"No concept of a higher level holds feature {feature} at this threshold. Lower it to see where it goes."
        )
        feature, rows = None, roots_of(tree)
    known = {n.id: n for n in tree.nodes if n.level > 1}
    listed = {n.id for n, _ in rows}
    allowed = known.keys() if feature is None else listed
    top = next((n for n in wanted if n in allowed), None) or start_root(tree, feature)
    if top is not None and top not in listed:
        rows = [(known[top], 0), *rows]  # stays at the top, though nothing below it reaches the threshold
    return rows, top, problem


@callback(
    Output("mlp-root-only", "value"),
    Input("mlp-to-tree", "n_clicks"),
    prevent_initial_call=True,
)
def follow(_clicks: int | None) -> bool:
    """“Where it merges” asks for the concepts that hold the open feature."""
    return True


clientside_callback(
    "dash_clientside.attune_features.node",
    Output("mlp-node", "data"),
    Input("mlp-tree", "clickData"),
    prevent_initial_call=True,
)
