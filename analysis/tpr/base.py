"""What every probe of the board in a residual stream can do, whatever it shares between squares.

A probe maps activations (n, d) to logits (n, 64, 3) for 64 squares and the classes empty, just moved, to move. It is a
small set of tensors with two readings of them, the probe's own path from an activation to the logits and the 192
directions that amount to the same; a kind of probe says no more than these, and fitting, scoring, keeping and comparing
are written here once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from analysis.errors import UserError
from analysis.tpr import scores

Say = Callable[[str, float | None], None]
Check = Callable[[], None]
Parts = dict[str, Tensor]
Activations = Tensor | NDArray[Any]
SQUARES, CLASSES = 64, 3
RECIPES = ("fast", "reference")
CHUNK = 16_384


class Probe:
    """What all probes share. Learned tensors end in an underscore; ``random_state`` decides everything random.

    ``recipe``: ``"fast"`` (whitened activations, a start from a linear probe, a falling rate) or ``"reference"`` (the
    published one). ``weight_decay``: decoupled, None for the recipe's own (0 and 1e-2). ``bias``: one number more for
    each square and class, ``bias_`` (3, 64). ``max_epochs``: a limit on passes over the data; None: the recipe's own
    end. Raises UserError(field="probe") for settings that make no probe.
    """

    kind: ClassVar[str] = ""
    tensors: ClassVar[tuple[str, ...]] = ()
    """Names of the learned tensors, without underscore; the first has the width d on ``axis``."""
    axis: ClassVar[int] = 0
    limits: ClassVar[dict[str, int]] = {}
    """Names of the sizes and the most that each may be."""
    kinds: ClassVar[dict[str, type[Probe]]] = {}

    def __init_subclass__(cls) -> None:
        Probe.kinds[cls.kind] = cls

    def __init__(
        self,
        *,
        random_state: int = 0,
        recipe: str = "fast",
        weight_decay: float | None = None,
        bias: bool = False,
        max_epochs: int | None = None,
        **sizes: int,
    ) -> None:
        if recipe not in RECIPES:
            raise UserError("The recipe is 'fast' or 'reference'.", "probe")
        unknown = set(sizes) - set(self.limits)
        if unknown:
            raise UserError(f"The {self.kind} probe has no setting {sorted(unknown)[0][:40]!r}.", "probe")
        for name, value in {**sizes, **({} if max_epochs is None else {"max_epochs": max_epochs})}.items():
            most = self.limits.get(name)
            if type(value) is not int or value < 1 or (most is not None and value > most):
                upper = "" if most is None else f" to {most}"
                raise UserError(f"{name} must be a whole number from 1{upper}, not {str(value)[:20]!r}.", "probe")
        if weight_decay is not None and not (math.isfinite(weight_decay) and weight_decay >= 0):
            raise UserError("The weight decay must be a number from 0, or None.", "probe")
        self.random_state, self.recipe, self.weight_decay = random_state, recipe, weight_decay
        self.bias, self.max_epochs, self.sizes = bias, max_epochs, sizes

    # What a kind of probe has to say.

    def sized(self, d: int) -> dict[str, tuple[int, ...]]:
        """Shapes of ``tensors`` at width d."""
        raise NotImplementedError

    def path(self, parts: Parts, h: Tensor) -> Tensor:
        """Logits (n, 3, 64), classes in the middle and bias left out, from tensors and activations (n, d)."""
        raise NotImplementedError

    def effective(self, parts: Parts) -> Tensor:
        """The directions (3, 64, d) that amount to ``path``; differentiable."""
        raise NotImplementedError

    # Learning.

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all that is learned."""
        return (*self.tensors, "bias") if self.bias else self.tensors

    def shapes(self, d: int) -> dict[str, tuple[int, ...]]:
        """Shapes of all that is learned at width d, by name."""
        return {**self.sized(d), **({"bias": (CLASSES, SQUARES)} if self.bias else {})}

    def forward(self, parts: Parts, h: Tensor) -> Tensor:
        """Logits (n, 3, 64) from tensors and activations (n, d), bias included."""
        found = self.path(parts, h)
        return found + parts["bias"] if self.bias else found

    def fit(
        self,
        activations: Activations,
        boards: Activations,
        *,
        validation: tuple[Activations, Activations] | None = None,
        progress: Say | None = None,
        check: Check | None = None,
    ) -> Self:
        """Learn from activations (n, d) and boards (n, 64) of classes 0 to 2; returns self.

        float64 activations give a float64 probe, all others a float32 one. ``check`` is called at each step and may
        raise to stop; ``progress`` gets (text, share). ``validation`` is (activations, boards) for the early stop of
        the reference recipe (without it the last rows serve); the fast recipe has no use for it.

        Raises UserError(field="boards") or (field="activations"): too few rows, wrong shapes, other classes, numbers
        that are not finite.
        """
        from analysis.tpr.fitting import fit_fast
        from analysis.tpr.reference import fit_reference
        from analysis.tpr.start import checked

        h, y = checked(activations, boards)
        held = None if validation is None else checked(*validation, width=h.shape[1])
        say, stop = progress or (lambda text, share: None), check or (lambda: None)
        if self.recipe == "reference":
            return self.take(fit_reference(self, h, y, held, say, stop))
        return self.take(fit_fast(self, h, y, say, stop))

    def take(self, parts: Parts) -> Self:
        """Take learned tensors over, by name without underscore."""
        for name in self.names:
            setattr(self, name + "_", parts[name].detach())
        return self

    @property
    def parts(self) -> Parts:
        """The learned tensors by name. Raises UserError(field="probe") before ``fit``."""
        if not hasattr(self, self.names[0] + "_"):
            raise UserError("This probe has not been fitted yet.", "probe")
        return {name: getattr(self, name + "_") for name in self.names}

    # Reading.

    @property
    def width(self) -> int:
        """d."""
        return int(self.parts[self.tensors[0]].shape[self.axis])

    def logits(self, activations: Activations) -> Tensor:
        """Logits (n, 64, 3) by the probe's own path; in float64 if the activations or the probe are."""
        h, parts = self.read(activations)
        with torch.no_grad():
            return self.forward(parts, h).transpose(1, 2)

    def read(self, activations: Activations) -> tuple[Tensor, Parts]:
        """Activations and learned tensors in the one type in which they are to be multiplied."""
        parts = self.parts
        h = torch.as_tensor(activations)
        if h.shape[-1:] != (self.width,):
            raise UserError(f"This probe reads vectors of width {self.width}, not {tuple(h.shape)}.", "activations")
        wide = torch.float64 in (h.dtype, parts[self.tensors[0]].dtype)
        dtype = torch.float64 if wide else torch.float32
        return h.to(dtype), {name: value.to(dtype) for name, value in parts.items()}

    def directions(self) -> Tensor:
        """(64, 3, d): vectors whose dot products with an activation are its logits (less the bias, if there is one)."""
        return self.effective(self.parts).transpose(0, 1).contiguous()

    def probabilities(self, activations: Activations) -> Tensor:
        """Softmax of the logits over the three classes, (n, 64, 3)."""
        return self.logits(activations).softmax(-1)

    def predict(self, activations: Activations) -> NDArray[np.uint8]:
        """Most likely class of each square, (n, 64) uint8."""
        h = torch.as_tensor(activations)
        found = [self.logits(h[i : i + CHUNK]).argmax(-1).to(torch.uint8).numpy() for i in range(0, len(h), CHUNK)]
        return np.concatenate(found) if found else np.empty((0, SQUARES), np.uint8)

    def accuracy(self, activations: Activations, boards: ArrayLike) -> float:
        """Share of squares read rightly."""
        return scores.accuracy(self.predict(activations), boards)

    def square_accuracy(self, activations: Activations, boards: ArrayLike) -> NDArray[np.float64]:
        """Share of rows read rightly, by square (64,)."""
        return scores.square_accuracy(self.predict(activations), boards)

    def macro_f1(self, activations: Activations, boards: ArrayLike) -> float:
        """Mean over the three classes of the F1 score, all squares pooled."""
        return scores.macro_f1(self.predict(activations), boards)

    def parameter_count(self, width: int | None = None) -> int:
        """Numbers that are learned, at ``width`` or at that of the fit."""
        return sum(math.prod(shape) for shape in self.shapes(self.width if width is None else width).values())

    def degrees_of_freedom(self, width: int | None = None) -> int:
        """Parameters less the changes of basis that leave every logit alone.

        It is the dimension of the set of directions that such a probe can have (at sizes that its other modes can
        fill: rank up to d, roles up to d f).
        """
        return self.parameter_count(width) - self.gauge(self.width if width is None else width)

    def gauge(self, width: int) -> int:
        """How many of the parameters are a choice of basis, or idle."""
        return 0

    # Keeping.

    def to_arrays(self) -> tuple[dict[str, NDArray[np.float32]], dict[str, Any]]:
        """Learned tensors as float32 arrays by name, and the settings that rebuild the estimator."""
        arrays = {name: value.float().contiguous().numpy() for name, value in self.parts.items()}
        settings = {"kind": self.kind, "random_state": self.random_state, "recipe": self.recipe, "bias": self.bias}
        return arrays, {**settings, "weight_decay": self.weight_decay, "max_epochs": self.max_epochs, **self.sizes}

    @staticmethod
    def from_arrays(arrays: dict[str, NDArray[Any]], settings: dict[str, Any]) -> Probe:
        """The reverse of :meth:`to_arrays`. Raises UserError(field="probe") for arrays that make no such probe."""
        rest = dict(settings)
        cls = Probe.kinds.get(str(rest.pop("kind", "")))
        if cls is None:
            raise UserError("These arrays are no probe of a known kind.", "probe")
        probe = cls(**rest)
        first = np.asarray(arrays.get(cls.tensors[0], 0.0))
        shapes = probe.shapes(int(first.shape[cls.axis])) if first.ndim else {}
        found = {name: torch.from_numpy(np.array(arrays[name])) for name in probe.names if name in arrays}
        if any(name not in found or tuple(found[name].shape) != shapes.get(name) for name in probe.names):
            raise UserError(f"These arrays do not have the shapes of a {cls.kind} probe of these settings.", "probe")
        if not all(bool(torch.isfinite(value).all()) for value in found.values()):
            raise UserError("These arrays hold numbers that are not finite.", "probe")
        return probe.take(found)
