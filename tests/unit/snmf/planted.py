"""Activations whose features are known."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize


def planted(
    seed: int, *, width: int = 300, tokens: int = 2000, count: int = 20, noise: float = 0.02
) -> tuple[Tensor, Tensor]:
    """Tokens (n, d) made of two of ``count`` features of six signed neurons each, and the features (count, d)."""
    g = torch.Generator().manual_seed(seed)
    features = torch.zeros(count, width)
    for row in features:
        row[torch.randperm(width, generator=g)[:6]] = torch.randn(6, generator=g).sign() * (
            0.5 + torch.rand(6, generator=g)
        )
    use = torch.zeros(tokens, count)
    for row in use:
        row[torch.randperm(count, generator=g)[:2]] = 0.5 + torch.rand(2, generator=g)
    X = use @ features
    return X + noise * X.std() * torch.randn(X.shape, generator=g), features


def recovered(components: Tensor, features: Tensor) -> int:
    """How many planted features have a component of their own at cosine 0.95 or more, matched one to one."""
    cosine = normalize(features, dim=1) @ normalize(components, dim=1).T
    found = 0
    while float(cosine.max()) > 0.95:
        at = int(cosine.argmax())
        cosine[at // cosine.shape[1]] = -1
        cosine[:, at % cosine.shape[1]] = -1
        found += 1
    return found
