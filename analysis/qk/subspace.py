"""The subspaces of a contrastive covariance, and the operations that a page performs in them.

A ``QKSubspace`` keeps the whole singular decomposition and a rank, so that a rank slider is a slice and not a new
computation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class QKSubspace:
    """A feature's subspace of one head's query-key space (arXiv 2602.04752, SVD of the contrastive covariance).

    ``left`` (d, d) and ``right`` (d, d) hold all singular vectors as columns, queries on the left, keys on the right;
    ``singular_values`` (d,) decrease. ``rank`` says how many of them count. The sign of each pair is fixed by making
    the entry of the left vector that is largest in size positive.
    """

    left: Tensor
    right: Tensor
    singular_values: Tensor
    rank: int

    @classmethod
    def from_covariance(cls, delta: Tensor, energy: float = 0.99) -> QKSubspace:
        """Decompose ``delta`` (d, d) and choose the rank that holds a share ``energy`` of the squared norm.

        Raises:
            ValueError: a matrix that is not square or not finite, or ``energy`` outside (0, 1].
        """
        if delta.ndim != 2 or delta.shape[0] != delta.shape[1]:
            raise ValueError(f"a contrastive covariance is square, not {tuple(delta.shape)}")
        if not torch.isfinite(delta).all():
            raise ValueError("the contrastive covariance holds numbers that are not finite")
        left, values, right_t = torch.linalg.svd(delta.to(torch.float64))
        right = right_t.mT
        largest = left.abs().argmax(0)
        signs = torch.sign(left[largest, torch.arange(left.shape[1], device=left.device)])
        return cls(left * signs, right * signs, values, rank_by_energy(values, energy))

    @property
    def query_basis(self) -> Tensor:
        """Orthonormal basis of the query side, (d, rank)."""
        return self.left[:, : self.rank]

    @property
    def key_basis(self) -> Tensor:
        """Orthonormal basis of the key side, (d, rank)."""
        return self.right[:, : self.rank]

    @property
    def trace(self) -> float:
        """Mean raw-logit gap between positive and negative keys: the trace of the covariance (dossier 1.5)."""
        return float(self.direction_trace.sum())

    @property
    def direction_trace(self) -> Tensor:
        """What each singular pair adds to the trace, ``s_i u_i . v_i``, (d,); may be negative."""
        return self.singular_values * (self.left * self.right).sum(0)

    @property
    def alignment(self) -> Tensor:
        """``U_r^T V_r`` (rank, rank): what turns coordinates into logits, ``q.k ~ c_q^T (U^T V) c_k``."""
        return self.query_basis.mT @ self.key_basis

    def with_rank(self, rank: int) -> QKSubspace:
        """The same decomposition cut at another rank, 0 to d."""
        if not 0 <= rank <= self.singular_values.shape[0]:
            raise ValueError(f"rank {rank} is not between 0 and {self.singular_values.shape[0]}")
        return replace(self, rank=rank)


def rank_by_energy(singular_values: Tensor, energy: float = 0.99) -> int:
    """Smallest r whose first r squared singular values hold a share ``energy`` of their sum; 0 for a zero matrix."""
    if not 0 < energy <= 1:
        raise ValueError(f"energy must lie in (0, 1], not {energy}")
    values = singular_values.to(torch.float64)
    if values.numel() == 0 or float(values.max()) <= 0:
        return 0
    squared = (values / values.max()) ** 2  # so that no scale under- or overflows
    total = squared.sum()
    # The last entry of the cumulated share may fall below 1 by rounding, hence the clamp to d.
    reached = torch.cumsum(squared, 0) / total >= energy - 1e-15
    return int(min(int((~reached).sum()) + 1, squared.shape[0]))


def swap_keys(key_a: Tensor, key_b: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
    """Exchange the coordinates of two keys inside a subspace, leaving the rest of each (dossier 2.4, key swap).

    Args:
        key_a, key_b: (..., d).
        basis: (d, r), orthonormal columns; r may be 0.

    Returns:
        The two new keys, (..., d). With a full basis they trade places, with r = 0 nothing changes, and swapping
        twice restores them.
    """
    move = ((key_b - key_a) @ basis) @ basis.mT
    return key_a + move, key_b - move


def joint_basis(bases: Sequence[Tensor]) -> Tensor:
    """One orthonormal basis (d, r) of the span of several, in their order (QR with a positive diagonal).

    Directions that the earlier bases already hold are dropped, so r may be smaller than the sum of the ranks.
    """
    stacked = torch.cat(list(bases), dim=1)
    found = stacked[:, :0]
    tolerance = torch.finfo(stacked.dtype).eps ** 0.5
    # Column by column: a QR without pivoting fills a dropped column with a direction that a later one may need.
    for column in stacked.mT:
        rest = column
        for _ in range(2):  # the second pass removes the rounding of the first
            rest = rest - found @ (found.mT @ rest)
        length = rest.norm()
        if length > tolerance * column.norm():
            found = torch.cat([found, (rest / length)[:, None]], dim=1)
    return found


def random_basis(d: int, rank: int, generator: torch.Generator, dtype: torch.dtype = torch.float64) -> Tensor:
    """A random subspace of the given rank: QR of a Gaussian matrix, (d, rank). The control of every swap."""
    q, r = torch.linalg.qr(torch.randn(d, rank, generator=generator, dtype=torch.float64))
    basis: Tensor = q * torch.where(torch.diagonal(r) < 0, -1.0, 1.0)
    return basis.to(dtype)


def principal_cosines(basis_a: Tensor, basis_b: Tensor) -> Tensor:
    """Cosines of the principal angles between two orthonormal bases (d, ra) and (d, rb), decreasing, (min(ra, rb),)."""
    if basis_a.shape[1] == 0 or basis_b.shape[1] == 0:
        return basis_a.new_zeros(0)
    cosines: Tensor = torch.linalg.svdvals(basis_a.mT @ basis_b)
    return cosines.clamp(max=1.0)
