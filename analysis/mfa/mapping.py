"""Where regions lie: a map of their centroids, and which are nearest."""

from __future__ import annotations

import torch
from torch import Tensor

_ROWS = 512  # centroids compared with all others at a time
_MANY, _AXES = 2_000, 50  # from so many centroids on, neighbours are sought along their first principal axes alone


def map_of(means: Tensor, center: Tensor, seed: int) -> Tensor:
    """Coordinates (K, 2) of the centroids (K, D): t-SNE on the cosine distance of centroids minus ``center`` (D,).

    Distances on the map say who is near; how far the far ones are, it does not say.
    """
    from sklearn.manifold import TSNE

    away = (means - center).double()
    count = len(away)
    if count < 5:
        return torch.nn.functional.pad(away[:, :2] / away.norm(dim=1, keepdim=True).clamp(min=1e-12), (0, 0)).float()
    unit = away / away.norm(dim=1, keepdim=True).clamp(min=1e-12)
    # Squared distances of unit vectors are twice the cosine distance. The start is made without chance, since a
    # randomised PCA would draw from a generator that the seed does not reach.
    centred = unit - unit.mean(0)
    axes = torch.linalg.eigh(centred.T @ centred).eigenvectors
    start = centred @ axes[:, -2:].flip(1)
    if count > _MANY:
        unit = centred @ axes[:, -_AXES:]
    start = start / start.norm(dim=0).clamp(min=1e-12) * 1e-2
    made = TSNE(
        perplexity=min(15.0, (count - 1) / 3.5), init=start.numpy(), random_state=seed, learning_rate="auto"
    ).fit_transform(unit.numpy())
    return torch.from_numpy(made).float()


def nearest(means: Tensor, count: int) -> Tensor:
    """The ``count`` nearest other centroids of each (K, count), int32, by Euclidean distance; nearest first."""
    exact, found = means.double(), []
    for first in range(0, len(exact), _ROWS):
        distance = torch.cdist(exact[first : first + _ROWS], exact)
        distance.diagonal(first).fill_(torch.inf)
        found.append(distance.topk(min(count, len(exact) - 1), largest=False).indices.int())
    return torch.cat(found)
