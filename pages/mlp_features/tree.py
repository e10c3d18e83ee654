"""Callbacks of the tree: which concept stands at its top, the threshold, clicks on its nodes."""

from __future__ import annotations

from typing import Any

from dash import Input, Output, State, callback, clientside_callback, ctx, no_update

from analysis.snmf.ops.factorization import FeatureTree
from components.kit.figure_card import blank
from components.kit.panels import user_error
from components.snmf.tree import outline, place, roots_of, start_root, tree_figure
from pages.common import attempt, spec_of

HEIGHT = 560


@callback(
    Output("mlp-root", "options"),
    Output("mlp-root", "value"),
    Output("mlp-tree", "figure"),
    Output("mlp-tree-caption", "children"),
    Output({"settings": "mlp-tree"}, "data"),
    Output("mlp-outline", "children"),
    Output("mlp-threshold-said", "children"),
    Output("mlp-tree-error", "children"),
    Input("mlp-facts", "data"),
    Input("mlp-tab", "active_tab"),
    Input("mlp-threshold", "value"),
    Input("mlp-root", "value"),
    Input("mlp-root-only", "value"),
    Input("mlp-node", "data"),
    Input("mlp-feature", "data"),
    Input("theme", "data"),
    State("mlp-start", "data"),
    State("model", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
def show_tree(
    facts: Any, tab: str, threshold: Any, root: str | None, only: bool, node: Any, feature: int | None, theme: str,
    start: Any, model: Any, session: str,
) -> tuple[Any, ...]:  # fmt: skip
    """The concepts that have parts at this threshold, and one of them with its descendants, drawn and as a list."""
    if not facts or tab != "tree":
        return (no_update,) * 8
    result, panel = attempt(lambda: FeatureTree(spec_of(model), facts["fit"], threshold), session, "mlp-tree")
    if result is None:
        return (*[no_update] * 7, panel)
    tree, share = result.data, float(threshold)
    triggers = set(ctx.triggered_prop_ids.values())
    wanted = [str((node or {}).get("node"))] if "mlp-node" in triggers else []
    # What another fit had at its top means nothing here; what the address names is for the fit that it names.
    wanted += [] if "mlp-facts" in triggers else [str(root)]
    wanted += [str(start.get("root"))] if start and start.get("fit") in ("", facts["fit"]) else []
    rows, value, problem = top_of(tree, wanted, feature if only else None)
    options = [{"label": f"{n['id']}  {n['label']}  ({count} below)", "value": n["id"]} for n, count in rows]
    said = f"{share:.2f}"
    if value is None:
        why = "this fit has no tree" if len(tree["levels"]) < 2 else "no weight reaches the threshold"
        empty = blank(HEIGHT, why)
        return options, value, empty, tree["sentence"], None, outline(tree, None), said, problem
    drawn = place(tree, value)
    settings = {"fit": facts["fit"], "root": value, "threshold": share, "edges": drawn.edges}
    figure = tree_figure(tree, value, feature, theme, HEIGHT)
    return options, value, figure, caption(tree, value), settings, outline(tree, value), said, problem


def top_of(
    tree: dict[str, Any], wanted: list[str], feature: int | None
) -> tuple[list[tuple[dict[str, Any], int]], str | None, Any]:
    """The concepts to choose from, the one at the top, and a panel if none holds ``feature``."""
    rows, problem = roots_of(tree, feature), None
    if feature is not None and not rows:
        problem = user_error(
            f"No concept of a higher level holds feature {feature} at this threshold. Lower it to see where it goes."
        )
        feature, rows = None, roots_of(tree)
    known = {n["id"]: n for n in tree["nodes"] if n["level"] > 1}
    listed = {n["id"] for n, _ in rows}
    allowed = known.keys() if feature is None else listed
    value = next((n for n in wanted if n in allowed), None) or start_root(tree, feature)
    if value is not None and value not in listed:
        rows = [(known[value], 0), *rows]  # stays at the top, though nothing below it reaches the threshold
    return rows, value, problem


def caption(tree: dict[str, Any], root: str) -> str:
    """What is drawn, what was left out, and what the drawing cannot say."""
    drawn = place(tree, root)
    left = f" {drawn.left_out} weaker ones are left out to fit the page; raise the threshold." if drawn.left_out else ""
    return (
        f"{tree['sentence']} Drawn: {root} and {len(drawn.x) - 1} below it, {len(drawn.shared)} of them shared.{left} "
        "The width of a line is the weight, as a share of the parent's largest. Any weights draw a tree: whether a "
        "branch means something is to be read off its contexts. Click a lowest concept to open its card, another to "
        "see it from the top."
    )


@callback(
    Output("mlp-root-only", "value"),
    Input("mlp-to-tree", "n_clicks"),
    prevent_initial_call=True,
)
def follow(_clicks: Any) -> bool:
    """“Where it merges” asks for the concepts that hold the open feature."""
    return True


clientside_callback(
    "dash_clientside.attune_features.node",
    Output("mlp-node", "data"),
    Input("mlp-tree", "clickData"),
    prevent_initial_call=True,
)
