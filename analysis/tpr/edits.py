"""The vectors that are added to a residual stream to change what a probe reads there.

A linear probe's edit is the sum of the unit directions of the targets (the papers add the target alone; target minus
source is offered beside it, since the other probes subtract theirs). A TPR probe's edit is made in its own code: the
outer products of the squares' roles with the difference of two fillers are put into the binding, and the shortest
residual change that does it comes from the pseudo-inverse of the map (arXiv 2605.09967 and its code, dossier 4.1).
The pseudo-inverse belongs to a probe and not to an edit, so that it is found once and many edits share it.

A change is (square, source class, target class); classes are 0 empty, 1 just moved, 2 to move.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from analysis.errors import UserError
from analysis.tpr.probes import Probe, TPRProbe, TrilinearProbe

Change = tuple[int, int, int]
Weights = Sequence[float]
RTOL = {"tpr": None, "trilinear": 0.01}
"""Share of the map's largest singular value below which others count as zero. At width 128 the trilinear map is square
and its condition number in the thousands: an exact edit goes where the probe hardly reads, and does nothing."""
METHODS = ("tpr", "linear", "linear-minus", "trilinear", "random", "wrong-square")
TITLES = {
    "tpr": "TPR: fillers swapped in the binding",
    "linear": "linear: target's direction added",
    "linear-minus": "linear: target minus source",
    "trilinear": "trilinear: fillers swapped",
    "random": "control: random direction",
    "wrong-square": "control: the same edit on wrong squares",
}
PROBE_OF = {"tpr": "tpr", "linear": "linear", "linear-minus": "linear", "trilinear": "trilinear", "random": "tpr"} | {
    "wrong-square": "tpr"
}
WEIGHTS = tuple(0.25 * i for i in range(1, 11))


def linear_edit(
    directions: Tensor,
    changes: Sequence[Change],
    *,
    minus: bool = False,
    centred: bool = False,
    weights: Weights | None = None,
) -> Tensor:
    """(d,): sum over changes of the unit target direction, or of the unit target minus source.

    ``directions`` (64, 3, d). ``centred``: each square's mean over the classes is taken off first, which no prediction
    notices (target minus source is the same either way). ``weights``: a factor for each change, all 1 if None.
    """
    amounts = _amounts(changes, weights)
    if centred:
        directions = directions - directions.mean(1, keepdim=True)
    parts = []
    for (square, source, target), amount in zip(changes, amounts, strict=True):
        w = directions[square, target] - (directions[square, source] if minus else 0)
        parts.append(amount * _unit(w))
    return torch.stack(parts).sum(0)


def binding_change(roles: Tensor, fillers: Tensor, changes: Sequence[Change], weights: Weights | None = None) -> Tensor:
    """(r, f): sum of w R_s (F_target - F_source)^T, from roles (64, r) and fillers (3, f)."""
    amounts = _amounts(changes, weights)
    pairs = zip(changes, amounts, strict=True)
    return torch.stack([a * torch.outer(roles[s], fillers[t] - fillers[o]) for (s, o, t), a in pairs]).sum(0)


def least_norm(binding_map: Tensor, change: Tensor, rtol: float | None = None) -> Tensor:
    """(d,): the shortest g with B(h + g) = B(h) + change, for a map (d, r, f); float64 inside.

    ``rtol``: singular values of the map below this share of the largest count as zero, and g then makes only the part
    of the change that the others carry; None keeps all that float64 can tell from zero.
    """
    vector: Tensor = (_inverse(binding_map, rtol) @ change.reshape(-1).double()).to(binding_map.dtype)
    return vector


@dataclass(frozen=True)
class EditMap:
    """What turns changes into residual vectors at one block: ``binding_map`` (d, r, f), ``roles`` (64, r), ``fillers``
    (3, f) in the probe's type, and ``inverse`` (d, r f) float64, the pseudo-inverse of the map as r f rows of d."""

    binding_map: Tensor
    roles: Tensor
    fillers: Tensor
    inverse: Tensor

    @classmethod
    def of(cls, probe: Probe, rtol: float | None = None) -> EditMap:
        """The map of a TPR or trilinear probe, found once for its learned tensors. UserError(field="method") else."""
        if not isinstance(probe, TPRProbe | TrilinearProbe):
            raise UserError("Only a TPR or trilinear probe has fillers to swap.", "method")
        parts = tuple(probe.parts.values())
        maps = _MAPS.setdefault(probe, {})
        entry = maps.get(rtol)
        # A second fit replaces the tensors; a map of the old ones must not outlive it.
        if entry is None or any(a is not b for a, b in zip(entry[0], parts, strict=True)):
            same = probe.as_bilinear() if isinstance(probe, TrilinearProbe) else probe
            edit_map = cls(same.binding_map_, same.roles_, same.fillers_, _inverse(same.binding_map_, rtol))
            entry = maps[rtol] = (parts, edit_map)
        return entry[1]

    def vector(self, changes: Sequence[Change], weights: Weights | None = None) -> Tensor:
        """(d,): the least-norm edit at its natural length, in the probe's type."""
        change = binding_change(self.roles, self.fillers, changes, weights)
        edit: Tensor = (self.inverse @ change.reshape(-1).double()).to(self.roles.dtype)
        return edit

    def unit(self, changes: Sequence[Change], weights: Weights | None = None) -> Tensor:
        """(d,): the same, of length 1. UserError(field="edits") if the changes change nothing."""
        return _unit(self.vector(changes, weights))

    def cross_talk(self, changes: Sequence[Change], scale: float = 1.0, weights: Weights | None = None) -> Tensor:
        """(64, 3): what ``scale`` times the unit edit changes in the probe's logits, R B(g) F^T with g the edit.

        Where the map has full column rank this is scale / |g| sum_i w_i (R_s R_i) (F_c (F_target - F_source)), the
        Gram matrix of the roles (dossier 4.1); where it has not, only the part that the edit can make.
        """
        change = torch.tensordot(scale * self.unit(changes, weights), self.binding_map, 1)
        talk: Tensor = self.roles @ change @ self.fillers.T
        return talk


