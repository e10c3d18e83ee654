"""The fast recipe: whiten once, start from a linear probe, and let the rate fall to nothing.

The published recipe takes small steps at a constant rate in coordinates of very different lengths, and stops when it
no longer gains. Here the activations are whitened by their own second moments (one Cholesky factor), which makes all
directions equally easy; a short linear fit, cut down to the shape of the probe, is the start; and the rate falls along
a cosine, so that the noise of the batches is gone at the end. The whitening is then multiplied into the probe, which
again reads plain activations. The gradient of the loss in the logits, softmax minus truth, is written down rather than
derived, which saves most of the time at three classes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from analysis.tpr.probes import Check, Probe, Say

BATCH = 2048
LINEAR_STEPS, STEPS = 150, 450
LINEAR_RATE, RATE = 0.05, 0.02
RIDGE = 1e-4
"""Added to the second moments, as a share of their mean, so that dead coordinates do not blow up."""


def fit_fast(probe: Probe, h: Tensor, y: Tensor, progress: Say, check: Check) -> dict[str, Tensor]:
    """Learned tensors of a probe for activations (n, d) and classes (n, 64)."""
    from analysis.tpr.probes import LinearProbe

    generator = torch.Generator().manual_seed(probe.random_state)
    progress("whitening", 0.0)
    factor = whitening(h)
    white = h @ factor
    linear = LinearProbe()
    is_linear = isinstance(probe, LinearProbe)
    steps = LINEAR_STEPS + STEPS if is_linear else LINEAR_STEPS
    total = LINEAR_STEPS + STEPS
    weights = {"weights": torch.zeros(linear.shapes(h.shape[1])["weights"], dtype=h.dtype)}
    weights = descend(linear, weights, white, y, steps, LINEAR_RATE, generator, progress, check, 0, total)
    if is_linear:
        return {"weights": weights["weights"] @ factor.T}
    from analysis.tpr.truncate import start_of

    parts = start_of(probe, weights["weights"], generator)
    parts = descend(probe, parts, white, y, STEPS, RATE, generator, progress, check, LINEAR_STEPS, total)
    if "inner" in parts:
        return {**parts, "inner": parts["inner"] @ factor.T}
    m = parts["binding_map"]
    return {**parts, "binding_map": (factor @ m.reshape(len(m), -1)).reshape(m.shape)}


def whitening(h: Tensor) -> Tensor:
    """(d, d) matrix T with (h T)^T (h T) / n close to the identity, from the rows of h, their mean left in."""
    moments = (h.T @ h).double() / len(h)
    moments += RIDGE * moments.diagonal().mean() * torch.eye(len(moments), dtype=torch.float64)
    lower = torch.linalg.cholesky(moments)
    eye = torch.eye(len(moments), dtype=torch.float64)
    found: Tensor = torch.linalg.solve_triangular(lower, eye, upper=False).T.to(h.dtype)
    return found


def descend(
    probe: Probe,
    parts: dict[str, Tensor],
    h: Tensor,
    y: Tensor,
    steps: int,
    rate: float,
    generator: torch.Generator,
    progress: Say,
    check: Check,
    done: int,
    total: int,
) -> dict[str, Tensor]:
    """Adam on mini-batches with a cosine to zero; the loss is the summed cross-entropy of the 64 squares."""
    learned = {name: value.clone().requires_grad_(True) for name, value in parts.items()}
    optimiser = torch.optim.Adam(list(learned.values()), lr=rate, betas=(0.9, 0.99))
    n = len(h)
    order, at = torch.randperm(n, generator=generator), 0
    size = min(BATCH, n)
    for step in range(steps):
        check()
        if at + size > n:
            order, at = torch.randperm(n, generator=generator), 0
        rows = order[at : at + size]
        at += size
        warm = min(1.0, (step + 1) / 20)
        for group in optimiser.param_groups:
            group["lr"] = rate * warm * 0.5 * (1 + math.cos(math.pi * step / steps))
        logits = probe.forward(learned, h[rows])
        optimiser.zero_grad()
        logits.backward(residual_of(logits.detach(), y[rows]) / size)  # type: ignore[no-untyped-call]
        optimiser.step()
        if step % 25 == 0:
            progress(f"step {done + step} of {total}", (done + step) / total)
    return {name: value.detach() for name, value in learned.items()}


def residual_of(logits: Tensor, y: Tensor) -> Tensor:
    """Gradient of the summed cross-entropy in logits (n, 3, 64): softmax minus the truth y (n, 64)."""
    shifted = (logits - logits.amax(1, keepdim=True)).exp_()
    shifted /= shifted.sum(1, keepdim=True)
    return shifted.scatter_add_(1, y[:, None, :], torch.full_like(shifted[:, :1], -1.0))


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Mean over rows of the cross-entropy summed over the squares, from logits (n, 3, 64) and classes (n, 64)."""
    chosen = logits.gather(1, y[:, None, :])[:, 0]
    return (logits.logsumexp(1) - chosen).sum(1).mean()
