"""A gate in the manifest of a set-up file, and back.

A direction travels with it. What only a whole fit can read does not: such a gate comes back as one that refuses to be
read, so that vectors whose gate is missing never act as if they had none.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from analysis.errors import UserError
from analysis.models.sites import Site
from analysis.steering.gates import Elsewhere, Gate, Projection, Reading

MAX_WIDTH = 1 << 17
_FIELDS = {"after", "span", "side", "threshold", "reading"}


def gate_to_dict(gate: Gate) -> dict[str, Any]:
    """A gate as JSON-able data."""
    reading: dict[str, Any] | None = None
    if gate.reading is not None:
        reading = {"site": gate.reading.site.to_dict(), "words": gate.reading.words}
        if isinstance(gate.reading, Projection):
            reading |= {"direction": gate.reading.direction.tolist(), "centre": gate.reading.centre}
    span = None if gate.span is None else list(gate.span)
    return {"after": gate.after, "span": span, "side": gate.side, "threshold": gate.threshold, "reading": reading}


def gate_from_dict(data: Any) -> Gate:
    """The reverse, for data that nobody has checked. Raises UserError."""
    if not isinstance(data, dict) or set(data) != _FIELDS:
        raise UserError("Its gate is not described as this version of Attune does it.", "file")
    span = data["span"]
    if span is not None:
        if not isinstance(span, list) or len(span) != 2 or not all(type(n) is int and 0 <= n < 10**9 for n in span):
            raise UserError("The span of its gate must be two positions.", "file")
        span = (span[0], span[1])
    return Gate(data["after"], span, _reading(data["reading"]), data["side"], data["threshold"])


def _reading(data: Any) -> Reading | None:
    if data is None:
        return None
    if not isinstance(data, dict) or not {"site", "words"} <= set(data) or not isinstance(data["words"], str):
        raise UserError("What its gate reads is not described.", "file")
    site, words = Site.from_dict(data["site"]), data["words"][:200]
    if "direction" not in data:
        return Elsewhere(site, words)
    numbers, centre = data["direction"], data.get("centre", 0.0)
    listed = numbers if isinstance(numbers, list) and 0 < len(numbers) <= MAX_WIDTH else [None]
    if not all(isinstance(n, (int, float)) and math.isfinite(n) for n in (*listed, centre)):
        raise UserError("The direction that its gate reads must be finite numbers.", "file")
    return Projection(site, torch.tensor(numbers, dtype=torch.float32), float(centre), words)
