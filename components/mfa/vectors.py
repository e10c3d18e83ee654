"""The table of steering vectors of others: how strongly each is added, how long it is, which regions it points to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import dash_bootstrap_components as dbc
from dash import html

from analysis.mfa.answers.vectors import VectorFacts
from components.kit.types import Node

HEADS = ("File", "Blocks", "Norm", "Cosine to regions", "Strength")


def vector_table(rows: Sequence[VectorFacts], strengths: Mapping[str, float]) -> Node:
    """A row for each file; its strength is an input named by the vectors."""
    if not rows:
        return html.P("No steering vectors have been opened for this model.", className="attune-note")
    head = html.Thead(html.Tr([html.Th(text, scope="col") for text in HEADS]))
    body = [
        html.Tr([*map(html.Td, _facts(row)), html.Td(_strength(row, strengths.get(row.name, 0.0)))]) for row in rows
    ]
    return html.Table([head, html.Tbody(body)], className="attune-table")


def _facts(row: VectorFacts) -> tuple[Node, ...]:
    near = [html.Div(f"{c.cosine:+.2f} {c.region}: {c.label}") for c in row.near]
    if near and len(row.blocks) > 1:
        near.insert(0, html.Div(f"of block {row.compared}", className="attune-note"))
    model = [html.Div(f"names {row.hint}", className="attune-note")] if row.hint else []
    return [html.Div(row.origin), *model], _blocks(row.blocks), _norms(row.norms), near or "other width or site"


def _blocks(blocks: Sequence[int]) -> str:
    whole = len(blocks) > 2 and list(blocks) == list(range(blocks[0], blocks[-1] + 1))
    return f"{blocks[0]} to {blocks[-1]}" if whole else ", ".join(map(str, blocks))


def _norms(norms: Sequence[float]) -> str:
    return f"{norms[0]:.3g}" if len(norms) == 1 else f"{min(norms):.3g} to {max(norms):.3g}"


def _strength(row: VectorFacts, value: float) -> Node:
    name = {"vector": row.name}
    return html.Label(
        [
            html.Span(f"strength of {row.origin}", className="visually-hidden"),
            dbc.Input(id=name, type="number", value=value, step="any", size="sm", debounce=True),
        ]
    )
