"""Four probes of the board in a residual stream, as estimators: linear, TPR, trilinear, low rank.

All map activations (n, d) to logits (n, 64, 3) for 64 squares and the classes empty, just moved, to move, without a bias.
They differ in what they share between squares. Each is a small set of tensors and one function from them to the logits,
so fitting, scoring, keeping and comparing are written once, in the base. The TPR probe (arXiv 2605.09967): M (d, r, f)
binds a residual vector into B(h) = sum_d h_d M_d, roles R (64, r) unbind it, fillers F (3, f) read the colour:
logit(s, c) = R_s^T B(h) F_c.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from analysis.errors import UserError

Say = Callable[[str, float | None], None]
Check = Callable[[], None]
SQUARES, CLASSES = 64, 3
RECIPES = ("fast", "reference")


class Probe:
    """What all probes share. Learned tensors end in an underscore; ``random_state`` decides everything random.

    ``recipe``: ``"fast"`` (whitened activations, a start from a linear probe, a falling rate) or ``"reference"`` (the
    published one). Raises UserError(field="probe") for settings that make no probe.
    """

    kind: ClassVar[str] = ""
    names: ClassVar[tuple[str, ...]] = ()

    def __init__(self, *, random_state: int = 0, recipe: str = "fast", **sizes: int) -> None:
        if recipe not in RECIPES:
            raise UserError("The recipe is 'fast' or 'reference'.", "probe")
        for name, value in sizes.items():
            if type(value) is not int or value < 1:
                raise UserError(f"{name} must be a whole number from 1, not {str(value)[:20]!r}.", "probe")
        self.random_state, self.recipe, self.sizes = random_state, recipe, sizes

    # What a kind of probe has to say.

    def shapes(self, d: int) -> dict[str, tuple[int, ...]]:
        """Shapes of the learned tensors at width d, by name without underscore."""
        raise NotImplementedError

    def forward(self, parts: dict[str, Tensor], h: Tensor) -> Tensor:
        """Logits (n, 3, 64), classes in the middle, from tensors and activations (n, d)."""
        raise NotImplementedError

    # Learning.

    def fit(
        self,
        activations: Tensor | NDArray,
        boards: Tensor | NDArray,
        *,
        validation: tuple[Tensor, Tensor] | None = None,
        progress: Say = lambda text, share: None,
        check: Check = lambda: None,
    ) -> Self:
        """Learn from activations (n, d) and boards (n, 64) of classes 0 to 2; returns self.

        ``check`` is called at each step and may raise to stop; ``progress`` gets (text, share). ``validation`` is
        (activations, boards) for the reference recipe's early stop; without it the last rows serve.

        Raises UserError(field="boards") or (field="activations"): wrong shapes, other classes, numbers not finite.
        """
        from analysis.tpr.fitting import fit_fast
        from analysis.tpr.reference import fit_reference

        h, y = checked(activations, boards)
        if self.recipe == "reference":
            found = fit_reference(self, h, y, validation, progress, check)
        else:
            found = fit_fast(self, h, y, progress, check)
        return self.take(found)

    def take(self, parts: dict[str, Tensor]) -> Self:
        """Take learned tensors over, by name without underscore."""
        for name in self.names:
            setattr(self, name + "_", parts[name].detach())
        return self

    @property
    def parts(self) -> dict[str, Tensor]:
        """The learned tensors by name."""
        if not hasattr(self, self.names[0] + "_"):
            raise UserError("This probe has not been fitted yet.", "probe")
        return {name: getattr(self, name + "_") for name in self.names}

    # Reading.

    def logits(self, activations: Tensor | NDArray) -> Tensor:
        """Logits (n, 64, 3) by the probe's own path."""
        parts = self.parts
        h = torch.as_tensor(activations).to(next(iter(parts.values())).dtype)
        with torch.no_grad():
            return self.forward(parts, h).transpose(1, 2)

    def directions(self) -> Tensor:
        """(64, 3, d): the vectors whose dot products with h are the logits."""
        eye = torch.eye(self.width, dtype=next(iter(self.parts.values())).dtype)
        return self.logits(eye).permute(1, 2, 0).contiguous()

    @property
    def width(self) -> int:
        """d."""
        raise NotImplementedError

    def probabilities(self, activations: Tensor | NDArray) -> Tensor:
        """Softmax of the logits over the three classes, (n, 64, 3)."""
        return self.logits(activations).softmax(-1)

    def predict(self, activations: Tensor | NDArray) -> NDArray[np.uint8]:
        """Most likely class of each square, (n, 64)."""
        found: NDArray[np.uint8] = self.logits(activations).argmax(-1).to(torch.uint8).numpy()
        return found

    def accuracy(self, activations: Tensor | NDArray, boards: Tensor | NDArray) -> float:
        """Share of squares read rightly."""
        return float((self.predict(activations) == np.asarray(boards)).mean())

    def square_accuracy(self, activations: Tensor | NDArray, boards: Tensor | NDArray) -> NDArray[np.float64]:
        """Share of rows read rightly, by square (64,)."""
        return np.asarray((self.predict(activations) == np.asarray(boards)).mean(0))

    def parameter_count(self) -> int:
        """Numbers that are learned."""
        return sum(int(np.prod(shape)) for shape in self.shapes(self.width).values())

    # Keeping.

    def to_arrays(self) -> tuple[dict[str, NDArray], dict[str, Any]]:
        """Learned tensors as float32 arrays by name, and the settings that rebuild the estimator."""
        arrays = {name: value.float().numpy() for name, value in self.parts.items()}
        settings = {"kind": self.kind, "random_state": self.random_state, "recipe": self.recipe, **self.sizes}
        return arrays, settings

    @staticmethod
    def from_arrays(arrays: dict[str, NDArray], settings: dict[str, Any]) -> Probe:
        """The reverse of :meth:`to_arrays`. Raises UserError(field="probe") for arrays that make no such probe."""
        kinds = {cls.kind: cls for cls in (LinearProbe, TPRProbe, TrilinearProbe, LowRankProbe)}
        rest = dict(settings)
        cls = kinds.get(str(rest.pop("kind", "")))
        if cls is None or any(name not in arrays for name in cls.names):
            raise UserError("These arrays are no probe of a known kind.", "probe")
        probe = cls(**rest)
        return probe.take({name: torch.from_numpy(np.array(arrays[name])) for name in cls.names})


