"""What all figures share: a plain dict with the theme's template; before is blue, after is orange, a null is grey."""

from __future__ import annotations

from typing import Any

from components.kit.theme import DIVERGING, diverging, template

BEFORE, AFTER, BAND = "#0072B2", "#E69F00", "rgba(138,143,152,0.35)"
Figure = dict[str, Any]


def figure(data: list[Any], theme: str, **layout: Any) -> Figure:
    """A figure dict with the theme's template. Whatever is coloured by DIVERGING gets the theme's scale of that kind:
    a middle of the other theme's ground would shine where there is nothing to see."""
    axes = {name: _coloured(part, theme) if name.startswith("coloraxis") else part for name, part in layout.items()}
    return {"data": [_coloured(trace, theme) for trace in data], "layout": {"template": template(theme), **axes}}


def _coloured(part: Any, theme: str) -> Any:
    return part | {"colorscale": diverging(theme)} if part.get("colorscale") is DIVERGING else part
