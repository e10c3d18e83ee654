"""Figures of the MLP features page: a fit's curve, a feature's neurons, what it does to the next token, detection.

Colours mean one thing: raised is blue and lowered orange (as the two ends of the signed scale), the features of this
method are vermilion where they stand among others, and what is a null is grey. Every number that has a null stands in
the same figure as that null.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.answer import plain_of
from analysis.snmf.answers.factorization import (
    DetectionComparison,
    ExplainedCurve,
    FeatureFacts,
    FeatureTable,
    MethodScore,
    NewFactorization,
)
from analysis.snmf.answers.steering import SteeringComparison
from components.kit.figure import AFTER, BEFORE, Figure, figure
from components.kit.figure_card import blank
from components.kit.next_tokens import next_tokens
from components.kit.style import ABOVE, numbers
from components.kit.theme import REMAINDER
from components.kit.view import Drawing, NoOptions, view
from components.snmf.evidence import (
    arms_control,
    arms_numbers,
    curve_numbers,
    detection_control,
    feature_numbers,
    fit_numbers,
    methods_control,
    methods_numbers,
)

MARK = "#D55E00"
METHODS = {
    "SNMF": ("SNMF features", MARK, "circle"),
    "DiffMean (supervised)": ("DiffMean, which knows the labels", "#009E73", "diamond-open"),
    "single neurons": ("single neurons", "#0072B2", "square"),
    "SVD": ("SVD", "#CC79A7", "triangle-up"),
    "random sparse": ("null: random sparse directions", REMAINDER, "x"),
    "shuffled neurons": ("null: the same weights on other neurons", REMAINDER, "circle-open"),
}
"""By method of the detection table: name in the legend, colour, symbol; in the order in which they stand."""


@view("mlp-features/curve", FeatureTable)
def kept_curve(table: FeatureTable, options: NoOptions, theme: str) -> Drawing:
    """The curve of the fit that is open."""
    return Drawing(
        explained_curve(table.curve, theme),
        f"The pair kept is that of iteration {table.curve.best}: keeping few neurons projects after each step, so the "
        "curve may fall again. A good fit alone says nothing of its features; see “Does it detect?” for their null.",
        _facts(table),
        numbers=curve_numbers(table.curve) | fit_numbers(table),
    )


def _facts(table: FeatureTable) -> dict[str, Any]:
    # The values of the curve are in the figure.
    names = ("layer", "site", "width", "features", "kept", "tokens", "explained", "command", "levels", "random_auc")
    facts: dict[str, Any] = plain_of({name: getattr(table, name) for name in (*names, "search")})
    return facts | {"curve": {"best": table.curve.best}}


@view("mlp-features/new-curve", NewFactorization)
def new_curve(fit: NewFactorization, options: NoOptions, theme: str) -> Drawing:
    """The curve of a fit that has just been made."""
    numbers = curve_numbers(fit.curve)
    return Drawing(explained_curve(fit.curve, theme), fit.sentence, {"fit": fit.fit}, numbers=numbers)


def explained_curve(curve: ExplainedCurve, theme: str) -> Figure:
    """Explained share of the squared length over the iterations, the iteration that was kept marked by a star."""
    steps, explained, best = list(curve.iteration), list(curve.explained), curve.best
    data = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "explained",
            "x": steps,
            "y": numbers(explained, 5),
            "line": {"color": BEFORE, "width": 2},
            "hovertemplate": "iteration %{x}<br>explained %{y:.2%}<extra></extra>",
        }
    ]
    if steps and best is not None:
        at = min(range(len(steps)), key=lambda i: abs(steps[i] - best))
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": f"kept: iteration {best}",
                "x": [steps[at]],
                "y": numbers([explained[at]], 5),
                "marker": {"symbol": "star", "size": 15, "color": MARK},
                "hovertemplate": "the pair that is kept<br>iteration %{x}<br>explained %{y:.2%}<extra></extra>",
            }
        )
    return figure(
        data,
        theme,
        xaxis={"title": {"text": "iteration"}, "rangemode": "tozero"},
        yaxis={"title": {"text": "share of squared length explained"}, "tickformat": ".0%"},
        legend=ABOVE,
        uirevision="curve",
    )


@view("mlp-features/neurons", FeatureFacts, FeatureTable)
def neuron_bars(feature: FeatureFacts, table: FeatureTable, options: NoOptions, theme: str) -> Drawing:
    """The neurons that a feature keeps, by size, each with its signed weight."""
    unit = "neuron" if table.site == "mlp_hidden" else "dimension"
    neurons = [n.neuron for n in feature.neurons]
    weights = [n.weight for n in feature.neurons]
    picture = figure(
        [
            {
                "type": "bar",
                "x": [str(n) for n in neurons],
                "y": numbers(weights),
                "customdata": neurons,
                "marker": {"color": [BEFORE if w >= 0 else AFTER for w in weights]},
                "hovertemplate": unit + " %{x}<br>weight %{y:+.4f}<extra></extra>",
            }
        ],
        theme,
        xaxis={"type": "category", "tickangle": -60, "showgrid": False},
        yaxis={"title": {"text": "weight"}, "zeroline": True},
        margin={"l": 56, "r": 8, "t": 8, "b": 56},
        bargap=0.25,
        uirevision="neurons",
    )
    return Drawing(
        picture,
        f"{len(neurons)} of {table.width:,} {unit}s, the heaviest first; the whole has length 1. Blue adds, orange "
        f"takes away. Null, in detection and steering: the same weights on other {unit}s.",
        {"label": feature.label, "neurons": plain_of(feature.neurons)},
        control=detection_control(feature.detection),
        numbers=feature_numbers(feature),
    )


@dataclass(frozen=True)
class PromptEnd:
    """``prompt``: the end of the prompt."""

    prompt: str = ""


@view("mlp-features/next", SteeringComparison, options=PromptEnd)
def steered_next(comparison: SteeringComparison, options: PromptEnd, theme: str) -> Drawing:
    """The next token, without the feature and with it."""
    own = next(arm for arm in comparison.arms if arm.name == "feature")
    picture = next_tokens(comparison, theme)
    # No slider moves these bars, and a figure that plotly moves in place gets its ranges written back.
    del picture["layout"]["transition"]
    return Drawing(
        picture,
        f"After “{options.prompt}”, with the feature at strength {number_or_none(own.strength, '.3g')}, KL "
        f"{number_or_none(own.kl, '.3f')} nats. The null, other directions at the same KL, is in the table above.",
        control=arms_control(comparison),
        numbers=arms_numbers(comparison),
    )


def number_or_none(value: float | None, shape: str) -> str:
    """A number in a format, or the word "none"."""
    return "none" if value is None else format(value, shape)


@view("mlp-features/auc", DetectionComparison)
def detection_areas(comparison: DetectionComparison, options: NoOptions, theme: str) -> Drawing:
    """The area under the curve of every method, layer by layer."""
    return Drawing(
        detection_dots(comparison.rows, "auc", theme),
        "Dashed: a direction that knows nothing. Grey: the nulls. Bars: 95 % intervals.",
        {"rows": plain_of(comparison.rows), "command": comparison.command},
        control=methods_control(comparison, "auc"),
        numbers=methods_numbers(comparison, "auc"),
    )


@view("mlp-features/score", DetectionComparison)
def detection_scores(comparison: DetectionComparison, options: NoOptions, theme: str) -> Drawing:
    """The paper's score of every method, layer by layer."""
    return Drawing(
        detection_dots(comparison.rows, "score", theme),
        f"Inflated where the mean elsewhere is near zero: read it beside the AUC. Made by: {comparison.command}",
        {"rows": plain_of(comparison.rows), "command": comparison.command},
        control=methods_control(comparison, "score"),
        numbers=methods_numbers(comparison, "score"),
    )


