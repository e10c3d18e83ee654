"""The sliders of the regions that steer: one for the centroid, one for each local factor, the ends named.

A factor's number alone means nothing, so its two ends are named by the tokens whose contexts lie furthest out; the
warning zone of the strength is where the fluency of a text usually breaks.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import dash_bootstrap_components as dbc
from dash import dcc, html

from analysis.mfa.answers.regions import Factor, RegionFacts
from components.kit.types import Node

FEW = 4
WARNINGS = {"interpolate": 0.4, "add": 0.8}
"""Strength from which the median text of the thematic regions of block 10 is several times as surprising to the
unsteered model as its own."""
END = 4
"""Ends of a factor's slider, in spreads."""


def region_sliders(region: RegionFacts, strength: float, factors: Sequence[float], mode: str) -> Node:
    """The block of one region. ``factors``: their values in spreads, those that are left out at 0."""
    number = region.region
    rows = [_factor(number, j, row, factors[j] if j < len(factors) else 0.0) for j, row in enumerate(region.factors)]
    return html.Section(
        [
            html.Div(
                [
                    html.Button(
                        region.label,
                        id={"open-region": number},
                        className="attune-link attune-strong",
                        type="button",
                        title="Show what this region is",
                    ),
                    html.Span(f"region {number}", className="attune-note"),
                    html.Button(
                        "Remove",
                        className="attune-small",
                        type="button",
                        **{
                            "aria-label": f"remove region {number} from the sliders",
                            "data-press": "on-sliders",
                            "data-kind": "remove",
                            "data-with": json.dumps({"region": number}),
                        },
                    ),
                ],
                className="attune-steer-head",
            ),
            html.Div(
                [
                    html.Span("unsteered", className="attune-end attune-end-low"),
                    _slider({"strength": number}, 0, 1, 0.01, strength, f"strength of region {number}", _zone(mode)),
                    html.Span("centroid", className="attune-end"),
                ],
                className="attune-slider-row attune-strength",
                style={"--warning": f"{100 * WARNINGS.get(mode, 1.0):.0f}%"},
            ),
            html.Div(rows[:FEW]),
            html.Details(
                [html.Summary(f"{len(rows) - FEW} more local factors"), html.Div(rows[FEW:])],
                open=any(factors[FEW:]),
            )
            if len(rows) > FEW
            else None,
        ],
        className="attune-steer",
        key=f"region-{number}",
        **{"aria-label": f"Sliders of {region.label}"},
    )


def _zone(mode: str) -> dict[float, Any]:
    warning = WARNINGS.get(mode, 1.0)
    mark = {"label": "▲ fluency", "style": {"color": "var(--attune-bad)"}}
    return {0: "0", 0.2: "0.2", **({warning: mark} if warning < 1 else {}), 1: "1"}


def _factor(region: int, index: int, factor: Factor, value: float) -> Node:
    return html.Div(
        [
            html.Span(factor.low, className="attune-end attune-end-low", title=factor.low_title),
            _slider(
                {"factor": index, "region": region},
                -END,
                END,
                0.1,
                value,
                f"local factor {index} of region {region}, in spreads",
                {-END: f"−{END}", 0: f"factor {index} · {factor.share:.0%}", END: f"+{END}"},
            ),
            html.Span(factor.high, className="attune-end", title=factor.high_title),
        ],
        className="attune-slider-row",
    )


def _slider(name: Any, low: float, high: float, step: float, value: float, label: str, marks: dict[Any, Any]) -> Node:
    return html.Div(
        dcc.Slider(
            id=name,
            min=low,
            max=high,
            step=step,
            value=value,
            marks=marks,
            included=low == 0,
            updatemode="mouseup",
            allow_direct_input=True,
            tooltip={"placement": "top", "always_visible": False},
        ),
        className="attune-steer-slider",
        role="group",
        **{"aria-label": label},
    )


def more_options(modes: list[dict[str, str]], places: list[dict[str, str]], blocks: list[int]) -> Node:
    """How, where and at which further blocks the regions act."""
    return html.Div(
        [
            _labelled("How", dcc.Dropdown(modes, "add", id="mode", clearable=False, searchable=False)),
            _labelled("Positions", dcc.Dropdown(places, "not_first", id="where", clearable=False, searchable=False)),
            _labelled(
                "Also at blocks",
                dcc.Dropdown([{"label": str(b), "value": b} for b in blocks], [], id="layers", multi=True),
            ),
            dbc.Switch(id="own-block", value=True, label="at the fit's own block"),
            _labelled(
                "Local axes",
                dcc.Dropdown(
                    [{"label": "principal", "value": "principal"}, {"label": "varimax", "value": "varimax"}],
                    "principal",
                    id="rotation",
                    clearable=False,
                    searchable=False,
                ),
            ),
            *_gate_options(),
        ],
        className="attune-options",
    )


def _gate_options() -> list[Node]:
    """On which tokens steering acts, beyond where they stand."""
    kinds = [
        {"label": "always", "value": "none"},
        {"label": "only while a region's responsibility", "value": "responsibility"},
        {"label": "only while the projection on a region's direction", "value": "projection"},
    ]
    sides = [{"label": "is above", "value": "above"}, {"label": "is below", "value": "below"}]
    return [
        _labelled("From written token", dbc.Input(id="gate-after", type="number", step="any", value=0, size="sm")),
        _labelled("Gate", dcc.Dropdown(kinds, "none", id="gate-kind", clearable=False, searchable=False)),
        _labelled(
            "Its region",
            dbc.Input(id="gate-region", type="number", step="any", size="sm", placeholder="the first one above"),
        ),
        _labelled("Side", dcc.Dropdown(sides, "above", id="gate-side", clearable=False, searchable=False)),
        _labelled("Value", dbc.Input(id="gate-value", type="number", step="any", value=0.5, size="sm")),
    ]


def _labelled(text: str, field: Node) -> Node:
    return html.Div([dbc.Label(text, html_for=field.id), field], className="attune-labelled")
