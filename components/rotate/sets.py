"""A set of channels, neuron by neuron, as a view and as the table of the page."""

from __future__ import annotations

from dash import html

from analysis.rotate.answers.sets import ChannelSetCard, SetRow
from components.kit.part import Cell, Table
from components.kit.types import Node
from components.kit.view import Control, Drawing, NoOptions, view

COLUMNS = (
    "neuron", "channels", "beyond the null", "own z of the best", "p", "cosine with the neuron", "kurtosis",
    "its first tokens", "nearest there: cosine", "shared tokens of 20",
)  # fmt: skip


@view("neurons/set", ChannelSetCard)
def channel_set(card: ChannelSetCard, options: NoOptions, theme: str) -> Drawing:
    """What a set of channels holds, beside random vectors' channels and beside another set."""
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (r.neuron, r.channels, r.beyond, r.own_z, r.p, r.cosine, r.kurtosis, " ".join(r.tokens), r.nearest, r.shared)
        for r in card.rows
    )
    some = sum(1 for r in card.rows if r.beyond)
    held = [r for r in card.rows if r.beyond is not None]
    control = None
    if held:
        control = Control(
            "random vectors",
            f"Of random vectors one in twenty has a channel that counts as beyond the null; here {some} of {len(held)} "
            "neurons have one.",
            {"share of random vectors": 0.05},
        )
    return Drawing(
        None,
        card.sentence,
        {"layer": card.layer, "vector": card.vector, "set": card.label, "against": card.against},
        parts=(Table("", COLUMNS, rows),),
        control=control,
        numbers={"neurons": float(len(card.rows)), "neurons with something": float(some)},
    )


def set_table(card: ChannelSetCard) -> Node:
    """The same on the page; the columns of a comparison only where there is one."""
    columns = COLUMNS if card.against else COLUMNS[:-2]
    head = html.Tr([html.Th(title) for title in columns])
    body = [html.Tr([html.Td(cell) for cell in _cells(r)[: len(columns)]]) for r in card.rows]
    return html.Table([html.Thead(head), html.Tbody(body)], className="attune-table")


def _cells(row: SetRow) -> tuple[str, ...]:
    def number(value: float | None, form: str) -> str:
        return "–" if value is None else format(value, form)

    return (
        str(row.neuron),
        str(row.channels),
        "–" if row.beyond is None else str(row.beyond),
        number(row.own_z, ".1f"),
        number(row.p, ".3f"),
        number(row.cosine, ".2f"),
        number(row.kurtosis, ".1f"),
        " ".join(row.tokens),
        number(row.nearest, ".2f"),
        number(row.shared, ".1f"),
    )
