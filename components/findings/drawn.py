"""What a notebook of findings draws with: a view by its name, of answers that were computed there.

On a page, importing the page makes its views known; a notebook has no pages, so all views are imported here.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import components
from analysis.findings.numbers import pin_numbers
from components.kit.part import Facts, Part, Table, Texts
from components.kit.view import Drawing, view_called


def draw(view: str, answers: Sequence[Any], options: Mapping[str, Any], theme: str = "light") -> Drawing:
    """Draw the view of that name. UserError where this version has none, or its options are others."""
    for module in pkgutil.walk_packages(components.__path__, "components."):
        import_module(module.name)
    found = view_called(view)
    drawing: Drawing = found.draw(*answers, found.options_from(dict(options)), theme)
    return drawing


def numbers_of(drawing: Drawing, answers: Sequence[Any]) -> dict[str, float]:
    """The numbers that a pin of this drawing has (:func:`analysis.findings.numbers.pin_numbers`)."""
    control = drawing.control.numbers if drawing.control else {}
    return pin_numbers(drawing.numbers, answers, control)


def show(drawing: Drawing) -> None:
    """Show a drawing in a notebook: the figure, its parts as text, its caption and its control."""
    if drawing.figure is not None:
        import plotly.graph_objects as go

        go.Figure(drawing.figure).show()
    for part in drawing.parts:
        print("\n".join(_lines(part)))
    if drawing.caption:
        print(drawing.caption)
    if drawing.control:
        print(f"Control ({drawing.control.name}): {drawing.control.text}")


def _lines(part: Part) -> list[str]:
    if isinstance(part, Table):
        return [part.title, "\t".join(part.columns), *("\t".join(map(_cell, row)) for row in part.rows)]
    if isinstance(part, Facts):
        return [part.title, *(f"{name}: {_cell(value)}" for name, value in part.rows)]
    if isinstance(part, Texts):
        return [part.title, *(f"{text.title}: {text.prompt}{text.text}" for text in part.texts)]
    return [part.title, *(title for title, _ in part.boards)]


def _cell(value: Any) -> str:
    return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
