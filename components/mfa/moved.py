"""Attention under steering: all heads by how far their pattern moves, beside random directions at the same KL in the
same colours; and one row of the opened head, unsteered, steered, and the difference with the range of random ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.mfa.answers.moved import MovedHeads, SteeredRow
from components.kit.figure import Figure, figure
from components.kit.labels import escaped
from components.kit.part import Table
from components.kit.style import colour_bar
from components.kit.theme import SEQUENTIAL
from components.kit.view import Control, Drawing, view

HEIGHT = ROW_HEIGHT = 300
BEST = 12
UNSTEERED, STEERED, RANDOM = "#0072B2", "#E69F00", "#797f87"


@dataclass(frozen=True)
class MovedOptions:
    """``worst``: by the query that moves most, not by the mean over all; ``chosen``: (layer, head) that is open."""

    worst: bool = False
    chosen: tuple[int, int] | None = None


@dataclass(frozen=True)
class SteeredRowOptions:
    """Which row it is."""

    layer: int
    head: int
    query: int


@view("steering/moved heads", MovedHeads, options=MovedOptions)
def moved_heads(moved: MovedHeads, options: MovedOptions, theme: str) -> Drawing:
    """How far every head's pattern moves under a set-up."""
    own, null = (moved.worst, moved.null_worst) if options.worst else (moved.mean, moved.null)
    numbers = {}
    best = best_heads(moved)
    if best:
        numbers["mean movement of the head furthest beyond"] = float(moved.mean[best[0]])
    if options.chosen is not None and _there(moved, options.chosen):
        numbers["mean movement of the open head"] = float(moved.mean[options.chosen])
    return Drawing(
        _grids(moved, own, null, options.chosen, theme),
        "Total variation: the share of a head's attention that lies elsewhere, "
        + ("at the query that moves most." if options.worst else "as a mean over all queries but the first.")
        + " Right: the same under random directions at the same KL of the next token, "
        + (f"the largest of {len(moved.kls) - 1}." if options.worst else f"the mean of {len(moved.kls) - 1}."),
        {},
        parts=(Table("Heads furthest beyond random directions", _COLUMNS, _rows(moved, best)),),
        control=Control(
            "random directions at the same KL",
            claim(moved),
            {"heads beyond every random direction": float(beyond(moved)[0])},
        ),
        numbers=numbers,
        hint="Click a head to open it.",
    )


@view("steering/attention row", SteeredRow, options=SteeredRowOptions)
def steered_row(row: SteeredRow, options: SteeredRowOptions, theme: str) -> Drawing:
    """One query's attention in one head, without and with a set-up."""
    return Drawing(
        _bars(row, theme),
        f"Attention of “{row.labels[options.query].strip('␣ ')}” (token {options.query}) in layer {options.layer}, "
        f"head {options.head}. Below: steered minus unsteered; the lines span {len(row.random_moved)} random "
        "directions at the same KL.",
        {},
        parts=(Table("Attention by token", ("token", "unsteered", "steered", "difference", "random, from", "to"),
                     _row_table(row)),),
        control=Control(
            "random directions at the same KL",
            row.sentence,
            {f"moved by random direction {n + 1}": float(v) for n, v in enumerate(row.random_moved)},
        ),
        numbers={"moved": float(row.moved)},
    )  # fmt: skip


def best_heads(moved: MovedHeads, count: int = BEST) -> list[tuple[int, int]]:
    """The heads that move most beyond the random directions: by the mean, less the largest of theirs."""
    order = np.argsort(np.nan_to_num(moved.null_high - moved.mean, nan=9.0), axis=None)[:count]
    places = [divmod(int(i), moved.mean.shape[1]) for i in order]
    return [p for p in places if np.nan_to_num(moved.mean[p]) > 0]


