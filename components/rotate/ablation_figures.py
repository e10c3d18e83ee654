"""What falls without a channel: its arms beside controls, tokens before and after, the same as a table, and the text.

Colours are those of :mod:`components.rotate.neuron_figures`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from dash import html

from analysis.answer import plain_of
from analysis.rotate.answers.channels import Ablation, Arm
from components.kit.figure import AFTER, BEFORE, Figure, figure
from components.kit.labels import escaped
from components.kit.style import ABOVE, MARK, dashed_line, numbers
from components.kit.theme import REMAINDER
from components.kit.types import Node
from components.kit.view import Drawing, NoOptions, view
from components.rotate.evidence import ablation_control, ablation_numbers

ARMS = {
    "channel": "this channel",
    "random direction": "null: random direction",
    "logit lens": "logit-lens tokens",
    "svd": "SVD of the layer",
    "whole neuron": "the whole neuron",
}
"""What the arms of an ablation are called, in the order in which they stand."""


@view("neurons/arms", Ablation)
def ablation_arms(answer: Ablation, options: NoOptions, theme: str) -> Drawing:
    """What falls without the channel, without controls, and without the whole neuron."""
    what = "logits, at the framed positions" if answer.kind == "output" else "shares of the neuron's mean activation"
    arms = (*answer.arms, answer.whole)
    return Drawing(
        arms_figure(arms, answer.unit, theme),
        f"In {what}, with 95 % intervals. Every control takes as much out of the neuron as the channel does and "
        "differs only in where it points, so a random direction that does the same is the null. Without the "
        "whole neuron falls what it did at all; a channel that takes more than that pushes tokens down by itself.",
        {"arms": plain_of(arms)},
        control=ablation_control(answer),
        numbers=ablation_numbers(answer),
    )


def arms_figure(arms: Sequence[Arm], unit: str, theme: str) -> Figure:
    """What falls on the channel's own tokens (or sentences) and on others, with 95 % intervals, for each arm."""
    by_name = {a.name: a for a in arms}
    order = [name for name in ARMS if name in by_name]
    rows = [by_name[name] for name in order]
    data = []
    for shift, drops, intervals, name, colour, symbol in (
        (-0.14, [r.own for r in rows], [r.own_interval for r in rows], "the channel's own", MARK, "circle"),
        (0.14, [r.other for r in rows], [r.other_interval for r in rows], "others", BEFORE, "square-open"),
    ):
        value, interval = np.array(drops, np.float64), np.array(intervals, np.float64).reshape(-1, 2)
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": numbers(value),
                "y": [i + shift for i in range(len(order))],
                "text": [ARMS[n] for n in order],
                "error_x": {
                    "type": "data",
                    "symmetric": False,
                    "array": numbers(interval[:, 1] - value),
                    "arrayminus": numbers(value - interval[:, 0]),
                    "thickness": 2,
                    "width": 4,
                },
                "marker": {"color": colour, "symbol": symbol, "size": 10},
                "hovertemplate": "%{text}<br>" + name + ": %{x:.3f} " + unit + "<extra></extra>",
            }
        )
    line, _ = dashed_line("x", 0.0)
    return figure(
        data,
        theme,
        xaxis={"title": {"text": f"what falls ({unit})"}, "zeroline": False},
        yaxis={
            "tickvals": list(range(len(order))),
            "ticktext": [ARMS[n] for n in order],
            "range": [len(order) - 0.5, -0.5],
            "showgrid": False,
            "zeroline": False,
            "ticksuffix": " ",
        },
        shapes=[line],
        legend=ABOVE,
        margin={"l": 170, "r": 16, "t": 8, "b": 48},
        hovermode="closest",
        uirevision="arms",
    )


@view("neurons/before-after", Ablation)
def before_after(answer: Ablation, options: NoOptions, theme: str) -> Drawing:
    """Logits of the channel's tokens, or activations in sentences, with the channel and without."""
    unit = "logit" if answer.kind == "output" else "activation"
    rows = changes(answer)
    return Drawing(
        change_lines(rows, unit, theme),
        changes_words(answer),
        {"rows": plain_of(rows)},
        control=ablation_control(answer),
        numbers=ablation_numbers(answer),
    )


@dataclass(frozen=True)
class Change:
    """A token or sentence before and after; ``own``: it is the channel's; ``id`` of a token where it is one."""

    label: str
    before: float
    after: float
    own: bool = True
    id: int | None = None


