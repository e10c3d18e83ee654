"""A view pinned and drawn again from what the store then holds, for the tests of the views of each method."""

from __future__ import annotations

import json
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


def pinned(folder: Path, ref: ViewRef, replies: Sequence[Reply[Any]], drawing: Drawing) -> tuple[Exhibit, Drawing]:
    """What the pin of a drawing looks like in the other theme, and its view drawn from the kept answers."""
    store = FindingStore(folder)
    try:
        pin = store.put_pin(
            freeze(
                store,
                ref,
                replies,
                title="t",
                address="/",
                caption=drawing.caption,
                figure=None if drawing.figure is None else plain_figure(drawing.figure),
                parts=[part_to_dict(part) for part in drawing.parts],
                control=None if drawing.control is None else asdict(drawing.control),
                numbers=drawing.numbers,
                facts=drawing.facts,
            )
        )
        again = Pin.from_dict(json.loads(json.dumps(pin.to_dict(), allow_nan=False)))
        return exhibit(again, store, "dark"), drawing_of(again, store, "light")
    finally:
        store.close()
