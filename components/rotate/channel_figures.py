"""The figures of a neuron's channels: descent, what they share, what they rebuild.

Colours are those of :mod:`components.rotate.neuron_figures`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.rotate.answers.channels import NeuronChannels, NullBands
from analysis.rotate.answers.neurons import Quantiles
from components.kit.beside import FLOOR, level_box, panel_title, panels
from components.kit.figure import AFTER, BEFORE, Figure, figure
from components.kit.style import ABOVE, MARK, colour_bar, numbers
from components.kit.theme import DIVERGING, REMAINDER
from components.kit.view import Drawing, NoOptions, view
from components.rotate.evidence import channels_numbers, cosine_numbers, null_control, rebuilt


@dataclass(frozen=True)
class OpenChannel:
    """The number of the open channel, from 1; None if none is."""

    channel: int | None = None


@view("neurons/descent", NeuronChannels, options=OpenChannel)
def descent(answer: NeuronChannels, options: OpenChannel, theme: str) -> Drawing:
    """The descent to all channels of a neuron."""
    return Drawing(
        descent_lines(answer.trace, options.channel, answer.null, theme),
        f"Grey: where the best channels of {answer.null.vectors} random vectors end, 90 % of them; dashed, half. "
        f"A line that ends inside is no more than chance. Vermilion: the channel that is open, or at work.",
        answer.settings | {"source": answer.source, "seconds": round(answer.seconds, 2)},
        control=null_control(answer.null, "loss", "kurtosis", "cosine"),
        numbers=channels_numbers(answer, options.channel),
    )


def descent_lines(
    trace: np.ndarray | Sequence[Sequence[float]],
    chosen: int | None,
    null: NullBands | None,
    theme: str,
    limit: int = 12,
) -> Figure:
    """Loss, kurtosis and cosine against the step, a line for each channel, the chosen one vermilion.

    ``trace``: rows of channel (from 1), step, loss, kurtosis, cosine. ``null``: where the best channels of random
    vectors end. Of more than ``limit`` channels, the chosen and the last are drawn.
    """
    bands: tuple[Quantiles | None, ...] = (None,) * 3 if null is None else (null.loss, null.kurtosis, null.cosine)
    table = np.asarray(trace, np.float64).reshape(-1, 5)
    channels = sorted(set(table[:, 0].astype(int).tolist()))
    shown = [c for c in channels if c in channels[-limit:] or c == chosen]
    data, layout = [], panels(3, 0.09, own=True)
    shapes: list[Any] = []
    for column, (name, band) in enumerate(zip(("loss", "excess kurtosis", "cosine"), bands, strict=True)):
        positive = name == "excess kurtosis"
        suffix = str(column + 1) if column else ""
        for channel in sorted(shown, key=lambda c: c == chosen):
            mine = table[table[:, 0] == channel]
            values = mine[:, column + 2]
            here = channel == chosen
            data.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "name": f"channel {channel}",
                    "showlegend": False,
                    "x": mine[:, 1].astype(int).tolist(),
                    "y": numbers(np.maximum(values, FLOOR) if positive else values),
                    "xaxis": f"x{suffix}",
                    "yaxis": f"y{suffix}",
                    "opacity": 1.0 if here else 0.75,
                    "line": {"color": MARK if here else _blue(theme), "width": 3 if here else 1.5},
                    "hovertemplate": f"channel {channel}, step %{{x}}<br>{name} %{{y:.3f}}<extra></extra>",
                }
            )
        if band is not None:
            low, middle, high = band
            floor = FLOOR if positive else -math.inf
            across = {"xref": f"x{suffix} domain", "x0": 0, "x1": 1}
            shapes.append(level_box(f"y{suffix}", max(low, floor), max(high, floor)) | across)
            at = max(middle, floor)
            shapes.append(
                {"type": "line", "yref": f"y{suffix}", "y0": at, "y1": at, **across}
                | {"line": {"color": REMAINDER, "dash": "dash", "width": 1.5}}
            )
        layout[f"xaxis{suffix}"] |= {"title": {"text": "step"}, "rangemode": "tozero"}
        drawn = np.maximum(table[:, column + 2], FLOOR)
        # Whole powers of ten alone would leave a narrow range without a number.
        wide = len(drawn) > 0 and drawn.max() > 30 * drawn.min()
        scale = {"type": "log", **({"dtick": 1} if wide else {})} if positive else {"type": "linear"}
        layout[f"yaxis{suffix}"] = {"anchor": f"x{suffix}", **scale}
    return figure(
        data,
        theme,
        **layout,
        shapes=shapes,
        annotations=[panel_title(t, i, 3, 0.09) for i, t in enumerate(("loss", "excess kurtosis", "cosine"))],
        margin={"l": 44, "r": 8, "t": 28, "b": 44},
        hovermode="closest",
        uirevision="descent",
    )


@view("neurons/cosines", NeuronChannels)
def cosines(answer: NeuronChannels, options: NoOptions, theme: str) -> Drawing:
    """Cosines of the neuron and its channels, with those of random vectors in words."""
    low, middle, high = answer.null.cosine
    return Drawing(
        cosine_map(answer.cosines, theme),
        f"Channels of one neuron may overlap: each starts from the whole vector. Null: the best channels of "
        f"{answer.null.vectors} random vectors have cosine {low:.2f} to {high:.2f} with theirs, half of them "
        f"below {middle:.2f}.",
        answer.settings,
        control=null_control(answer.null, "cosine"),
        numbers=cosine_numbers(answer),
    )


def cosine_map(cosines: np.ndarray, theme: str) -> Figure:
    """Cosines between the neuron and its channels, (C+1, C+1), the neuron first."""
    values = np.asarray(cosines, np.float64)
    names = ["neuron", *[str(i) for i in range(1, len(values))]]
    few = len(values) <= 9
    return figure(
        [
            {
                "type": "heatmap",
                "z": numbers(values, 3),
                "x": names,
                "y": names,
                "colorscale": DIVERGING,
                "zmin": -1,
                "zmax": 1,
                "xgap": 1,
                "ygap": 1,
                "hovertemplate": "%{y}, %{x}<br>cosine %{z:.3f}<extra></extra>",
                "colorbar": colour_bar("cosine"),
            }
        ],
        theme,
        annotations=[
            {
                "x": names[j],
                "y": names[i],
                "text": f"{round(values[i, j], 2) + 0.0:.2f}",
                "showarrow": False,
                "font": {"size": 12, "color": "#ffffff" if abs(values[i, j]) > 0.6 else "#14181d"},
            }
            for i in range(len(values) if few else 0)
            for j in range(len(values))
        ],
        xaxis={"type": "category", "showgrid": False, "title": {"text": "channel"}},
        yaxis={"type": "category", "autorange": "reversed", "showgrid": False},
        margin={"l": 64, "r": 8, "t": 8, "b": 48},
        uirevision="cosines",
    )


@view("neurons/rebuilding", NeuronChannels)
def rebuilding(answer: NeuronChannels, options: NoOptions, theme: str) -> Drawing:
    """How much of the neuron its channels rebuild."""
    numbers, control = rebuilt(answer)
    return Drawing(
        rebuilt_shares(answer.reconstruction, theme),
        "Least squares on the first channels. The null is what as many unrelated vectors at the same cosines would "
        "rebuild: being near the neuron is enough for that, whatever the channels mean.",
        answer.settings,
        control=control,
        numbers=numbers,
    )


def rebuilt_shares(parts: np.ndarray, theme: str) -> Figure:
    """How much of the neuron its first channels rebuild: (C, 3) cosine, explained share of squared length, and that
    share for unrelated vectors at the same cosines with the neuron (the null); or (C, 2) without the last."""
    values = np.asarray(parts, np.float64)
    steps = list(range(1, len(values) + 1))
    lines = (
        ("cosine", BEFORE, "solid", "circle"),
        ("explained share of squared length", AFTER, "solid", "square"),
        ("null: unrelated vectors at the same cosines", REMAINDER, "dash", "x"),
    )
    data = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": name,
            "x": steps,
            "y": numbers(values[:, i]),
            "line": {"color": colour, "dash": dash, "width": 2},
            "marker": {"symbol": symbol, "size": 8},
            "hovertemplate": "%{x} channels<br>" + name + " %{y:.3f}<extra></extra>",
        }
        for i, (name, colour, dash, symbol) in enumerate(lines[: values.shape[1]])
    ]
    return figure(
        data,
        theme,
        xaxis={"title": {"text": "channels, in the order found"}, "dtick": max(1, len(values) // 10)},
        yaxis={"range": [0, 1.03]},
        legend=ABOVE | {"font": {"size": 12}},
        margin={"l": 48, "r": 8, "t": 8, "b": 48},
        uirevision="rebuilding",
    )


def _blue(theme: str) -> str:
    # A thin line of the darker blue is hard to see on a dark page.
    return "#56B4E9" if theme == "dark" else BEFORE
