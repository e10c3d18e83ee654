"""What the JSON routes of pages share: how a body is read, and how an answer, a refusal or a failure goes out.

A page that draws itself by scripts asks by plain requests. What it asks for may be refused; that is an answer like any
other (status 200, ``{"refused": sentence, "field": name}``), as the sentence is shown where the text was typed. A bug
is logged under a number, and the answer says which.
"""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

from flask import Response, abort, jsonify, request
from werkzeug.exceptions import HTTPException

from analysis.disk import disk_refusal
from analysis.engine.client import OperationFailed, Superseded, WorkerGone
from analysis.errors import Cancelled, UserError

log = logging.getLogger(__name__)
MAX_BODY = 1 << 20
P = ParamSpec("P")


def body(most: int = MAX_BODY) -> dict[str, Any]:
    """The JSON object of this request. Raises UserError for one of more than ``most`` bytes; other types than JSON are
    turned away, as a form of another site can send them without asking."""
    if request.mimetype != "application/json":
        abort(415)
    size = request.content_length or 0
    if size > most:
        _drain(size)
        raise UserError(f"This is too much at once: {size / 1e6:,.1f} MB, and at most {most / 1e6:,.1f} MB are taken.")
    try:
        data = request.get_json(silent=True)
    except RecursionError:  # brackets can be nested deeper than the parser goes
        data = None
    if not isinstance(data, dict):
        abort(400)
    return data


def _drain(size: int) -> None:
    """Read what is refused and throw it away, where that is soon done: a connection that is closed on unread bytes may
    take the refusal with it, and the question after it."""
    if size > 64 << 20:
        return
    with contextlib.suppress(HTTPException, OSError):
        while request.stream.read(1 << 16):
            pass


def text_of(data: dict[str, Any], name: str, most: int = 200) -> str:
    """A short text of a body; empty where it is missing or no text."""
    value = data.get(name)
    return value[:most] if isinstance(value, str) else ""


def answered(route: Callable[P, Any]) -> Callable[P, Response]:
    """A route whose value goes out as JSON (a response, such as a file, as it is), and whose refusals and failures are
    said in words."""

    @wraps(route)
    def answer(*args: P.args, **kwargs: P.kwargs) -> Response:
        value = _answer(route, *args, **kwargs)
        response = value if isinstance(value, Response) else jsonify(value)
        response.headers["Cache-Control"] = "no-store"
        return response

    return answer


def _answer(route: Callable[P, Any], *args: P.args, **kwargs: P.kwargs) -> Any:
    try:
        return route(*args, **kwargs)
    except UserError as error:
        return {"refused": error.message, "field": error.field}
    except (Cancelled, Superseded):
        return {"refused": "This was cancelled."}
    except (WorkerGone, OperationFailed) as error:
        return {"refused": str(error)}
    except Exception as error:
        if refusal := disk_refusal(error):
            return {"refused": refusal}
        if getattr(error, "code", None) is not None:  # an abort of Flask
            raise
        number = uuid.uuid4().hex[:8]
        log.error("failure %s in %s", number, request.path, exc_info=error)
        return {"refused": f"Something failed inside Attune ({number}). The log has the details."}
