"""An 8-bit colour-mapped PNG from an array: a dozen lines of zlib, so that no imaging library is needed."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np


def png_uri(cells: np.ndarray, palette: np.ndarray) -> str:
    """A data URI of a picture: ``cells`` uint8 (h, w), ``palette`` uint8 (256, 3) or (256, 4) with opacity."""
    height, width = cells.shape
    rows = np.zeros((height, width + 1), np.uint8)  # a leading 0 per row: no filter
    rows[:, 1:] = cells
    alpha = palette[:, 3].tobytes() if palette.shape[1] == 4 else b""
    body = b"".join(
        _chunk(kind, data)
        for kind, data in (
            (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
            (b"PLTE", palette[:, :3].tobytes()),
            *(((b"tRNS", alpha),) if alpha else ()),
            (b"IDAT", zlib.compress(rows.tobytes(), 6)),
            (b"IEND", b""),
        )
    )
    return "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + body).decode()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def ramp(stops: list[tuple[float, str]]) -> np.ndarray:
    """A palette uint8 (256, 3) through hexadecimal colours at positions in [0, 1]."""
    at = np.array([s for s, _ in stops])
    rgb = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for _, c in stops], float)
    x = np.linspace(0, 1, 256)
    return np.stack([np.interp(x, at, rgb[:, i]) for i in range(3)], 1).round().astype(np.uint8)


CIVIDIS = ramp(
    [
        (0.0, "#00224e"),
        (0.125, "#123570"),
        (0.25, "#3b496c"),
        (0.375, "#575d6d"),
        (0.5, "#707173"),
        (0.625, "#8a8678"),
        (0.75, "#a59c74"),
        (0.875, "#c3b369"),
        (1.0, "#fee838"),
    ]
)
