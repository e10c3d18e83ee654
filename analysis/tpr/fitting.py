"""The fast recipe: whiten, start from least squares, let the rate fall, and see the data through 128 directions only.

The published recipe takes small steps at a constant rate in coordinates of very different lengths. Here three things
differ. The activations' second moments (one Cholesky factor, from a sample) make all directions equally easy; the
factor is applied to the few directions and not to the many activations. A linear regression on the classes, which in
those coordinates is one product, cut down to the shape of the probe, is the start, and the rate falls along a cosine,
so that the noise of the batches is gone at the end. And whatever the probe, its logits are dot products with
directions, of which the softmax sees only the differences to the first class: a step costs two matrix products with 128
columns, and the chain rule from the directions to the probe's tensors costs nothing in comparison.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from analysis.progress import Check, Progress
from analysis.tpr.parametrization import CLASSES, SQUARES, Parametrization, Parts
from analysis.tpr.start import start_of

BATCH = 1024
STEPS, PASSES = 300, 3
"""Batches, and passes over the data, that a fit takes: whichever is more."""
LINEAR_SHARE = 2 / 3
"""How much of that a linear probe takes, which has no shape to settle into."""
RATE, WARM = 0.03, 10
SAMPLE = 32_768
"""Rows from which the whitening and the start are learned; they need not be exact."""
SCALE = 6.0
"""From scores of the regression to logits. Anything from 3 to 20 ends at the same accuracy."""
FLOOR = -60.0
RIDGE = 1e-6
"""Added to the second moments, as a share of their mean, so that dead coordinates do not blow up."""


@dataclass
class Batches:
    """Activations (n, d), boards (n, 64) and the coordinates in which they are learned from.

    A direction w in whitened coordinates is the direction ``factor @ w`` of plain ones, applied to h less ``mean``
    (zero without a bias).
    """

    h: Tensor
    y: Tensor
    factor: Tensor
    mean: Tensor
    generator: torch.Generator
    order: Tensor
    at: int = 0

    def draw(self) -> tuple[Tensor, Tensor]:
        """The next rows (n, d) and their boards as (64, n), in an order that is drawn anew for each pass."""
        size = min(BATCH, len(self.h))
        if self.at + size > len(self.h):
            self.order, self.at = torch.randperm(len(self.h), generator=self.generator), 0
        rows = self.order[self.at : self.at + size]
        self.at += size
        return self.h.index_select(0, rows), self.y.index_select(0, rows).T.contiguous()


def fit_fast(probe: Parametrization, h: Tensor, y: Tensor, progress: Progress, check: Check) -> Parts:
    """Learned tensors of a probe for activations (n, d) and classes (n, 64) uint8, in the type of the activations."""
    progress(0.0, "whitening the activations")
    check()
    generator = torch.Generator().manual_seed(probe.random_state)
    order = torch.randperm(len(h), generator=generator)
    some, boards = h.index_select(0, order[:SAMPLE]), y.index_select(0, order[:SAMPLE])
    mean = some.mean(0) if probe.bias else torch.zeros_like(some[0])
    data = Batches(h, y, whitening(some, mean), mean, generator, order)
    weights, bias = least_squares(some, boards, data)
    parts = start_of(probe, weights.transpose(0, 1), generator) | ({"bias": bias} if probe.bias else {})
    parts = descend(probe, parts, data, steps_of(probe, len(h)), progress, check)
    if probe.kind == "linear":
        # What the three classes share is invisible to the loss, so it is noise of the steps: none is the least of it.
        parts = {name: value - value.mean(0) for name, value in parts.items()}
    return unwhiten(probe, parts, data)


def steps_of(probe: Parametrization, n: int) -> int:
    """Batches for n rows."""
    a_pass = n // min(BATCH, n)
    steps = max(STEPS, PASSES * a_pass)
    if probe.kind == "linear":
        steps = round(LINEAR_SHARE * steps)
    return steps if probe.max_epochs is None else min(steps, probe.max_epochs * a_pass)


def least_squares(h: Tensor, y: Tensor, data: Batches) -> tuple[Tensor, Tensor]:
    """Whitened directions (3, 64, d) and offsets (3, 64) whose scores regress on the classes, at the size of logits.

    In whitened coordinates the regression is one product. The loss does not care much for the size: it is soon found.
    """
    hot = torch.cat([y == c for c in range(CLASSES)], 1).to(h.dtype)
    share = hot.mean(0) if float(data.mean.abs().sum()) else torch.full_like(hot[0], 1 / CLASSES)
    weights = (hot - share).T @ (h - data.mean) @ data.factor / len(h)
    shape = (CLASSES, SQUARES)
    return SCALE * weights.view(*shape, -1), SCALE * (share - 1 / CLASSES).view(shape)


def whitening(h: Tensor, mean: Tensor) -> Tensor:
    """(d, d) matrix T for which (h - mean) T has second moments close to the identity."""
    (n, d), centred = h.shape, h - mean
    moments = (centred.T @ centred).double() / n
    scale = float(moments.diagonal().mean()) or 1.0
    eye = torch.eye(d, dtype=torch.float64)
    # In single precision a product of rows is off by about 1e-7 of the largest moment: a larger ridge is the way out.
    for ridge in (RIDGE, 1e-4, 1e-2):
        lower, failed = torch.linalg.cholesky_ex(moments + ridge * scale * eye)
        if not int(failed):
            break
    factor: Tensor = torch.linalg.solve_triangular(lower, eye, upper=False).T.to(h.dtype)
    return factor


def descend(probe: Parametrization, parts: Parts, data: Batches, steps: int, progress: Progress, check: Check) -> Parts:
    """Adam on the summed cross-entropy, its rate warmed up and then let down to zero along a cosine."""
    learned = {name: value.clone().requires_grad_(True) for name, value in parts.items()}
    optimiser = torch.optim.AdamW(
        list(learned.values()), lr=RATE, betas=(0.9, 0.99), weight_decay=probe.weight_decay or 0.0
    )
    for step in range(steps):
        check()
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / WARM) * 0.5 * (1 + math.cos(math.pi * step / steps))
        optimiser.zero_grad()
        _gradients(probe, learned, data)
        optimiser.step()
        if step % 25 == 0:
            progress(step / steps, f"step {step} of {steps}")
    return {name: value.detach() for name, value in learned.items()}


def _gradients(probe: Parametrization, learned: Parts, data: Batches) -> None:
    """Fill the gradients of the tensors from one batch, by way of the gradient in 128 differences of directions."""
    x, y = data.draw()
    contrasts = differences(probe.effective(learned))
    plain = contrasts.detach() @ data.factor.T
    logits = plain @ x.T
    if not probe.bias:
        slope = residual_(logits, y) @ x
        contrasts.backward(slope @ data.factor / len(x))  # type: ignore[no-untyped-call]
        return
    offsets = differences(learned["bias"][..., None])[:, 0]
    logits += (offsets.detach() - plain @ data.mean)[:, None]
    slope = residual_(logits, y) @ x
    sums = logits.sum(1)
    slope -= torch.outer(sums, data.mean)
    torch.autograd.backward([contrasts, offsets], [slope @ data.factor / len(x), sums / len(x)])


def differences(by_class: Tensor) -> Tensor:
    """(3, 64, k) of the classes as (128, k): just moved less empty, then to move less empty."""
    return (by_class[1:] - by_class[:1]).flatten(0, 1)


def residual_(logits: Tensor, y: Tensor) -> Tensor:
    """In place: from logits (128, n) relative to class 0 to the gradient of the summed cross-entropy in them.

    That is the softmax of (0, a, b) less the truth, for the classes 1 and 2; ``y`` (64, n) holds classes.
    """
    pair = logits.view(2, SQUARES, -1)
    top = torch.maximum(pair[0], pair[1]).clamp_(min=0)
    # Below the floor a share is zero to any precision, but the exponential would be a number that is slow to work with.
    pair.sub_(top).clamp_(min=FLOOR).exp_()
    total = top.neg_().clamp_(min=FLOOR).exp_().add_(pair[0]).add_(pair[1])
    pair.mul_(total.reciprocal_()).sub_((y == torch.tensor([[[1]], [[2]]])).to(pair.dtype))
    return logits


def unwhiten(probe: Parametrization, parts: Parts, data: Batches) -> Parts:
    """The tensors for plain activations: the one that reads them absorbs the whitening, the bias the mean."""
    name = probe.tensors[0]
    value = parts[name].movedim(probe.axis, 0)
    moved = (data.factor @ value.flatten(1)).view(value.shape).movedim(0, probe.axis).contiguous()
    parts = {**parts, name: moved}
    if probe.bias:
        parts["bias"] = parts["bias"] - probe.effective(parts) @ data.mean
    return parts
