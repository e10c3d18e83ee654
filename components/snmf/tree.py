"""One concept and what it is made of, drawn: levels as rows, the width of a line its weight, shared children marked.

The whole graph of a factorization has hundreds of nodes and cannot be read; a root and its descendants can. Children
stand in the order of their weight, a parent over the middle of its children, so that lines cross only where a child is
shared, which is what one wants to see. If the lowest row is too long for the page, the weakest children of each
concept are left out, and the number left out is said.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from dash import html

from analysis.answer import plain_of
from analysis.errors import UserError
from analysis.snmf.answers.factorization import Concept, ConceptEdge, ConceptGraph
from components.kit.figure import Figure, figure
from components.kit.labels import escaped
from components.kit.theme import CATEGORIES
from components.kit.types import Node
from components.kit.view import Drawing, view

MOST, ACROSS = 44, 9
"""Places in the lowest row at 1,440 pixels: with labels that run down, and with labels that run across."""
PIXELS = 1240
SHARED = "#D55E00"


@dataclass
class TreeLayout:
    """A root and its descendants with places: ``x`` (slots) by id, edges layout, and how many children are left out."""

    nodes: dict[str, Concept]
    edges: list[ConceptEdge]
    x: dict[str, float]
    width: int
    left_out: int
    shared: set[str] = field(default_factory=set)


def children_of(edges: Sequence[ConceptEdge]) -> dict[str, list[tuple[str, float]]]:
    """Children with weights by parent, the heaviest first."""
    children: dict[str, list[tuple[str, float]]] = {}
    for edge in edges:
        children.setdefault(edge.parent, []).append((edge.child, edge.weight))
    return {parent: sorted(rows, key=lambda r: -r[1]) for parent, rows in children.items()}


def descendants(children: dict[str, list[tuple[str, float]]], root: str) -> list[str]:
    """The root and all that can be reached from it, each once, the root first."""
    seen, waiting = {root: None}, [root]
    while waiting:
        for child, _ in children.get(waiting.pop(0), []):
            if child not in seen:
                seen[child] = None
                waiting.append(child)
    return list(seen)


def roots_of(tree: ConceptGraph, feature: int | None = None) -> list[tuple[Concept, int]]:
    """Concepts above the lowest level that have children at this threshold, with the number of their descendants.

    The highest level first and in it those with most descendants; with ``feature`` only those that reach it.
    """
    children = children_of(tree.edges)
    roots = []
    for node in tree.nodes:
        if node.level > 1 and node.id in children:
            below = descendants(children, node.id)
            if feature is None or f"1:{feature}" in below:
                roots.append((node, len(below) - 1))
    return sorted(roots, key=lambda row: (-row[0].level, -row[1], row[0].number))


def start_root(tree: ConceptGraph, feature: int | None = None) -> str | None:
    """A root to open on: of the highest level, with a handful of descendants and, if there is one, a shared child;
    with ``feature`` one that reaches it."""
    children, shared = children_of(tree.edges), set(tree.shared)
    rows = roots_of(tree, feature)
    if not rows:
        return None
    top = [row for row in rows if row[0].level == rows[0][0].level]

    def fit(row: tuple[Concept, int]) -> tuple[bool, bool, float]:
        inside = shared & set(descendants(children, row[0].id))
        return (not 4 <= row[1] <= 30, not inside, abs(row[1] - 12))

    return min(top, key=fit)[0].id


def place(tree: ConceptGraph, root: str) -> TreeLayout:
    """Where everything below ``root`` stands; UserError if there is no such concept."""
    nodes = {n.id: n for n in tree.nodes}
    if root not in nodes:
        raise UserError(f"This tree has no concept {root}.")
    full = children_of(tree.edges)
    most = max((len(rows) for rows in full.values()), default=1)
    everything = len(descendants(full, root))
    for limit in range(most, 0, -1):
        heaviest = {parent: rows[:limit] for parent, rows in full.items()}
        x, width = _slots(heaviest, root)
        if width <= MOST:
            break
    edges = [ConceptEdge(p, c, w) for p, rows in heaviest.items() if p in x for c, w in rows if c in x]
    shared = set(tree.shared) & set(x)
    return TreeLayout({i: nodes[i] for i in x}, edges, x, width, everything - len(x), shared)


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


@dataclass(frozen=True)
class TreeOptions:
    """``root``: the concept at the top; ``feature``: the one that is open, if any."""

    root: str = ""
    feature: int | None = None


@view("mlp-features/tree", ConceptGraph, options=TreeOptions)
def concept_tree(tree: ConceptGraph, options: TreeOptions, theme: str) -> Drawing:
    """A concept and its descendants. A node's customdata is its id ("level:number")."""
    layout = place(tree, options.root)
    left = f" {layout.left_out} weaker ones are left out to fit the page." if layout.left_out else ""
    more = "Raise the threshold to see fewer lines. " if layout.left_out else ""
    return Drawing(
        _picture(layout, options.feature, theme),
        f"{tree.sentence} Drawn: {options.root} and {len(layout.x) - 1} below it, {len(layout.shared)} of them shared."
        f"{left} The width of a line is the weight, as a share of the parent's largest. Any weights draw a tree: "
        "whether a branch means something is to be read off its contexts.",
        {"edges": plain_of(layout.edges)},
        numbers=tree_numbers(layout),
        hint=f"{more}Click a lowest concept to open its card, another to see it from the top.",
    )


def tree_numbers(layout: TreeLayout) -> dict[str, float]:
    """How many concepts lie below the root, and how many of them have several parents."""
    return {"concepts below": float(len(layout.x) - 1), "shared concepts": float(len(layout.shared))}


