"""One concept and what it is made of, drawn: levels as rows, the width of a line its weight, shared children marked.

The whole graph of a factorization has hundreds of nodes and cannot be read; a root and its descendants can. Children
stand in the order of their weight, a parent over the middle of its children, so that lines cross only where a child is
shared, which is what one wants to see. If the lowest row is too long for the page, the weakest children of each
concept are left out, and the number left out is said.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from dash import html

from components.kit.figure import Figure, figure
from components.kit.figure_card import blank
from components.kit.labels import escaped
from components.kit.theme import CATEGORIES

MOST, ACROSS = 44, 9
"""Places in the lowest row at 1,440 pixels: with labels that run down, and with labels that run across."""
PIXELS = 1240
SHARED = "#D55E00"
Node = dict[str, Any]


@dataclass
class Drawn:
    """A root and its descendants with places: ``x`` (slots) by id, edges drawn, and how many children are left out."""

    nodes: dict[str, Node]
    edges: list[dict[str, Any]]
    x: dict[str, float]
    width: int
    left_out: int
    shared: set[str] = field(default_factory=set)


def children_of(edges: list[dict[str, Any]]) -> dict[str, list[tuple[str, float]]]:
    """Children with weights by parent, the heaviest first."""
    found: dict[str, list[tuple[str, float]]] = {}
    for edge in edges:
        found.setdefault(edge["parent"], []).append((edge["child"], float(edge["weight"])))
    return {parent: sorted(rows, key=lambda r: -r[1]) for parent, rows in found.items()}


def descendants(children: dict[str, list[tuple[str, float]]], root: str) -> list[str]:
    """The root and all that can be reached from it, each once, the root first."""
    seen, waiting = {root: None}, [root]
    while waiting:
        for child, _ in children.get(waiting.pop(0), []):
            if child not in seen:
                seen[child] = None
                waiting.append(child)
    return list(seen)


def roots_of(tree: dict[str, Any], feature: int | None = None) -> list[tuple[Node, int]]:
    """Concepts above the lowest level that have children at this threshold, with the number of their descendants.

    The highest level first and in it those with most descendants; with ``feature`` only those that reach it.
    """
    children = children_of(tree["edges"])
    found = []
    for node in tree["nodes"]:
        if node["level"] > 1 and node["id"] in children:
            below = descendants(children, node["id"])
            if feature is None or f"1:{feature}" in below:
                found.append((node, len(below) - 1))
    return sorted(found, key=lambda row: (-row[0]["level"], -row[1], row[0]["number"]))


def start_root(tree: dict[str, Any], feature: int | None = None) -> str | None:
    """A root to open on: of the highest level, with a handful of descendants and, if there is one, a shared child;
    with ``feature`` one that reaches it."""
    children, shared = children_of(tree["edges"]), set(tree["shared"])
    rows = roots_of(tree, feature)
    if not rows:
        return None
    top = [row for row in rows if row[0]["level"] == rows[0][0]["level"]]

    def fit(row: tuple[Node, int]) -> tuple[bool, bool, float]:
        inside = shared & set(descendants(children, row[0]["id"]))
        return (not 4 <= row[1] <= 30, not inside, abs(row[1] - 12))

    return str(min(top, key=fit)[0]["id"])


def place(tree: dict[str, Any], root: str) -> Drawn:
    """Where everything below ``root`` stands; KeyError if there is no such concept."""
    nodes = {n["id"]: n for n in tree["nodes"]}
    if root not in nodes:
        raise KeyError(root)
    full = children_of(tree["edges"])
    most = max((len(rows) for rows in full.values()), default=1)
    everything = len(descendants(full, root))
    for limit in range(most, 0, -1):
        kept = {parent: rows[:limit] for parent, rows in full.items()}
        x, width = _slots(kept, root)
        if width <= MOST:
            break
    edges = [{"parent": p, "child": c, "weight": w} for p, rows in kept.items() if p in x for c, w in rows if c in x]
    shared = set(tree["shared"]) & set(x)
    return Drawn({i: nodes[i] for i in x}, edges, x, width, everything - len(x), shared)


def _slots(children: dict[str, list[tuple[str, float]]], root: str) -> tuple[dict[str, float], int]:
    x: dict[str, float] = {}
    used = 0

    def visit(node: str) -> None:
        nonlocal used
        x[node] = np.nan  # being placed: a child that is shared is placed by the first that reaches it
        below = [child for child, _ in children.get(node, []) if child not in x]
        for child in below:
            visit(child)
        if below:
            x[node] = float(np.mean([x[child] for child in below]))
        else:
            x[node] = float(used)
            used += 1

    visit(root)
    return x, used


def tree_figure(tree: dict[str, Any], root: str | None, chosen: int | None, theme: str, height: int = 560) -> Figure:
    """The root and its descendants. A node's customdata is its id ("level:number"); ``chosen``: the feature open."""
    if root is None:
        return blank(height, "no weight reaches the threshold" if tree["edges"] == [] else "choose a concept")
    drawn = place(tree, root)
    down = drawn.width > ACROSS
    top = max(n["level"] for n in drawn.nodes.values())
    ids = list(drawn.nodes)
    lines = [
        {
            "type": "line",
            "layer": "below",
            "x0": drawn.x[e["parent"]],
            "y0": drawn.nodes[e["parent"]]["level"],
            "x1": drawn.x[e["child"]],
            "y1": drawn.nodes[e["child"]]["level"],
            "line": {
                "width": 0.8 + 6.5 * e["weight"],
                "color": SHARED if e["child"] in drawn.shared else "#8a8f98",
            },
            "opacity": 0.75,
        }
        for e in drawn.edges
    ]
    middles = {
        "type": "scatter",
        "mode": "markers",
        "name": "weights",
        "x": [0.5 * (drawn.x[e["parent"]] + drawn.x[e["child"]]) for e in drawn.edges],
        "y": [0.5 * (drawn.nodes[e["parent"]]["level"] + drawn.nodes[e["child"]]["level"]) for e in drawn.edges],
        "text": [f"{e['child']} in {e['parent']}: {e['weight']:.2f} of its largest weight" for e in drawn.edges],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"size": 9, "opacity": 0},
        "showlegend": False,
    }
    return figure(
        [middles, *_marks(drawn, ids, chosen)],
        theme,
        shapes=lines,
        annotations=[_label(drawn, i, down) for i in ids],
        xaxis={"visible": False, "range": [-max(0.7, 0.1 * drawn.width), max(drawn.width - 1, 0) + 0.7]},
        yaxis={
            "tickvals": list(range(1, top + 1)),
            "ticktext": [f"level {n}" for n in range(1, top + 1)],
            "range": [-0.25 if down else 0.5, top + 0.35],
            "showgrid": False,
            "zeroline": False,
        },
        legend={"orientation": "h", "y": 1.0, "x": 0, "yanchor": "bottom"},
        margin={"l": 60, "r": 8, "t": 8, "b": 8},
        hovermode="closest",
        clickmode="event",
    )


