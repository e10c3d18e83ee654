"""What one query of one head attends to, and what a swap of two keys does to it.

Colours mean the same everywhere: a feature keeps its colour, what is unexplained is grey, before is blue and after is
orange, the null and the random controls are a grey band.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.qk.answers.prompt import KeySwap, QueryRow, Reading, SwapEffect
from components.kit.figure import AFTER, BEFORE, Figure, figure
from components.kit.labels import escaped, numbered
from components.kit.theme import CATEGORIES, REMAINDER
from components.kit.view import Drawing, view
from components.qk.controls import measured, prediction_control, swap_control, swap_numbers

MOST_BARS = 48


@dataclass(frozen=True)
class RowOptions:
    """``query``: the position that asks. ``side`` and ``reference``: as they were asked for. ``unit``: "nats" or "raw".
    ``skip_first``: the first token is left out."""

    query: int
    side: str = "query"
    reference: str = "others"
    unit: str = "nats"
    skip_first: bool = True


@view("attention/bars", Reading, QueryRow, options=RowOptions)
def row_bars(reading: Reading, row: QueryRow, options: RowOptions, theme: str) -> Drawing:
    """What the logits of one query are made of."""
    raw, visible = options.unit == "raw", options.query + 1
    unit = "raw logit" if raw else "nats"
    parts = row.parts * np.float32(1.0 / row.scaling if raw else 1.0)
    positions = shown_positions(row.attention, visible, row.key, options.skip_first)
    against = {
        "others": "Difference to the mean of the other candidates",
        "token": "Difference to the chosen token",
        "none": "Not a difference: features may hold the mean key, which says nothing about this token",
    }[options.reference]
    sides = "both sides" if options.side == "both" else f"the {options.side} side"
    notes = [f"{against}, in {unit}, split on {sides}."]
    if len(row.names) > 1:
        notes.append("Features take their share in the order of the list; what overlaps goes to the first.")
    if row.softcap:
        notes.append(f"This model caps its logits at ±{row.softcap:g} afterwards; the bars are before the cap.")
    if len(positions) < visible - options.skip_first:
        notes.append(f"The {len(positions)} tokens with most attention of {visible} are drawn.")
    if options.skip_first:
        notes.append("The first token is left out, here and in the mean.")
    if row.names:
        notes.append(f"Sum check: parts and remainder differ from the raw logit by at most {row.sum_error:.1e}.")
    picture = attribution_bars(parts, row.names, reading.labels, positions, row.key, unit, theme)
    return Drawing(picture, " ".join(notes), {"key": row.key, "ranks": list(row.ranks)}, numbers=row_numbers(row))


def row_numbers(row: QueryRow) -> dict[str, float]:
    """The attention on the key that is asked about, its logit, and the part of each feature in nats."""
    if row.masked:
        return {}
    parts = dict(zip([*row.names, "unexplained"], row.parts[row.key].tolist(), strict=True))
    return measured(
        {
            "attention": float(row.attention[row.key]),
            "logit in nats": float(row.nats[row.key]),
            **{f"part of {name}" if name != "unexplained" else name: value for name, value in parts.items()},
            "sum error": row.sum_error,
        }
    )


def shown_positions(attention: np.ndarray, visible: int, asked: int, skip_first: bool) -> list[int]:
    """The positions drawn: all of them in a short prompt, else those with most attention, in order, and ``asked``."""
    positions = list(range(1 if skip_first and visible > 2 else 0, visible))
    if len(positions) <= MOST_BARS:
        return positions
    best = sorted(positions, key=lambda i: -attention[i])[:MOST_BARS]
    return sorted({*best, *([asked] if asked in positions else [])})


def attribution_bars(
    parts: np.ndarray, names: Sequence[str], labels: Sequence[str], shown: list[int], key: int, unit: str, theme: str
) -> Figure:
    """The paper's Figure 10: per key token, what each feature adds to its logit, stacked, with the total as a line.

    ``parts`` (T, F + 1) in ``unit``; ``shown`` the positions drawn; NaN (masked) tokens stay empty.
    """
    ticks = [numbered(labels)[i] for i in shown]
    columns = [*names, "unexplained"]
    data: list[Any] = []
    for c, name in enumerate(columns):
        colour = REMAINDER if c == len(names) else CATEGORIES[c % len(CATEGORIES)]
        data.append(
            {
                "type": "bar",
                "name": escaped(name, 40),
                "x": ticks,
                "y": parts[shown, c].astype(np.float32),
                "marker": {"color": colour},
                "hovertemplate": "%{x}<br>%{y:.3f} " + unit + "<extra>" + escaped(name, 40) + "</extra>",
            }
        )
    data.append(
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": "total",
            "x": ticks,
            "y": parts[shown].sum(1).astype(np.float32),
            "line": {"color": "#D55E00", "width": 1.5},
            "marker": {"size": 5},
            "hovertemplate": "%{x}<br>%{y:.3f} " + unit + "<extra>total</extra>",
        }
    )
    shapes = []
    if key in shown:
        at = shown.index(key)
        shapes = [
            {
                "type": "rect",
                "xref": "x",
                "yref": "paper",
                "x0": at - 0.5,
                "x1": at + 0.5,
                "y0": 0,
                "y1": 1,
                "fillcolor": "rgba(213,94,0,0.12)",
                "line": {"width": 0},
                "layer": "below",
            }
        ]
    return figure(
        data,
        theme,
        barmode="relative",
        shapes=shapes,
        bargap=0.25,
        xaxis={"type": "category", "title": {"text": "key token"}, "tickangle": -50, "showgrid": False},
        yaxis={"title": {"text": unit}, "zeroline": True},
        legend={"orientation": "h", "y": 1.02, "x": 0, "yanchor": "bottom"},
        uirevision="bars",
    )


def swap_bars(
    before: np.ndarray, after: np.ndarray, band: np.ndarray, labels: Sequence[str], shown: list[int], theme: str
) -> Figure:
    """Attention before and after a swap, and where random subspaces of the same rank take it (5 to 95 %)."""
    ticks = [numbered(labels)[i] for i in shown]
    middle = band[1, shown]
    data: list[Any] = [
        {"type": "bar", "name": "before", "x": ticks, "y": before[shown], "marker": {"color": BEFORE}},
        {"type": "bar", "name": "after the swap", "x": ticks, "y": after[shown], "marker": {"color": AFTER}},
        {
            "type": "bar",
            "name": "random subspaces: median, 5 to 95 %",
            "x": ticks,
            "y": middle,
            "marker": {"color": REMAINDER},
            "error_y": {
                "type": "data",
                "symmetric": False,
                "array": band[2, shown] - middle,
                "arrayminus": middle - band[0, shown],
                "thickness": 1.5,
                "color": "#a5abb4",
            },
        },
    ]
    for trace in data:
        trace["hovertemplate"] = "%{x}<br>attention %{y:.3f}<extra>" + trace["name"] + "</extra>"
    return figure(
        data,
        theme,
        barmode="group",
        xaxis={"type": "category", "title": {"text": "key token"}, "tickangle": -40},
        yaxis={"title": {"text": "attention of this head"}, "rangemode": "tozero"},
        legend={"orientation": "h", "y": 1.02, "x": 0, "yanchor": "bottom"},
    )


@dataclass(frozen=True)
class SwapOptions:
    """Positions of the query and of the two keys that are swapped."""

    query: int
    a: int
    b: int


@view("attention/swap", Reading, KeySwap, options=SwapOptions)
def key_swap(reading: Reading, swap: KeySwap, options: SwapOptions, theme: str) -> Drawing:
    """Attention of this head after two keys have traded places, for them and the six others with the most of it."""
    a, b = options.a, options.b
    others = np.argsort(-np.maximum(swap.before, swap.after))
    positions = [a, b, *[int(i) for i in others if i not in (a, b) and i <= options.query][:6]]
    by_rule = swap.rank == swap.rule_rank
    rule = "the energy rule's" if by_rule else f"the energy rule gives {swap.rule_rank}"
    caption = (
        f"Suppose “{reading.labels[a]}” looked like “{reading.labels[b]}” to this head, and the other way round, only "
        f"in what the feature reads: rank {swap.rank} ({rule}) of {swap.width}. “{reading.labels[a]}” goes from "
        f"{swap.a[0]:.1%} to {swap.a[1]:.1%} of the attention, “{reading.labels[b]}” from {swap.b[0]:.1%} to "
        f"{swap.b[1]:.1%}; "
        f"{swap.draws} random subspaces of the same rank leave them at {swap.a[3]:.1%} and {swap.b[3]:.1%} (medians). "
        "Keys are swapped for this query of this head only; the read-out is the head's own attention."
    )
    picture = swap_bars(swap.before, swap.after, swap.band, reading.labels, positions, theme)
    control = swap_control(swap, reading.labels[a], reading.labels[b])
    return Drawing(picture, caption, {"rank": swap.rank}, control=control, numbers=swap_numbers(swap))


@dataclass(frozen=True)
class PredictionOptions:
    """The position after which the model predicts."""

    query: int


@view("attention/prediction", SwapEffect, options=PredictionOptions)
def prediction_bars(effect: SwapEffect, options: PredictionOptions, theme: str) -> Drawing:
    """Next-token probabilities of the whole model before and after; each bar carries its token's id."""
    ticks = [f"{escaped(t)} " for t in effect.labels]
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "name": name,
            "y": ticks,
            "x": values,
            "customdata": effect.ids,
            "marker": {"color": colour},
            "hovertemplate": "%{y}<br>%{x:.4f}<extra>" + name + "</extra>",
        }
        for name, values, colour in (("before", effect.before, BEFORE), ("after the swap", effect.after, AFTER))
    ]
    picture = figure(
        data,
        theme,
        barmode="group",
        yaxis={"autorange": "reversed", "type": "category"},
        xaxis={"title": {"text": "probability of the next token"}, "rangemode": "tozero"},
        legend={"orientation": "h", "y": 1.02, "x": 0, "yanchor": "bottom"},
    )
    return Drawing(
        picture,
        f"After token {options.query}, with this one head attending by the swapped row and everything else the model's "
        f"own. KL to the unswapped prediction {effect.kl:.2e} nats; a random subspace of rank {effect.rank} gives "
        f"{effect.kl_random:.2e}. One head of many often changes little.",
        {"rank": effect.rank},
        control=prediction_control(effect),
        numbers=measured({"KL": effect.kl, "first before": effect.before[0], "first after": effect.after[0]}),
    )