def beyond(moved: MovedHeads) -> tuple[int, int]:
    """How many heads move more, in the mean, than under every random direction, of how many that move at all."""
    with np.errstate(invalid="ignore"):
        moving = (moved.mean > 0) | (moved.null_high > 0)
        return int((moved.mean > moved.null_high).sum()), int(moving.sum())


def claim(moved: MovedHeads) -> str:
    """What the grid shows, with its null."""
    if moved.same:
        return "No bit of the attention of any head differs from the unsteered one."
    count, total = beyond(moved)
    (layer, head) = best_heads(moved, 1)[0]
    mean, null = float(moved.mean[layer, head]), float(moved.null_high[layer, head])
    draws = len(moved.kls) - 1
    said = (
        f"Of {total} heads whose pattern moves, {count} move more than under each of {draws} random directions at the "
        f"same KL ({moved.kls[0]:.3g} nats); by chance {total / (draws + 1):.0f} would. Furthest: layer {layer}, head "
        f"{head}, {mean:.0%} of its attention elsewhere, under random directions at most {null:.0%}."
    )
    return said if all(moved.met) else said + " Not every random direction reaches this KL."


def _there(moved: MovedHeads, at: tuple[int, int]) -> bool:
    inside = all(0 <= i < n for i, n in zip(at, moved.mean.shape, strict=True))
    return inside and bool(np.isfinite(moved.mean[at]))