def _picture(layout: TreeLayout, chosen: int | None, theme: str) -> Figure:
    down = layout.width > ACROSS
    top = max(n.level for n in layout.nodes.values())
    ids = list(layout.nodes)
    lines = [
        {
            "type": "line",
            "layer": "below",
            "x0": layout.x[e.parent],
            "y0": layout.nodes[e.parent].level,
            "x1": layout.x[e.child],
            "y1": layout.nodes[e.child].level,
            "line": {
                "width": 0.8 + 6.5 * e.weight,
                "color": SHARED if e.child in layout.shared else "#8a8f98",
            },
            "opacity": 0.75,
        }
        for e in layout.edges
    ]
    middles = {
        "type": "scatter",
        "mode": "markers",
        "name": "weights",
        "x": [0.5 * (layout.x[e.parent] + layout.x[e.child]) for e in layout.edges],
        "y": [0.5 * (layout.nodes[e.parent].level + layout.nodes[e.child].level) for e in layout.edges],
        "text": [f"{e.child} in {e.parent}: {e.weight:.2f} of its largest weight" for e in layout.edges],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"size": 9, "opacity": 0},
        "showlegend": False,
    }
    return figure(
        [middles, *_marks(layout, ids, chosen)],
        theme,
        shapes=lines,
        annotations=[_label(layout, i, down) for i in ids],
        xaxis={"visible": False, "range": [-max(0.7, 0.1 * layout.width), max(layout.width - 1, 0) + 0.7]},
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


def _marks(layout: TreeLayout, ids: list[str], chosen: int | None) -> list[dict[str, Any]]:
    kinds = [
        ("a concept", [i for i in ids if i not in layout.shared], "circle", CATEGORIES[0]),
        (
            "shared: goes into more than one concept of the fit",
            [i for i in ids if i in layout.shared],
            "diamond",
            SHARED,
        ),
    ]
    data = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": name,
            "x": [layout.x[i] for i in rows],
            "y": [layout.nodes[i].level for i in rows],
            "customdata": rows,
            "text": [_hover(layout.nodes[i]) for i in rows],
            "hovertemplate": "%{text}<extra></extra>",
            "marker": {"size": 15, "symbol": symbol, "color": colour, "line": {"width": 1, "color": "#ffffff"}},
        }
        for name, rows, symbol, colour in kinds
        if rows
    ]
    if chosen is not None and f"1:{chosen}" in layout.x:
        ring = {"size": 24, "symbol": "circle-open", "color": SHARED, "line": {"width": 3}}
        at: dict[str, Any] = {"x": [layout.x[f"1:{chosen}"]], "y": [1], "name": "the feature that is open"}
        data.append({"type": "scatter", "mode": "markers", "hoverinfo": "skip", "marker": ring, **at})
    return data


def _label(layout: TreeLayout, node: str, down: bool) -> dict[str, Any]:
    row = layout.nodes[node]
    lowest = row.level == 1
    text = row.label
    base = {"x": layout.x[node], "y": row.level, "showarrow": False, "font": {"size": 11.5}}
    if down and lowest:
        return base | {"text": escaped(text, 26), "textangle": 90, "yanchor": "top", "yshift": -12}
    beside = [abs(layout.x[i] - layout.x[node]) for i, n in layout.nodes.items() if n.level == row.level and i != node]
    # What fits between the neighbours of the row: letters of this size are some 7 pixels wide.
    letters = max(5, min(24, int(min(beside, default=layout.width) * PIXELS / max(layout.width, 1) / 7)))
    lines = textwrap.wrap(text, letters) or [" "]
    if len(lines) > 3:
        lines = [*lines[:2], lines[2][: letters - 1] + "…"]
    base |= {"text": "<br>".join(escaped(line, 24) for line in lines)}
    if lowest:
        return base | {"yanchor": "top", "yshift": -11}
    above = [layout.x[e.parent] for e in layout.edges if e.child == node]
    if not above:
        return base | {"yanchor": "bottom", "yshift": 10}
    # On the side from which no line comes.
    left = layout.x[node] < above[0]
    away = {"xanchor": "right", "xshift": -9, "align": "right"} if left else {"xanchor": "left", "xshift": 9}
    return base | away | {"yanchor": "bottom", "yshift": 3}


def _hover(row: Concept) -> str:
    contexts = [f"· {escaped(line, 90)}" for text in row.contexts[:3] for line in textwrap.wrap(text, 88)[:2]]
    head = f"<b>{row.id} {escaped(row.label, 60)}</b>"
    return "<br>".join([head, escaped(", ".join(row.top[:8]), 90), *contexts])


def outline(tree: ConceptGraph, root: str | None) -> Node:
    """The same as nested buttons: for the keyboard, for a screen reader, and for reading at length."""
    if root is None:
        return html.P("Nothing to list.", className="attune-note")
    layout = place(tree, root)
    children = children_of(layout.edges)

    def item(node: str, weight: float | None) -> Node:
        row = layout.nodes[node]
        share = "" if weight is None else f" {weight:.2f}"
        mark = html.Span(" shared", className="mlp-shared") if node in layout.shared else None
        button = html.Button(
            [html.Strong(node), f" {row.label}"],
            type="button",
            className="attune-link mlp-outline",
            title="; ".join(row.contexts[:2]),
            **{"data-mlp-node": node},
        )
        below = [item(child, w) for child, w in children.get(node, [])]
        return html.Li([button, html.Span(share, className="attune-note"), mark, html.Ul(below) if below else None])

    return html.Ul([item(root, None)], className="mlp-tree-list")
