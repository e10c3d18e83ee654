"""Pins: a card says what it shows, and the view is drawn again, frozen and put on a board.

The browser sends the ViewRef of a card and not its picture, so what is pinned is what the questions answer: recent
answers are at hand, which is why this takes no longer than drawing does. The picture as it stood comes afterwards in a
request of its own; nobody waits for it.
"""

from __future__ import annotations

import base64
import binascii
import logging
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from dash import Dash
from flask import Response, abort, request

from analysis.engine.client import OperationFailed, Reply, WorkerGone
from analysis.errors import UserError
from analysis.findings.freeze import freeze, models_of
from analysis.findings.ops.stamps import StampList, Stamps
from analysis.findings.records import Board, Pin, QuestionStamp
from analysis.findings.store import FindingStore, findings
from analysis.findings.texts import MAX_ADDRESS, MAX_PICTURE, MAX_TITLE
from analysis.view_ref import QuestionRef, ViewRef
from components.findings.exhibit import exhibit, plain_figure
from components.kit.part import part_to_dict
from components.kit.theme import TEMPLATES
from components.kit.types import Json
from components.kit.view import Drawing
from pages.cards import drawn, replies_of
from pages.common import client
from pages.frame.api import answered, body, text_of

log = logging.getLogger(__name__)
API = "/findings/api"
HIGHEST = 2_000
"""Pixels of a figure."""
_AXIS = re.compile(r"[xy]axis[0-9]{0,2}\.range")
_CAMERA = re.compile(r"scene[0-9]{0,2}\.camera")


def register_pins(app: Dash) -> None:
    """Add the routes to the app's server."""
    rules: list[tuple[str, str, Callable[..., Json]]] = [
        ("POST", "/pin", make_pin),
        ("GET", "/pins/<pin>", show_pin),
        ("POST", "/pins/<pin>/picture", keep_picture),
    ]
    for method, rule, route in rules:
        app.server.add_url_rule(API + rule, f"pins_{route.__name__}", answered(route), methods=[method])
    app.server.add_url_rule(f"{API}/pins/<pin>/picture", "pins_picture", picture, methods=["GET"])


def make_pin() -> Json:
    """Pin what a card shows to the board that is named, or to the usual one: {pin, item, version, board, title}."""
    data = body()
    ref, theme = ViewRef.from_dict(data.get("ref")), text_of(data, "theme")
    theme = theme if theme in TEMPLATES else "light"
    replies = replies_of(ref)
    store = findings()
    pin = store.put_pin(
        pin_of(
            store,
            ref,
            replies,
            drawn(ref, replies, theme),
            title=text_of(data, "title", MAX_TITLE) or ref.view,
            address=text_of(data, "address", MAX_ADDRESS),
            theme=theme,
            height=_height(data.get("height")),
            window=window_of(data.get("window")),
        )
    )
    board = _board(store, text_of(data, "board", 64))
    item = store.add(board.id, "finding", {"claim": "", "pins": [pin.id]}, author=text_of(data, "author", 64))
    return {"pin": pin.id, "item": item.id, "version": item.version, "board": board.id, "title": board.title}


def pin_of(
    store: FindingStore, ref: ViewRef, replies: Sequence[Reply[Any]], drawing: Drawing, *, title: str, **more: Any
) -> Pin:
    """The pin of a drawing, with its answers kept, its models and its stamps. ``more``: as
    :func:`analysis.findings.freeze.freeze`."""
    control, status = drawing.control, client().status()
    return freeze(
        store,
        ref,
        replies,
        title=title,
        caption=drawing.caption if isinstance(drawing.caption, str) else "",
        figure=None if drawing.figure is None else plain_figure(drawing.figure),
        parts=[part_to_dict(part) for part in drawing.parts],
        control=None if control is None else asdict(control),
        numbers=drawing.numbers,
        facts=drawing.facts,
        models=models_of(ref.questions, status.loaded),
        stamps=() if status.pid is None else stamps_of(ref.questions),
        **more,
    )


def stamps_of(questions: Sequence[QuestionRef]) -> tuple[QuestionStamp, ...]:
    """The stamps of some questions now; none where the worker dies over it."""
    try:
        answer: StampList = client().remember(ask := Stamps(tuple(questions)), client().ask(ask)).answer
        return answer.stamps
    except (WorkerGone, OperationFailed) as error:
        log.warning("a pin has no stamps: %s", error)
        return ()


def show_pin(pin: str) -> Json:
    """A pin as an exhibit (components/findings/exhibit.py), in the theme that the address names."""
    theme = request.args.get("theme", "")
    store = findings()
    return dict(exhibit(store.pin(pin), store, theme if theme in TEMPLATES else "light", store.check(pin)))


def keep_picture(pin: str) -> Json:
    """The picture of a pin, as a PNG in base64."""
    data = body(2 * MAX_PICTURE)
    text = data.get("png")
    try:
        png = base64.b64decode(text.rpartition(",")[2], validate=True) if isinstance(text, str) else b""
    except (binascii.Error, ValueError):
        png = b""
    findings().set_picture(pin, png)
    return {"pin": pin}


def picture(pin: str) -> Response:
    """The picture of a pin as an image."""
    try:
        store = findings()
        png = store.picture(store.pin(pin).picture)
    except UserError:
        abort(404)
    return Response(png, mimetype="image/png", headers={"Cache-Control": "no-store"})


def window_of(data: Any) -> Json:
    """The window of a figure from the browser: ranges of axes, two finite numbers each, and cameras. What is
    neither is left out: a pin is no worse for it."""
    entries = list(data.items())[:64] if isinstance(data, dict) else []
    return {
        name: value
        for name, value in entries
        if (_AXIS.fullmatch(name) and _is_range(value)) or (_CAMERA.fullmatch(name) and _is_camera(value))
    }


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_range(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))


def _is_camera(value: Any) -> bool:
    parts = value.items() if isinstance(value, dict) else ()
    points = [v for k, v in parts if k in ("eye", "center", "up")]
    rest = [v for k, v in parts if k not in ("eye", "center", "up")]
    return (
        bool(points)
        and all(
            isinstance(point, dict) and point.keys() <= {"x", "y", "z"} and all(map(_is_number, point.values()))
            for point in points
        )
        and all(part in ({"type": "perspective"}, {"type": "orthographic"}) for part in rest)
    )


def _height(value: Any) -> int:
    return min(HIGHEST, max(0, int(value))) if _is_number(value) else 0


def _board(store: FindingStore, name: str) -> Board:
    """The board of that id; the usual one where none is named, or it was deleted since."""
    return next((board for board in store.boards() if board.id == name), None) or store.inbox()