class LinearProbe(Probe):
    """192 directions, each by itself: ``weights_`` (3, 64, d)."""

    kind = "linear"
    names = ("weights",)
    weights_: Tensor

    def shapes(self, d: int) -> dict[str, tuple[int, ...]]:
        return {"weights": (CLASSES, SQUARES, d)}

    def forward(self, parts: dict[str, Tensor], h: Tensor) -> Tensor:
        w = parts["weights"]
        return (h @ w.reshape(-1, w.shape[-1]).T).view(-1, CLASSES, SQUARES)

    @property
    def width(self) -> int:
        return int(self.parts["weights"].shape[-1])


class LowRankProbe(Probe):
    """192 directions in a space of ``rank`` dimensions, trained as such: ``outer_`` (192, k), ``inner_`` (k, d)."""

    kind = "low-rank"
    names = ("outer", "inner")

    def __init__(self, rank: int = 80, *, random_state: int = 0, recipe: str = "fast") -> None:
        super().__init__(random_state=random_state, recipe=recipe, rank=rank)
        if rank > CLASSES * SQUARES:
            raise UserError("192 directions have at most the rank 192.", "probe")

    def shapes(self, d: int) -> dict[str, tuple[int, ...]]:
        k = self.sizes["rank"]
        return {"outer": (CLASSES * SQUARES, k), "inner": (k, d)}

    def forward(self, parts: dict[str, Tensor], h: Tensor) -> Tensor:
        return (h @ parts["inner"].T @ parts["outer"].T).view(-1, CLASSES, SQUARES)

    @property
    def width(self) -> int:
        return int(self.parts["inner"].shape[-1])


class TPRProbe(Probe):
    """Roles and fillers: ``binding_map_`` (d, r, f), ``roles_`` (64, r), ``fillers_`` (3, f)."""

    kind = "tpr"
    names = ("binding_map", "roles", "fillers")
    binding_map_: Tensor
    roles_: Tensor
    fillers_: Tensor

    def __init__(self, role_dim: int = 52, filler_dim: int = 2, *, random_state: int = 0, recipe: str = "fast") -> None:
        super().__init__(random_state=random_state, recipe=recipe, role_dim=role_dim, filler_dim=filler_dim)

    def shapes(self, d: int) -> dict[str, tuple[int, ...]]:
        r, f = self.sizes["role_dim"], self.sizes["filler_dim"]
        return {"binding_map": (d, r, f), "roles": (SQUARES, r), "fillers": (CLASSES, f)}

    def forward(self, parts: dict[str, Tensor], h: Tensor) -> Tensor:
        m, roles, fillers = parts["binding_map"], parts["roles"], parts["fillers"]
        d, r, f = m.shape
        # Filler by filler, so that everything large is a plain matrix product: (n, r) @ (r, 64).
        bound = (h @ m.permute(0, 2, 1).reshape(d, f * r)).view(-1, f, r)
        unbound = bound @ roles.T
        return torch.einsum("nfs,cf->ncs", unbound, fillers)

    @property
    def width(self) -> int:
        return int(self.parts["binding_map"].shape[0])

    def binding(self, activations: Tensor | NDArray) -> Tensor:
        """B(h), (n, r, f)."""
        m = self.parts["binding_map"]
        h = torch.as_tensor(activations).to(m.dtype)
        return torch.einsum("nd,drf->nrf", h, m)

    def unbind(self, binding: Tensor) -> Tensor:
        """v_s = B^T R_s for bindings (n, r, f): (n, 64, f). Its dot products with the fillers are the logits."""
        return torch.einsum("nrf,sr->nsf", binding, self.parts["roles"])

    def degrees_of_freedom(self) -> int:
        """Parameters less those of the changes of basis of roles and fillers that leave all logits alone."""
        r, f = self.sizes["role_dim"], self.sizes["filler_dim"]
        return self.parameter_count() - r * r - f * f + 1


