"""What can be done to an activation, as small records, and how several of them become one step.

Sliders are moved together and in any order, so the order in which interventions are named must not matter: at one site
all of them act on the same activation at once. Whatever their number, moving and adding fold into one multiply-add per
site; projections and clamps come after it, each group solved jointly. This module hides that arithmetic and knows no
model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analysis.errors import UserError
from analysis.models.sites import Site
from analysis.steering.gates import Gate

WHERE = ("not_first", "all", "prompt", "generated", "thinking", "answer")
"""At which tokens: all but the first, all, the prompt but its first, those written after it, and of these those of the
model's thinking or those that are not."""
MAX_FACTOR = 10_000.0  # of an added vector, either sign


@dataclass(frozen=True, eq=False)
class Interpolate:
    """Move x towards a point: x + strength * (target - x). ``target`` (D,), ``strength`` in [0, 1].

    The paper's centroid intervention (eq. 14): an absolute position is approached, nothing is added.
    """

    site: Site
    target: Tensor
    strength: float
    where: str = "not_first"
    gate: Gate | None = None

    def __post_init__(self) -> None:
        _check(self, _array(self, "target", 1), self.strength, 0.0, 1.0)


@dataclass(frozen=True, eq=False)
class Add:
    """Add a vector: x + strength * vector. ``vector`` (D,), ``strength`` any number up to 10,000 in size.

    With a vector W_k v, the paper's local offset (eq. 15).
    """

    site: Site
    vector: Tensor
    strength: float = 1.0
    where: str = "not_first"
    gate: Gate | None = None

    def __post_init__(self) -> None:
        _check(self, _array(self, "vector", 1), self.strength, -MAX_FACTOR, MAX_FACTOR)


@dataclass(frozen=True, eq=False)
class ProjectOut:
    """Remove x's component in the span of ``directions`` (n, D) or (D,), of any lengths; ``strength`` in [0, 1]."""

    site: Site
    directions: Tensor
    strength: float = 1.0
    where: str = "not_first"
    gate: Gate | None = None

    def __post_init__(self) -> None:
        rows = _array(self, "directions", 2)
        _check(self, rows, self.strength, 0.0, 1.0)
        _no_zeros(rows)


@dataclass(frozen=True, eq=False)
class Clamp:
    """Set the coefficient of x along ``direction`` (D,), taken at unit length, to ``value`` (in units of x)."""

    site: Site
    direction: Tensor
    value: float
    where: str = "not_first"
    gate: Gate | None = None

    def __post_init__(self) -> None:
        row = _array(self, "direction", 1)
        _check(self, row, self.value, -1e6, 1e6, "The value of a clamped coefficient")
        _no_zeros(row[None])


Intervention = Interpolate | Add | ProjectOut | Clamp
Kernel = Callable[[Tensor], Tensor]


def is_idle(intervention: Intervention) -> bool:
    """Whether it changes nothing whatever the activation is: strength 0, or nothing to add."""
    if isinstance(intervention, Clamp):
        return False
    return intervention.strength == 0 or (isinstance(intervention, Add) and not bool(intervention.vector.any()))


def fuse(interventions: Iterable[Intervention]) -> Kernel | None:
    """One function (..., D) -> (..., D) in x's dtype that does all interventions of one site at once; None for none.

    x' = x + sum a_i (mu_i - x) + sum s_j v_j, where strengths a_i that sum to more than 1 are scaled to sum to 1; then
    the components along all directions to project out, found jointly by least squares, are taken away; then the
    clamped coefficients are set jointly, by the smallest change that sets them (in the least-squares sense where two
    clamps contradict each other).
    """
    given = [i for i in interventions if not is_idle(i)]
    if not given:
        return None
    moves, adds = [i for i in given if isinstance(i, Interpolate)], [i for i in given if isinstance(i, Add)]
    outs, clamps = [i for i in given if isinstance(i, ProjectOut)], [i for i in given if isinstance(i, Clamp)]
    steps: list[Callable[[Tensor], Tensor]] = []
    if moves or adds:
        steps.append(_multiply_add(moves, adds))
    if outs:
        steps.append(_projection(outs))
    if clamps:
        steps.append(_clamp(clamps))
    if len(steps) == 1:
        return steps[0]

    def run(x: Tensor) -> Tensor:
        for step in steps:
            x = step(x)
        return x

    return run


