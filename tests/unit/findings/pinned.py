"""A view pinned and drawn again from what the store then holds, for the tests of the views of each method."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from analysis.engine.client import Reply
from analysis.findings.freeze import freeze
from analysis.findings.records import Pin
from analysis.findings.store import FindingStore
from analysis.view_ref import ViewRef
from components.findings.exhibit import Exhibit, drawing_of, exhibit, plain_figure
from components.kit.part import part_to_dict
from components.kit.view import Drawing


def frozen(store: FindingStore, ref: ViewRef, replies: Sequence[Reply[Any]], drawing: Drawing, **more: Any) -> Pin:
    """The pin of a drawing, without asking a worker. ``more``: as :func:`analysis.findings.freeze.freeze`."""
    return freeze(
        store,
        ref,
        replies,
        caption=str(drawing.caption),
        figure=None if drawing.figure is None else plain_figure(drawing.figure),
        parts=[part_to_dict(part) for part in drawing.parts],
        control=None if drawing.control is None else asdict(drawing.control),
        numbers=drawing.numbers,
        facts=drawing.facts,
        **more,
    )


def pinned(folder: Path, ref: ViewRef, replies: Sequence[Reply[Any]], drawing: Drawing) -> tuple[Exhibit, Drawing]:
    """What the pin of a drawing looks like in the other theme, and its view drawn from the kept answers."""
    store = FindingStore(folder)
    try:
        pin = store.put_pin(frozen(store, ref, replies, drawing, title="t", address="/"))
        again = Pin.from_dict(json.loads(json.dumps(pin.to_dict(), allow_nan=False)))
        return exhibit(again, store, "dark"), drawing_of(again, store, "light")
    finally:
        store.close()


def png() -> bytes:
    """One grey pixel."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0\x80")) + chunk(b"IEND", b"")
