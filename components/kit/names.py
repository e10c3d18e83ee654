"""Names that are read out and not shown, for controls without a visible label of their own; controls that are not shown
until they are asked for.

Dash's sliders, bars and lists take no such name; assets/frame/controls.js hands it on to the part that has the
keyboard.
"""

from __future__ import annotations

from typing import Any

import dash_bootstrap_components as dbc
from dash import html


def named(label: str, content: Any, classes: str) -> Any:
    """Controls that have no label of their own, under a name that is read out."""
    return html.Div(content, className=classes, role="group", **{"aria-label": label})


def progress(control: str, name: str) -> Any:
    """An empty bar; ``control`` is its id, ``name`` says what it is the progress of."""
    return dbc.Progress(id=control, value=0, label=name, hide_label=True, className="attune-bar")


def popup(*controls: Any, label: str = "Settings") -> Any:
    """A button that shows controls which are seldom needed, over the page, so that they take no room on it. A press
    beside it or Escape closes it (assets/frame/controls.js)."""
    return html.Details(
        [
            html.Summary(label, className="attune-button"),
            html.Div(list(controls), className="attune-popup-content"),
        ],
        className="attune-popup",
    )
