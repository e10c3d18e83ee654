"""A token x token matrix packed for the browser: 8-bit cells, the causal half only, deflated, at most 100 KB.

If a matrix is so busy that it would not fit, it is sent in fewer steps, and the caption says how coarse they are. The
browser (assets/kit.js) unpacks it, draws it, and shades tokens from it without asking again.
"""

from __future__ import annotations

import base64
import zlib
from typing import TypedDict

import numpy as np

LIMIT = 96_000


class Packed(TypedDict):
    """A packed matrix of ``size`` x ``size`` cells. ``step``: the coarseness that was needed, 1 when nothing was
    lost."""

    size: int
    signed: bool
    step: int
    cells: str


def pack_cells(cells: np.ndarray, limit: int = LIMIT) -> Packed:
    """Pack uint8 or int8 (n, n)."""
    signed = cells.dtype == np.int8
    half = cells[np.tril_indices(len(cells))]
    for step in (1, 2, 4, 8, 16, 32):
        packed = base64.b64encode(zlib.compress(_coarse(half, step).tobytes(), 9)).decode()
        if len(packed) <= limit:
            break
    return Packed(size=len(cells), signed=bool(signed), step=step, cells=packed)


def _coarse(cells: np.ndarray, step: int) -> np.ndarray:
    """Cells rounded to multiples of a step; of signed ones, -128 stays: it says that there is nothing."""
    if step == 1:
        return cells
    low, high = (-127, 127) if cells.dtype == np.int8 else (0, 255)
    rounded = np.clip(np.rint(cells.astype(np.int16) / step) * step, low, high)
    if cells.dtype == np.int8:
        rounded = np.where(cells == -128, -128, rounded)
    coarse: np.ndarray = rounded.astype(cells.dtype)
    return coarse


def unpack_cells(packed: Packed) -> np.ndarray:
    """The inverse of :func:`pack_cells`; the upper half is zero."""
    size, kind = packed["size"], np.int8 if packed["signed"] else np.uint8
    cells = np.zeros((size, size), kind)
    cells[np.tril_indices(size)] = np.frombuffer(zlib.decompress(base64.b64decode(packed["cells"])), kind)
    return cells


def cell_values(packed: Packed, top: float) -> np.ndarray:
    """What the browser makes of packed cells: float32 (n, n) up to ``top``, NaN above the diagonal and for nothing."""
    cells = unpack_cells(packed)
    values = cells.astype(np.float64) / (127 if packed["signed"] else 255) * top
    nothing = np.triu(np.ones(cells.shape, bool), 1) | (packed["signed"] & (cells == -128))
    return np.where(nothing, np.nan, values).astype(np.float32)