def _multiply_add(moves: list[Interpolate], adds: list[Add]) -> Kernel:
    total = math.fsum(m.strength for m in moves)
    scale = 1 / total if total > 1 else 1.0
    terms = [(m.strength * scale, m.target) for m in moves] + [(a.strength, a.vector) for a in adds]
    constant = _Constants(torch.stack([s * v.double() for s, v in terms]).sum(0))
    factor = max(0.0, 1 - total * scale)

    def run(x: Tensor) -> Tensor:
        (c,) = constant.like(x)
        return torch.add(c, x, alpha=factor)

    return run


def _projection(outs: list[ProjectOut]) -> Kernel:
    rows = torch.cat([o.directions for o in outs]).double()
    strengths = torch.cat([torch.full((len(o.directions),), float(o.strength)) for o in outs]).double()
    rows = rows / rows.norm(dim=1, keepdim=True)
    constants = _Constants(torch.linalg.pinv(rows), strengths[:, None] * rows)

    def run(x: Tensor) -> Tensor:
        coefficients, back = constants.like(x)
        return x - (x @ coefficients) @ back

    return run


def _clamp(clamps: list[Clamp]) -> Kernel:
    rows = torch.stack([c.direction for c in clamps]).double()
    rows = rows / rows.norm(dim=1, keepdim=True)
    values = torch.tensor([float(c.value) for c in clamps]).double()
    constants = _Constants(rows.T, torch.linalg.pinv(rows).T, values)

    def run(x: Tensor) -> Tensor:
        across, back, wanted = constants.like(x)
        return x + (wanted - x @ across) @ back

    return run


class _Constants:
    """Tensors in the dtype and on the device of the activations, converted once for each."""

    def __init__(self, *tensors: Tensor) -> None:
        self._tensors = tensors
        self._ready: dict[tuple[torch.dtype, torch.device], tuple[Tensor, ...]] = {}

    def like(self, x: Tensor) -> tuple[Tensor, ...]:
        key = (x.dtype, x.device)
        if key not in self._ready:
            self._ready[key] = tuple(t.to(x.device, x.dtype) for t in self._tensors)
        return self._ready[key]


def _array(record: Any, name: str, ndim: int) -> Tensor:
    """Replace a record's field by its own float32 copy on the CPU, once it is known to be such an array."""
    given = getattr(record, name)
    try:
        tensor = torch.as_tensor(np.asarray(given) if not isinstance(given, Tensor) else given)
    except (TypeError, ValueError, RuntimeError) as error:
        raise _bad(f"The {name} of an intervention must be an array of numbers.") from error
    if ndim == 2 and tensor.ndim == 1:
        tensor = tensor[None]
    if tensor.ndim != ndim or tensor.numel() == 0 or tensor.is_complex():
        shape = "one vector" if ndim == 1 else "rows of one length"
        raise _bad(f"The {name} of an intervention must be {shape}, not an array of shape {tuple(tensor.shape)}.")
    tensor = tensor.detach().to("cpu", torch.float32, copy=True).contiguous()
    if not bool(tensor.isfinite().all()):
        raise _bad(f"The {name} of an intervention holds values that are not finite numbers.")
    object.__setattr__(record, name, tensor)
    return tensor


def _check(
    record: Any, _array: Tensor, number: Any, low: float, high: float, what: str = "The strength of an intervention"
) -> None:
    if not isinstance(record.site, Site):
        raise _bad("An intervention acts at a Site, such as Site(10).")
    if record.where not in WHERE:
        raise _bad(f"The positions must be one of {', '.join(WHERE)}, not {str(record.where)[:20]!r}.")
    if record.gate is not None and not isinstance(record.gate, Gate):
        raise _bad("A gate of an intervention is a Gate.")
    real = isinstance(number, (int, float, np.number)) and not isinstance(number, bool) and math.isfinite(number)
    if not real or not low <= number <= high:
        raise UserError(f"{what} must be a number from {low:g} to {high:g}, not {str(number)[:20]}.", "strength")


def _no_zeros(rows: Tensor) -> None:
    if bool((rows.norm(dim=1) == 0).any()):
        raise _bad("A direction of length zero points nowhere. Give another one.")


def _bad(message: str) -> UserError:
    return UserError(message, "steer")