def _grids(moved: MovedHeads, own: np.ndarray, null: np.ndarray, chosen: tuple[int, int] | None, theme: str) -> Figure:
    layers, heads = own.shape
    cells = [[[layer, head] for layer in range(layers)] for head in range(heads)]
    traces: list[dict[str, Any]] = []
    for n, (z, name) in enumerate(((own, "the set-up"), (null, "random directions"))):
        traces.append(
            {
                "type": "heatmap", "z": np.round(z.T.astype(np.float64), 4), "customdata": cells, "name": name,
                "xaxis": "x2" if n else "x", "yaxis": "y", "coloraxis": "coloraxis", "xgap": 1, "ygap": 1,
                "hoverongaps": False,
                "text": [[_hover(moved, a, b) for a, b in line] for line in cells],
                "hovertemplate": f"{name}: %{{z:.1%}}<br>%{{text}}<extra></extra>",
            }
        )  # fmt: skip
    shapes = [
        {
            "type": "rect", "xref": f"x{axis}", "yref": "y", "x0": chosen[0] - 0.5, "x1": chosen[0] + 0.5,
            "y0": chosen[1] - 0.5, "y1": chosen[1] + 0.5, "line": {"color": "#D55E00", "width": 3},
        }
        for axis in ("", "2")
        if chosen is not None
    ]  # fmt: skip
    ticks = {"showgrid": False, "zeroline": False, "dtick": max(1, layers // 8), "range": [-0.5, layers - 0.5]}
    notes = [
        {
            "text": name, "x": place, "y": 1.0, "xref": "paper", "yref": "paper", "xanchor": "center",
            "yanchor": "bottom", "showarrow": False,
        }
        for name, place in (("the set-up", 0.24), ("random directions at the same KL", 0.76))
    ]  # fmt: skip
    shown = [z[np.isfinite(z)] for z in (own, null)]
    most = max([0.01, *(float(z.max()) for z in shown if z.size)])
    return figure(
        traces,
        theme,
        xaxis=ticks | {"domain": [0.0, 0.48], "title": {"text": "layer"}},
        xaxis2=ticks | {"domain": [0.52, 1.0], "title": {"text": "layer"}},
        yaxis={
            "showgrid": False, "zeroline": False, "title": {"text": "head"}, "range": [heads - 0.5, -0.5],
            **({"dtick": 1} if heads <= 10 else {}),
        },
        coloraxis={
            "colorscale": SEQUENTIAL, "cmin": 0, "cmax": most,
            "colorbar": colour_bar("attention elsewhere") | {"tickformat": ".0%"},
        },
        annotations=notes,
        shapes=shapes,
        margin={"l": 48, "r": 8, "t": 28, "b": 44},
        uirevision="moved",
    )  # fmt: skip


def _hover(moved: MovedHeads, layer: int, head: int) -> str:
    query = int(moved.query[layer, head])
    if query < 0:
        return ""
    return (
        f"layer {layer}, head {head}: mean {moved.mean[layer, head]:.1%}, random {moved.null[layer, head]:.1%}, "
        f"at most {moved.null_high[layer, head]:.1%}<br>most at {escaped(moved.labels[query], 20)} (token {query}): "
        f"{moved.worst[layer, head]:.1%}"
    )


_COLUMNS = ("layer", "head", "moved, mean", "random directions, mean", "largest", "moved most, at token", "by")


def _rows(moved: MovedHeads, heads: list[tuple[int, int]]) -> tuple[tuple[float | int, ...], ...]:
    return tuple(
        (
            *at, round(float(moved.mean[at]), 4), round(float(moved.null[at]), 4),
            round(float(moved.null_high[at]), 4), int(moved.query[at]), round(float(moved.worst[at]), 4),
        )
        for at in heads
    )  # fmt: skip


def _bars(row: SteeredRow, theme: str) -> Figure:
    places = list(range(len(row.labels)))
    texts = [escaped(t, 14) for t in row.labels]
    change = row.steered.astype(float) - row.base
    random = row.random.astype(float) - row.base
    low, high = random.min(0), random.max(0)
    traces: list[dict[str, Any]] = [
        {
            "type": "bar", "name": name, "x": places, "y": np.round(values.astype(float), 4),
            "marker": {"color": colour}, "customdata": texts,
            "hovertemplate": f"{name}<br>%{{customdata}} (token %{{x}}): %{{y:.1%}}<extra></extra>",
        }
        for name, values, colour in (("unsteered", row.base, UNSTEERED), ("steered", row.steered, STEERED))
    ]  # fmt: skip
    traces.append(
        {
            "type": "bar", "name": "difference", "x": places, "y": np.round(change, 4), "yaxis": "y2",
            "marker": {"color": "#009E73"}, "customdata": texts,
            "hovertemplate": "steered minus unsteered<br>%{customdata} (token %{x}): %{y:+.1%}<extra></extra>",
        }
    )  # fmt: skip
    middle = (low + high) / 2
    traces.append(
        {
            "type": "scatter", "mode": "markers", "name": "random directions", "x": places, "y": np.round(middle, 4),
            "yaxis": "y2", "marker": {"color": RANDOM, "size": 1},
            "error_y": {"type": "data", "array": np.round(high - middle, 4), "color": RANDOM, "thickness": 2},
            "customdata": np.stack([low, high], 1).round(4),
            "hovertemplate": "random directions: %{customdata[0]:+.1%} to %{customdata[1]:+.1%}<extra></extra>",
        }
    )  # fmt: skip
    return figure(
        traces,
        theme,
        barmode="group",
        xaxis={"tickmode": "array", "tickvals": places, "ticktext": texts, "tickangle": -50, "anchor": "y2"},
        yaxis={"domain": [0.56, 1.0], "tickformat": ".0%", "title": {"text": "attention"}, "rangemode": "tozero"},
        yaxis2={"domain": [0.0, 0.48], "tickformat": "+.0%", "title": {"text": "difference"}, "zeroline": True},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        margin={"l": 64, "r": 8, "t": 30, "b": 70},
        uirevision="row",
    )


def _row_table(row: SteeredRow) -> tuple[tuple[str | float, ...], ...]:
    change, random = row.steered - row.base, row.random - row.base
    return tuple(
        (
            f"{k} {label}", round(float(row.base[k]), 4), round(float(row.steered[k]), 4), round(float(change[k]), 4),
            round(float(random[:, k].min()), 4), round(float(random[:, k].max()), 4),
        )
        for k, label in enumerate(row.labels)
    )  # fmt: skip