def detection_dots(rows: Sequence[MethodScore], measure: str, theme: str) -> Figure:
    """Every method at every layer with its 95 % interval. ``measure``: "auc" or "score" (ln of the ratio of means).

    The line is where a direction that knows nothing stands: 0.5 for the AUC, 0 for the score.
    """
    layers = sorted({r.layer for r in rows})
    if not layers:
        return blank(340, "not measured for this model")
    present = [m for m in METHODS if any(r.method == m for r in rows)]
    data = []
    for i, method in enumerate(present):
        name, colour, symbol = METHODS[method]
        mine = sorted(
            (r for r in rows if r.method == method and getattr(r, measure) is not None), key=lambda r: r.layer
        )
        value = np.array([getattr(r, measure) for r in mine], np.float64)
        step = 0.13 * (i - (len(present) - 1) / 2)
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": [layers.index(r.layer) + step for r in mine],
                "y": numbers(value),
                "text": [f"layer {r.layer}" for r in mine],
                "error_y": {
                    "type": "data",
                    "symmetric": False,
                    "array": numbers(_bounds(mine, measure, "high") - value),
                    "arrayminus": numbers(value - _bounds(mine, measure, "low")),
                    "thickness": 1.5,
                    "width": 3,
                },
                "marker": {"color": colour, "symbol": symbol, "size": 9},
                "hovertemplate": "%{text}<br>" + name + " %{y:.3f}<extra></extra>",
            }
        )
    level = 0.5 if measure == "auc" else 0.0
    return figure(
        data,
        theme,
        xaxis={
            "tickvals": list(range(len(layers))),
            "ticktext": [str(n) for n in layers],
            "title": {"text": "layer"},
            "showgrid": False,
            "zeroline": False,
            "range": [-0.6, len(layers) - 0.4],
        },
        yaxis={"title": {"text": "AUC on held-out passages" if measure == "auc" else "ln(mean on theme / elsewhere)"}},
        shapes=[
            {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": level, "y1": level}
            | {"line": {"dash": "dash", "width": 1.5, "color": REMAINDER}}
        ],
        legend=ABOVE | {"font": {"size": 11.5}, "yref": "container", "y": 1, "yanchor": "top"},
        margin={"l": 56, "r": 8, "t": 76, "b": 44},
        uirevision=f"detection-{measure}",
    )


def _bounds(rows: Sequence[MethodScore], measure: str, side: str) -> np.ndarray:
    """An end of each interval; the value itself where there is none."""
    ends = [getattr(r, f"{measure}_{side}") for r in rows]
    return np.array(
        [getattr(r, measure) if end is None else end for r, end in zip(rows, ends, strict=True)], np.float64
    )
