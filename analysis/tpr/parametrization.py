"""The function that a probe is: how activations and learned tensors become logits, whatever they were learned from.

A probe maps activations (n, d) to logits (n, 64, 3) for 64 squares and the classes empty, just moved, to move. It is a
small set of tensors with two readings of them: the path from an activation to the logits, and the 192 directions that
amount to the same. The recipes of fitting need no more than this, so they stand between it and the estimator (base).
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

from numpy.typing import NDArray
from torch import Tensor

from analysis.errors import UserError

Parts = dict[str, Tensor]
Activations = Tensor | NDArray[Any]
SQUARES, CLASSES = 64, 3
RECIPES = ("fast", "reference")


class Parametrization:
    """Settings and shape of a kind of probe; ``random_state`` decides everything random.

    ``recipe``: ``"fast"`` (whitened activations, a start from a linear probe, a falling rate) or ``"reference"`` (the
    published one). ``weight_decay``: decoupled, None for the recipe's own (0 and 1e-2). ``bias``: one number more for
    each square and class, ``bias_`` (3, 64). ``max_epochs``: a limit on passes over the data; None: the recipe's own
    end. Settings are taken as they come, and checked when they are used.
    """

    kind: ClassVar[str] = ""
    tensors: ClassVar[tuple[str, ...]] = ()
    """Names of the learned tensors, without underscore; the first has the width d on ``axis``."""
    axis: ClassVar[int] = 0
    limits: ClassVar[dict[str, int]] = {}
    """Names of the sizes and the most that each may be."""

    def __init__(
        self,
        *,
        random_state: int = 0,
        recipe: str = "fast",
        weight_decay: float | None = None,
        bias: bool = False,
        max_epochs: int | None = None,
    ) -> None:
        self.random_state, self.recipe, self.weight_decay = random_state, recipe, weight_decay
        self.bias, self.max_epochs = bias, max_epochs

    @property
    def sizes(self) -> dict[str, int]:
        """The settings that ``limits`` names."""
        return {name: getattr(self, name) for name in self.limits}

    def check_settings(self) -> None:
        """Raise UserError(field="probe") for settings that make no probe."""
        if self.recipe not in RECIPES:
            raise UserError("The recipe is 'fast' or 'reference'.", "probe")
        epochs = {} if self.max_epochs is None else {"max_epochs": self.max_epochs}
        for name, value in {**self.sizes, **epochs}.items():
            most = self.limits.get(name)
            if type(value) is not int or value < 1 or (most is not None and value > most):
                upper = "" if most is None else f" to {most}"
                raise UserError(f"{name} must be a whole number from 1{upper}, not {str(value)[:20]!r}.", "probe")
        if self.weight_decay is not None and not (math.isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise UserError("The weight decay must be a number from 0, or None.", "probe")

    # What a kind of probe has to say.

    def tensor_shapes(self, d: int) -> dict[str, tuple[int, ...]]:
        """Shapes of ``tensors`` at width d."""
        raise NotImplementedError

    def path(self, parts: Parts, h: Tensor) -> Tensor:
        """Logits (n, 3, 64), classes in the middle and bias left out, from tensors and activations (n, d)."""
        raise NotImplementedError

    def effective(self, parts: Parts) -> Tensor:
        """The directions (3, 64, d) that amount to ``path``; differentiable."""
        raise NotImplementedError

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all that is learned."""
        return (*self.tensors, "bias") if self.bias else self.tensors

    def shapes(self, d: int) -> dict[str, tuple[int, ...]]:
        """Shapes of all that is learned at width d, by name."""
        return {**self.tensor_shapes(d), **({"bias": (CLASSES, SQUARES)} if self.bias else {})}

    def forward(self, parts: Parts, h: Tensor) -> Tensor:
        """Logits (n, 3, 64) from tensors and activations (n, d), bias included."""
        logits = self.path(parts, h)
        return logits + parts["bias"] if self.bias else logits

    def gauge(self, width: int) -> int:
        """How many of the parameters are a choice of basis, or idle."""
        return 0
