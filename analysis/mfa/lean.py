"""Log-densities of a mixture that is too large to be held twice.

:class:`analysis.mfa.density.Density` keeps whitened loadings beside the loadings, which is fastest while a mixture is
fitted. A released mixture has 8,000 components of ten factors in 2,304 dimensions: another 740 MB, and several times
that in float64 while they are made. Here the product is taken with the loadings themselves, some components at a time,
and what is whitened are its R numbers per point and component. The price is R^2 operations for each, one in 200.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from analysis.mfa.density import LEAST_ROWS, Density
from analysis.mfa.parameters import Parameters

LARGE = 1 << 26
"""Loadings from which a mixture is held once only."""
_AT_ONCE = 1 << 22  # numbers of the loadings in float64 at a time
_COMPONENTS = 512  # components in one product


class LeanDensity(Density):
    """The same questions and answers, from the parameters as they are. Loadings that lie axis by axis in memory, as
    (K, R, D), are used without a copy. Points are float32 or float64 on the CPU."""

    def __init__(self, parameters: Parameters, center: Tensor | None = None) -> None:
        p = parameters
        self.components, self.width, self.factors = p.components, p.width, p.factors
        self.center = (p.weights @ p.means if center is None else center).double()
        self.shared = p.noise.ndim == 1
        self._p = p
        self.factor = torch.empty(p.components, p.factors, p.factors, dtype=torch.float64)
        self._offset = torch.empty(p.components, p.factors, dtype=torch.float64)
        self._constant = torch.empty(p.components, dtype=torch.float64)
        step = max(1, _AT_ONCE // max(1, p.width * p.factors))
        for first in range(0, p.components, step):
            self._prepare(slice(first, first + step))
        identity = torch.eye(p.factors, dtype=torch.float64).expand(p.components, -1, -1)
        self._whitening = torch.linalg.solve_triangular(self.factor, identity, upper=False)  # L^-1
        self._precision = p.noise.double().reciprocal() if self.shared else torch.empty(0)
        self._held = {}

    def _prepare(self, part: slice) -> None:
        p = self._p
        loadings, means = p.loadings[part].double(), p.means[part].double() - self.center
        precision = (p.noise if self.shared else p.noise[part]).double().reciprocal()
        weighted = loadings * precision[..., None]
        inner = loadings.mT @ weighted
        inner = (inner + inner.mT) / 2 + torch.eye(self.factors).to(inner)
        factor = torch.linalg.cholesky(inner)
        self.factor[part] = factor
        local = (weighted.mT @ means[..., None]) if self.factors else means.new_zeros(len(means), 0, 1)
        self._offset[part] = torch.linalg.solve_triangular(factor, local, upper=False)[..., 0]
        log_det = 2 * factor.diagonal(dim1=1, dim2=2).log().sum(-1) - precision.log().sum(-1)
        square = (means.square() * precision).sum(1)
        self._constant[part] = p.weights[part].double().log() - 0.5 * (
            self.width * math.log(2 * math.pi) + log_det + square
        )

    def posterior(self, points: Tensor, component: Tensor) -> Tensor:
        """As :meth:`Density.posterior`."""
        self._check(points)
        found = points.new_zeros(points.shape[0], self.factors)
        for k in component.unique().tolist():
            rows = (component == k).nonzero()[:, 0]
            noise = self._p.noise if self.shared else self._p.noise[k]
            away = (points[rows] - self._p.means[k].to(points)) / noise.to(points)
            local = (away @ self._p.loadings[k].to(points)).mT
            found[rows] = torch.cholesky_solve(local, self.factor[k].to(points)).mT
        return found

    def _parts(self, points: Tensor) -> Iterator[tuple[slice, Tensor, Tensor, Tensor]]:
        self._check(points)
        _, _, precision, center, _, whitening, offset, constant = self._as(points)
        size = min(LEAST_ROWS, points.shape[0])
        blocks = points.new_empty(size, self.factors + 1, self.components)
        total = points.new_empty(size, self.components)
        half = math.sqrt(0.5)
        for start in range(0, points.shape[0], size):
            rows = slice(start, min(start + size, points.shape[0]))
            centered = points[rows] - center
            out, joint = blocks[: len(centered)], total[: len(centered)]
            for first in range(0, self.components, _COMPONENTS):
                part = slice(first, min(first + _COMPONENTS, self.components))
                means, axes = self._p.means[part].to(points) - center, self._p.loadings[part].mT.to(points)
                if self.shared:
                    scaled = centered * precision
                else:
                    own = self._p.noise[part].to(points).reciprocal()
                    means, axes, scaled = means * own, axes * own[:, None], centered
                local = (scaled @ axes.reshape(-1, self.width).T).view(len(centered), len(axes), self.factors)
                white = local.transpose(0, 1) @ whitening[part].mT - offset[part, None]  # (k, n, R)
                out[:, 0, part] = torch.addmm(constant[part], scaled, means.T)
                out[:, 1:, part] = half * white.permute(1, 2, 0)
                joint[:, part] = out[:, 0, part] + out[:, 1:, part].square().sum(1)
                if not self.shared:
                    joint[:, part] -= centered.square() @ own.T / 2
            yield rows, centered, out, joint

    def _as(self, points: Tensor) -> tuple[Tensor, ...]:
        """As :meth:`Density._as`, with nothing for the matrix and its bias, and L^-1, offsets and constants at the
        end."""
        key = (points.dtype, points.device)
        if key not in self._held:
            none = torch.empty(0)
            held = (none, none, self._precision, self.center, self.factor, self._whitening)
            self._held[key] = tuple(t.to(points) for t in (*held, self._offset, self._constant))
        return self._held[key]


def density_of(parameters: Parameters, center: Tensor | None = None) -> Density:
    """The densities of a mixture, held twice or once by its size; ``center`` as of :class:`Density`."""
    kind = LeanDensity if parameters.loadings.numel() > LARGE else Density
    return kind(parameters, center)
