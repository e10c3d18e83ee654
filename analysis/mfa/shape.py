"""Loadings and noise from the points around given centroids: the principal axes of each cluster, shortened by noise.

As in probabilistic PCA, which is a factor analyzer with equal noise in all dimensions and has its optimum in closed
form. EM then only has to settle overlaps and the noise of single dimensions.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from analysis.mfa.kmeans import leading_axes, nearest
from analysis.mfa.parameters import Noise, Parameters

EXACT_WIDTH, EXTRA_AXES, SUBSPACE_PASSES = 128, 6, 6
NOISE_PRIOR = 10.0  # points with which the pooled noise joins a component's own
UNKNOWN_LENGTH = 0.1  # of columns that the points do not determine, in standard deviations of the noise
LEAST_NOISE = 1e-4


def shaped(sample: Tensor, centroids: Tensor, factors: int, noise: Noise, generator: torch.Generator) -> Parameters:
    """Parameters around centroids (K, D), from the points of a sample (M, D) that are nearest to each.

    Loading j of a component is sqrt(lambda_j - sigma^2) u_j, of the eigenvectors of its covariance and the mean
    sigma^2 of the remaining eigenvalues (the maximum of probabilistic PCA). Columns that its points do not determine
    get a random direction and a small length, since a column of zeros would stay one under EM.
    """
    components, width = centroids.shape
    owner, _ = nearest(sample, centroids)
    order, sizes = owner.argsort(stable=True), owner.bincount(minlength=components).tolist()
    own = sample.new_zeros(components, width)  # variances that the loadings leave over
    loadings = sample.new_zeros(components, width, factors)
    first = 0
    for k, size in enumerate(sizes):
        points = sample[order[first : first + size]] - centroids[k]
        first += size
        variance = points.square().sum(0) / max(size, 1)
        lengths, axes = _principal(points, factors, generator)
        rest = (float(variance.sum()) - float(lengths.sum())) / max(width - factors, 1)
        column = axes * (lengths - rest).clamp_min(0).sqrt()
        loadings[k, :, : column.shape[1]] = column
        own[k] = (variance - column.square().sum(1)).clamp_min(0)
    counts = torch.tensor(sizes, device=sample.device).to(sample)
    pooled = (counts @ own) / counts.sum()
    pooled = pooled.clamp_min(LEAST_NOISE)
    blended = (counts[:, None] * own + NOISE_PRIOR * pooled) / (counts[:, None] + NOISE_PRIOR)
    random = torch.randn(loadings.shape, generator=generator, dtype=torch.float64).to(loadings)
    random *= UNKNOWN_LENGTH * pooled.mean().sqrt() / math.sqrt(width)
    loadings = torch.where(loadings.square().sum(1, keepdim=True) > 0, loadings, random)
    weights = (counts + 1) / (counts + 1).sum()
    spread = pooled if noise == "shared" else blended.clamp_min(LEAST_NOISE)
    return Parameters(weights, centroids.clone(), loadings, spread)


def _principal(points: Tensor, factors: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Largest variances (q,) and axes (D, q) of points (n, D) about zero, q <= factors and < n."""
    size, width = points.shape
    count = min(factors, size - 1, width)
    if count <= 0:
        return points.new_zeros(0), points.new_zeros(width, 0)
    if min(size, width) > EXACT_WIDTH:
        basis = leading_axes(points, count + EXTRA_AXES, generator, SUBSPACE_PASSES)
        values, vectors = torch.linalg.eigh((points @ basis).T @ (points @ basis) / size)
        vectors = basis @ vectors
    elif size < width:  # the n x n products have the same eigenvalues
        values, vectors = torch.linalg.eigh(points @ points.T / size)
        vectors = (points.T @ vectors) / (values * size).clamp_min(1e-12).sqrt()
    else:
        values, vectors = torch.linalg.eigh(points.T @ points / size)
    return values[-count:].flip(0).clamp_min(0), vectors[:, -count:].flip(1)
