"""Limits on what a chat template may take and make, since it is a program of whoever brought the model.

transformers renders templates in a sandbox, which keeps them from files and attributes and limits a single range; loops
within loops, products of texts and towers of powers are not limited, and one line would hold up the one process that
computes for everybody. So the sandbox's own operators are watched, and a template that runs on is stopped.
"""

from __future__ import annotations

import ctypes
import re
import threading
from collections.abc import Callable
from typing import Any

from jinja2.sandbox import SandboxedEnvironment

MAX_TEMPLATE = 1_000_000
"""Characters of a template; published ones have 30,000 at most."""
MAX_TEXT = 500_000
"""Characters of what a template makes; what is put into it has 20,000 at most."""
SECONDS = 5.0
_MAX_MADE = 10_000
_WIDE = re.compile(r"%[^a-zA-Z%]*?(\d{4,}|\*)")
_refused: set[int] = set()


class TemplateTooMuch(Exception):
    """A template takes longer or makes more than any that only writes down a conversation."""


class _Stopped(BaseException):
    """Raised inside a template that runs on; no handler of a template catches it."""


def _times(left: Any, right: Any) -> Any:
    for one, other in ((left, right), (right, left)):
        if hasattr(one, "__len__") and isinstance(other, int) and len(one) * other > _MAX_MADE:
            raise TemplateTooMuch(f"it repeats something {other:,} times")
    return _bounded(left * right)


def _power(left: Any, right: Any) -> Any:
    if isinstance(right, int) and abs(right) > 64:
        raise TemplateTooMuch(f"it raises a number to the power of {right:,}")
    return _bounded(left**right)


def _modulo(left: Any, right: Any) -> Any:
    if isinstance(left, str) and _WIDE.search(left):  # "%999999999d"
        raise TemplateTooMuch("it pads a text to a great width")
    return left % right


def _bounded(value: Any) -> Any:
    if isinstance(value, int) and abs(value) > 2**63:
        raise TemplateTooMuch("it computes numbers of more than 64 bits")
    return value


def _call(sandbox: Any, context: Any, function: Any, *args: Any, **kwargs: Any) -> Any:
    """The sandbox's own call, but for methods of texts that pad them to a width."""
    wide = [a for a in (*args, *kwargs.values()) if isinstance(a, int) and abs(a) > _MAX_MADE]
    if wide and isinstance(getattr(function, "__self__", None), (str, bytes, list)):
        raise TemplateTooMuch(f"it makes a text {abs(wide[0]):,} characters wide")
    return _plain_call(sandbox, context, function, *args, **kwargs)


_plain_call = SandboxedEnvironment.call
SandboxedEnvironment.call = _call  # type: ignore[method-assign]
# The library's own place for this (its documentation: SandboxedEnvironment.intercepted_binops); it holds for all
# sandboxes of the process, and those are the ones in which transformers renders templates.
SandboxedEnvironment.intercepted_binops = frozenset({"*", "**", "%"})
SandboxedEnvironment.default_binop_table = {
    **SandboxedEnvironment.default_binop_table,
    "*": _times,
    "**": _power,
    "%": _modulo,
}


def within_limits(render: Callable[[], str], template: Any) -> str:
    """What ``render`` makes of a template, in a thread that is stopped after SECONDS.

    Raises TemplateTooMuch, for the same template at once when it comes again; and whatever ``render`` raises.
    """
    text = str(template)
    key = hash(text)
    if len(text) > MAX_TEMPLATE:
        raise TemplateTooMuch(f"it is {len(text):,} characters long, and such a template has at most {MAX_TEMPLATE:,}")
    late = TemplateTooMuch(f"it is not done after {SECONDS:.0f} seconds")
    if key in _refused:
        raise late
    made: list[str] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            made.append(render())
        except BaseException as error:  # handed over to the thread that asked
            raised.append(error)

    thread = threading.Thread(target=run, name="template", daemon=True)
    thread.start()
    thread.join(SECONDS)
    if thread.is_alive():
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(_Stopped))
        thread.join(1)
        _refused.add(key)
        raise late
    if raised:
        raise raised[0]
    if len(made[0]) > MAX_TEXT:
        raise TemplateTooMuch(f"it makes {len(made[0]):,} characters of one turn")
    return made[0]
