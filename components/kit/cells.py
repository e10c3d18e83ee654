"""A token x token matrix packed for the browser: 8-bit cells, the causal half only, deflated, at most 100 KB.

If a matrix is so busy that it would not fit, it is sent in fewer steps, and the caption says how coarse they are. The
browser (assets/kit.js) unpacks it, draws it, and shades tokens from it without asking again.
"""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np

LIMIT = 96_000


def pack_cells(cells: np.ndarray, limit: int = LIMIT) -> dict[str, Any]:
    """Pack uint8 or int8 (n, n). ``step`` is the coarseness that was needed: 1 when nothing was lost."""
    size, signed = cells.shape[0], cells.dtype == np.int8
    lower = cells[np.tril_indices(size)]
    for step in (1, 2, 4, 8, 16, 32):
        coarse = lower
        if step > 1:
            keep = lower == -128 if signed else np.zeros(lower.shape, bool)
            rounded = np.rint(lower.astype(np.int16) / step) * step
            coarse = np.where(keep, -128, np.clip(rounded, -127 if signed else 0, 127 if signed else 255))
        raw = coarse.astype(np.int8 if signed else np.uint8).tobytes()
        packed = base64.b64encode(zlib.compress(raw, 9)).decode()
        if len(packed) <= limit:
            break
    return {"size": size, "signed": bool(signed), "step": step, "cells": packed}


def unpack_cells(packed: dict[str, Any]) -> np.ndarray:
    """The inverse of :func:`pack_cells`, for tests and exports; the upper half is zero."""
    kind = np.int8 if packed["signed"] else np.uint8
    cells = np.zeros((packed["size"], packed["size"]), kind)
    flat = np.frombuffer(zlib.decompress(base64.b64decode(packed["cells"])), kind)
    cells[np.tril_indices(packed["size"])] = flat
    return cells
