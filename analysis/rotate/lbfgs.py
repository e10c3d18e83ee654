"""L-BFGS for many independent problems at once.

Libraries' L-BFGS has one line search for all its variables, so a batch of neurons would be one problem with one step.
Here every row has a history, a bracket and a step of its own, and all rows that are not done are evaluated together:
what a neuron costs is its share of a large matrix product. The search is for a weak Wolfe point by bracketing, which
is all that the update needs.
"""

from __future__ import annotations

import torch
from torch import Tensor

from analysis.rotate.descent import Descent, Look
from analysis.rotate.objective import Objective, Value, reflect

_ENOUGH, _STEEP = 1e-4, 0.9  # of the Wolfe conditions: sufficient decrease, curvature


def lbfgs(
    objective: Objective,
    start: Tensor,
    neuron: Tensor,
    *,
    history: int = 12,
    max_evaluations: int = 150,
    tolerance: float = 3e-6,
    look: Look | None = None,
) -> Descent:
    """Descend from ``start`` (B, d) for the neurons ``neuron`` (B,), each row until three steps in a row gain less than
    ``tolerance`` of loss, or until ``max_evaluations``."""
    state = _State(objective.value_and_gradient(start, neuron), start, history)
    trace, steps = [state.figures()], [0]
    for step in range(1, max_evaluations):
        live = state.live.nonzero()[:, 0]
        if not len(live):
            break
        trial = state.u[live] + state.step[live, None] * state.direction[live]
        state.judge(live, trial, objective.value_and_gradient(trial, neuron[live]), tolerance)
        trace.append(state.figures())
        steps.append(step)
        if look is not None:
            look(step, trace[-1])
    at = state.at
    vectors = reflect(objective.w[neuron], state.u)
    return Descent(
        vectors, at.loss, at.kurtosis, at.cosine, state.evaluations, torch.tensor(steps), torch.stack(trace).cpu()
    )


class _State:
    """Where each row stands: the point and its value, the direction, the bracket of the step, the history."""

    def __init__(self, at: Value, u: Tensor, history: int) -> None:
        rows, width = u.shape
        self.u, self.at = u.clone(), at
        self.live = torch.ones(rows, dtype=torch.bool, device=u.device)
        self.low, self.high, self.step = (u.new_zeros(rows) for _ in range(3))
        self.tries, self.idle = (torch.zeros(rows, dtype=torch.long, device=u.device) for _ in range(2))
        self.evaluations = torch.ones(rows, dtype=torch.long, device=u.device)
        self.moves, self.changes = (u.new_zeros(rows, history, width) for _ in range(2))
        self.products = u.new_zeros(rows, history)  # of moves and changes; 0 where there is no entry
        self.direction = torch.zeros_like(u)
        self._aim(torch.arange(rows, device=u.device))

    def figures(self) -> Tensor:
        """Loss, kurtosis and cosine of all rows, (B, 3)."""
        return torch.stack([self.at.loss, self.at.kurtosis, self.at.cosine], 1)

    def judge(self, rows: Tensor, trial: Tensor, value: Value, tolerance: float) -> None:
        """Take the trial points of those rows, or narrow and widen their brackets."""
        self.evaluations[rows] += 1
        self.tries[rows] += 1
        before, step, direction = self.at[rows], self.step[rows], self.direction[rows]
        slope = (before.gradient * direction).sum(-1)
        lower = value.loss <= before.loss + _ENOUGH * step * slope
        lower &= value.loss.isfinite() & value.gradient.isfinite().all(-1)
        steep = (value.gradient * direction).sum(-1) < _STEEP * slope
        late = self.tries[rows] >= 15
        taken = lower & (~steep | late)
        failed = ~lower & late
        self.high[rows] = torch.where(~lower, step, self.high[rows])
        self.low[rows] = torch.where(lower & steep, step, self.low[rows])
        open_end = self.high[rows] == 0
        self.step[rows] = torch.where(open_end, 2 * step, (self.low[rows] + self.high[rows]) / 2)
        self._retry(rows[failed])
        self._take(rows[taken], trial[taken], value[taken], tolerance)

    def _retry(self, rows: Tensor) -> None:
        """No lower point along the direction: forget the history once, then give up."""
        fresh = self.products[rows].abs().sum(-1) == 0
        self.live[rows[fresh]] = False
        again = rows[~fresh]
        self.products[again] = 0
        self._aim(again)

    def _take(self, rows: Tensor, trial: Tensor, value: Value, tolerance: float) -> None:
        if not len(rows):
            return
        move, change = trial - self.u[rows], value.gradient - self.at.gradient[rows]
        product = (move * change).sum(-1)
        gain = self.at.loss[rows] - value.loss
        for store, new in ((self.moves, move), (self.changes, change), (self.products, product)):
            shifted = store[rows].roll(1, 1)
            shifted[:, 0] = new
            # A pair without positive curvature would spoil the directions that follow.
            good = product > 1e-12 * change.square().sum(-1)
            store[rows[good]] = shifted[good]
        self.u[rows] = trial
        self.at.loss[rows], self.at.kurtosis[rows] = value.loss, value.kurtosis
        self.at.cosine[rows], self.at.gradient[rows] = value.cosine, value.gradient
        self.idle[rows] = torch.where(gain < tolerance, self.idle[rows] + 1, 0)
        self.live[rows[self.idle[rows] >= 3]] = False
        self._aim(rows)

    def _aim(self, rows: Tensor) -> None:
        """New directions by the two-loop recursion, and first steps along them."""
        if not len(rows):
            return
        gradient, moves, changes = self.at.gradient[rows], self.moves[rows], self.changes[rows]
        products = self.products[rows]
        there = products > 0
        inverse = torch.where(there, 1 / products.where(there, torch.ones_like(products)), 0.0)
        q = gradient.clone()
        shares = []
        for k in range(products.shape[1]):
            share = inverse[:, k] * (moves[:, k] * q).sum(-1)
            q -= share[:, None] * changes[:, k]
            shares.append(share)
        newest = changes[:, 0].square().sum(-1)
        scale = torch.where(there[:, 0], products[:, 0] / newest.clamp(min=1e-30), 1.0)
        q *= scale[:, None]
        for k in reversed(range(products.shape[1])):
            back = inverse[:, k] * (changes[:, k] * q).sum(-1)
            q += (shares[k] - back)[:, None] * moves[:, k]
        uphill = (q * gradient).sum(-1) <= 0
        q[uphill] = gradient[uphill]
        self.direction[rows] = -q
        # Without a history the gradient's length says nothing of how far to go; u's own length does.
        plain = ~there[:, 0] | uphill
        length = 0.1 * self.u[rows].norm(dim=-1) / gradient.norm(dim=-1).clamp(min=1e-30)
        self.step[rows] = torch.where(plain, length, torch.ones_like(length))
        self.low[rows] = self.high[rows] = 0
        self.tries[rows] = 0
