"""Pins beside each other: the old answer and the new one, or two settings of one view."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flask import request

from analysis.errors import UserError
from analysis.findings.records import Check, Pin
from analysis.findings.store import findings
from components.findings.compare import difference, shared_axes
from components.findings.exhibit import exhibit

AGAIN = "again"
"""Before a pin's id and a colon: what it looks like with the answers of its newest check."""


def show_again(pin: str) -> Any:
    """A pin as it looks with the answers of its newest check."""
    return _exhibit(f"{AGAIN}:{pin}", _theme())


def show_pair() -> Any:
    """Two pins (``a``, ``b``, the older first) in shared axes, and their difference or why there is none."""
    theme = _theme()
    pair = [_exhibit(request.args.get(name, "")[:80], theme) for name in "ab"]
    figures = [each["figure"] for each in pair]
    if None in figures:
        return {"pair": pair, "difference": None, "why": "There is no difference of views without a figure."}
    minus, why = None, ""
    try:
        if pair[0]["settings"].get("view") != pair[1]["settings"].get("view"):
            raise UserError("There is no difference of two different views.")
        minus = difference(*figures)
    except UserError as error:
        why = error.message
    for each, figure in zip(pair, shared_axes(*figures), strict=True):
        each["figure"] = figure
    return {"pair": pair, "difference": minus, "why": why}


def _theme() -> str:
    return "dark" if request.args.get("theme") == "dark" else "light"


def _exhibit(name: str, theme: str) -> Any:
    kind, _, of = name.rpartition(":")
    pin = findings().pin(of)
    if kind != AGAIN:
        return exhibit(pin, findings(), theme)
    check = findings().check(pin.id)
    if check is None or not check.answers:
        raise UserError("This view was not computed again.")
    return exhibit(_recomputed(pin, check), findings(), theme, check)


def _recomputed(pin: Pin, check: Check) -> Pin:
    # Under no theme of its own, so that it is drawn from the new answers in any.
    return replace(pin, answers=check.answers, made=check.made, theme="", numbers=pin.numbers | check.numbers)
