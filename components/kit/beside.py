"""Panels of a figure side by side, and the grey band of a null in one of them."""

from __future__ import annotations

from typing import Any

from components.kit.figure import BAND

FLOOR = 0.02
"""Where kurtosis is drawn on a logarithmic axis, no value stands lower; the pointer shows the number itself."""


def panels(count: int, gap: float, own: bool = False) -> dict[str, dict[str, Any]]:
    """The x axes of panels side by side with a gap (share of the width) between them, each with a y axis of its own, or
    all with the first."""
    width = (1 - gap * (count - 1)) / count
    return {
        f"xaxis{i + 1 if i else ''}": {
            "domain": [round(i * (width + gap), 4), round(min(1.0, i * (width + gap) + width), 4)],
            "anchor": f"y{i + 1}" if own and i else "y",
        }
        for i in range(count)
    }


def panel_title(text: str, column: int, count: int, gap: float) -> dict[str, Any]:
    """The name of a panel, above its left end; ``count`` and ``gap`` as for :func:`panels`."""
    left = column * ((1 - gap * (count - 1)) / count + gap)
    return {
        "text": text,
        "x": left,
        "y": 1,
        "xref": "paper",
        "yref": "paper",
        "xanchor": "left",
        "yanchor": "bottom",
    } | {
        "showarrow": False,
        "font": {"size": 13},
    }


def level_box(axis: str, low: float, high: float) -> dict[str, Any]:
    """A grey band between two values of a y axis: what random vectors do."""
    return {
        "type": "rect",
        "yref": axis,
        "y0": low,
        "y1": high,
        "fillcolor": BAND,
        "line": {"width": 0},
        "layer": "below",
    }
