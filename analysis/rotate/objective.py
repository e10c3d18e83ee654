"""What ROTATE minimises, with its gradient in closed form (arXiv 2604.06005, official method page).

For a weight vector w, a reflection r(u) = w - 2 u (u.w) / |u|^2 of it, a vocabulary projection U and token weights m:

    L(u) = -lk * S(K(m * rU)) + lf * (1 - cos(w, r)),    S(x) = sign(x) ln(1 + |x|),   K: excess kurtosis

The vocabulary is gone through in tiles that stay in the processor's cache, for all neurons of a batch at once. The mean
is known beforehand (a product of r with the weighted mean row of U), so one passage gives all moments. The gradient
needs them: a large batch goes through the tiles a second time, which is fewer operations; a small one, whose time is
that of reading U, sums the gradient's two parts in the first passage.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

DEVIATION_FLOOR = 1e-8
"""The least standard deviation that is divided by, as in the official code."""
_TILE = 4096
_SMALL, _SMALL_TILE = 8, 1024
"""Batches of up to so many rows read U once, in tiles of so many tokens."""


@dataclass(frozen=True)
class Value:
    """The objective at a batch of points: ``loss``, ``kurtosis`` (with token weights) and ``cosine``, each (B,);
    ``gradient`` (B, d) with respect to u."""

    loss: Tensor
    kurtosis: Tensor
    cosine: Tensor
    gradient: Tensor

    def __getitem__(self, rows: Tensor) -> Value:
        return Value(self.loss[rows], self.kurtosis[rows], self.cosine[rows], self.gradient[rows])


def reflect(w: Tensor, u: Tensor) -> Tensor:
    """Householder reflections of w (…, d) along u (…, d): vectors of the same length. r(u) = r(-u) = r(a u)."""
    return w - 2 * u * ((u * w).sum(-1, keepdim=True) / (u * u).sum(-1, keepdim=True))


def signed_log(x: Tensor) -> Tensor:
    """sign(x) ln(1 + |x|)."""
    return x.sign() * x.abs().log1p()


def kurtosis(y: Tensor) -> Tensor:
    """Excess kurtosis over the last axis, from population moments; any shape (…, V) -> (…)."""
    centred, deviation = _centred(y)
    return (centred / deviation).pow(4).mean(-1) - 3


def skewness(y: Tensor) -> Tensor:
    """Skewness over the last axis, from population moments; any shape (…, V) -> (…)."""
    centred, deviation = _centred(y)
    return (centred / deviation).pow(3).mean(-1)


def z_scores(y: Tensor) -> Tensor:
    """Entries less their mean, in population standard deviations, over the last axis; (…, V)."""
    centred, deviation = _centred(y)
    return centred / deviation


def wide_dtype(x: Tensor) -> torch.dtype:
    """What sums over a vocabulary are kept in: double precision, where the device has it."""
    return torch.float32 if x.device.type == "mps" else torch.float64


def _centred(y: Tensor) -> tuple[Tensor, Tensor]:
    centred = y - y.mean(-1, keepdim=True)
    return centred, centred.square().mean(-1, keepdim=True).sqrt().clamp(min=DEVIATION_FLOOR)


class Objective:
    """The loss of one round for N neurons at once.

    ``projection`` U (V, d): one row per token. ``token_weights`` m: (V,) for all neurons, or (N, V) one row for each;
    None is all ones. Dtype and device are those of ``projection``. Points come in batches of any order, each row with
    the number of its neuron.
    """

    def __init__(
        self,
        w: Tensor,
        projection: Tensor,
        token_weights: Tensor | None = None,
        kurtosis_weight: float = 0.3,
        cosine_weight: float = 1.0,
    ) -> None:
        self.w, self.projection = w, projection
        self.kurtosis_weight, self.cosine_weight = kurtosis_weight, cosine_weight
        weights = projection.new_ones(len(projection)) if token_weights is None else token_weights.to(projection)
        self.weights = weights[None] if weights.ndim == 1 else weights
        self._mean_row = self.weights @ projection / len(projection)  # (1 or N, d)
        self._tile = _TILE if projection.device.type == "cpu" else len(projection)

    @torch.no_grad()
    def value_and_gradient(self, u: Tensor, neuron: Tensor) -> Value:
        """The loss at u (B, d) of the neurons with numbers ``neuron`` (B,)."""
        w = self.w[neuron]
        dot = (u * w).sum(-1, keepdim=True)
        square = (u * u).sum(-1, keepdim=True)
        r = w - 2 * u * (dot / square)
        length2 = (w * w).sum(-1).clamp(min=1e-30)
        kurt, gr = self._kurtosis_part(r, neuron)
        cosine = (r * w).sum(-1) / length2
        loss = -self.kurtosis_weight * signed_log(kurt) + self.cosine_weight * (1 - cosine)
        gr = gr - (self.cosine_weight / length2)[:, None] * w
        along = (u * gr).sum(-1, keepdim=True)
        gradient = -2 * (dot * gr + along * w) / square + 4 * dot * along * u / square.square()
        return Value(loss, kurt, cosine, gradient)

    def _kurtosis_part(self, r: Tensor, neuron: Tensor) -> tuple[Tensor, Tensor]:
        """Kurtosis (B,) of the weighted projections, and the gradient (B, d) of its part of the loss in r."""
        own, once = len(self.weights) > 1, len(r) <= _SMALL and r.device.type == "cpu"
        tokens = len(self.projection)
        mean_row = self._mean_row[neuron] if own else self._mean_row
        mean = (r * mean_row).sum(-1, keepdim=True)
        centred = r.new_empty(0 if once else len(r), tokens)
        cubes, lines = torch.zeros_like(r), torch.zeros_like(r)
        wide = wide_dtype(r)
        second, third, fourth = (torch.zeros(len(r), dtype=wide, device=r.device) for _ in range(3))
        for part in self._tiles(tokens, once):
            table, weights = self.projection[part], self._weights_of(neuron, part, own)
            c = r @ table.T
            c *= weights
            c -= mean
            c2 = c * c
            second += c2.sum(-1)
            fourth += (c2 * c2).sum(-1)
            c3 = c2 * c
            third += c3.sum(-1)
            if once:
                cubes.addmm_(c3 * weights, table)
                lines.addmm_(c * weights, table)
            else:
                centred[:, part] = c
        # The floor is on the deviation, as in the reference, so a vector that projects to nothing has no kurtosis.
        s = (second / tokens).clamp(min=DEVIATION_FLOOR**2)
        q, t = fourth / tokens, third / tokens
        kurt = (q / s.square() - 3).to(r.dtype)
        # The chain rule's factors are small numbers times large ones; they meet in double precision.
        outer = -self.kurtosis_weight / (1 + kurt.to(wide).abs()) * 4 / tokens / s.square()
        factor, line, shift = (v.to(r.dtype)[:, None] for v in (outer, q / s, t))
        if once:
            return kurt, (cubes - line * lines - shift * tokens * mean_row) * factor
        for part in self._tiles(tokens, once):
            c = centred[:, part]
            g = c * c
            g -= line
            g *= c
            g -= shift
            g *= self._weights_of(neuron, part, own)
            cubes.addmm_(g, self.projection[part])
        return kurt, cubes * factor

    def _weights_of(self, neuron: Tensor, part: slice, own: bool) -> Tensor:
        return self.weights[:, part][neuron] if own else self.weights[:, part]

    def _tiles(self, tokens: int, once: bool) -> list[slice]:
        size = _SMALL_TILE if once else self._tile
        return [slice(first, min(first + size, tokens)) for first in range(0, tokens, size)]
