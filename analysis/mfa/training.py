"""The loop around expectation-maximisation: when to stop, what to keep, and what to do with empty components.

Every round first scores the parameters as they are, on the points that are fitted (which the E-step gives anyway) and
on those held out, so that a row of the history describes one set of parameters. The best held-out ones are kept.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from analysis.mfa.density import Density
from analysis.mfa.em import Elsewhere, Floors, Statistics, Worst, expect, maximise
from analysis.mfa.parameters import Parameters
from analysis.progress import Progress, silent

CHANCES = 3  # how often one component is moved before it is left as it is
WORST_PER_COMPONENT, WORST_AT_LEAST = 2, 64


@dataclass(frozen=True)
class Schedule:
    """How long: at most ``most`` M-steps, until a round gains less than ``tol`` nats per point (held out, if any).

    ``shift`` nats are added to what is reported: the log-density in the units of the data and not of the fit.
    """

    most: int = 30
    tol: float = 0.2
    top: int | None = 2
    shift: float = 0.0
    floors: Floors = field(default_factory=Floors)


@dataclass
class Trained:
    """Where the loop ended: ``score`` is of the kept parameters, held out if possible, in the data's units; ``sums``
    the per-point statistics that stochastic EM can go on from."""

    parameters: Parameters
    sums: Statistics
    score: float
    history: list[dict[str, Any]]
    converged: bool
    reseeded: int


def train(
    parameters: Parameters,
    kept: Iterable[Tensor] | Elsewhere,
    held: Iterable[Tensor] | Elsewhere | None,
    schedule: Schedule,
    generator: torch.Generator,
    progress: Progress = silent,
) -> Trained:
    """Fit from a start. ``kept`` and ``held`` are read once per round. ``progress`` is told each row of the
    history as ``iteration``."""
    started = time.monotonic()
    history: list[dict[str, Any]] = []
    chances = torch.full((parameters.components,), CHANCES)
    best: Trained | None = None
    before, reseeded, moved, converged = -math.inf, 0, False, False
    for iteration in range(schedule.most + 1):
        worst = Worst(max(WORST_AT_LEAST, WORST_PER_COMPONENT * parameters.components))
        sums = expect(parameters, kept, top=schedule.top, worst=worst)
        inside = sums.score / sums.rows + schedule.shift
        outside = None if held is None else mean_score(parameters, held) + schedule.shift
        now = inside if outside is None else outside
        row = {
            "iteration": iteration,
            "train": inside,
            "held_out": outside,
            "seconds": time.monotonic() - started,
            "reseeded": reseeded,
        }
        history.append(row)
        measured = f"train {inside:.2f}" if outside is None else f"held out {outside:.2f}"
        text = f"iteration {iteration}: {measured} nats per activation"
        progress((iteration + 1) / (schedule.most + 1), text, iteration=dict(row))
        if best is None or now > best.score:
            best = Trained(parameters, sums.per_point(), now, history, False, 0)
        # A component that has just been moved has yet to find its shape; a gain says nothing until then.
        if not moved and now - before < schedule.tol:
            converged = True
            break
        before = now
        if iteration < schedule.most:
            empty = empties(sums, parameters.factors) if iteration < schedule.most - 1 else []
            parameters = maximise(sums, parameters, schedule.floors, least=needed(parameters.factors))
            empty = [k for k in empty if chances[k] > 0]
            parameters = worst.reseed(parameters, empty, generator)
            chances[empty] -= 1
            reseeded, moved = reseeded + len(empty), bool(empty)
    assert best is not None
    return replace(best, converged=converged, reseeded=reseeded)


def needed(factors: int) -> float:
    """Effective points below which a component's loadings are not determined: R + 2."""
    return factors + 2.0


def empties(sums: Statistics, factors: int, points: float | None = None) -> list[int]:
    """Components with too few effective points, of as many as the sums stand for."""
    scale = 1.0 if points is None else points / sums.rows
    return [int(k) for k in (sums.count * scale < needed(factors)).nonzero()[:, 0]]


def mean_score(parameters: Parameters, batches: Iterable[Tensor] | Elsewhere) -> float:
    """Mean log-density of all points, in nats."""
    total, rows = total_score(parameters, batches) if isinstance(batches, Iterable) else batches.score(parameters)
    return total / rows


def total_score(parameters: Parameters, batches: Iterable[Tensor]) -> tuple[float, int]:
    """The sum of the log-densities of all points, in nats, and how many there are."""
    density = Density(parameters, torch.zeros_like(parameters.means[0]))
    total, rows = 0.0, 0
    for points in batches:
        total += float(density.score(points).sum(dtype=torch.float64))
        rows += points.shape[0]
    return total, rows


class Stepwise:
    """Stochastic EM: sums are a running mean over batches, with steps (t + t0)^-power.

    After "On-line expectation-maximization algorithm for latent data models" (2009), with an M-step at every batch.
    Goes on from per-point ``sums`` that stand for ``seen`` batches of ``size`` points.
    """

    def __init__(
        self, parameters: Parameters, sums: Statistics, seen: float, size: int, top: int | None, floors: Floors
    ) -> None:
        self.parameters, self.sums, self.seen = parameters, sums, seen
        self.reseeded = 0
        self.size, self.top, self._floors = size, top, floors
        self._chances = torch.full((parameters.components,), CHANCES)

    def step(self, points: Tensor, generator: torch.Generator, *, delay: float = 2.0, power: float = 0.6) -> float:
        """Take one batch (M, D); its mean log-density before that, in nats."""
        worst = Worst(WORST_AT_LEAST)
        fresh = expect(self.parameters, [points], top=self.top, worst=worst).per_point()
        self.seen += points.shape[0] / self.size
        # A short batch says less than a full one.
        step = min(1.0, (self.seen + delay) ** -power * points.shape[0] / self.size)
        self.sums = self.sums.towards(fresh, step)
        effective = self.size * (self.seen + delay) ** power  # points that the running mean remembers
        few, factors, before = needed(self.parameters.factors) / effective, self.parameters.factors, self.parameters
        floors = replace(self._floors, count=self._floors.count / effective)  # the sums are per point
        self.parameters = maximise(self.sums, before, floors, least=few)
        empty = [k for k in empties(self.sums, factors, effective) if self._chances[k] > 0]
        if empty:
            held = self.parameters
            self.parameters = worst.reseed(held, empty, generator)
            for k in empty:
                self.sums.implant(k, held, self.parameters, 2 * few)
            self._chances[empty] -= 1
            self.reseeded += len(empty)
        return fresh.score
