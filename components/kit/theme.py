"""Colours and plotly templates, light and dark, in one place.

Scales survive colour blindness: cividis-like for shares, a blue-orange pair for signed values, and the Okabe-Ito set
for categories. The browser gets both templates, so that switching the theme needs no server.
"""

from __future__ import annotations

from typing import Any

CATEGORIES = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9"]
REMAINDER = "#8a8f98"
SEQUENTIAL = "Cividis"
DIVERGING = [[0.0, "#b35806"], [0.25, "#f1a340"], [0.5, "#f7f7f7"], [0.75, "#67a9cf"], [1.0, "#1f4e8c"]]
_DARK_DIVERGING = [[0.0, "#fdb863"], [0.25, "#b35806"], [0.5, "#151b23"], [0.75, "#2f6ea5"], [1.0, "#9ccdf0"]]
FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"

# Without the button that would upload a chart, data included, to somebody's server.
GRAPH_CONFIG: dict[str, Any] = {
    "displaylogo": False,
    "responsive": True,
    "modeBarButtonsToRemove": ["sendChartToCloud", "lasso2d", "select2d", "toImage"],
}


def _template(text: str, muted: str, grid: str, paper: str, signed: list[Any]) -> dict[str, Any]:
    axis = {
        "gridcolor": grid,
        "zerolinecolor": muted,
        "linecolor": muted,
        "tickcolor": muted,
        "automargin": True,
        "title": {"standoff": 8},
    }
    scene = {"gridcolor": grid, "zerolinecolor": muted, "backgroundcolor": paper, "showbackground": True}
    return {
        "layout": {
            "font": {"family": FONT, "size": 13, "color": text},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "colorway": CATEGORIES,
            "colorscale": {"diverging": signed},
            "xaxis": axis,
            "yaxis": axis,
            "scene": {"xaxis": scene, "yaxis": scene, "zaxis": scene},
            "hoverlabel": {"bgcolor": paper, "font": {"color": text}, "bordercolor": muted},
            "legend": {"bgcolor": "rgba(0,0,0,0)"},
            "margin": {"l": 56, "r": 16, "t": 12, "b": 48},
        }
    }


TEMPLATES: dict[str, dict[str, Any]] = {
    "light": _template("#1f2328", "#59636e", "#d8dee4", "#ffffff", DIVERGING),
    "dark": _template("#e6edf3", "#9198a1", "#30363d", "#151b23", _DARK_DIVERGING),
}


def diverging(theme: str | None) -> list[Any]:
    """The scale of signed values: its middle, which is nothing, is the ground of the theme."""
    scale: list[Any] = template(theme)["layout"]["colorscale"]["diverging"]
    return scale


def ink_on_diverging(share: float, theme: str | None) -> str:
    """The colour of a word on a cell of that scale. ``share``: of the largest value, without its sign."""
    dark, light = "#14181d", "#ffffff"
    return (dark if share > 0.6 else light) if theme == "dark" else (light if share > 0.6 else dark)


def template(theme: str | None) -> dict[str, Any]:
    """The plotly template of a theme; light when unknown."""
    return TEMPLATES.get(theme or "light", TEMPLATES["light"])
