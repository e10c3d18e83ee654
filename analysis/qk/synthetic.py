"""Heads without a model: queries and keys whose subspaces are known because they were put there.

Training stands between a toy model and its answer, so a failure there has two suspects. Here there is one: the
estimator. The samples also show what too few of them do, and what a mean that both sides share does (dossier 6.1),
which is why the mean offset is part of the head and not something a caller adds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from analysis.errors import UserError
from analysis.qk import random_basis


class ContrastSamples(NamedTuple):
    """Contrast triples, each (n, d) float64, in the order that ``contrastive_covariance`` takes them."""

    queries: Tensor
    positive_keys: Tensor
    negative_keys: Tensor


@dataclass(frozen=True)
class SyntheticHead:
    """A head's query-key space with two features in it (dossier 6.1).

    ``u1`` (d, r1) and ``u2`` (d, r2) are orthonormal together on the query side, ``v1`` and ``v2`` on the key side,
    float64. ``query_mean`` and ``key_mean`` (d,) are added to every query and key. The contrastive covariance of the
    first feature is ``u1 v1^T`` in the limit of many samples, whatever the means.
    """

    u1: Tensor
    u2: Tensor
    v1: Tensor
    v2: Tensor
    query_mean: Tensor
    key_mean: Tensor
    noise: float

    @classmethod
    def draw(
        cls, d: int, r1: int, r2: int, generator: torch.Generator, noise: float = 0.1, offset: float = 0.0
    ) -> SyntheticHead:
        """A random head of width ``d`` with features of rank ``r1`` and ``r2``.

        ``offset`` is the length of the two means, each in a random direction; ``noise`` the standard deviation of
        every coordinate's noise. Raises UserError when r1 + r2 does not fit into d or a length is negative.
        """
        if r1 < 1 or r2 < 0 or r1 + r2 > d:
            raise UserError(f"Ranks {r1} and {r2} do not fit into a head of width {d}. Use smaller ranks.", "r1")
        for name, length in (("noise", noise), ("offset", offset)):
            if not math.isfinite(length) or length < 0:
                raise UserError(f"{name} must be zero or a positive number; it is {length!r}.", name)
        query_side, key_side = (random_basis(d, r1 + r2, generator, torch.float64) for _ in range(2))
        query_mean, key_mean = (offset * random_basis(d, 1, generator, torch.float64)[:, 0] for _ in range(2))
        return cls(
            query_side[:, :r1], query_side[:, r1:], key_side[:, :r1], key_side[:, r1:], query_mean, key_mean, noise
        )

    def sample(self, n: int, generator: torch.Generator) -> ContrastSamples:
        """``n`` triples that contrast the first feature; raises UserError for n below 1.

        The query carries signs z1 and z2. Both keys share a fresh second sign vector; the positive key has the
        query's z1, the negative one its own. Noise is drawn apart for each of the three.
        """
        if n < 1:
            raise UserError(f"At least one sample is needed; {n} were asked for.", "n")

        def signs(width: int) -> Tensor:
            return torch.randint(0, 2, (n, width), generator=generator).double() * 2 - 1

        def blur(clean: Tensor) -> Tensor:
            return clean + self.noise * torch.randn(clean.shape, generator=generator, dtype=torch.float64)

        r1, r2 = self.u1.shape[1], self.u2.shape[1]
        z1, z2, other, shared = signs(r1), signs(r2), signs(r1), signs(r2)
        beside = shared @ self.v2.T + self.key_mean
        return ContrastSamples(
            blur(z1 @ self.u1.T + z2 @ self.u2.T + self.query_mean),
            blur(z1 @ self.v1.T + beside),
            blur(other @ self.v1.T + beside),
        )
