"""Directions that were not found by the factorization: what its features must be compared with.

Each baseline answers one doubt. Single neurons: is a group needed at all? Singular vectors: does sparse and signed do
better than dense? Random sparse directions and shuffled neurons: would any group of as few neurons, or these weights
on other neurons, do the same? The difference of means knows the labels and is no rival but a ceiling.
"""

from __future__ import annotations

import torch
from torch import Tensor

from analysis.errors import UserError


def singular_directions(x: Tensor, count: int) -> Tensor:
    """The ``count`` leading right singular vectors of activations (n, d), not centred, in both signs: (2 count, d)."""
    count = min(count, *x.shape)
    gram = x.T @ x if len(x) >= x.shape[1] else x @ x.T
    _, vectors = torch.linalg.eigh(gram.double())
    axes = vectors[:, -count:].flip(1).T.to(x.dtype)
    rows = _unit(axes if len(x) >= x.shape[1] else axes @ x)
    return torch.cat([rows, -rows])


def mean_differences(x: Tensor, theme: Tensor, themes: int) -> Tensor:
    """For each theme the mean of its activations minus the mean of the others, unit length: (themes, d).

    ``x`` (n, d); ``theme`` (n,) whole numbers below ``themes``. Supervised: it uses the labels that it is tested on,
    though not the passages. Raises UserError(field="texts") if a theme has all activations or none.
    """
    counts = torch.bincount(theme, minlength=themes).to(x.dtype)
    if bool((counts == 0).any()) or bool((counts == len(x)).any()):
        raise UserError("A difference of means needs passages of the theme and passages of others.", "texts")
    sums = torch.zeros(themes, x.shape[1], dtype=x.dtype).index_add_(0, theme, x)
    inside = sums / counts[:, None]
    outside = (sums.sum(0) - sums) / (len(x) - counts)[:, None]
    return _unit(inside - outside)


def random_sparse(components: Tensor, count: int, seed: int = 0) -> Tensor:
    """Unit directions (count, d) with as many neurons as the features (K, d) have, drawn evenly, normal weights."""
    generator = torch.Generator().manual_seed(seed)
    width = components.shape[1]
    sizes = (components != 0).sum(1).clamp(min=1)
    directions = torch.zeros(count, width)
    for row in range(count):
        kept = int(sizes[row % len(sizes)])
        where = torch.randperm(width, generator=generator)[:kept]
        directions[row, where] = torch.randn(kept, generator=generator)
    return _unit(directions)


def shuffled_neurons(components: Tensor, seed: int = 0) -> Tensor:
    """The features (K, d) with their weights on other neurons: each row permuted by a draw of its own."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.rand(components.shape, generator=generator).argsort(1)
    return components.gather(1, order)


def _unit(rows: Tensor) -> Tensor:
    unit: Tensor = rows / rows.norm(dim=1, keepdim=True).clamp(min=1e-12)
    return unit