def tpr_edit(
    probe: Probe, changes: Sequence[Change], *, weights: Weights | None = None, rtol: float | None = None
) -> Tensor:
    """(d,): the unit vector of the least-norm edit in the code of a TPR or trilinear probe.

    Raises UserError(field="method") for other probes, (field="edits") for changes that change nothing.
    """
    return EditMap.of(probe, rtol).unit(changes, weights)


def random_edit(d: int, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Tensor:
    """(d,): a random unit vector."""
    g = torch.randn(d, generator=generator, dtype=dtype)
    unit: Tensor = g / g.norm()
    return unit


def wrong_squares(classes: Sequence[int], changes: Sequence[Change], generator: torch.Generator) -> list[Change]:
    """The same changes on other squares of the same source class, drawn at random, as far as there are such."""
    return [change for _, change in _elsewhere(classes, changes, generator)]


def edit_vector(
    method: str,
    probe: Probe,
    changes: Sequence[Change],
    classes: Sequence[int],
    generator: torch.Generator,
    weights: Weights | None = None,
) -> Tensor:
    """(d,): the edit of a method at one block; unit length for one square. ``classes``: the true board's 64 classes.

    ``weights``: a factor for each change; a random direction has no squares to weigh. Raises UserError(field="method"):
    unknown, or not for this probe; (field="edits"): no change, or a square or class that does not exist.
    """
    amounts = _amounts(changes, weights)
    if method in ("linear", "linear-minus"):
        return linear_edit(probe.directions(), changes, minus=method == "linear-minus", weights=amounts)
    if method in ("tpr", "trilinear"):
        return tpr_edit(probe, changes, weights=amounts, rtol=RTOL[method])
    if method == "random":
        return random_edit(probe.width, generator)
    if method == "wrong-square":
        controls = _elsewhere(classes, changes, generator)
        return tpr_edit(probe, [c for _, c in controls], weights=[amounts[i] for i, _ in controls])
    raise UserError(f"There is no method {method[:20]!r}.", "method")


def cross_talk(
    probe: Probe,
    changes: Sequence[Change],
    scale: float = 1.0,
    *,
    weights: Weights | None = None,
    rtol: float | None = None,
) -> Tensor:
    """(64, 3): what an edit of length ``scale`` along the unit least-norm vector changes in the probe's own logits.

    See :meth:`EditMap.cross_talk`. Raises UserError as `tpr_edit` does.
    """
    return EditMap.of(probe, rtol).cross_talk(changes, scale, weights)


def weight_tuples(squares: int) -> list[tuple[float, ...]]:
    """Ways to weigh the changes of an edit: tuples of `WEIGHTS` over their largest, each once, the plain one first and
    those nearest to it before the others (dossier 4.1: 1, 63, 841, 9279 for one to four squares)."""
    if not 1 <= squares <= 4:
        raise UserError("One to four squares can be edited.", "squares")
    steps = range(1, len(WEIGHTS) + 1)
    # Whole numbers over their greatest common divisor, so that equal ratios are equal whatever the rounding.
    ratios = {tuple(n // math.gcd(*t) for n in t) for t in itertools.product(steps, repeat=squares)}
    shares = [tuple(n / max(t) for n in t) for t in ratios]
    return sorted(shares, key=lambda t: (sum(1 - w for w in t), t))


_MAPS: WeakKeyDictionary[Probe, dict[float | None, tuple[tuple[Tensor, ...], EditMap]]] = WeakKeyDictionary()


def _inverse(binding_map: Tensor, rtol: float | None) -> Tensor:
    flat = binding_map.reshape(len(binding_map), -1).double()
    inverse: Tensor = torch.linalg.pinv(flat.T) if rtol is None else torch.linalg.pinv(flat.T, rtol=rtol)
    return inverse


def _unit(vector: Tensor) -> Tensor:
    length = vector.norm()
    if not length > 0:
        raise UserError("This edit changes nothing. Choose another class for the square.", "edits")
    unit: Tensor = vector / length
    return unit


def _amounts(changes: Sequence[Change], weights: Weights | None) -> list[float]:
    """The factor of each change, once the changes are known to name squares and classes."""
    if not changes:
        raise UserError("Choose at least one square to edit.", "edits")
    if any(not (0 <= s < 64 and 0 <= o < 3 and 0 <= t < 3) for s, o, t in changes):
        raise UserError("An edit is a square from 0 to 63 and classes from 0 to 2.", "edits")
    amounts = [1.0] * len(changes) if weights is None else [float(w) for w in weights]
    if len(amounts) != len(changes):
        raise UserError(f"{len(changes)} changes need as many weights, not {len(amounts)}.", "weights")
    return amounts


def _elsewhere(
    classes: Sequence[int], changes: Sequence[Change], generator: torch.Generator
) -> list[tuple[int, Change]]:
    edited = {s for s, _, _ in changes}
    controls: list[tuple[int, Change]] = []
    for i, (_, source, target) in enumerate(changes):
        used = edited | {c[0] for _, c in controls}
        free = [s for s in range(64) if classes[s] == source and s not in used]
        if free:
            at = int(torch.randint(len(free), (1,), generator=generator))
            controls.append((i, (free[at], source, target)))
    if not controls:
        raise UserError("There is no other square with the same disc to edit in its place.", "method")
    return controls
