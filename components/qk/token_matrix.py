"""A token x token matrix of one head: its attention, or what one feature adds to its logits.

It is the one figure that the browser draws (assets/attention.js): the cells travel packed, since the strips of
tokens are shaded from them as well, and all words of the figure with them. The views here draw the same picture on the
server, from the same packed cells.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from analysis.qk.answers.prompt import HeadCells, Reading, SignedCells
from analysis.view_ref import ViewRef
from components.kit.cells import Packed, cell_values, pack_cells
from components.kit.figure import Figure, figure
from components.kit.labels import numbered
from components.kit.theme import DIVERGING, SEQUENTIAL
from components.kit.types import Json
from components.kit.view import Drawing, NoOptions, view

FEW = 30
"""Cells up to which each gets its label."""


class TokenMatrix(Packed):
    """What the browser draws a matrix from: packed cells, their scale, the figure without numbers, and the ref of the
    view that draws the same here."""

    max: float
    pool: int
    tokens: int
    figure: Figure
    ref: Json


ASK_WHY = "Click a cell to ask why."
"""What a click on the matrix does."""


@dataclass(frozen=True)
class MatrixOptions:
    """``skip_first``: without the first token, which would otherwise take the whole scale."""

    skip_first: bool = False


@view("attention/matrix", Reading, HeadCells, options=MatrixOptions)
def attention_matrix(reading: Reading, cells: HeadCells, options: MatrixOptions, theme: str) -> Drawing:
    """All attention of one head."""
    packed = pack_cells(cells.cells)
    values, top = cell_values(packed, cells.top), cells.top
    if options.skip_first and len(values) > 2:
        values[:, 0] = values[0] = np.nan
        top = float(np.nanmax(values)) or cells.top
    picture = _filled(_frame(reading, cells), values, 0.0, top, theme)
    numbers = {"largest attention": cells.top}
    return Drawing(picture, attention_caption(packed, cells), _facts(packed, cells), numbers=numbers, hint=ASK_WHY)


@view("attention/alignment", Reading, SignedCells)
def alignment_matrix(reading: Reading, cells: SignedCells, options: NoOptions, theme: str) -> Drawing:
    """A feature's part of every logit of one head."""
    packed = pack_cells(cells.cells)
    picture = _filled(_frame(reading, cells), cell_values(packed, cells.top), -cells.top, cells.top, theme)
    numbers = {"largest part in nats": cells.top}
    return Drawing(picture, alignment_caption(cells), _facts(packed, cells), numbers=numbers)


def for_browser(reading: Reading, cells: HeadCells, ref: ViewRef) -> TokenMatrix:
    """What the browser draws the matrix of a view from."""
    packed = pack_cells(cells.cells)
    return {
        **packed,
        "max": cells.top,
        "pool": cells.pool,
        "tokens": cells.tokens,
        "figure": _frame(reading, cells),
        "ref": ref.to_dict() | {"facts": _facts(packed, cells)},
    }


def _facts(packed: Packed, cells: HeadCells) -> Json:
    """What an export prints: the steps of the shown attention, or the rank of a feature's part of the logits."""
    return {"rank": cells.rank} if isinstance(cells, SignedCells) else {"step": packed["step"] * cells.top / 255}


def attention_caption(packed: Packed, cells: HeadCells) -> str:
    """How coarse the shown attention is, and how to read it."""
    caption = (
        f"Shown in steps of {packed['step'] * cells.top / 255:.2g}; rows are queries, columns the keys that they "
        "attend to. Without the first token, the colours are scaled to the rest."
    )
    return caption if cells.pool == 1 else f"Max-pooled {cells.pool} × {cells.pool} tokens per cell. " + caption


def alignment_caption(cells: SignedCells) -> str:
    """Which feature it is, and how to read its part of the logits."""
    return (
        f"{cells.name}, rank {cells.rank}: the product of the query's and the key's coordinates, in nats. It includes "
        "what all keys share, so compare along a row."
    )


def _frame(reading: Reading, cells: HeadCells) -> Figure:
    """The figure without numbers, and without the ticks of its rows, which are those of its columns."""
    signed, pool = isinstance(cells, SignedCells), cells.pool
    count = len(reading.labels)
    ticks = (
        numbered(reading.labels, 14) if pool == 1 else [f"{i}–{min(i + pool, count)}" for i in range(0, count, pool)]
    )
    few = len(ticks) <= FEW
    # What was zoomed into stays while another head of the same prompt is looked at.
    prompt = zlib.crc32(" ".join(reading.labels).encode("utf-8", "replace"))
    axis = {
        "type": "category",
        "showgrid": False,
        "zeroline": False,
        "tickfont": {"size": 11 if few else 10},
        "nticks": len(ticks) if few else 24,
        "ticks": "",
        "automargin": True,
    }
    value = "%{z:.2f} nats" if signed else "attention %{z:.3f}"
    unit = "nats" if signed else "attention"
    heatmap = {
        "type": "heatmap",
        "x": ticks,
        "hovertemplate": "query %{y}<br>key %{x}<br>" + value + "<extra></extra>",
        "xgap": 0,
        "ygap": 0,
        "colorscale": DIVERGING if signed else SEQUENTIAL,
        "colorbar": {"title": {"text": unit, "side": "right"}, "thickness": 12, "outlinewidth": 0},
    }
    layout = {
        "uirevision": f"{'aligned' if signed else 'head'} {prompt}",
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        "xaxis": axis | {"title": {"text": "key: token attended to"}, "tickangle": -60 if few else -45},
        "yaxis": axis | {"title": {"text": "query: token that attends"}, "autorange": "reversed"},
    }
    return {"data": [heatmap], "layout": layout}


def _filled(frame: Figure, values: np.ndarray, low: float, top: float, theme: str) -> Figure:
    heatmap = frame["data"][0]
    filled = heatmap | {"y": heatmap["x"], "z": values, "zmin": low, "zmax": top}
    return figure([filled], theme, **frame["layout"])
