"""The vectors that are added to a residual stream to change what a probe reads there.

A linear probe's edit is the sum of the unit directions of the targets (the papers add the target alone; target minus
source is offered beside it, since the other probes subtract theirs). A TPR probe's edit is made in its own code: the
outer products of the squares' roles with the difference of two fillers are put into the binding, and the shortest
residual change that does it comes from the pseudo-inverse of the map (arXiv 2605.09967 and its code, dossier 4.1).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from analysis.errors import UserError
from analysis.tpr.probes import Probe, TPRProbe, TrilinearProbe

Change = tuple[int, int, int]
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


def linear_edit(directions: Tensor, changes: Sequence[Change], *, minus: bool = False) -> Tensor:
    """(d,): sum over (square, source, target) of the unit target direction, or of the unit target minus source.

    ``directions`` (64, 3, d).
    """
    parts = []
    for square, source, target in changes:
        w = directions[square, target] - (directions[square, source] if minus else 0)
        parts.append(w / w.norm())
    return torch.stack(parts).sum(0)


def binding_change(roles: Tensor, fillers: Tensor, changes: Sequence[Change]) -> Tensor:
    """(r, f): sum of R_s (F_target - F_source)^T."""
    return torch.stack([torch.outer(roles[s], fillers[t] - fillers[o]) for s, o, t in changes]).sum(0)


def least_norm(binding_map: Tensor, change: Tensor) -> Tensor:
    """(d,): the shortest g with B(h + g) = B(h) + change, for a map (d, r, f); float64 inside."""
    flat = binding_map.reshape(len(binding_map), -1).double()
    # pinv(flat^T) vec, by the small Gram matrix' own pseudo-inverse where d is smaller than r f.
    found = torch.linalg.pinv(flat.T) @ change.reshape(-1).double()
    shortest: Tensor = found.to(binding_map.dtype)
    return shortest


def tpr_edit(probe: Probe, changes: Sequence[Change]) -> Tensor:
    """(d,): the unit vector of the least-norm edit in the code of a TPR or trilinear probe."""
    same = probe.as_bilinear() if isinstance(probe, TrilinearProbe) else probe
    if not isinstance(same, TPRProbe):
        raise UserError("Only a TPR or trilinear probe has fillers to swap.", "method")
    g = least_norm(same.binding_map_, binding_change(same.roles_, same.fillers_, changes))
    unit: Tensor = g / g.norm()
    return unit


def random_edit(d: int, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Tensor:
    """(d,): a random unit vector."""
    g = torch.randn(d, generator=generator, dtype=dtype)
    unit: Tensor = g / g.norm()
    return unit


def wrong_squares(classes: Sequence[int], changes: Sequence[Change], generator: torch.Generator) -> list[Change]:
    """The same changes on other squares of the same source class, drawn at random, as far as there are such."""
    edited = {s for s, _, _ in changes}
    found: list[Change] = []
    for _, source, target in changes:
        taken = edited | {s for s, _, _ in found}
        free = [s for s in range(64) if classes[s] == source and s not in taken]
        if free:
            at = int(torch.randint(len(free), (1,), generator=generator))
            found.append((free[at], source, target))
    if not found:
        raise UserError("There is no other square with the same disc to edit in its place.", "method")
    return found


def edit_vector(
    method: str, probe: Probe, changes: Sequence[Change], classes: Sequence[int], generator: torch.Generator
) -> Tensor:
    """(d,): the edit of a method at one block; unit length for one square. ``classes``: the true board's 64 classes."""
    if method == "linear" or method == "linear-minus":
        return linear_edit(probe.directions(), changes, minus=method == "linear-minus")
    if method in ("tpr", "trilinear"):
        return tpr_edit(probe, changes)
    if method == "random":
        return random_edit(probe.width, generator)
    if method == "wrong-square":
        return tpr_edit(probe, wrong_squares(classes, changes, generator))
    raise UserError(f"There is no method {method[:20]!r}.", "method")


def cross_talk(probe: Probe, changes: Sequence[Change], scale: float = 1.0) -> Tensor:
    """(64, 3): what an edit of length ``scale`` along the unit least-norm vector changes in the probe's own logits.

    scale / |g| times sum_i (R_s R_{s_i}) (F_c (F_target - F_source)): the Gram matrix of the roles, dossier 4.1.
    """
    same = probe.as_bilinear() if isinstance(probe, TrilinearProbe) else probe
    if not isinstance(same, TPRProbe):
        raise UserError("Only a TPR or trilinear probe has roles.", "method")
    roles, fillers = same.roles_, same.fillers_
    g = least_norm(same.binding_map_, binding_change(roles, fillers, changes))
    total = torch.zeros(64, 3, dtype=roles.dtype)
    for square, source, target in changes:
        total += torch.outer(roles @ roles[square], fillers @ (fillers[target] - fillers[source]))
    change: Tensor = scale / g.norm() * total
    return change
