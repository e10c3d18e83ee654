"""A pin as plain data for the browser: the one form in which pins leave the store.

Board, talk, share link and static page all draw this (assets/frame/exhibit.js). What was pinned does not change, so
everything in it comes from the pin; only in another theme than the pinned one is the figure drawn again, by its view
from the frozen answers. Where that cannot be done, because the view is gone or reads other answers by now, the frozen
figure stands there and ``frozen`` says why.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Protocol, TypedDict

import numpy as np
from plotly.io.json import to_json_plotly

from analysis.answer import from_wire
from analysis.errors import UserError
from analysis.findings.records import Check, Pin
from components.kit.figure import Figure
from components.kit.theme import template
from components.kit.types import Json
from components.kit.view import Drawing, view_called

log = logging.getLogger(__name__)
LONGEST = 2000
"""Characters of a setting; a text of many pages, such as passages of one's own, is cut (as assets/frame/export.js)."""
WINDOW = ("range", "camera")
"""What a window may set: ranges of axes, and the camera of a scene."""


class Kept(Protocol):
    """An answer as it is kept: JSON-able data, and arrays by dotted name."""

    @property
    def data(self) -> dict[str, Any]: ...

    @property
    def arrays(self) -> dict[str, np.ndarray]: ...


class Contents(Protocol):
    """What keeps answers and figures by content hash (``analysis.findings.store.FindingStore``). Both raise UserError
    for what is missing or damaged."""

    @property
    def answer(self) -> Callable[[str], Kept]: ...

    @property
    def json(self) -> Callable[[str], Any]: ...


class Exhibit(TypedDict):
    """What a pin looks like. ``figure``: plotly's data and layout, None where the view has none; ``height`` in pixels;
    ``parts``: see ``components.kit.part``; ``settings``: flat, as people read them; ``date``: ISO 8601, UTC;
    ``check``: the newest one; ``stale``: what has changed since, None for nothing; ``frozen``: why the figure is not
    drawn in this theme, None where it is; ``theme``: the one that it is drawn in."""

    id: str
    title: str
    caption: str
    figure: Figure | None
    height: int
    parts: list[Json]
    control: Json | None
    numbers: dict[str, float]
    settings: Json
    facts: Json
    address: str
    models: list[Json]
    date: str
    check: Json | None
    stale: str | None
    frozen: str | None
    theme: str


def exhibit(pin: Pin, store: Contents, theme: str, check: Check | None = None, stale: str | None = None) -> Exhibit:
    """A pin in a theme. Raises UserError where the store has lost the figure."""
    figure, frozen = _figure(pin, store, theme)
    return Exhibit(
        id=pin.id,
        title=pin.title,
        caption=pin.caption,
        figure=figure,
        height=pin.height,
        parts=list(pin.parts),
        control=pin.control,
        numbers=dict(pin.numbers),
        settings=settings_of(pin.ref),
        facts=dict(pin.facts),
        address=pin.address,
        models=list(pin.models),
        date=datetime.fromtimestamp(pin.made, UTC).isoformat(timespec="seconds"),
        check=None if check is None else {"state": check.state, "text": check.text, "made": check.made},
        stale=stale,
        frozen=frozen,
        theme=theme,
    )


def plain_figure(figure: Figure) -> Figure:
    """A figure as JSON-able data: arrays as lists, NaN and infinities as null."""
    plain: Figure = json.loads(to_json_plotly(figure))
    return plain


def settings_of(ref: Json) -> Json:
    """The settings in a ViewRef, flat, as people read them: two questions that give one setting two values are told
    apart by their names, and long texts are cut."""
    out = {"view": ref["view"], **ref.get("options", {})}
    for question in ref.get("questions", []):
        for name, value in question["params"].items():
            other = name in out and out[name] != value
            if isinstance(value, str) and len(value) > LONGEST:
                value = f"{value[:LONGEST]}… ({len(value)} characters)"
            out[f"{question['operation']}.{name}" if other else name] = value
    return out


def _figure(pin: Pin, store: Contents, theme: str) -> tuple[Figure | None, str | None]:
    if not pin.figure:
        return None, None
    if theme == pin.theme:
        return _windowed(store.json(pin.figure), pin.window), None
    frozen = "The figure is as it was pinned, in the colours of the other theme"
    try:
        return _windowed(_drawn(pin, store, theme), pin.window), None
    except UserError as error:
        frozen += f": {error.message}"
    except Exception as error:  # a view of today may fail on an answer of long ago in any way
        log.warning("the view of pin %s cannot draw its frozen answers: %s", pin.id, error, exc_info=True)
        frozen += ", because its view does not read the pinned answers any more"
    figure = store.json(pin.figure)
    figure["layout"]["template"] = template(theme)
    return _windowed(figure, pin.window), frozen.removesuffix(".") + "."


def drawing_of(pin: Pin, store: Contents, theme: str) -> Drawing:
    """A pin's view, drawn from the answers that the pin names. UserError for no such view or a lost answer; a view of
    today may fail on an answer of long ago in any way."""
    view = view_called(pin.ref["view"])
    if view.answers and not pin.answers:
        raise UserError("its answers were left out when it was handed over.")
    answers = [_answer(kind, store.answer(digest)) for kind, digest in zip(view.answers, pin.answers, strict=True)]
    drawing: Drawing = view.draw(*answers, view.options_from(pin.ref.get("options", {})), theme)
    return drawing


def _drawn(pin: Pin, store: Contents, theme: str) -> Figure:
    """The figure of a pin's view from the frozen answers."""
    figure = drawing_of(pin, store, theme).figure
    if figure is None:
        raise UserError("its view has no figure any more.")
    return plain_figure(figure)


def _answer(kind: type, kept: Kept) -> Any:
    """The answer of that class, or of a subclass of it, which a view takes as well. TypeError for none of them."""
    refused = TypeError(f"{kind.__name__} is no class of answers")
    for candidate in _with_subclasses(kind):
        try:
            return from_wire(candidate, kept.data, kept.arrays)
        except TypeError as error:
            refused = error
    raise refused


def _with_subclasses(kind: type) -> Iterator[type]:
    yield kind
    subclasses: list[type] = type.__subclasses__(kind)
    for subclass in subclasses:
        yield from _with_subclasses(subclass)


def _windowed(figure: Figure, window: Json) -> Figure:
    """A figure in the window that it was pinned in: {"xaxis.range": [a, b], "scene.camera": {...}}."""
    for path, value in window.items():
        name, _, what = path.partition(".")
        if what in WINDOW:
            part = figure["layout"].setdefault(name, {})
            part[what] = value
            if what == "range":
                part["autorange"] = False
    return figure
