"""Mixtures that are known exactly, and the slow way to compute their densities."""

from __future__ import annotations

import torch
from torch import Tensor

from analysis.mfa.parameters import Noise, Parameters


def known(
    components: int, width: int, factors: int, *, seed: int, noise: Noise = "shared", spread: float = 1.0
) -> Parameters:
    """Centroids N(0, spread^2), columns of length 2 to 4 in random directions, noise variance around 0.25; float64."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    loadings = normal(components, width, factors)
    loadings = loadings / loadings.norm(dim=1, keepdim=True) * (2 + 2 * uniform(components, 1, factors))
    weights = 0.5 + uniform(components)
    variance = 0.25 * (0.7 + 0.6 * uniform(*((width,) if noise == "shared" else (components, width))))
    return Parameters(weights / weights.sum(), spread * normal(components, width), loadings, variance)


def drawn(parameters: Parameters, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Points (N, D) of the mixture and their components (N,), by a path of its own (no estimator)."""
    generator = torch.Generator().manual_seed(seed)
    component = torch.multinomial(parameters.weights, count, replacement=True, generator=generator)
    z = torch.randn(count, parameters.factors, generator=generator, dtype=torch.float64)
    e = torch.randn(count, parameters.width, generator=generator, dtype=torch.float64)
    noise = parameters.noise.expand(parameters.components, -1)[component]
    place = parameters.means[component] + torch.einsum("ndr,nr->nd", parameters.loadings[component], z)
    return place + e * noise.sqrt(), component


def covariances(parameters: Parameters) -> Tensor:
    """W W^T + Psi, (K, D, D)."""
    noise = parameters.noise.expand(parameters.components, -1)
    return parameters.loadings @ parameters.loadings.mT + torch.diag_embed(noise)


def dense_joint(parameters: Parameters, points: Tensor) -> Tensor:
    """log pi_k + log N(x | mu_k, C_k) from the D x D matrices, (N, K)."""
    normal = torch.distributions.MultivariateNormal(parameters.means, covariances(parameters))
    found: Tensor = normal.log_prob(points[:, None]) + parameters.weights.log()
    return found
