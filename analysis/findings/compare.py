"""An answer held against a later one to the same question: which of its numbers moved, and against which tolerance.

Whole numbers, truth values and shapes must be the same. Fractions may differ by what another order of the same sums
makes of them in float32: :data:`RELATIVE` of the value, and :data:`ABSOLUTE` of one or of the largest in its array.
Texts are not compared, since sentences say how an answer was made as well; the ids of written tokens are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.answer import Leaf, leaves

RELATIVE = 1e-5
ABSOLUTE = 1e-6
TOLERANCE = f"{RELATIVE:g} of the value plus {ABSOLUTE:g}"


@dataclass(frozen=True)
class Difference:
    """The place of an answer that differs most from before. ``size``: by how much; ``allowed``: what is tolerated
    there; ``then`` and ``now``: the values, or what became of the place, in words."""

    where: str
    size: float
    allowed: float
    then: str
    now: str

    @property
    def excess(self) -> float:
        """How many times what is tolerated; 1 or less is none of note."""
        return math.inf if math.isinf(self.size) else self.size / self.allowed if self.allowed else math.inf


def differences(then: Any, now: Any) -> tuple[list[Difference], int]:
    """Every number or array in which two answers differ at all, the largest excess first; and how many were compared.

    Incidental fields and texts are left out.
    """
    old, new = _numbers(then), _numbers(now)
    rows = []
    for name in [*old, *(n for n in new if n not in old)]:
        row = _difference(name, old.get(name), new.get(name))
        if row is not None:
            rows.append(row)
    return sorted(rows, key=lambda row: -row.excess), len(old.keys() | new.keys())


def _numbers(answer: Any) -> dict[str, Leaf]:
    return {name: value for name, value in leaves(answer) if not isinstance(value, str)}


def _difference(where: str, then: Leaf | None, now: Leaf | None) -> Difference | None:
    if then is None or now is None:
        words = ("absent" if value is None else "there" for value in (then, now))
        return Difference(where, math.inf, 0.0, *words)
    old, new = np.asarray(then), np.asarray(now)
    if old.shape != new.shape:
        return Difference(where, math.inf, 0.0, _shape(old), _shape(new))
    if not old.size:
        return None
    exact = old.dtype.kind not in "fc" and new.dtype.kind not in "fc"
    a, b = old.astype(np.float64).ravel(), new.astype(np.float64).ravel()
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    if same.all():
        return None
    with np.errstate(invalid="ignore"):
        sizes = np.where(same, 0.0, np.abs(a - b))
    sizes[np.isnan(sizes)] = math.inf  # a number on one side only
    finite = np.abs(a[np.isfinite(a)])
    allowed = np.zeros_like(a)
    if not exact:
        largest = max(1.0, float(finite.max())) if finite.size else 1.0
        allowed = ABSOLUTE * largest + RELATIVE * np.where(np.isfinite(a), np.abs(a), 0.0)
    with np.errstate(divide="ignore"):
        at = int(np.argmax(np.where(same, 0.0, sizes / allowed)))
    place = f"{where}[{', '.join(map(str, np.unravel_index(at, old.shape)))}]" if old.ndim else where
    return Difference(place, float(sizes[at]), float(allowed[at]), f"{a[at]:.6g}", f"{b[at]:.6g}")


def _shape(array: np.ndarray) -> str:
    return f"{' x '.join(map(str, array.shape))} values" if array.ndim else "one value"
