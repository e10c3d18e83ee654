"""Where in a model an activation is read or changed, as plain data.

Captures, fits, set-ups and the browser all have to name the same places, so the name is a small frozen record that
imports nothing heavy. Which module of a given model a site belongs to is hidden in :mod:`analysis.models.hooks`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from analysis.errors import UserError

# In the order in which one block computes them, the residual stream after the block last.
KINDS = ("mlp_hidden", "mlp_output", "residual")
_LABELS = {
    "residual": "residual stream after block {}",
    "mlp_hidden": "hidden layer of the MLP of block {}",
    "mlp_output": "output of the MLP of block {}",
}


@dataclass(frozen=True)
class Site:
    """One activation per token: ``layer`` counts decoder blocks from 0.

    ``kind``: "residual", the residual stream after the block; "mlp_hidden", what goes into the last projection of the
    block's MLP; "mlp_output", what comes out of it, before any norm that the model puts behind the MLP.

    Raises UserError(field="site") for anything else.
    """

    layer: int
    kind: str = "residual"

    def __post_init__(self) -> None:
        if type(self.layer) is not int or not 0 <= self.layer < 10_000:
            raise UserError(f"A block is named by its number from 0, not by {str(self.layer)[:20]!r}.", "site")
        if self.kind not in KINDS:
            raise UserError(f"The site must be one of {', '.join(KINDS)}, not {str(self.kind)[:20]!r}.", "site")

    @property
    def label(self) -> str:
        """For a sentence, without article: "residual stream after block 10"."""
        return _LABELS[self.kind].format(self.layer)

    @property
    def order(self) -> tuple[int, int]:
        """Sorts sites in the order in which a forward pass reaches them."""
        return self.layer, KINDS.index(self.kind)

    def to_dict(self) -> dict[str, Any]:
        """``layer`` and ``kind`` as JSON-able data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: object) -> Site:
        """The reverse of :meth:`to_dict`, for data that nobody has checked. Raises UserError(field="site")."""
        if not isinstance(data, dict) or "layer" not in data or set(data) - {"layer", "kind"}:
            raise UserError("A site is described by the fields layer and kind.", "site")
        return cls(data["layer"], data.get("kind", "residual"))
