"""Callbacks of the tree: which concept stands at its top, the threshold, clicks on its nodes."""

from __future__ import annotations

from typing import Any

from dash import Input, Output, State, callback, clientside_callback, ctx, no_update

from analysis.service.ops_mlp import FeatureTree
from components.feature_tree import outline, place, roots_of, start_root, tree_figure
from components.figure_card import blank
from components.panels import user_error
from pages.common import attempt, spec_of


@callback(
    Output("mlp-root", "options"),
    Output("mlp-root", "value"),
    Output("mlp-tree-error", "children"),
    Input("mlp-facts", "data"),
    Input("mlp-tab", "active_tab"),
    Input("mlp-threshold", "value"),
    Input("mlp-root-find", "n_clicks"),
    Input("mlp-root-all", "n_clicks"),
    Input("mlp-to-tree", "n_clicks"),
    Input("mlp-node", "data"),
    State("mlp-root", "value"),
    State("mlp-feature", "data"),
    State("mlp-start", "data"),
    State("model", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
def choose_root(
    facts: Any, tab: str, threshold: Any, _find: Any, _all: Any, _to: Any, node: Any, now: str | None,
    feature: int | None, start: Any, model: Any, session: str,
) -> tuple[Any, Any, Any]:  # fmt: skip
    """The concepts that have parts at this threshold, and the one that is drawn."""
    asked = {name.split(".")[0] for name in ctx.triggered_prop_ids}
    finds = asked & {"mlp-root-find", "mlp-to-tree"}
    if not facts or (tab != "tree" and not finds):
        return no_update, no_update, no_update
    if asked == {"mlp-node"} and str((node or {}).get("node", "")).startswith("1:"):
        return no_update, no_update, no_update
    result, panel = attempt(
        lambda: FeatureTree(spec_of(model), facts["fit"], _share(threshold)), session, "mlp-tree-roots"
    )
    if result is None:
        return no_update, no_update, panel
    tree = result.data
    rows = roots_of(tree, feature if finds else None)
    problem = None
    if finds and not rows:
        problem = user_error(
            f"No concept of a higher level contains feature {feature} at this threshold. Lower the threshold."
        )
        rows, finds = roots_of(tree), set()
    known = {n["id"]: n for n in tree["nodes"]}
    wanted = [str(node["node"])] if "mlp-node" in asked and node else []
    if not finds:
        wanted += [now or "", start.get("root") or ""] if "mlp-facts" not in asked else [start.get("root") or ""]
    value = next((n for n in wanted if n in known and known[n]["level"] > 1), None)
    if value is None:
        value = rows[0][0]["id"] if finds and rows else start_root(tree)
    if value is not None and value not in {n["id"] for n, _ in rows}:
        rows = [(known[value], 0), *rows]  # drawn, though nothing below it reaches the threshold
    return [{"label": _title(n, count), "value": n["id"]} for n, count in rows], value, problem


def _title(node: dict[str, Any], below: int) -> str:
    return f"{node['id']}  {node['label']}  ({below} below)"


def _share(threshold: Any) -> float:
    return -1.0 if threshold is None else float(threshold)


@callback(
    Output("mlp-tree", "figure"),
    Output("mlp-tree-caption", "children"),
    Output({"settings": "mlp-tree"}, "data"),
    Output("mlp-outline", "children"),
    Output("mlp-threshold-said", "children"),
    Output("mlp-tree-error", "children", allow_duplicate=True),
    Input("mlp-root", "value"),
    Input("mlp-threshold", "value"),
    Input("mlp-feature", "data"),
    Input("mlp-tab", "active_tab"),
    Input("theme", "data"),
    State("mlp-facts", "data"),
    State("model", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
def draw_tree(
    root: str | None, threshold: Any, feature: int | None, tab: str, theme: str, facts: Any, model: Any, session: str
) -> tuple[Any, ...]:
    """The concept and its descendants, drawn and as a list."""
    if not facts or tab != "tree":
        return (no_update,) * 6
    result, panel = attempt(
        lambda: FeatureTree(spec_of(model), facts["fit"], _share(threshold)), session, "mlp-tree-drawn"
    )
    if result is None:
        return (*[no_update] * 5, panel)
    tree = result.data
    said = f"{_share(threshold):.2f}"
    if root is None or all(n["id"] != root for n in tree["nodes"]):
        return blank(560, "this fit has no tree"), tree["sentence"], None, outline(tree, None), said, no_update
    drawn = place(tree, root)
    left = f" {drawn.left_out} weaker ones are left out to fit the page; raise the threshold." if drawn.left_out else ""
    caption = (
        f"{tree['sentence']} Drawn: {root} and {len(drawn.x) - 1} below it, {len(drawn.shared)} of them shared.{left} "
        "The width of a line is the weight, as a share of the parent's largest. Any weights draw a tree: whether a "
        "branch means something is to be read off its contexts. Click a lowest concept to open its card, another to "
        "see it from the top."
    )
    settings = {"fit": facts["fit"], "root": root, "threshold": threshold, "edges": drawn.edges}
    return tree_figure(tree, root, feature, theme), caption, settings, outline(tree, root), said, no_update


clientside_callback(
    "dash_clientside.attune_features.node",
    Output("mlp-node", "data", allow_duplicate=True),
    Input("mlp-tree", "clickData"),
    prevent_initial_call=True,
)
