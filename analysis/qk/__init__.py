"""Query-key subspaces by contrastive covariance (arXiv 2602.04752), and the tools to test them.

The names below are public and stay. They are loaded on first use, because the web process imports the plain data
types of :mod:`analysis.qk.contrasts` and must not pay for torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.lazy import public

if TYPE_CHECKING:
    from analysis.qk.attribution import attribute_logits
    from analysis.qk.covariance import contrastive_covariance, noise_share
    from analysis.qk.subspace import (
        QKSubspace,
        joint_basis,
        principal_cosines,
        random_basis,
        rank_by_energy,
        swap_keys,
    )

__all__ = [
    "QKSubspace",
    "attribute_logits",
    "contrastive_covariance",
    "joint_basis",
    "noise_share",
    "principal_cosines",
    "random_basis",
    "rank_by_energy",
    "swap_keys",
]

__getattr__ = public(
    __name__,
    {
        "covariance": "contrastive_covariance noise_share",
        "subspace": "QKSubspace joint_basis principal_cosines random_basis rank_by_energy swap_keys",
        "attribution": "attribute_logits",
    },
)