class TrilinearProbe(Probe):
    """Row, column and colour: ``binding_map_`` (d, u, v, f), ``row_embeddings_`` (8, u), ``column_embeddings_``
    (8, v), ``fillers_`` (3, f). It is the TPR probe whose role of square (i, j) is the outer product U_i V_j."""

    kind = "trilinear"
    names = ("binding_map", "row_embeddings", "column_embeddings", "fillers")
    fillers_: Tensor

    def __init__(
        self,
        row_dim: int = 8,
        column_dim: int = 8,
        filler_dim: int = 2,
        *,
        random_state: int = 0,
        recipe: str = "fast",
    ) -> None:
        super().__init__(
            random_state=random_state, recipe=recipe, row_dim=row_dim, column_dim=column_dim, filler_dim=filler_dim
        )

    def shapes(self, d: int) -> dict[str, tuple[int, ...]]:
        u, v, f = self.sizes["row_dim"], self.sizes["column_dim"], self.sizes["filler_dim"]
        return {
            "binding_map": (d, u, v, f),
            "row_embeddings": (8, u),
            "column_embeddings": (8, v),
            "fillers": (CLASSES, f),
        }

    def forward(self, parts: dict[str, Tensor], h: Tensor) -> Tensor:
        m = parts["binding_map"]
        d, u, v, f = m.shape
        roles = outer_roles(parts["row_embeddings"], parts["column_embeddings"])
        bound = (h @ m.reshape(d, u * v, f).permute(0, 2, 1).reshape(d, f * u * v)).view(-1, f, u * v)
        return torch.einsum("nfs,cf->ncs", bound @ roles.T, parts["fillers"])

    @property
    def width(self) -> int:
        return int(self.parts["binding_map"].shape[0])

    @property
    def roles_(self) -> Tensor:
        """Roles (64, u v) of the bilinear probe that this one equals."""
        return outer_roles(self.parts["row_embeddings"], self.parts["column_embeddings"])

    def as_bilinear(self) -> TPRProbe:
        """The same function as a TPR probe, its binding map flattened over rows and columns."""
        m = self.parts["binding_map"]
        d, u, v, f = m.shape
        same = TPRProbe(u * v, f, random_state=self.random_state, recipe=self.recipe)
        return same.take({"binding_map": m.reshape(d, u * v, f), "roles": self.roles_, "fillers": self.fillers_})


def outer_roles(rows: Tensor, columns: Tensor) -> Tensor:
    """Roles (64, u v) of rows (8, u) and columns (8, v): square 8 i + j has the outer product of row i and column j."""
    return torch.einsum("iu,jv->ijuv", rows, columns).reshape(SQUARES, -1)


def checked(activations: Tensor | NDArray, boards: Tensor | NDArray) -> tuple[Tensor, Tensor]:
    """Activations as floats (n, d) and boards as int64 (n, 64), or a UserError that says what is wrong."""
    h, y = torch.as_tensor(activations), torch.as_tensor(boards)
    if h.ndim != 2 or not len(h):
        raise UserError("Activations must be a matrix of rows by width, with at least one row.", "activations")
    h = h if h.dtype in (torch.float32, torch.float64) else h.float()
    if y.shape != (len(h), SQUARES):
        raise UserError(f"Boards must be {len(h)} rows of 64 squares, not {tuple(y.shape)}.", "boards")
    if y.is_floating_point() or int(y.min()) < 0 or int(y.max()) >= CLASSES:
        raise UserError("Boards hold whole numbers: 0 empty, 1 just moved, 2 to move.", "boards")
    if not bool(torch.isfinite(h).all()):
        raise UserError("Some activations are not finite numbers, so nothing can be fitted to them.", "activations")
    return h, y.long()
