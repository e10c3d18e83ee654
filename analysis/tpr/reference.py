"""The published recipe, kept as the yardstick that the fast one is measured against.

AdamW at a constant rate of 1e-2, betas (0.9, 0.99), decoupled weight decay 1e-2, batches of 128 games of 59 positions,
a look at 512 games every hundred batches, the best of these kept, an end after ten looks without a gain
(arXiv 2605.09967's code). Tensors start as normal numbers over the square root of their inner size.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from analysis.tpr.fitting import cross_entropy, residual_of

if TYPE_CHECKING:
    from analysis.tpr.probes import Check, Probe, Say

RATE, DECAY, BETAS = 1e-2, 1e-2, (0.9, 0.99)
BATCH = 128 * 59
VALIDATION = 512 * 59
EVERY, PATIENCE = 100, 10


def start(probe: Probe, d: int, dtype: torch.dtype) -> dict[str, Tensor]:
    """Normal tensors divided by the square root of d for the map, of the last size for the rest."""
    generator = torch.Generator().manual_seed(probe.random_state)
    parts = {}
    for name, shape in probe.shapes(d).items():
        inner = d if name in ("binding_map", "inner", "weights") else shape[-1]
        parts[name] = torch.randn(shape, generator=generator, dtype=dtype) / inner**0.5
    return parts


def fit_reference(
    probe: Probe,
    h: Tensor,
    y: Tensor,
    validation: tuple[Tensor, Tensor] | None,
    progress: Say,
    check: Check,
    look: Callable[[float, dict[str, Tensor]], bool] = lambda seconds, parts: False,
) -> dict[str, Tensor]:
    """Learned tensors by that recipe; epochs go on until the early stop.

    ``look`` gets (seconds spent training, tensors) at each look and may end the run; looking costs no time of it.
    """
    if validation is None:
        held = min(VALIDATION, len(h) // 5)
        validation = (h[len(h) - held :], y[len(h) - held :])
        h, y = h[: len(h) - held], y[: len(y) - held]
    vh, vy = torch.as_tensor(validation[0]).to(h.dtype), torch.as_tensor(validation[1]).long()
    generator = torch.Generator().manual_seed(probe.random_state)
    learned = {k: v.requires_grad_(True) for k, v in start(probe, h.shape[1], h.dtype).items()}
    optimiser = torch.optim.AdamW(list(learned.values()), lr=RATE, betas=BETAS, weight_decay=DECAY)
    best, kept, without, batches, spent = float("inf"), {}, 0, 0, 0.0
    size = min(BATCH, len(h))
    while True:
        order = torch.randperm(len(h), generator=generator)
        for at in range(0, len(h) - size + 1, size):
            check()
            if batches % EVERY == 0:
                with torch.no_grad():
                    loss = float(
                        sum(
                            cross_entropy(probe.forward(learned, vh[i : i + size]), vy[i : i + size])
                            * len(vh[i : i + size])
                            for i in range(0, len(vh), size)
                        )
                    ) / len(vh)
                progress(f"batch {batches}: validation {loss:.3f} nats", None)
                without = 0 if loss < best else without + 1
                if loss < best:
                    best, kept = loss, {k: v.detach().clone() for k, v in learned.items()}
                if without >= PATIENCE or look(spent, kept):
                    return kept
            began = time.perf_counter()
            rows = order[at : at + size]
            logits = probe.forward(learned, h[rows])
            optimiser.zero_grad()
            # The published loss is three times the summed cross-entropy.
            logits.backward(3 * residual_of(logits.detach(), y[rows]) / size)  # type: ignore[no-untyped-call]
            optimiser.step()
            batches += 1
            spent += time.perf_counter() - began
