"""The sliders of the regions that steer: one for the centroid, one for each local factor, the ends named.

A factor's number alone means nothing, so its two ends are named by the tokens whose contexts lie furthest out; the
warning zone of the strength is where the fluency of a text usually breaks.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dash_bootstrap_components as dbc
from dash import dcc, html

from analysis.mfa.answers.regions import Factor, RegionFacts
from components.kit.types import Node

FEW = 4
WARNINGS = {"interpolate": 0.4, "add": 0.8}
"""Strength from which the median text of the thematic regions of block 10 of the default model is several times as
surprising to the unsteered model as its own."""
END = 4
"""Ends of a factor's slider, in spreads."""


@dataclass(frozen=True)
class Zone:
    """Strengths from ``start`` on, at which texts break, None for none; ``measured`` on the prompt, or usual."""

    start: float | None
    measured: bool = False

    @property
    def sentence(self) -> str:
        """What the colour under the slider means."""
        if self.start is None:
            return "No strength up to 1 broke the text of this prompt." if self.measured else ""
        if self.measured:
            return f"▲ {self.start:g}: here the text of this prompt breaks."
        return f"▲ {self.start:g}: usual limit of texts, not measured here."


def usual_zone(mode: str) -> Zone:
    """Where texts usually break: the median region of block 10 of the default model."""
    return Zone(WARNINGS.get(mode))


def region_sliders(region: RegionFacts, strength: float, factors: Sequence[float], zone: Zone) -> Node:
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
                    _ends("unsteered", "strength", "centroid"),
                    _slider({"strength": number}, 0, 1, 0.01, strength, f"strength of region {number}", _marks(zone)),
                ],
                className="attune-slider-row attune-strength",
                style={"--warning": f"{100 * (1.0 if zone.start is None else zone.start):.0f}%"},
            ),
            html.Div(zone.sentence, className="attune-note attune-zone") if zone.sentence else None,
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


def _marks(zone: Zone) -> dict[float, Any] | None:
    return None if zone.start is None else {zone.start: {"label": "▲", "style": {"color": "var(--attune-bad)"}}}


def _factor(region: int, index: int, factor: Factor, value: float) -> Node:
    return html.Div(
        [
            _ends(factor.low, f"factor {index} · {factor.share:.0%}", factor.high, factor.low_title, factor.high_title),
            _slider(
                {"factor": index, "region": region},
                -END,
                END,
                0.1,
                value,
                f"local factor {index} of region {region}, in spreads",
                None,
            ),
        ],
        className="attune-slider-row",
    )


def _ends(low: str, name: str, high: str, low_title: str = "", high_title: str = "") -> Node:
    """The line above a slider: its name between those of its ends."""
    return html.Div(
        [
            html.Span(low, className="attune-end", title=low_title or low),
            html.Span(name, className="attune-end-name"),
            html.Span(high, className="attune-end", title=high_title or high),
        ],
        className="attune-ends",
    )


def _slider(
    name: Any, low: float, high: float, step: float, value: float, label: str, marks: dict[float, Any] | None
) -> Node:
    """With its number beside it: one can read it, and type it."""
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