def changes(answer: Ablation) -> list[Change]:
    """Tokens or sentences as rows of the figure: strongest first, the channel's own before others."""
    if answer.kind == "output":
        return [Change(t.token, t.before, t.after, id=t.id) for t in answer.tokens]
    rows = [Change(_ending(s.labels), s.before, s.after, s.own) for s in answer.sentences]
    return sorted(rows, key=lambda r: (not r.own, -abs(r.before)))


def _ending(labels: Sequence[str], length: int = 34) -> str:
    """The last words of a sentence that is known by its tokens."""
    text = "".join(labels).replace("␣", " ").strip()
    return text if len(text) <= length else "…" + text[-(length - 1) :]


def changes_words(answer: Ablation) -> str:
    """What the dots are."""
    if answer.kind == "input":
        return "Filled: sentences that end with a token of the channel. Hollow: sentences that end with another token."
    first = answer.shown[0]
    label, value = answer.labels[first], answer.activation[first]
    pressed = " Its activation is negative there: it presses down what its vector favours." if value < 0 else ""
    return (
        f"Logits of the channel's {len(answer.tokens)} tokens, less the mean over the vocabulary, after "
        f"“{label}”, where the neuron is most active ({value:+.2f}).{pressed}"
    )


def change_lines(rows: Sequence[Change], unit: str, theme: str) -> Figure:
    """A line from before to after for each row; the id of a token is its customdata."""
    names = [f"{escaped(r.label, 44)}{chr(0x200B) * i}" for i, r in enumerate(rows)]
    joints: dict[str, list[Any]] = {"x": [], "y": []}
    for name, r in zip(names, rows, strict=True):
        joints["x"] += [round(r.before, 4), round(r.after, 4), None]
        joints["y"] += [name, name, None]
    line = {"type": "scatter", "mode": "lines", **joints, "line": {"color": REMAINDER, "width": 2}}
    data: list[Any] = [line | {"hoverinfo": "skip", "showlegend": False}]
    for key, values, colour, symbol in (
        ("before", [r.before for r in rows], BEFORE, "circle"),
        ("after", [r.after for r in rows], AFTER, "square"),
    ):
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": key,
                "x": numbers(values),
                "y": names,
                "customdata": [r.id for r in rows],
                "marker": {
                    "color": [colour if r.own else "rgba(0,0,0,0)" for r in rows],
                    "line": {"color": colour, "width": 1.5},
                    "symbol": symbol,
                    "size": 8,
                },
                "hovertemplate": "%{y}<br>" + key + " %{x:.3f}<extra></extra>",
            }
        )
    return figure(
        data,
        theme,
        xaxis={"title": {"text": unit}, "side": "bottom"},
        yaxis={"type": "category", "autorange": "reversed", "showgrid": False, "ticksuffix": " ", "dtick": 1}
        | {"tickfont": {"size": 11.5}},
        legend=ABOVE,
        margin={"l": 150, "r": 12, "t": 8, "b": 44},
        hovermode="closest",
        uirevision="before-after",
    )


def in_order(arms: Sequence[Arm]) -> list[Arm]:
    """The arms as they stand in figure and table."""
    order = list(ARMS)
    return sorted(arms, key=lambda arm: order.index(arm.name) if arm.name in order else len(order))


def arms_table(arms: Sequence[Arm]) -> Node:
    """The arms of an ablation as numbers: what falls on the channel's own, on others, and the difference."""
    body = [
        html.Tr(
            [
                html.Th(ARMS.get(a.name, a.name)),
                *[
                    html.Td([f"{drop:+.3f} ", html.Span(f"{low:+.3f} to {high:+.3f}", className="attune-note")])
                    for drop, (low, high) in ((a.own, a.own_interval), (a.other, a.other_interval))
                ],
                html.Td(f"{a.score:+.3f}"),
            ],
            className="nrn-own" if a.name == "channel" else "",
        )
        for a in in_order(arms)
    ]
    titles = ("taken out", "the channel's own (95 %)", "others (95 %)", "own − others")
    head = html.Thead(html.Tr([html.Th(t) for t in titles]))
    return html.Table([head, html.Tbody(body)], className="attune-table")


def activation_strip(labels: Sequence[str], activation: Sequence[float], shown: Sequence[int]) -> list[Node]:
    """A text as tokens shaded by the size of the neuron's activation; positions that were used have a frame."""
    top = max((abs(v) for v in activation), default=1.0) or 1.0
    return [
        html.Span(
            text,
            className="nrn-strip-token" + (" nrn-used" if i in shown else ""),
            title=f"position {i}: activation {value:.3g}" + (", looked at" if i in shown else ""),
            style={"--shade": f"{abs(value) / top:.3f}"},
        )
        for i, (text, value) in enumerate(zip(labels, activation, strict=True))
    ]
