"""The answer of a sweep: an effect of one region over a grid of settings, each at one price, and that of a null."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Sweep:
    """One region, ``label``, over a grid (R, C): blocks and KLs, or two local factors at one KL.

    ``rows`` and ``columns``: what each cell stands for: a block and a KL of the next token (nats), or the values of two
    local factors ``axes``, in spreads. By cell, NaN where the KL is not reached: the ``strength`` of the region that
    costs the KL, the ``gain`` in log-odds of the words (mean, nats), and that of ``draws`` random pushes of the same
    KL: their mean ``null``, and the largest, ``null_high``. ``tokens``: the words that were measured, those of them
    that are one token; ``subject``: where they are from. ``layer``: the fit's own block. ``level``: how fine, 0 to 2.
    """

    over: str
    region: int
    label: str
    layer: int
    level: int
    mode: str
    target: float
    axes: tuple[int, int]
    rows: tuple[float, ...]
    columns: tuple[float, ...]
    strength: np.ndarray
    gain: np.ndarray
    null: np.ndarray
    null_high: np.ndarray
    tokens: tuple[str, ...]
    subject: str
    draws: int
