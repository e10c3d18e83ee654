"""Four probes of the board: linear, TPR, trilinear, low rank, told apart by what they share between squares.

The TPR probe (arXiv 2605.09967): M (d, r, f) binds a residual vector into B(h) = sum_d h_d M_d, roles R (64, r) unbind
it, fillers F (3, f) read the colour: logit(s, c) = R_s^T B(h) F_c. The trilinear one makes each role an outer product
of a row and a column; the other two know no binding and serve to compare.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from analysis.tpr.base import Probe
from analysis.tpr.parametrization import CLASSES, SQUARES, Activations, Parts

__all__ = ["LinearProbe", "LowRankProbe", "Probe", "TPRProbe", "TrilinearProbe", "outer_roles"]


class LinearProbe(Probe):
    """192 directions, each by itself: ``weights_`` (3, 64, d)."""

    kind, tensors, axis = "linear", ("weights",), 2
    weights_: Tensor

    def tensor_shapes(self, d: int) -> dict[str, tuple[int, ...]]:
        return {"weights": (CLASSES, SQUARES, d)}

    def path(self, parts: Parts, h: Tensor) -> Tensor:
        return (h @ parts["weights"].flatten(0, 1).T).view(-1, CLASSES, SQUARES)

    def effective(self, parts: Parts) -> Tensor:
        return parts["weights"]


class LowRankProbe(Probe):
    """192 directions in a space of ``rank`` dimensions, trained as such: ``inner_`` (k, d), ``outer_`` (192, k)."""

    kind, tensors, axis, limits = "low-rank", ("inner", "outer"), 1, {"rank": CLASSES * SQUARES}
    inner_: Tensor
    outer_: Tensor

    def __init__(
        self,
        rank: int = 80,
        *,
        random_state: int = 0,
        recipe: str = "fast",
        weight_decay: float | None = None,
        bias: bool = False,
        max_epochs: int | None = None,
    ) -> None:
        super().__init__(
            random_state=random_state, recipe=recipe, weight_decay=weight_decay, bias=bias, max_epochs=max_epochs
        )
        self.rank = rank

    def tensor_shapes(self, d: int) -> dict[str, tuple[int, ...]]:
        return {"inner": (self.rank, d), "outer": (CLASSES * SQUARES, self.rank)}

    def path(self, parts: Parts, h: Tensor) -> Tensor:
        return (h @ parts["inner"].T @ parts["outer"].T).view(-1, CLASSES, SQUARES)

    def effective(self, parts: Parts) -> Tensor:
        return (parts["outer"] @ parts["inner"]).view(CLASSES, SQUARES, -1)

    def gauge(self, width: int) -> int:
        return self.rank**2


class TPRProbe(Probe):
    """Roles and fillers: ``binding_map_`` (d, r, f), ``roles_`` (64, r), ``fillers_`` (3, f)."""

    kind, tensors = "tpr", ("binding_map", "roles", "fillers")
    limits: ClassVar = {"role_dim": SQUARES, "filler_dim": 64}
    binding_map_: Tensor
    roles_: Tensor
    fillers_: Tensor

    def __init__(
        self,
        role_dim: int = 52,
        filler_dim: int = 2,
        *,
        random_state: int = 0,
        recipe: str = "fast",
        weight_decay: float | None = None,
        bias: bool = False,
        max_epochs: int | None = None,
    ) -> None:
        super().__init__(
            random_state=random_state, recipe=recipe, weight_decay=weight_decay, bias=bias, max_epochs=max_epochs
        )
        self.role_dim, self.filler_dim = role_dim, filler_dim

    def tensor_shapes(self, d: int) -> dict[str, tuple[int, ...]]:
        r, f = self.role_dim, self.filler_dim
        return {"binding_map": (d, r, f), "roles": (SQUARES, r), "fillers": (CLASSES, f)}

    def path(self, parts: Parts, h: Tensor) -> Tensor:
        return unbound_logits(parts["binding_map"], parts["roles"], parts["fillers"], h)

    def effective(self, parts: Parts) -> Tensor:
        return bound_directions(parts["binding_map"], parts["roles"], parts["fillers"])

    def gauge(self, width: int) -> int:
        r, f = self.role_dim, self.filler_dim
        # Three fillers span three dimensions at most; coordinates beyond that carry nothing.
        g = min(f, CLASSES)
        return r * r + g * g + (f - g) * (width * r + CLASSES)

    def binding(self, activations: Activations) -> Tensor:
        """B(h), (..., r, f), of activations (..., d)."""
        h, parts = self.read(activations)
        binding: Tensor = torch.tensordot(h, parts["binding_map"], 1)
        return binding

    def unbind(self, binding: Tensor) -> Tensor:
        """v_s = B^T R_s, (..., 64, f), of bindings (..., r, f). Its dot products with the fillers are the logits."""
        return self.parts["roles"].to(binding.dtype) @ binding


class TrilinearProbe(Probe):
    """Row, column and colour: ``binding_map_`` (d, u, v, f), ``row_embeddings_`` (8, u), ``column_embeddings_``
    (8, v), ``fillers_`` (3, f). It is the TPR probe whose role of square (i, j) is the outer product U_i V_j."""

    kind, tensors = "trilinear", ("binding_map", "row_embeddings", "column_embeddings", "fillers")
    limits: ClassVar = {"row_dim": 8, "column_dim": 8, "filler_dim": 64}
    binding_map_: Tensor
    row_embeddings_: Tensor
    column_embeddings_: Tensor
    fillers_: Tensor

    def __init__(
        self,
        row_dim: int = 8,
        column_dim: int = 8,
        filler_dim: int = 2,
        *,
        random_state: int = 0,
        recipe: str = "fast",
        weight_decay: float | None = None,
        bias: bool = False,
        max_epochs: int | None = None,
    ) -> None:
        super().__init__(
            random_state=random_state, recipe=recipe, weight_decay=weight_decay, bias=bias, max_epochs=max_epochs
        )
        self.row_dim, self.column_dim, self.filler_dim = row_dim, column_dim, filler_dim

    def tensor_shapes(self, d: int) -> dict[str, tuple[int, ...]]:
        u, v, f = self.row_dim, self.column_dim, self.filler_dim
        shapes = {"binding_map": (d, u, v, f), "row_embeddings": (8, u), "column_embeddings": (8, v)}
        return {**shapes, "fillers": (CLASSES, f)}

    def path(self, parts: Parts, h: Tensor) -> Tensor:
        return unbound_logits(*_flat(parts), h)

    def effective(self, parts: Parts) -> Tensor:
        return bound_directions(*_flat(parts))

    def gauge(self, width: int) -> int:
        u, v, f = self.row_dim, self.column_dim, self.filler_dim
        g = min(f, CLASSES)
        return u * u + v * v + g * g + (f - g) * (width * u * v + CLASSES)

    @property
    def roles_(self) -> Tensor:
        """Roles (64, u v) of the bilinear probe that this one equals."""
        return _flat(self.parts)[1]

    def as_bilinear(self) -> TPRProbe:
        """The same function as a TPR probe, its binding map flattened over rows and columns."""
        m, roles, fillers = _flat(self.parts)
        same = TPRProbe(m.shape[1], m.shape[2], random_state=self.random_state, recipe=self.recipe, bias=self.bias)
        return same.take({**self.parts, "binding_map": m, "roles": roles, "fillers": fillers})

    def binding(self, activations: Activations) -> Tensor:
        """B(h) with rows and columns flattened, (..., u v, f), of activations (..., d)."""
        return self.cube(activations).flatten(-3, -2)

    def cube(self, activations: Activations) -> Tensor:
        """B(h) by row, column and colour, (..., u, v, f), of activations (..., d)."""
        h, parts = self.read(activations)
        binding: Tensor = torch.tensordot(h, parts["binding_map"], 1)
        return binding

    def unbind(self, binding: Tensor) -> Tensor:
        """v_s = B^T (U_i V_j), (..., 64, f), of flattened bindings (..., u v, f)."""
        return self.roles_.to(binding.dtype) @ binding


def unbound_logits(binding_map: Tensor, roles: Tensor, fillers: Tensor, h: Tensor) -> Tensor:
    """Logits (n, 3, 64) through the binding: M (d, r, f), R (64, r), F (3, f), activations (n, d)."""
    d, r, f = binding_map.shape
    # Filler by filler, so that everything large is a plain matrix product: (n, r) @ (r, 64).
    bound = (h @ binding_map.permute(0, 2, 1).reshape(d, f * r)).view(-1, f, r)
    return torch.einsum("nfs,cf->ncs", bound @ roles.T, fillers)


def bound_directions(binding_map: Tensor, roles: Tensor, fillers: Tensor) -> Tensor:
    """Directions (3, 64, d): M (d, r, f) summed against roles (64, r) and fillers (3, f) (dossier 2.3)."""
    return roles @ torch.einsum("drf,cf->crd", binding_map, fillers)


def outer_roles(rows: Tensor, columns: Tensor) -> Tensor:
    """Roles (64, u v) of rows (8, u) and columns (8, v): square 8 i + j has the outer product of row i and column j."""
    return torch.einsum("iu,jv->ijuv", rows, columns).reshape(SQUARES, -1)


def _flat(parts: Parts) -> tuple[Tensor, Tensor, Tensor]:
    """Binding map (d, u v, f), roles (64, u v) and fillers of a trilinear probe's tensors."""
    return (
        parts["binding_map"].flatten(1, 2),
        outer_roles(parts["row_embeddings"], parts["column_embeddings"]),
        parts["fillers"],
    )
