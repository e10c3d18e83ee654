"""Answers about one position of a game, and about the probes that read it.

Squares are numbers from 0 to 63 (A1, A2, … H8); classes are 0 empty, 1 just moved, 2 to move. Arrays are float32, but
for ``truth``, which is uint8.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from analysis.answer import Key


@dataclass(frozen=True)
class GameReading:
    """What the model would play next, and the board that each probe reads after a block.

    ``missing``: by kind, why there is no such probe; ``right``: of 64 squares by kind, ``right_by_layer`` after each
    block (None without a probe there). ``legal`` moves; the model's probability on all others (``illegal_mass``);
    ``entropy`` of its distribution and ``log_legal``, that of the uniform one over the legal moves, in nats. ``next``
    (64,) probabilities of the next move, ``truth`` (64,) classes; by probe (64, 3) probabilities of the classes.
    """

    layers: int
    missing: dict[str, str]
    right: dict[str, int]
    right_by_layer: dict[str, tuple[int | None, ...]]
    legal: tuple[int, ...]
    illegal_mass: float
    entropy: float
    log_legal: float
    next: np.ndarray
    truth: np.ndarray
    linear: np.ndarray | None = None
    tpr: np.ndarray | None = None
    trilinear: np.ndarray | None = None

    @property
    def beliefs(self) -> Mapping[str, np.ndarray | None]:
        """(64, 3) probabilities of the classes by kind of probe; None where there is no such probe."""
        return {"linear": self.linear, "tpr": self.tpr, "trilinear": self.trilinear}


@dataclass(frozen=True)
class GameBinding:
    """One residual vector taken apart: ``binding`` (r, f), ``unbound`` (64, f) vectors of the squares, ``fillers``
    (3, f) of the classes, ``logits`` (64, 3), which are their dot products, and the ``truth`` (64,)."""

    probe: str
    layer: int
    binding: np.ndarray
    unbound: np.ndarray
    fillers: np.ndarray
    logits: np.ndarray
    truth: np.ndarray


@dataclass(frozen=True)
class GeometryRow:
    """The geometry of one reading: share of true ``neighbours`` among the nearest points, R² of the gap map (``r2``),
    and whether it depends on the coordinates (``gauge``)."""

    key: str
    title: str
    neighbours: float
    r2: float
    gauge: bool


@dataclass(frozen=True)
class GapTitle:
    """The title of a gap map by its key, and the R² of the map (``r2``); None in answers made before it was kept."""

    key: str
    title: str
    r2: float | None = None


@dataclass(frozen=True)
class NeighbourRow:
    """What the nearest points of a square are to it, as shares that add up to 1."""

    title: str
    neighbour: float
    row: float
    column: float
    diagonal: float
    unrelated: float


@dataclass(frozen=True)
class ProbeRoles:
    """Roles of a probe in one choice of coordinates, and what every choice shares.

    By embedding ("pca", "isomap" where it was asked for): ``squares`` that its points belong to, and its caption in
    ``embedding``. ``words``: what the change of coordinates did. Points are (64, 3) by PCA (fewer columns for fewer
    coordinates), of the roles and of the ``directions`` just moved minus to move, (60, 3) by Isomap; ``gram`` (64, 64)
    cosines of the roles; ``gap`` (8, 8) mean cosines by row gap and column gap, by key, NaN at no gap.
    """

    squares: dict[str, tuple[int, ...]]
    embedding: dict[str, str]
    geometry: tuple[GeometryRow, ...]
    gaps: tuple[GapTitle, ...]
    neighbours: tuple[NeighbourRow, ...]
    words: Annotated[str, Key("said")]
    survives: str
    gap_caption: str
    neighbour_caption: str
    gram: np.ndarray
    pca: Annotated[np.ndarray, Key("pca.roles")]
    directions: Annotated[np.ndarray, Key("pca.directions")]
    gap: dict[str, np.ndarray]
    isomap: Annotated[np.ndarray | None, Key("isomap.roles")] = None


@dataclass(frozen=True)
class CurvePoint:
    """A probe by ``kind`` and ``name``: its parameters, and the share of squares that it reads rightly."""

    name: str
    kind: str
    parameters: int
    accuracy: float


@dataclass(frozen=True)
class ProbeDirections:
    """Centred ``cosines`` (64, 3) of a probe's directions with the linear probe's, by square and class, and the
    ``curve`` of accuracy against parameters."""

    caption: str
    words: Annotated[str, Key("said")]
    curve: tuple[CurvePoint, ...]
    curve_caption: str
    cosines: np.ndarray
