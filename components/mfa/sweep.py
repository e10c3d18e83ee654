"""A sweep as two heatmaps in one colour scale: what the region does at each cell, and what random pushes of the same KL
do there. A dot stands where the region gains more than every random push."""

from __future__ import annotations

from typing import Any

import numpy as np

from analysis.mfa.answers.sweep import Sweep
from components.kit.figure import Figure, figure
from components.kit.labels import escaped
from components.kit.part import Table
from components.kit.style import colour_bar
from components.kit.theme import DIVERGING
from components.kit.types import Json
from components.kit.view import Control, Drawing, NoOptions, view

HEIGHT = 460
FEW = 10
"""Rows up to which numbers stand in the cells."""
WORDS = 8


@view("steering/sweep", Sweep)
def sweep_map(sweep: Sweep, options: NoOptions, theme: str) -> Drawing:
    """The gain of some words over a grid of settings, each at one KL, beside that of random pushes."""
    best = _best(sweep)
    control, numbers = None, {}
    if best is not None:
        r, c = best
        gain, null, high = (float(a[r, c]) for a in (sweep.gain, sweep.null, sweep.null_high))
        numbers = {"largest gain": gain, "strength there": float(sweep.strength[r, c])}
        beyond, measured = int(_beyond(sweep).sum()), int(np.isfinite(sweep.gain).sum())
        control = Control(
            _null_name(sweep),
            f"Largest gain {gain:+.2f} nats, at {_place(sweep, r, c)}; random pushes of the same KL there: mean "
            f"{null:+.2f}, largest of {sweep.draws} {high:+.2f}. The region gains more than each of them in {beyond} "
            f"of {measured} cells. One prompt; the largest of many cells is large by chance, too.",
            {"mean gain of random pushes": null, "largest of random pushes": high},
        )
    return Drawing(
        sweep_figure(sweep, theme),
        _caption(sweep),
        {"words": list(sweep.tokens)},
        parts=(Table("Cells", _columns(sweep), _rows(sweep)),),
        control=control,
        numbers=numbers,
        hint="Click a cell to put its settings on the sliders.",
    )


