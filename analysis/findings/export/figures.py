"""What a pin shows, as plain data: whether figures and parts from elsewhere may be shown, and a figure as a table.

A figure is what plotly reads: traces and a layout. One that comes in a bundle may load nothing: pictures in it are data
of its own, and its traces are of the kinds that this house draws. Parts (``components.kit.part`` as data) have the form
that every exit relies on.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import Any

import numpy as np

from analysis import foreign
from analysis.errors import UserError

TRACES = frozenset(
    "scatter scattergl scatter3d bar heatmap histogram box violin contour surface treemap sunburst icicle".split()
)
"""Kinds of traces that need nothing from the network: no maps."""
_PARTS: dict[str, dict[str, Any]] = {
    "table": {"title": str, "columns": list, "rows": list},
    "texts": {"title": str, "texts": [{"title": str, "text": str, "prompt": str, "tokens": list,
                                       "numbers": (dict, None)}]},
    "boards": {"title": str, "boards": list},
    "facts": {"title": str, "rows": list},
}  # fmt: skip
_KINDS = frozenset("f4 f8 u1 i1 u2 i2 u4 i4".split())
MAX_CELLS = 1_000_000


def check_figure(figure: Any, field: str) -> dict[str, Any]:
    """A figure that may be shown. UserError(field) for what is none, or loads something."""
    if not isinstance(figure, dict) or not isinstance(figure.get("data"), list):
        raise UserError("A figure of this bundle is none.", field)
    if not isinstance(figure.get("layout"), dict) or not all(isinstance(t, dict) for t in figure["data"]):
        raise UserError("A figure of this bundle cannot be read.", field)
    strange = next((t for trace in figure["data"] if (t := trace.get("type", "scatter")) not in TRACES), None)
    if strange is not None:
        raise UserError(
            f"A figure of this bundle has a trace of a kind that is not shown ({str(strange)[:40]}).", field
        )
    if any(not source.startswith("data:image/") or "svg" in source[:20] for source in _sources(figure)):
        raise UserError("A figure of this bundle loads a picture from elsewhere. It was not opened.", field)
    return figure


def part_fault(part: dict[str, Any]) -> str:
    """What keeps a part from being shown, as a clause; empty if nothing."""
    kinds = _PARTS.get(str(part.get("kind")))
    if kinds is None:
        return "it shows something of a kind that this version of Attune does not know"
    if kinds.keys() - part.keys():
        return "something that it shows lacks a part"
    fault = foreign.misfit(part, kinds)
    rows = [part.get("columns"), *part.get("rows", ()), *part.get("boards", ())]
    texts = [text for text in part.get("texts", ()) if isinstance(text, dict)]
    if fault or any({"title", "text"} - text.keys() for text in texts):
        return fault or "a text that it shows lacks a part"
    if not all(isinstance(row, list) for row in rows if row is not None):
        return "what it shows is no list of rows"
    pairs = [*part.get("boards", ()), *(part["rows"] if part["kind"] == "facts" else ())]
    if any(len(pair) != 2 or not isinstance(pair[0], str) for pair in pairs):
        return "what it shows has no names"
    return ""


def _sources(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, part in value.items():
            if key == "source" and isinstance(part, str) and part:
                yield part
            else:
                yield from _sources(part)
    elif isinstance(value, list):
        for part in value:
            if isinstance(part, (dict, list)):
                yield from _sources(part)


def values(part: Any) -> list[Any]:
    """The values of a trace's axis or cells as (nested) lists; what plotly packed is unpacked. None for not finite."""
    if isinstance(part, dict) and isinstance(part.get("bdata"), str) and part.get("dtype") in _KINDS:
        try:
            flat = np.frombuffer(base64.b64decode(part["bdata"]), dtype=np.dtype("<" + part["dtype"]))
            shape = [int(n) for n in str(part.get("shape", len(flat))).split(",")]
            part = flat.reshape(shape).tolist()
        except (ValueError, TypeError, binascii.Error):
            return []
    return [_finite(v) for v in part] if isinstance(part, (list, tuple)) else []


def _finite(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and value != value else value


def rows_of(figure: dict[str, Any]) -> list[list[Any]]:
    """The numbers of a figure as rows (trace, x, y, value), without a header; at most MAX_CELLS."""
    rows: list[list[Any]] = []
    for n, trace in enumerate(figure.get("data", ())):
        name = str(trace.get("name") or f"{trace.get('type', 'scatter')} {n}")
        x, y, z = values(trace.get("x")), values(trace.get("y")), values(trace.get("z"))
        if z and isinstance(z[0], list):
            for i, line in enumerate(z):
                rows += [
                    [name, x[j] if j < len(x) else j, y[i] if i < len(y) else i, cell]
                    for j, cell in enumerate(line)
                    if cell is not None
                ]
        else:
            size = max(len(x), len(y))
            rows += [
                [name, x[i] if i < len(x) else i, y[i] if i < len(y) else None, z[i] if i < len(z) else None]
                for i in range(size)
            ]
        if len(rows) > MAX_CELLS:
            return rows[:MAX_CELLS]
    return rows
