"""Pieces of figures: axis titles, colour bars, hatches, lines, and numbers rounded for the way to the browser."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np

from components.kit.labels import escaped
from components.kit.theme import REMAINDER

MARK = "#D55E00"
THRESHOLD = 0.01
ABOVE = {"orientation": "h", "y": 1.02, "x": 0, "yanchor": "bottom"}


def titled(text: str) -> dict[str, Any]:
    return {"title": {"text": text}}


def colour_bar(text: str) -> dict[str, Any]:
    return {"title": {"text": text, "side": "right"}, "thickness": 12, "outlinewidth": 0}


def numbers(values: Any, digits: int = 4) -> np.ndarray:
    # Rounded doubles are a third of the text of single precision ones, and no eye sees the difference.
    return np.round(np.asarray(values, dtype=np.float64), digits)


def wrapped(text: str, width: int) -> str:
    return "<br>".join(escaped(line, 60) for line in textwrap.wrap(text, width)) or " "


def hatched(shape: Any) -> dict[str, Any]:
    # "overlay" draws the lines over the bar's colour; the default leaves nothing but the lines.
    return {"shape": shape, "fillmode": "overlay", "fgcolor": "#ffffff", "fgopacity": 0.8, "size": 6}


def shaped(values: Any, shape: tuple[int | None, ...], what: str) -> np.ndarray:
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != len(shape) or any(n is not None and n != m for n, m in zip(shape, found.shape, strict=True)):
        raise ValueError(f"{what} must have the shape {shape}, not {found.shape}")
    return found


def dashed_line(axis: str, at: float, text: str = "") -> tuple[dict[str, Any], dict[str, Any]]:
    """A dashed line at a value of one axis across the plot, and the note beside it."""
    other = "y" if axis == "x" else "x"
    shape = {f"{axis}0": at, f"{axis}1": at, f"{other}0": 0, f"{other}1": 1, f"{other}ref": "paper", "type": "line"}
    note = {axis: at, other: 1, f"{other}ref": "paper", "text": text, "showarrow": False, "font": {"size": 11}}
    side = {"yanchor": "bottom", "xanchor": "right"} if axis == "y" else {"xanchor": "left", "yanchor": "top"}
    return shape | {"line": {"dash": "dash", "width": 1.5, "color": REMAINDER}}, note | side
