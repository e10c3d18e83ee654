"""What all figures share: a plain dict with the theme's template; before is blue, after is orange, a null is grey."""

from __future__ import annotations

from typing import Any

from components.kit.theme import template

BEFORE, AFTER, BAND = "#0072B2", "#E69F00", "rgba(138,143,152,0.35)"
Figure = dict[str, Any]


def figure(data: list[Any], theme: str, **layout: Any) -> Figure:
    """A figure dict with the theme's template."""
    return {"data": data, "layout": {"template": template(theme), **layout}}
