"""The published recipe, kept as the yardstick that the fast one is measured against.

AdamW at a constant rate of 1e-2, betas (0.9, 0.99), decoupled weight decay 1e-2, batches of 128 games of 59 positions,
a look at 512 games every hundred batches, the best of these kept, an end after ten looks without a gain (the code that
arXiv 2605.09967 points to; dossier 2.5). It is run here on activations that are already there, which spares it most of
its published cost, and with the gradient of the loss written down, which is faster than deriving it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from analysis.progress import Check, Progress
from analysis.tpr.parametrization import Parametrization, Parts
from analysis.tpr.start import random_parts

RATE, DECAY, BETAS = 1e-2, 1e-2, (0.9, 0.99)
BATCH = 128 * 59
VALIDATION = 512 * 59
EVERY, PATIENCE = 100, 10
LOOKS = 20
Look = Callable[[float, Parts], bool]


def fit_reference(
    probe: Parametrization,
    h: Tensor,
    y: Tensor,
    validation: tuple[Tensor, Tensor] | None,
    progress: Progress,
    check: Check,
    look: Look | None = None,
) -> Parts:
    """Learned tensors by that recipe; passes go on until the early stop, or for ``probe.max_epochs``.

    ``validation``: activations (m, d) and boards (m, 64); without it the last 512 games, or a fifth of the rows if
    that is less, are held back. ``look`` gets (seconds spent training, the tensors as they are) every 20 batches and
    may end the run by returning True; looks and validations are not counted in the seconds.
    """
    if validation is None:
        first = len(h) - min(VALIDATION, len(h) // 5)
        validation, h, y = (h[first:], y[first:]), h[:first], y[:first]
    generator = torch.Generator().manual_seed(probe.random_state)
    start = random_parts(probe, h.shape[1], h.dtype, generator)
    learned = {name: value.requires_grad_(True) for name, value in start.items()}
    decay = DECAY if probe.weight_decay is None else probe.weight_decay
    optimiser = torch.optim.AdamW(list(learned.values()), lr=RATE, betas=BETAS, weight_decay=decay)
    lowest, best, without, batches, spent = float("inf"), _copy(learned), 0, 0, 0.0
    size = min(BATCH, len(h))
    epochs = 0
    while probe.max_epochs is None or epochs < probe.max_epochs:
        order = torch.randperm(len(h), generator=generator)
        for at in range(0, len(h) - size + 1, size):
            check()
            if batches % EVERY == 0:
                loss = _loss(probe, learned, *validation)
                progress(None, f"batch {batches}: {loss:.3f} nats on held-out boards")
                without = 0 if loss < lowest else without + 1
                if loss < lowest:
                    lowest, best = loss, _copy(learned)
                if without >= PATIENCE:
                    return best
            if look is not None and batches % LOOKS == 0 and look(spent, _copy(learned)):
                return best
            began = time.perf_counter()
            rows = order[at : at + size]
            logits = probe.forward(learned, h[rows])
            optimiser.zero_grad()
            # The published loss is three times the summed cross-entropy.
            logits.backward(3 * residual_of(logits.detach(), y[rows]) / size)  # type: ignore[no-untyped-call]
            optimiser.step()
            batches += 1
            spent += time.perf_counter() - began
        epochs += 1
    return _copy(learned) if _loss(probe, learned, *validation) < lowest else best


def residual_of(logits: Tensor, y: Tensor) -> Tensor:
    """Gradient of the summed cross-entropy in logits (n, 3, 64): softmax less the truth, y (n, 64) holding classes."""
    shares = logits.softmax(1)
    return shares.scatter_add_(1, y[:, None, :].long(), shares.new_full((), -1.0).expand(len(y), 1, y.shape[1]))


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Mean over rows of the cross-entropy summed over the squares, from logits (n, 3, 64) and classes (n, 64)."""
    true = logits.gather(1, y[:, None, :].long())[:, 0]
    return (logits.logsumexp(1) - true).sum(1).mean()


@torch.no_grad()
def _loss(probe: Parametrization, parts: Parts, h: Tensor, y: Tensor) -> float:
    pieces = range(0, len(h), BATCH)
    sums = [
        float(cross_entropy(probe.forward(parts, h[i : i + BATCH]), y[i : i + BATCH])) * len(h[i : i + BATCH])
        for i in pieces
    ]
    return sum(sums) / len(h)


def _copy(parts: Parts) -> Parts:
    return {name: value.detach().clone() for name, value in parts.items()}
