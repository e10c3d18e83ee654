"""Regions exchanged where k-means went wrong: one that covers two clusters is split, one that shares one is given up.

EM cannot do this, since between the two arrangements lie worse ones. Every component is split on trial, with its own
points only, which costs no more than EM with two components; what giving up a component would cost follows from the
responsibilities. Pairs whose gain exceeds the cost are exchanged together, and the whole is kept only if a few rounds
of EM on the same points confirm it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from analysis.mfa.density import Density
from analysis.mfa.em import Floors, expect, maximise
from analysis.mfa.kmeans import seeded
from analysis.mfa.parameters import Noise, Parameters
from analysis.mfa.shape import shaped
from analysis.mfa.training import mean_score, needed

ROUNDS, SETTLING, LOCAL = 6, 3, 4  # exchanges in a row; EM rounds after each; EM rounds of a trial split
WORTHWHILE = 0.0  # nats per point that exchanges must promise to be made


def rearranged(
    parameters: Parameters, points: Tensor, generator: torch.Generator, *, top: int | None = 2, rounds: int = ROUNDS
) -> Parameters:
    """The parameters after some EM on ``points`` (M, D), and after exchanges of components that raise their density."""
    best = _settled(parameters, points, top)
    score = mean_score(best, [points])
    for _ in range(rounds if parameters.components > 2 else 0):
        trial = exchanged(best, points, generator)
        if trial is None:
            break
        trial = _settled(trial, points, top)
        reached = mean_score(trial, [points])
        if reached <= score:
            break
        best, score = trial, reached
    return best


def exchanged(parameters: Parameters, points: Tensor, generator: torch.Generator) -> Parameters | None:
    """One set of exchanges, largest gains with lowest costs; None if they promise too little."""
    owner, _a, heir, costs = _costs(parameters, points)
    halves: dict[int, Parameters] = {}
    kind: Noise = "shared" if parameters.noise.ndim == 1 else "component"
    gains = torch.full_like(costs, -torch.inf)
    for k in range(parameters.components):
        mine = points[owner == k]
        if mine.shape[0] < 2 * needed(parameters.factors):
            continue
        one = shaped(mine, mine.mean(0, keepdim=True), parameters.factors, kind, generator)
        two = shaped(mine, seeded(mine, 2, generator, 1), parameters.factors, kind, generator)
        one, two = _fitted(one, mine), _fitted(two, mine)
        gains[k] = (mean_score(two, [mine]) - mean_score(one, [mine])) * mine.shape[0]
        noise = parameters.noise if kind == "shared" else two.noise
        halves[k] = Parameters(two.weights * parameters.weights[k], two.means, two.loadings, noise)
    weights, means, loadings = (t.clone() for t in (parameters.weights, parameters.means, parameters.loadings))
    noise, promise = parameters.noise.clone(), 0.0
    used: set[int] = set()
    import os; os.environ.get("DBG") and print("gains",gains.round().tolist())
    cheapest = costs.argsort().tolist()
    for k in gains.argsort(descending=True).tolist():
        gone = next((j for j in cheapest if j not in used and j != k), None)
        if gone is None or k not in halves or gains[k] <= costs[gone]:
            break
        if k in used:
            continue
        # Costs are for one departure: who takes over its points has to stay, and is no longer what was split on trial.
        used |= {k, gone, *_main(heir[owner == gone])}
        promise += float(gains[k] - costs[gone])
        slots = [k, gone]
        weights[slots], means[slots], loadings[slots] = halves[k].weights, halves[k].means, halves[k].loadings
        if noise.ndim == 2:
            noise[slots] = halves[k].noise
    enough = promise >= WORTHWHILE * points.shape[0]
    return Parameters(weights / weights.sum(), means, loadings, noise) if enough else None


def _fitted(parameters: Parameters, points: Tensor) -> Parameters:
    for _ in range(LOCAL):
        parameters = maximise(expect(parameters, [points], top=None), parameters)
    return parameters


def _main(heirs: Tensor) -> list[int]:
    """The components that would take over a tenth of the points or more."""
    found, sizes = heirs.unique(return_counts=True)
    return [int(k) for k in found[sizes >= heirs.shape[0] / 10]]


def _costs(parameters: Parameters, points: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Each point's component (M,), its log-joint in it (M,), the component that is second to it (M,), and what giving
    up each component costs, (K,) in nats."""
    density = Density(parameters, torch.zeros_like(points[0]))
    costs = torch.zeros(parameters.components, dtype=torch.float64, device=points.device)
    owners, alone, heirs = [], [], []
    for part in points.split(4096):
        joint = density.log_joint(part)
        whole = joint.logsumexp(1)
        value, owner = joint.max(1)
        shares = (joint - whole[:, None]).exp()
        loss = -torch.log1p(-shares.clamp_max(0.75))
        without = joint.scatter(1, owner[:, None], -torch.inf)
        # Where a component has nearly all of a point, 1 - r is rounding, and the rest is summed anew.
        loss.scatter_(1, owner[:, None], (whole - without.logsumexp(1))[:, None])
        costs += loss.sum(0, dtype=torch.float64)
        owners.append(owner)
        heirs.append(without.argmax(1))
        alone.append(value)
    return torch.cat(owners), torch.cat(alone), torch.cat(heirs), costs


def _settled(parameters: Parameters, points: Tensor, top: int | None) -> Parameters:
    for _ in range(SETTLING):
        sums = expect(parameters, points.split(4096), top=top)
        parameters = maximise(sums, parameters, Floors(), least=needed(parameters.factors))
    return parameters
