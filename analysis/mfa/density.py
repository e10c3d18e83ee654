"""Log-densities of a mixture of factor analyzers, at the price of one matrix product.

Every Gaussian N(mu, W W^T + Psi) needs the inverse and the determinant of a D x D matrix only through an R x R one
(Woodbury identity, determinant lemma). What is left per point is linear in it, so the centroids and the whitened
loadings of all components are stacked into one matrix of K (R + 1) columns: one product, then a sum of R squares.
The matrix is made in float64 and held in the dtype of the points; nobody else knows its layout.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from analysis.errors import UserError
from analysis.mfa.parameters import Parameters

# Elements of one product: small enough that the squares are summed while it is still in a cache of a few MB.
CPU_ELEMENTS, GPU_ELEMENTS = 2**22, 2**27
LEAST_ROWS, MOST_ROWS = 256, 4096


@dataclass(frozen=True)
class Leading:
    """The most responsible components of N points.

    ``component`` (N, m) int64, most responsible first; ``responsibility`` (N, m), renormalised to sum to 1 over the m;
    ``local`` (N, m, R), the posterior mean of the factors times the Cholesky factor L^T of M = I + W^T Psi^-1 W, see
    :attr:`Density.factor`; ``score`` (N,) log-densities of the whole mixture, in nats.
    """

    component: Tensor
    responsibility: Tensor
    local: Tensor
    score: Tensor


class Density:
    """The densities of one set of parameters; build anew when they change (2 K D R^2 operations).

    ``center`` (D,) is subtracted from points and centroids alike, which changes nothing but the rounding: any vector
    close to the data will do. Default: the mean of the mixture. Points may be float32 or float64, on any device;
    results have their dtype and device. Raises UserError if a point has another width.
    """

    def __init__(self, parameters: Parameters, center: Tensor | None = None) -> None:
        exact = parameters.to(torch.float64)
        self.components, self.width, self.factors = exact.components, exact.width, exact.factors
        self.center = exact.weights @ exact.means if center is None else center.to(exact.means)
        self.shared = exact.noise.ndim == 1
        precision = exact.noise.reciprocal()
        self._precision = precision  # (D,) or (K, D)
        means = exact.means - self.center
        weighted = exact.loadings * precision[..., None]  # Psi^-1 W, (K, D, R)
        inner = exact.loadings.mT @ weighted
        # In floating point W^T Psi^-1 W is only nearly symmetric, and a Cholesky factor reads one half of it.
        inner = (inner + inner.mT) / 2 + torch.eye(self.factors).to(inner)
        self.factor = torch.linalg.cholesky(inner)
        """L (K, R, R), lower, float64: M = I + W^T Psi^-1 W = L L^T, whose inverse is the factors' covariance."""
        whitened = torch.linalg.solve_triangular(self.factor, weighted.mT, upper=False)  # B Psi^-1/2, (K, R, D)
        offset = (whitened @ means[..., None])[..., 0]  # (K, R)
        log_det = exact.noise.log().sum(-1) + 2 * self.factor.diagonal(dim1=1, dim2=2).log().sum(-1)
        pull = means * precision  # (K, D)
        constant = exact.weights.log() - 0.5 * (self.width * math.log(2 * math.pi) + log_det + (means * pull).sum(1))
        # Squares of the last R blocks are added to the first one, so the half of the exponent goes into them.
        half = math.sqrt(0.5)
        self._matrix = torch.cat([pull[None], half * whitened.transpose(0, 1)]).flatten(0, 1).T.contiguous()
        self._bias = torch.cat([constant[None], -half * offset.T]).flatten()
        self._held: dict[tuple[torch.dtype, torch.device], tuple[Tensor, ...]] = {}

    def log_joint(self, points: Tensor) -> Tensor:
        """log pi_k + log N(x | mu_k, C_k), (N, K) in nats, for ``points`` (N, D)."""
        joint = points.new_empty(points.shape[0], self.components)
        for rows, centered, _, part in self._parts(points):
            joint[rows] = part if not self.shared else part - self._common(centered)[:, None]
        return joint

    def responsibilities(self, points: Tensor) -> Tensor:
        """p(k | x), (N, K), rows summing to 1; with shared noise the part common to all components is left out."""
        found = points.new_empty(points.shape[0], self.components)
        for rows, _, _, part in self._parts(points):
            torch.softmax(part, 1, out=found[rows])
        return found

    def score(self, points: Tensor) -> Tensor:
        """log p(x), (N,) in nats."""
        scores = points.new_empty(points.shape[0])
        for rows, centered, _, part in self._parts(points):
            scores[rows] = torch.logsumexp(part, 1) - self._common(centered)
        return scores

    def leading(self, points: Tensor, most: int | None) -> Leading:
        """The ``most`` most responsible components of each point (None: all K, in their own order)."""
        count = self.components if most is None else min(most, self.components)
        component = torch.empty(points.shape[0], count, dtype=torch.int64, device=points.device)
        responsibility = points.new_empty(points.shape[0], count)
        local = points.new_empty(points.shape[0], count, self.factors)
        score = points.new_empty(points.shape[0])
        for rows, centered, blocks, part in self._parts(points):
            score[rows] = torch.logsumexp(part, 1) - self._common(centered)
            if most is None:
                chosen = torch.arange(count, device=points.device).expand(part.shape[0], count)
                values, squares = part, blocks[:, 1:]
            else:
                values, chosen = part.topk(count, 1)
                squares = blocks[:, 1:].gather(2, chosen[:, None].expand(-1, self.factors, -1))
            component[rows] = chosen
            responsibility[rows] = torch.softmax(values, 1)
            local[rows] = squares.mT * math.sqrt(2)
        return Leading(component, responsibility, local, score)

    def posterior(self, points: Tensor, component: Tensor) -> Tensor:
        """Posterior means of the local factors, (N, R), in the component (N,) int64 named for each point.

        E[z | x, k] = M_k^-1 W_k^T Psi^-1 (x - mu_k). A product per component in use, not of all K with every point.
        """
        self._check(points)
        matrix, bias, _, _, factor = self._as(points)
        found = points.new_zeros(points.shape[0], self.factors)
        columns = torch.arange(1, self.factors + 1, device=points.device) * self.components
        centered = points - self.center.to(points)
        for k in component.unique().tolist():
            rows = (component == k).nonzero()[:, 0]
            local = torch.addmm(bias[columns + k], centered[rows], matrix[:, columns + k])
            found[rows] = _from_local(local * math.sqrt(2), factor[k])
        return found

    def posterior_all(self, points: Tensor) -> Tensor:
        """Posterior means of the local factors in every component, (N, K, R): for few points or small mixtures."""
        local = self.leading(points, None).local  # (N, K, R)
        return _from_local(local.transpose(0, 1), self._as(points)[4]).transpose(0, 1)

    def _parts(self, points: Tensor) -> Iterator[tuple[slice, Tensor, Tensor, Tensor]]:
        """Rows, centred points (n, D), linear blocks (n, R + 1, K) and log-joint less the common term (n, K).

        Blocks and log-joint are views of buffers that the next round overwrites.
        """
        self._check(points)
        matrix, bias, precision, center, _ = self._as(points)
        elements = GPU_ELEMENTS if points.device.type == "cuda" else CPU_ELEMENTS
        size = max(LEAST_ROWS, min(MOST_ROWS, elements // matrix.shape[1]))
        buffer = points.new_empty(min(size, points.shape[0]), matrix.shape[1])
        total = points.new_empty(buffer.shape[0], self.components)
        for first in range(0, points.shape[0], size):
            rows = slice(first, min(first + size, points.shape[0]))
            centered = points[rows] - center
            out, joint = buffer[: centered.shape[0]], total[: centered.shape[0]]
            torch.addmm(bias, centered, matrix, out=out)
            blocks = out.view(centered.shape[0], self.factors + 1, self.components)
            joint.copy_(blocks[:, 0])
            for j in range(1, self.factors + 1):
                joint.addcmul_(blocks[:, j], blocks[:, j])
            if not self.shared:
                joint.addmm_(centered.square(), precision, alpha=-0.5)
            yield rows, centered, blocks, joint

    def _common(self, centered: Tensor) -> Tensor:
        """The half of x^T Psi^-1 x, (n,), that shared noise gives to all components; nothing otherwise."""
        if not self.shared:
            return centered.new_zeros(())
        square: Tensor = centered.square() @ self._as(centered)[2]
        return square / 2

    def _as(self, points: Tensor) -> tuple[Tensor, ...]:
        """Matrix, bias, precision (shared (D,), else (D, K)), center and L, as the points' dtype and device."""
        key = (points.dtype, points.device)
        if key not in self._held:
            precision = self._precision if self.shared else self._precision.T
            held = (self._matrix, self._bias, precision, self.center, self.factor)
            self._held[key] = tuple(t.to(points).contiguous() for t in held)
        return self._held[key]

    def _check(self, points: Tensor) -> None:
        if points.ndim != 2 or points.shape[1] != self.width:
            shape = " x ".join(map(str, points.shape))
            raise UserError(
                f"The mixture is about activations of width {self.width}, and these are {shape}. "
                "Take the layer and the model that it was fitted on.",
                "activations",
            )


def _from_local(local: Tensor, factor: Tensor) -> Tensor:
    """z (..., n, R) = L^-T y, from rows y (..., n, R)."""
    factors: Tensor = torch.linalg.solve_triangular(factor, local, upper=False, left=False)
    return factors
