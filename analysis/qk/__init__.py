"""Query-key subspaces by contrastive covariance (arXiv 2602.04752), and the tools to test them.

The names below are public and stay. They are loaded on first use, because the web process imports the plain data
types of :mod:`analysis.qk.contrasts` and must not pay for torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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

_HOMES = {
    "contrastive_covariance": "covariance",
    "noise_share": "covariance",
    "QKSubspace": "subspace",
    "joint_basis": "subspace",
    "principal_cosines": "subspace",
    "random_basis": "subspace",
    "rank_by_energy": "subspace",
    "swap_keys": "subspace",
    "attribute_logits": "attribution",
}

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


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"analysis.qk.{_HOMES[name]}"), name)
