"""The fast recipe: whiten, start from a linear probe, let the rate fall, and see the data through 128 directions only.

The published recipe takes small steps at a constant rate in coordinates of very different lengths. Here three things
differ. The activations' second moments (one Cholesky factor) make all directions equally easy; the factor is applied
to the few directions and not to the many activations. A short linear fit, cut down to the shape of the probe, is the
start, and the rate falls along a cosine, so that the noise of the batches is gone at the end. And whatever the probe,
its logits are dot products with directions, of which the softmax sees only the differences to the first class: a step
costs two matrix products with 128 columns, and the chain rule from the directions to the probe's tensors costs nothing
in comparison.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from analysis.tpr.base import SQUARES, Check, Parts, Probe, Say
from analysis.tpr.probes import LinearProbe
from analysis.tpr.start import start_of

BATCH = 1024
START_STEPS, STEPS = 150, 450
START_RATE, RATE = 0.1, 0.05
WARM = 10
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

    @classmethod
    def of(cls, h: Tensor, y: Tensor, centred: bool, seed: int) -> Batches:
        """Whitening and a first order of the rows."""
        generator = torch.Generator().manual_seed(seed)
        mean = h.mean(0) if centred else torch.zeros_like(h[0])
        return cls(h, y, whitening(h, mean), mean, generator, torch.randperm(len(h), generator=generator))

    def draw(self) -> tuple[Tensor, Tensor]:
        """The next rows, in an order that is drawn anew for each pass."""
        size = min(BATCH, len(self.h))
        if self.at + size > len(self.h):
            self.order, self.at = torch.randperm(len(self.h), generator=self.generator), 0
        rows = self.order[self.at : self.at + size]
        self.at += size
        return self.h[rows], self.y[rows]


def fit_fast(probe: Probe, h: Tensor, y: Tensor, say: Say, check: Check) -> Parts:
    """Learned tensors of a probe for activations (n, d) and classes (n, 64) uint8, in the type of the activations."""
    say("whitening the activations", 0.0)
    check()
    data = Batches.of(h, y, probe.bias, probe.random_state)
    total = START_STEPS + STEPS
    if probe.max_epochs is not None:
        total = min(total, max(2, probe.max_epochs * len(h) // min(BATCH, len(h))))
    linear = LinearProbe(bias=probe.bias, weight_decay=probe.weight_decay)
    parts = {name: h.new_zeros(shape) for name, shape in linear.shapes(h.shape[1]).items()}
    if isinstance(probe, LinearProbe):
        parts = descend(linear, parts, data, range(total), total, START_RATE, say, check)
        # What the three classes share is invisible to the loss, so it is noise of the steps: none is the least of it.
        parts = {name: value - value.mean(0) for name, value in parts.items()}
    else:
        first = total * START_STEPS // (START_STEPS + STEPS)
        found = descend(linear, parts, data, range(first), total, START_RATE, say, check)
        parts = {**start_of(probe, found["weights"].transpose(0, 1), data.generator)}
        parts |= {"bias": found["bias"]} if probe.bias else {}
        parts = descend(probe, parts, data, range(first, total), total, RATE, say, check)
    return unwhitened(probe, parts, data)


def whitening(h: Tensor, mean: Tensor) -> Tensor:
    """(d, d) matrix T for which (h - mean) T has second moments close to the identity."""
    n, d = h.shape
    moments = (h.T @ h).double() / n - torch.outer(mean.double(), mean.double())
    scale = float(moments.diagonal().mean()) or 1.0
    eye = torch.eye(d, dtype=torch.float64)
    # In single precision a product of rows is off by about 1e-7 of the largest moment: a larger ridge is the way out.
    for ridge in (RIDGE, 1e-4, 1e-2):
        lower, failed = torch.linalg.cholesky_ex(moments + ridge * scale * eye)
        if not int(failed):
            break
    found: Tensor = torch.linalg.solve_triangular(lower, eye, upper=False).T.to(h.dtype)
    return found


def descend(
    probe: Probe, parts: Parts, data: Batches, steps: range, total: int, rate: float, say: Say, check: Check
) -> Parts:
    """Adam on the summed cross-entropy, its rate warmed up and then let down to zero along a cosine over ``steps``."""
    learned = {name: value.clone().requires_grad_(True) for name, value in parts.items()}
    optimiser = torch.optim.AdamW(
        list(learned.values()), lr=rate, betas=(0.9, 0.99), weight_decay=probe.weight_decay or 0.0
    )
    for i, step in enumerate(steps):
        check()
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1.0, (i + 1) / WARM) * 0.5 * (1 + math.cos(math.pi * i / len(steps)))
        optimiser.zero_grad()
        _gradients(probe, learned, data)
        optimiser.step()
        if step % 25 == 0:
            say(f"step {step} of {total}", step / total)
    return {name: value.detach() for name, value in learned.items()}


def _gradients(probe: Probe, learned: Parts, data: Batches) -> None:
    """Fill the gradients of the tensors from one batch, by way of the gradient in 128 differences of directions."""
    x, y = data.draw()
    contrasts = differences(probe.effective(learned))
    plain = contrasts.detach() @ data.factor.T
    found = x @ plain.T
    offsets = differences(learned["bias"][..., None])[:, 0] if probe.bias else None
    if offsets is not None:
        found += offsets.detach() - plain @ data.mean
    residual_(found, y)
    slope = found.T @ x
    if offsets is None:
        contrasts.backward(slope @ data.factor / len(x))  # type: ignore[no-untyped-call]
        return
    sums = found.sum(0)
    slope -= torch.outer(sums, data.mean)
    torch.autograd.backward([contrasts, offsets], [slope @ data.factor / len(x), sums / len(x)])


def differences(by_class: Tensor) -> Tensor:
    """(3, 64, k) of the classes as (128, k): just moved less empty, then to move less empty."""
    return (by_class[1:] - by_class[:1]).flatten(0, 1)


def residual_(logits: Tensor, y: Tensor) -> Tensor:
    """In place: from logits (n, 128) relative to class 0 to the gradient of the summed cross-entropy in them.

    That is the softmax of (0, a, b) less the truth, for the classes 1 and 2; ``y`` (n, 64) holds classes.
    """
    a, b = logits[:, :SQUARES], logits[:, SQUARES:]
    top = torch.maximum(a, b).clamp_(min=0)
    a -= top
    b -= top
    logits.exp_()
    share = top.neg_().exp_().add_(a).add_(b).reciprocal_()
    a.mul_(share).sub_((y == 1).to(a.dtype))
    b.mul_(share).sub_((y == 2).to(b.dtype))
    return logits


def unwhitened(probe: Probe, parts: Parts, data: Batches) -> Parts:
    """The tensors for plain activations: the one that reads them absorbs the whitening, the bias the mean."""
    name = probe.tensors[0]
    value = parts[name].movedim(probe.axis, 0)
    moved = (data.factor @ value.flatten(1)).view(value.shape).movedim(0, probe.axis).contiguous()
    parts = {**parts, name: moved}
    if probe.bias:
        parts["bias"] = parts["bias"] - probe.effective(parts) @ data.mean
    return parts
