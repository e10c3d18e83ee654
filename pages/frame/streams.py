"""The way by which text arrives while it is written: a POST that answers in lines of JSON, and one that stops it.

A background callback would poll; here each token is on screen when it is made. The browser may only close the request
to stop the model (the next write fails, the connection to the worker is dropped), and says so by a second request as
well, because a write can fail one token late.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Iterator
from typing import Any

from dash import Dash
from flask import Response

from analysis.disk import disk_refusal
from analysis.engine.client import OperationFailed, Superseded, WorkerGone
from analysis.engine.operation import Operation, rebuild
from analysis.errors import Cancelled, UserError
from pages.common import client
from pages.frame.api import body, text_of

log = logging.getLogger(__name__)
STREAMS = {
    "SteerText": "steer-text",
    "SteerLadder": "steer-ladder",
    "ChatTurn": "chat-turn",
    "SteerSamples": "steer-samples",
    "FeatureText": "feature-text",
}
"""The operations that may be asked here, each with its widget: the newest of a widget ends the older one."""


def register_routes(app: Dash) -> None:
    """Add the two routes to the app's server."""

    @app.server.post("/steering/stream")
    def stream() -> Response:
        operation, asked, refused = None, dict[str, Any](), ""
        try:
            asked = body()
            name = asked.get("operation", "SteerText")
            if not isinstance(name, str) or name not in STREAMS:
                raise TypeError("not an operation that is asked here")
            operation = rebuild(name, dict(asked.get("params") or {}))
        except UserError as error:
            refused = error.message
        except (TypeError, ValueError):
            refused = "This request is not one that the page makes. Reload the page."
        if operation is None:
            lines: Iterator[str] = iter([_line({"error": refused})])
        else:
            lines = _lines(operation, text_of(asked, "session", 64), text_of(asked, "token", 64))
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return Response(lines, mimetype="application/x-ndjson", headers=headers)

    @app.server.post("/steering/stop")
    def stop() -> dict[str, bool]:
        try:
            asked = body()
            token, part = text_of(asked, "token", 64), text_of(asked, "part", 64)
            return {"found": client().end_part(token, part) if part else client().cancel(token)}
        except (WorkerGone, UserError):
            return {"found": False}


def _lines(operation: Operation, session: str, token: str) -> Iterator[str]:
    try:
        widget = STREAMS[type(operation).__name__]
        for line in client().stream(operation, session=session, widget=widget, token=token or None):
            yield _line(line)
    except UserError as error:
        yield _line({"error": error.message})
    except Superseded:
        yield _line({"error": "A newer request has taken the place of this one."})
    except Cancelled:
        yield _line({"error": "Stopped."})
    except (WorkerGone, OperationFailed) as error:
        yield _line({"error": str(error)})
    except Exception as error:
        if refusal := disk_refusal(error):
            yield _line({"error": refusal})
            return
        number = uuid.uuid4().hex[:8]
        log.error("failure %s in a stream", number, exc_info=error)
        yield _line({"error": f"Something failed inside Attune ({number}). The log has the details."})


def _line(data: dict[str, Any]) -> str:
    return json.dumps(data) + "\n"
