"""A raw attention logit taken apart into what each feature's subspace contributes, exactly.

The paper's Figure 10 splits the query only. Splitting the key, or both, is as legitimate and gives other numbers, so
the side is an argument and never a hidden choice. The remainder is the logit of what is left of the vector, not the
logit less the parts, so the sum check of the page measures the arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from analysis.qk.subspace import QKSubspace, joint_basis

Side = Literal["query", "key", "both"]


def attribute_logits(
    query: Tensor,
    keys: Tensor,
    subspaces: Sequence[QKSubspace],
    side: Side = "query",
    orthogonalise: bool = False,
) -> Tensor:
    """Split the raw logits of one query into one part per subspace and a remainder (dossier 3.5, Figure 10).

    Args:
        query: (d,). keys: (n, d).
        subspaces: in the order in which they take their share; a later one sees what the earlier ones left.
        side: which vector is split. With "both", a part is the product of the same feature's components on the two
            sides, and all cross terms go to the remainder.
        orthogonalise: project on the part of each basis that the earlier bases do not span, instead of projecting the
            residual on the whole basis (the two differ when bases overlap).

    Returns:
        (n, len(subspaces) + 1) in the dtype of ``query``; the last column is the remainder; rows sum to
        ``keys @ query``.

    Raises:
        ValueError: shapes that do not go together, or an unknown side.
    """
    if query.ndim != 1 or keys.ndim != 2 or keys.shape[1] != query.shape[0]:
        raise ValueError(f"query {tuple(query.shape)} and keys {tuple(keys.shape)} do not go together")
    if side not in ("query", "key", "both"):
        raise ValueError(f"side must be query, key or both, not {side!r}")
    query_bases = [s.query_basis.to(query) for s in subspaces]
    key_bases = [s.key_basis.to(query) for s in subspaces]
    if side == "query":
        return keys @ _split(query[None], query_bases, orthogonalise)[:, 0].mT
    key_parts = _split(keys, key_bases, orthogonalise)
    if side == "key":
        return (key_parts @ query).mT
    query_parts = _split(query[None], query_bases, orthogonalise)[:, 0]
    products = torch.einsum("ad,bnd->nab", query_parts, key_parts)
    own = torch.diagonal(products, dim1=1, dim2=2)[:, :-1]
    crossed = products.clone()
    for feature in range(len(subspaces)):
        crossed[:, feature, feature] = 0
    return torch.cat([own, crossed.sum((1, 2))[:, None]], dim=1)


def _split(vectors: Tensor, bases: Sequence[Tensor], orthogonalise: bool) -> Tensor:
    """Components of ``vectors`` (n, d) along each basis in turn, then what is left: (len(bases) + 1, n, d)."""
    parts, rest, taken = [], vectors, vectors.new_zeros(vectors.shape[1], 0)
    for basis in bases:
        if orthogonalise and taken.shape[1] and basis.shape[1]:
            joint = joint_basis([taken, basis])
            taken, basis = joint, joint[:, taken.shape[1] :]
        elif orthogonalise:
            taken = torch.cat([taken, basis], dim=1)
        part = (rest @ basis) @ basis.mT
        parts.append(part)
        rest = rest - part
    return torch.stack([*parts, rest])
