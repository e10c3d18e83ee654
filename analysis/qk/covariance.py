"""Contrastive covariance of queries and keys, for tensors that are already in hand.

The definition lives here once, in its plain form, so that the streaming fit over a whole model
(:mod:`analysis.qk.accumulate`) has something short to be tested against.
"""

from __future__ import annotations

import torch
from torch import Tensor


def contrastive_covariance(queries: Tensor, positive_keys: Tensor, negative_keys: Tensor) -> Tensor:
    """``E[q k+^T] - E[q k-^T]``, not centred (arXiv 2602.04752, the definition of the contrastive covariance).

    Args:
        queries: (n, d).
        positive_keys: (n, d), or (n, p, d) with p keys per query, averaged.
        negative_keys: (n, d), or (n, m, d) with m keys per query, averaged.

    Returns:
        (d, d) in float64: rows on the query side, columns on the key side. Its trace is the mean raw logit of the
        positive keys minus that of the negative keys.

    Raises:
        ValueError: shapes that do not go together, no rows, or values that are not finite.
    """
    difference = _mean_key(positive_keys, queries, "positive_keys") - _mean_key(negative_keys, queries, "negative_keys")
    queries = queries.to(torch.float64)
    if not (torch.isfinite(queries).all() and torch.isfinite(difference).all()):
        raise ValueError("queries and keys must be finite numbers")
    return queries.mT @ difference / queries.shape[0]


def _mean_key(keys: Tensor, queries: Tensor, name: str) -> Tensor:
    if queries.ndim != 2 or queries.shape[0] == 0:
        raise ValueError(f"queries must have shape (n, d) with n at least 1, not {tuple(queries.shape)}")
    if keys.ndim not in (2, 3) or keys.shape[0] != queries.shape[0] or keys.shape[-1] != queries.shape[-1]:
        raise ValueError(f"{name} of shape {tuple(keys.shape)} do not go with queries of {tuple(queries.shape)}")
    keys = keys.to(torch.float64)
    return keys if keys.ndim == 2 else keys.mean(1)


def noise_share(mean_query_sq: float, mean_difference_sq: float, delta_norm_sq: float, n: int) -> float:
    """Sampling noise in an estimated contrastive covariance, as a share of its squared norm (dossier 1.5, item 4).

    Args:
        mean_query_sq: E||q||^2.
        mean_difference_sq: E||k+ - k-||^2.
        delta_norm_sq: squared Frobenius norm of the estimated covariance.
        n: number of examples.

    Returns:
        The expected noise energy over the energy seen. Above about 0.01 the 99 % rank rule counts noise as rank.
    """
    if n < 1 or delta_norm_sq <= 0:
        return float("inf")
    return max(0.0, (mean_query_sq * mean_difference_sq - delta_norm_sq) / n) / delta_norm_sq
