"""Regions exchanged where k-means went wrong: one that covers two clusters is split, one that shares one is given up.

EM cannot do this, since between the two arrangements lie worse ones. Every component is split on trial, with its own
points only, which costs no more than EM with two components; what giving up a component would cost follows from the
responsibilities. Pairs whose gain exceeds the cost are exchanged together, and the whole is kept only if a few rounds
of EM on the same points confirm it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from analysis.mfa.density import Density
from analysis.mfa.em import Floors, expect, maximise
from analysis.mfa.kmeans import seeded
from analysis.mfa.parameters import Noise, Parameters
from analysis.mfa.shape import shaped
from analysis.mfa.training import mean_score, needed

ROUNDS, SETTLING, LOCAL = 6, 3, 4  # exchanges in a row; EM rounds after each; EM rounds of a trial split
WORTHWHILE = 0.05  # nats per point that exchanges must promise to be made


@dataclass(frozen=True)
class Trial:
    """A component split in two on trial: ``gain`` in nats over all its points, weights of the ``halves`` sum to 1."""

    gain: float
    halves: Parameters


def rearranged(
    parameters: Parameters, points: Tensor, generator: torch.Generator, *, top: int | None = 2, rounds: int = ROUNDS
) -> Parameters:
    """The parameters after some EM on ``points`` (M, D), and after exchanges of components that raise their density."""
    best = _settled(parameters, points, top)
    score = mean_score(best, [points])
    trials: dict[int, Trial] = {}
    for _ in range(rounds if parameters.components > 2 else 0):
        changed = exchanged(best, points, generator, trials)
        if changed is None:
            break
        changed = _settled(changed, points, top)
        reached = mean_score(changed, [points])
        if reached <= score:
            break
        best, score = changed, reached
    return best


def exchanged(
    parameters: Parameters, points: Tensor, generator: torch.Generator, trials: dict[int, Trial] | None = None
) -> Parameters | None:
    """One set of exchanges, largest gains with lowest costs; None if they promise too little.

    ``trials``: splits tried before, by component. Those of components that an exchange touches are dropped from it; the
    others hardly change from round to round, and are most of the work.
    """
    owner, heir, costs = _costs(parameters, points)
    trials = {} if trials is None else trials
    for k in range(parameters.components):
        mine = owner == k
        if k not in trials and int(mine.sum()) >= 2 * needed(parameters.factors):
            trials[k] = _split(points[mine], parameters, generator)
    weights, means, loadings = (t.clone() for t in (parameters.weights, parameters.means, parameters.loadings))
    noise, promise = parameters.noise.clone(), 0.0
    used: set[int] = set()
    cheapest = costs.argsort().tolist()
    for k in sorted(trials, key=lambda k: -trials[k].gain):
        gone = next((j for j in cheapest if j not in used and j != k), None)
        if gone is None or trials[k].gain <= costs[gone]:
            break
        if k in used:
            continue
        # Costs are for one departure: who takes over its points has to stay, and is no longer what was split on trial.
        used |= {k, gone, *_main(heir[owner == gone])}
        promise += trials[k].gain - float(costs[gone])
        slots, halves = [k, gone], trials[k].halves
        weights[slots] = halves.weights * weights[k]
        means[slots], loadings[slots] = halves.means, halves.loadings
        if noise.ndim == 2:
            noise[slots] = halves.noise
    for k in used:
        trials.pop(k, None)
    enough = used and promise >= WORTHWHILE * points.shape[0]
    return Parameters(weights / weights.sum(), means, loadings, noise) if enough else None


def _split(points: Tensor, parameters: Parameters, generator: torch.Generator) -> Trial:
    """Two components in the place of one on its own points. Both sides get noise of their own, which the shared one,
    swollen by regions that are wrong elsewhere, would hide the gain with."""
    kind: Noise = "shared" if parameters.noise.ndim == 1 else "component"
    centers = points.mean(0, keepdim=True), seeded(points, 2, generator, 1)
    one, two = (_fitted(shaped(points, c, parameters.factors, kind, generator), points) for c in centers)
    return Trial((mean_score(two, [points]) - mean_score(one, [points])) * points.shape[0], two)


def _fitted(parameters: Parameters, points: Tensor) -> Parameters:
    for _ in range(LOCAL):
        parameters = maximise(expect(parameters, [points], top=None), parameters)
    return parameters


def _main(heirs: Tensor) -> list[int]:
    """The components that would take over a tenth of the points or more."""
    found, sizes = heirs.unique(return_counts=True)
    return [int(k) for k in found[sizes >= heirs.shape[0] / 10]]


def _costs(parameters: Parameters, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Each point's component (M,), the one that is second to it (M,), and what giving up each costs, (K,) in nats."""
    density = Density(parameters, torch.zeros_like(points[0]))
    costs = torch.zeros(parameters.components, dtype=torch.float64, device=points.device)
    owners, heirs = [], []
    for part in points.split(4096):
        joint = density.log_joint(part)
        whole = joint.logsumexp(1)
        owner = joint.argmax(1)
        shares = (joint - whole[:, None]).exp()
        loss = -torch.log1p(-shares.clamp_max(0.75))
        without = joint.scatter(1, owner[:, None], -torch.inf)
        # Where a component has nearly all of a point, 1 - r is rounding, and the rest is summed anew.
        loss.scatter_(1, owner[:, None], (whole - without.logsumexp(1))[:, None])
        costs += loss.sum(0, dtype=torch.float64)
        owners.append(owner)
        heirs.append(without.argmax(1))
    return torch.cat(owners), torch.cat(heirs), costs


def _settled(parameters: Parameters, points: Tensor, top: int | None) -> Parameters:
    for _ in range(SETTLING):
        sums = expect(parameters, points.split(4096), top=top)
        parameters = maximise(sums, parameters, Floors(), least=needed(parameters.factors))
    return parameters
