"""Form controls of declared fields (:mod:`analysis.fields`): range, choices and default are not written again."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import dash_bootstrap_components as dbc
from dash import dcc, html

from analysis.fields import Choice, Text, fields_of


def number_field(owner: type, name: str, control: str, label: str, value: Any = None, **more: Any) -> Any:
    """A labelled number; ``control`` is its id. ``owner``: the dataclass that declares the field ``name``; its default
    stands there where no value is given. Without bounds in the browser, so that the server, which checks, learns what
    was typed and can say what is wrong."""
    start = _default(owner, name) if value is None else value
    return html.Div(
        [
            dbc.Label(label, html_for=control),
            dbc.Input(id=control, type="number", value=start, step="any", size="sm", className="attune-number", **more),
        ],
        className="attune-inline",
    )


def text_field(owner: type, name: str, control: str, label: str, value: str | None = None, **more: Any) -> Any:
    """A labelled line of text, no longer than the field allows."""
    field, _ = fields_of(owner)[name]
    if not isinstance(field, Text):
        raise TypeError(f"{owner.__name__}.{name} is no text")
    start = _default(owner, name) if value is None else value
    given = {"debounce": True, "maxLength": field.most, "size": "sm"} | more
    return html.Div(
        [dbc.Label(label, html_for=control), dbc.Input(id=control, value=start, **given)], className="attune-inline"
    )


def choice_field(
    owner: type, name: str, control: str, labels: Mapping[str, str], value: Any = None, **more: Any
) -> Any:
    """A list of the field's choices, each under its label. KeyError for a choice without one."""
    field, _ = fields_of(owner)[name]
    if not isinstance(field, Choice):
        raise TypeError(f"{owner.__name__}.{name} is no choice")
    options = [{"label": labels[option], "value": option} for option in field.options]
    start = _default(owner, name) if value is None else value
    given = {"clearable": False, "searchable": False, "className": "attune-pick"} | more
    return dcc.Dropdown(options, start, id=control, **given)


def _default(owner: type, name: str) -> Any:
    field = next(f for f in dataclasses.fields(owner) if f.name == name)
    return None if field.default is dataclasses.MISSING else field.default
