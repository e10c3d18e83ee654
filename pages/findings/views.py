"""Pins beside each other: the old answer and the new one, or several settings of one view."""

from __future__ import annotations

from typing import Any

from flask import request

from analysis.errors import UserError
from analysis.findings.store import findings
from components.findings.again import recomputed
from components.findings.compare import difference, shared_axes
from components.findings.exhibit import Exhibit, exhibit

MOST = 24


def show_again(pin: str) -> Any:
    """A pin as it looks with the answers of its newest check."""
    check = findings().check(pin)
    if check is None:
        raise UserError("This view was not computed again.")
    return recomputed(findings().pin(pin), check, findings(), _theme())


def show_group() -> Any:
    """Pins (``pins``: their ids with commas between, at most ``MOST``) in shared axes; of two of them also the
    difference, the later one minus the earlier one, or why there is none."""
    theme = _theme()
    names = request.args.get("pins", "")[:2_000].split(",")
    if len(names) > MOST:
        raise UserError(f"At most {MOST} views share their axes.")
    exhibits = [_exhibit(name, theme) for name in names]
    figures = [each["figure"] for each in exhibits if each["figure"] is not None]
    if len(figures) < len(exhibits) or len({each["settings"].get("view") for each in exhibits}) > 1:
        raise UserError("Only figures of one view share their axes.")
    minus, why = _difference(*sorted(exhibits, key=lambda each: each["date"])) if len(exhibits) == 2 else (None, "")
    for each, figure in zip(exhibits, shared_axes(figures), strict=True):
        each["figure"] = figure
    return {"exhibits": exhibits, "difference": minus, "why": why}


def _difference(old: Exhibit, new: Exhibit) -> tuple[Any, str]:
    try:
        if old["figure"] is None or new["figure"] is None:
            raise UserError("There is no difference of views without a figure.")
        figure = difference(old["figure"], new["figure"])
    except UserError as error:
        return None, error.message
    names = [f"{each['title']} (pinned {each['date'][:16].replace('T', ' ')} UTC)" for each in (new, old)]
    caption = " minus ".join(names) + "."
    return {**new, "title": "Difference", "figure": figure, "caption": caption, "parts": [], "control": None}, ""


def _theme() -> str:
    return "dark" if request.args.get("theme") == "dark" else "light"


def _exhibit(pin: str, theme: str) -> Exhibit:
    return exhibit(findings().pin(pin), findings(), theme)