def sweep_figure(sweep: Sweep, theme: str) -> Figure:
    """The two maps, also of a sweep that still runs."""
    shown = [a[np.isfinite(a)] for a in (sweep.gain, sweep.null)]
    most = max([0.1, *(float(np.abs(a).max()) for a in shown if a.size)])
    rows, columns = [_number(v) for v in sweep.rows], [_number(v) for v in sweep.columns]
    names = (escaped(sweep.label, 40), _null_name(sweep))
    maps = [
        _heatmap(sweep, z, name, n) for n, (z, name) in enumerate(zip((sweep.gain, sweep.null), names, strict=True))
    ]
    down, across = np.nonzero(_beyond(sweep))
    dots = {
        "type": "scatter",
        "mode": "markers",
        "x": across + 0.36,
        "y": down,
        "marker": {"symbol": "circle", "size": 5, "color": "#111111"},
        "hoverinfo": "skip",
        "showlegend": False,
    }
    titles: tuple[str, ...]
    if sweep.over == "blocks":
        titles = ("KL of the next token, nats", "block at which the direction is added")
    else:
        titles = tuple(f"local factor {n}, spreads" for n in reversed(sweep.axes))
    every = max(1, len(rows) // 16)
    axis = {"showgrid": False, "zeroline": False, "tickmode": "array", "ticklen": 0}
    x = axis | {"tickvals": list(range(len(columns))), "ticktext": columns, "title": {"text": titles[0]}}
    y = axis | {
        "tickvals": list(range(0, len(rows), every)),
        "ticktext": rows[::every],
        "ticksuffix": " ",
        "title": {"text": titles[1]},
        "range": [-0.5, len(rows) - 0.5],
    }
    return figure(
        [*maps, dots],
        theme,
        xaxis=x | {"domain": [0.0, 0.47]},
        xaxis2=x | {"domain": [0.53, 1.0]},
        yaxis=y,
        coloraxis={
            "colorscale": DIVERGING,
            "cmin": -most,
            "cmid": 0,
            "cmax": most,
            "colorbar": colour_bar("gain in log-odds, nats"),
        },
        annotations=[
            {
                "text": name, "x": place, "y": 1.0, "xref": "paper", "yref": "paper", "yanchor": "bottom",
                "xanchor": "center", "showarrow": False,
            }
            for name, place in zip(names, (0.235, 0.765), strict=True)
        ],
        margin={"l": 64, "r": 8, "t": 30, "b": 48},
        uirevision="sweep",
    )  # fmt: skip


def cells_of(sweep: Sweep, asked: Json) -> Json:
    """What a click on a cell takes: its settings, and strengths by cell (None where the KL is not reached). ``asked``:
    the parameters of the sweep, which say of which model and fit it is, and where it acts."""
    strengths = [[None if np.isnan(v) else round(float(v), 3) for v in row] for row in sweep.strength]
    names = ("over", "region", "layer", "mode", "axes", "rows", "columns")
    steer = asked["steer"]
    about = {"model": asked["model"], "fit": steer["fit"], "where": steer["where"]}
    return {name: getattr(sweep, name) for name in names} | {"strength": strengths, **about}


def _heatmap(sweep: Sweep, z: np.ndarray, name: str, number: int) -> dict[str, Any]:
    few = len(sweep.rows) <= FEW
    return {
        "type": "heatmap",
        "name": name,
        "x": list(range(len(sweep.columns))),
        "y": list(range(len(sweep.rows))),
        "z": np.round(z.astype(np.float64), 3),
        "text": [["" if np.isnan(v) else _signed(float(v)) for v in row] for row in z],
        "hovertext": [[_cell(sweep, r, c) for c in range(len(sweep.columns))] for r in range(len(sweep.rows))],
        **({"texttemplate": "%{text}"} if few else {}),
        "hovertemplate": f"{name}<br>%{{hovertext}}<br>gain %{{z:+.2f}} nats<extra></extra>",
        "hoverongaps": False,
        "coloraxis": "coloraxis",
        "xgap": 1,
        "ygap": 1,
        "xaxis": "x2" if number else "x",
        "yaxis": "y",
    }


def _cell(sweep: Sweep, r: int, c: int) -> str:
    if np.isnan(sweep.gain[r, c]):
        return ""
    text = f"{_place(sweep, r, c)}<br>strength {sweep.strength[r, c]:.3g}"
    if np.isnan(sweep.null[r, c]):
        return text + "<br>no random push reaches this KL"
    return f"{text}<br>random pushes {sweep.null[r, c]:+.2f}, at most {sweep.null_high[r, c]:+.2f}"


def _place(sweep: Sweep, r: int, c: int) -> str:
    row, column = sweep.rows[r], sweep.columns[c]
    if sweep.over == "blocks":
        return f"block {row:.0f}, KL {column:g}"
    return f"factor {sweep.axes[0]} at {row:+g}, factor {sweep.axes[1]} at {column:+g}"


def _null_name(sweep: Sweep) -> str:
    return "random regions" if sweep.over == "blocks" else "random directions of the factors' lengths"


def _beyond(sweep: Sweep) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        beyond: np.ndarray = sweep.gain > sweep.null_high
    return beyond


def _best(sweep: Sweep) -> tuple[int, int] | None:
    if not np.isfinite(sweep.gain).any():
        return None
    r, c = np.unravel_index(int(np.nanargmax(sweep.gain)), sweep.gain.shape)
    return int(r), int(c)


def _caption(sweep: Sweep) -> str:
    words = ", ".join(t.strip("␣ ") for t in sweep.tokens[:WORDS])
    more = f" and {len(sweep.tokens) - WORDS} more" if len(sweep.tokens) > WORDS else ""
    if sweep.over == "blocks":
        what = (
            f"the direction of region {sweep.region}, from block {sweep.layer}, is added at one block at a time, each "
        )
        what += "cell at the strength that costs its KL"
    else:
        what = (
            f"region {sweep.region} with two of its local factors; its strength makes up a KL of {sweep.target:g} nats"
        )
    return (
        f"Mean gain in log-odds of {len(sweep.tokens)} words ({words}{more}; {sweep.subject}) as the next token: "
        f"{what}. Dot: more than each of {sweep.draws} random pushes of that KL. Empty: the KL is not reached, at a "
        "strength of at most 1."
    )


def _columns(sweep: Sweep) -> tuple[str, ...]:
    first = ("block", "KL, nats") if sweep.over == "blocks" else tuple(f"factor {n}, spreads" for n in sweep.axes)
    return (*first, "strength", "gain, nats", "gain of random pushes, mean", "largest")


def _rows(sweep: Sweep) -> tuple[tuple[float | None, ...], ...]:
    arrays = (sweep.strength, sweep.gain, sweep.null, sweep.null_high)
    return tuple(
        (row, column, *(None if np.isnan(a[r, c]) else round(float(a[r, c]), 4) for a in arrays))
        for r, row in enumerate(sweep.rows)
        for c, column in enumerate(sweep.columns)
    )


def _signed(value: float) -> str:
    return f"{round(value, 1) + 0.0:+.1f}".replace("-", "−")


def _number(value: float) -> str:
    return f"{value:g}".replace("-", "−")
