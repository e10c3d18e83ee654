"""In which order a browser asked its questions, whichever order they arrive in.

Two questions of one widget travel on connections of their own, so the later one may come first. The worker takes the
last that arrives for the newest and drops the other, whose answer is the one that the page waits for. So each question
bears the time at which the browser asked it (app.py, ``request_pre``), and the newest is asked again.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict

from flask import has_request_context, request

MOST = 10_000
"""Widgets of sessions that are remembered, the least recently asked left out."""
_newest: OrderedDict[tuple[str, str], float] = OrderedDict()
_lock = threading.Lock()


def asked_at() -> float:
    """When the browser asked the question that is being answered, in its milliseconds; 0 where it does not say."""
    body = request.get_json(silent=True) if has_request_context() else None
    at: object = body.get("asked") if isinstance(body, dict) else None
    if isinstance(at, bool) or not isinstance(at, (int, float)) or not math.isfinite(at):
        return 0.0
    return float(at)


def note(session: str, widget: str, at: float) -> None:
    """Remember a question of a widget."""
    if not (at and session and widget):
        return
    with _lock:
        _newest[session, widget] = max(at, _newest.get((session, widget), 0.0))
        _newest.move_to_end((session, widget))
        if len(_newest) > MOST:
            _newest.popitem(last=False)


def is_newest(session: str, widget: str, at: float) -> bool:
    """Whether a question is the newest of its widget, as far as is known."""
    with _lock:
        return bool(at) and _newest.get((session, widget)) == at
