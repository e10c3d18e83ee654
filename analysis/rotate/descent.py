"""Two ways down the objective: the paper's, and a fast one that ends in the same place.

``adamw`` is the published recipe (rate 8e-4, decay 0.01, 100 steps of warm-up, thousands of steps). ``lbfgs``
(:mod:`analysis.rotate.lbfgs`) takes some fifty evaluations. Both go down for many neurons and starts at once, and both
leave a trace of what was reached when, for the page that shows the descent.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from analysis.rotate.objective import Objective, kurtosis, reflect

WINDOW = 100
"""Steps over which the loss must have settled."""
Look = Callable[[int, "Tensor"], None]
"""Called with the step and a (B, 3) tensor of loss, kurtosis and cosine of every row; may raise to cancel."""


@dataclass(frozen=True)
class Descent:
    """Where descents ended, a row for each start: ``vectors`` (B, d); ``loss``, ``kurtosis`` (token weights of the
    round), ``cosine`` (B,); ``evaluations`` (B,) of the objective; ``trace`` (S, B, 3) loss, kurtosis, cosine at
    ``steps`` (S,)."""

    vectors: Tensor
    loss: Tensor
    kurtosis: Tensor
    cosine: Tensor
    evaluations: Tensor
    steps: Tensor
    trace: Tensor


def adamw(
    objective: Objective,
    start: Tensor,
    neuron: Tensor,
    *,
    rate: float = 8e-4,
    decay: float = 0.01,
    warm_up: int = 100,
    max_steps: int = 10_000,
    interval: int = 100,
    settled: float = 1e-4,
    first_check: int = 2_000,
    by_kurtosis: bool = False,
    look: Look | None = None,
) -> Descent:
    """The reference: AdamW on u from ``start`` (B, d), with the recipe of the official code (arXiv 2604.06005).

    The rate rises from 0 at the first step to ``rate`` at step ``warm_up``. Every ``interval`` steps below
    ``max_steps``, 0 included, the point at which the loss was taken is a candidate, and the best one is what comes
    back: that of lowest loss, or with ``by_kurtosis`` (as in the official code) of largest absolute kurtosis without
    token weights. A row has settled once the standard deviation of its loss over the last 100 steps was below
    ``settled``, looked at after each step from the ``first_check``-th on, and stays so; the descent ends with the last
    row. Until then rows that have settled move on, so the batch they are in decides how long they do. What settles
    the last row at a step ends the descent before that step's candidate is looked at.
    """
    u = start.clone()
    mean, square = torch.zeros_like(u), torch.zeros_like(u)
    rows = torch.arange(len(u), device=u.device)
    best = torch.full((len(u),), math.inf, dtype=u.dtype, device=u.device)
    kept = u.clone()
    recent = u.new_zeros(WINDOW, len(u))
    done = torch.zeros(len(u), dtype=torch.bool, device=u.device)
    steps: list[int] = []
    trace: list[Tensor] = []
    step = 0
    for step in range(max_steps):
        value = objective.value_and_gradient(u, neuron)
        recent[step % WINDOW] = value.loss
        if step + 1 >= max(first_check, WINDOW):
            done |= recent.std(0, correction=0) < settled
            if bool(done.all()):
                break
        if step % interval == 0:
            score = value.loss
            if by_kurtosis:
                vectors = reflect(objective.w[neuron], u)
                score = -kurtosis(vectors @ objective.projection.T).abs()
            better = rows[score < best]
            best[better], kept[better] = score[better], u[better]
            steps.append(step)
            trace.append(torch.stack([value.loss, value.kurtosis, value.cosine], 1))
            if look is not None:
                look(step, trace[-1])
        lr = rate * min(1.0, step / warm_up) if warm_up else rate
        u *= 1 - lr * decay
        mean.lerp_(value.gradient, 0.1)
        square.mul_(0.999).addcmul_(value.gradient, value.gradient, value=0.001)
        corrected = square.div(1 - 0.999 ** (step + 1)).sqrt_().add_(1e-8)
        u.addcdiv_(mean, corrected, value=-lr / (1 - 0.9 ** (step + 1)))
    last = objective.value_and_gradient(kept, neuron)
    return Descent(
        reflect(objective.w[neuron], kept),
        last.loss,
        last.kurtosis,
        last.cosine,
        torch.full((len(u),), step + 1),
        torch.tensor(steps),
        torch.stack(trace).cpu(),
    )
