"""Panels for what is not a result: an error where it was typed, a failure with its number, something still to do."""

from __future__ import annotations

from typing import Any

import dash_bootstrap_components as dbc
from dash import html


def user_error(text: str, control: str | None = None) -> Any:
    """Something typed cannot be used; says what is wrong and what to do. ``control``: the id of the box that it was
    typed into, which assets/frame/refused.js marks for as long as the sentence stands."""
    alert = dbc.Alert(text, color="warning", className="attune-alert", key=text)
    return alert if control is None else html.Div(alert, key=text, **{"data-refuses": control})


def failure(text: str) -> Any:
    """Something failed that should not have; the text carries the number under which the log has it."""
    return dbc.Alert([html.Strong("This did not work. "), text], color="danger", className="attune-alert", key=text)


def note(text: str) -> Any:
    """A quiet remark."""
    return html.Div(text, className="attune-note")


def empty(text: str) -> Any:
    """What will stand here, and what to do to get it."""
    return html.Div(text, className="attune-empty")
