"""A pin as it looks with the answers of its newest check, and the numbers of prose that follow them.

A check runs in the worker, which knows no view: it keeps the new answers and their own numbers. What a view says of
them (its picture, its parts, the numbers that it names) is drawn here, from these answers.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from dataclasses import asdict, replace
from threading import Lock

from analysis.errors import UserError
from analysis.findings.records import BoardContent, Check, Pin
from components.findings.exhibit import Contents, Exhibit, drawing_of, exhibit, plain_figure
from components.kit.part import part_to_dict
from components.kit.view import Drawing

log = logging.getLogger(__name__)
MOST = 1_000
_numbers: OrderedDict[tuple[str, float], dict[str, float]] = OrderedDict()
_lock = Lock()


def recomputed(pin: Pin, check: Check, store: Contents, theme: str) -> Exhibit:
    """The exhibit of a pin from the answers of a check. UserError where there are none, or cannot be drawn."""
    if not check.answers:
        raise UserError("This view was not computed again.")
    new = replace(pin, answers=check.answers, figure="", made=check.made, parts=(), window={})
    try:
        drawing = drawing_of(new, store, theme)
    except UserError:
        raise
    except Exception as error:
        log.warning("the view of pin %s cannot draw the answers of its check", pin.id, exc_info=True)
        raise UserError("The new answers cannot be drawn by the view of this version.") from error
    shown = exhibit(new, store, theme, check)
    shown["figure"] = None if drawing.figure is None else plain_figure(drawing.figure)
    shown["caption"] = drawing.caption
    shown["parts"] = [part_to_dict(part) for part in drawing.parts]
    shown["control"] = None if drawing.control is None else asdict(drawing.control)
    shown["numbers"] = _named(pin, check, drawing)
    return shown


def followed(content: BoardContent, store: Contents) -> BoardContent:
    """The board with the numbers of its views in the checks of those that moved."""
    moved = [check for check in content.checks.values() if check.state == "moved" and check.pin in content.pins]
    checks = {
        check.pin: replace(check, numbers=_drawn_numbers(content.pins[check.pin], check, store)) for check in moved
    }
    return replace(content, checks=content.checks | checks) if checks else content


def _drawn_numbers(pin: Pin, check: Check, store: Contents) -> dict[str, float]:
    key = (pin.id, check.made)
    with _lock:
        if key in _numbers:
            return _numbers[key]
    try:
        new = replace(pin, answers=check.answers)
        numbers = _named(pin, check, drawing_of(new, store, pin.theme))
    except Exception:  # what cannot be drawn has the numbers of its answers alone
        log.warning("the numbers of pin %s cannot be read from its check", pin.id, exc_info=True)
        numbers = dict(check.numbers)
    with _lock:
        _numbers[key] = numbers
        while len(_numbers) > MOST:
            _numbers.popitem(last=False)
    return numbers


def _named(pin: Pin, check: Check, drawing: Drawing) -> dict[str, float]:
    control = drawing.control.numbers if drawing.control else {}
    named = check.numbers | {f"control.{name}": value for name, value in control.items()} | drawing.numbers
    return {name: float(value) for name, value in named.items() if value is not None and name in pin.numbers}