def _marks(drawn: Drawn, ids: list[str], chosen: int | None) -> list[dict[str, Any]]:
    kinds = [
        ("a concept", [i for i in ids if i not in drawn.shared], "circle", CATEGORIES[0]),
        (
            "shared: goes into more than one concept of the fit",
            [i for i in ids if i in drawn.shared],
            "diamond",
            SHARED,
        ),
    ]
    data = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": name,
            "x": [drawn.x[i] for i in rows],
            "y": [drawn.nodes[i]["level"] for i in rows],
            "customdata": rows,
            "text": [_hover(drawn.nodes[i]) for i in rows],
            "hovertemplate": "%{text}<extra></extra>",
            "marker": {"size": 15, "symbol": symbol, "color": colour, "line": {"width": 1, "color": "#ffffff"}},
        }
        for name, rows, symbol, colour in kinds
        if rows
    ]
    if chosen is not None and f"1:{chosen}" in drawn.x:
        ring = {"size": 24, "symbol": "circle-open", "color": SHARED, "line": {"width": 3}}
        at: dict[str, Any] = {"x": [drawn.x[f"1:{chosen}"]], "y": [1], "name": "the feature that is open"}
        data.append({"type": "scatter", "mode": "markers", "hoverinfo": "skip", "marker": ring, **at})
    return data


def _label(drawn: Drawn, node: str, down: bool) -> dict[str, Any]:
    row = drawn.nodes[node]
    lowest = row["level"] == 1
    text = str(row["label"])
    base = {"x": drawn.x[node], "y": row["level"], "showarrow": False, "font": {"size": 11.5}}
    if down and lowest:
        return base | {"text": escaped(text, 26), "textangle": 90, "yanchor": "top", "yshift": -12}
    beside = [
        abs(drawn.x[i] - drawn.x[node]) for i, n in drawn.nodes.items() if n["level"] == row["level"] and i != node
    ]
    # What fits between the neighbours of the row: letters of this size are some 7 pixels wide.
    letters = max(5, min(24, int(min(beside, default=drawn.width) * PIXELS / max(drawn.width, 1) / 7)))
    lines = textwrap.wrap(text, letters) or [" "]
    if len(lines) > 3:
        lines = [*lines[:2], lines[2][: letters - 1] + "…"]
    base |= {"text": "<br>".join(escaped(line, 24) for line in lines)}
    if lowest:
        return base | {"yanchor": "top", "yshift": -11}
    above = [drawn.x[e["parent"]] for e in drawn.edges if e["child"] == node]
    if not above:
        return base | {"yanchor": "bottom", "yshift": 10}
    # On the side from which no line comes.
    left = drawn.x[node] < above[0]
    away = {"xanchor": "right", "xshift": -9, "align": "right"} if left else {"xanchor": "left", "xshift": 9}
    return base | away | {"yanchor": "bottom", "yshift": 3}


def _hover(row: Node) -> str:
    contexts = [f"· {escaped(line, 90)}" for text in row["contexts"][:3] for line in textwrap.wrap(str(text), 88)[:2]]
    head = f"<b>{row['id']} {escaped(str(row['label']), 60)}</b>"
    return "<br>".join([head, escaped(", ".join(map(str, row["top"][:8])), 90), *contexts])


def outline(tree: dict[str, Any], root: str | None) -> Any:
    """The same as nested buttons: for the keyboard, for a screen reader, and for reading at length."""
    if root is None:
        return html.P("Nothing to list.", className="attune-note")
    drawn = place(tree, root)
    children = children_of(drawn.edges)

    def item(node: str, weight: float | None, depth: int) -> Any:
        row = drawn.nodes[node]
        said = "" if weight is None else f" {weight:.2f}"
        mark = html.Span(" shared", className="mlp-shared") if node in drawn.shared else None
        button = html.Button(
            [html.Strong(node), f" {row['label']}"],
            type="button",
            className="attune-link mlp-outline",
            title="; ".join(map(str, row["contexts"][:2])),
            **{"data-mlp-node": node},
        )
        below = [item(child, w, depth + 1) for child, w in children.get(node, [])]
        return html.Li([button, html.Span(said, className="attune-note"), mark, html.Ul(below) if below else None])

    return html.Ul([item(root, None, 0)], className="mlp-tree-list")
