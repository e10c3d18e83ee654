"""What is taken out of a weight vector: a channel, or a control that takes out as much.

Every control is a direction with the same cosine to the vector as the channel has, so that they differ only in where
the rest of them points.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from analysis.errors import UserError
from analysis.rotate.objective import z_scores
from analysis.rotate.vectors import NeuronVectors, Weight

ARMS = ("channel", "random direction", "logit lens", "svd")
RANDOM, SINGULAR = 4, 8
"""Random directions that are averaged; first singular directions that are taken together."""


@dataclass(frozen=True)
class Case:
    """A channel of one weight vector: ``channel`` (d,), its ``tokens`` on the side of ``pole`` (1 or -1), and
    ``others``: tokens that are not its own (:func:`other_tokens`, or those of another channel)."""

    layer: int
    vector: str
    neuron: int
    channel: Tensor
    tokens: tuple[int, ...]
    others: tuple[int, ...]
    pole: int = 1

    @property
    def writes(self) -> bool:
        """Whether the vector is what the neuron writes, and not what it reads."""
        return self.vector == "down"


def without(w: Tensor, direction: Tensor) -> Tensor:
    """w (d,) less its component along a direction (d,) of any length."""
    return w - direction * ((w @ direction) / (direction @ direction))


def equally_near(w: Tensor, toward: Tensor, cosine: float) -> Tensor:
    """The unit vector at that cosine with w (d,) whose other part points where that of ``toward`` (d,) does."""
    unit = normalize(w, dim=0)
    aside = normalize(without(toward, unit), dim=0)
    found: Tensor = cosine * unit + max(0.0, 1 - cosine**2) ** 0.5 * aside
    return found


def other_tokens(
    w: Tensor, U: Tensor, channel: Tensor, pole: int, *, usable: Tensor | None = None, mask_z: float = 4.0
) -> tuple[int, ...]:
    """Ids of the 20 tokens that w (d,) itself favours most on the side of ``pole`` and that are no tokens of the
    channel: below half of ``mask_z`` standard deviations in it; fewer where the vocabulary holds fewer such tokens. U
    (V, d); ``usable`` (V,) booleans. Raises UserError(field="channel") if there is none."""
    own = pole * z_scores(w @ U.T)
    own[pole * z_scores(channel @ U.T) > mask_z / 2] = -torch.inf
    if usable is not None:
        own[~usable.to(own.device)] = -torch.inf
    count = min(20, int(own.isfinite().sum()))
    if not count:
        raise UserError(
            "Every token that can be looked at is a token of this channel, so there are none to compare them with. "
            "Choose another channel.",
            "channel",
        )
    return tuple(own.topk(count).indices.tolist())


@contextmanager
def replaced(weight: Weight, neuron: int, value: Tensor) -> Iterator[None]:
    """Put another vector (d,) in a neuron's place inside the context; at its end the old one is back, bit for bit."""
    row = weight.matrix()[neuron]
    kept = row.clone()
    with torch.no_grad():
        try:
            row.copy_(value.to(row))
            yield
        finally:
            row.copy_(kept)


def controls(vectors: NeuronVectors, case: Case, seed: int = 0) -> dict[str, list[Tensor]]:
    """For each arm the directions (d,), averaged over, that are taken out: the channel; random ones; the mean of the
    tokens that the neuron's own projection has on top; the part of w in the layer's first singular directions."""
    w, U = vectors.read(case.layer, case.vector, case.neuron), vectors.projection(case.layer)
    channel = case.channel.to(w)
    cosine = float(normalize(w, dim=0) @ normalize(channel, dim=0))
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(RANDOM, len(w), generator=generator).to(w)
    top = (case.pole * z_scores(w @ U.T)).topk(min(20, len(U))).indices
    lens = case.pole * (U[top].mean(0) - U.mean(0))
    span = _span(vectors.vectors(case.layer, case.vector), generator)
    return {
        "channel": [channel],
        "random direction": [equally_near(w, v, cosine) for v in drawn],
        "logit lens": [equally_near(w, lens, cosine)],
        "svd": [equally_near(w, span @ (span.T @ w), cosine)],
    }


def _span(rows: Tensor, generator: torch.Generator) -> Tensor:
    """An orthonormal basis (d, 8) of the first right-singular directions of rows (N, d), by subspace iteration."""
    basis: Tensor = torch.randn(rows.shape[1], 3 * SINGULAR, generator=generator).to(rows)
    for _ in range(10):
        basis = torch.linalg.qr(rows.T @ (rows @ basis)).Q
    right: Tensor = torch.linalg.svd(rows @ basis, full_matrices=False).Vh[:SINGULAR]
    return basis @ right.T
