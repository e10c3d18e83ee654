"""The estimator that every probe of the board is: fitted, scored, read and kept in one way, whatever it shares."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from analysis.errors import UserError
from analysis.progress import Check, Progress, no_check, silent
from analysis.tpr import scores
from analysis.tpr.fitting import fit_fast
from analysis.tpr.parametrization import SQUARES, Activations, Parametrization, Parts
from analysis.tpr.reference import fit_reference
from analysis.tpr.start import check_data

CHUNK = 16_384


class Probe(Parametrization, BaseEstimator):
    """What all probes share: an estimator of scikit-learn's kind, with the settings of :class:`Parametrization`."""

    kinds: ClassVar[dict[str, type[Probe]]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        Probe.kinds[cls.kind] = cls

    def fit(
        self,
        X: Activations,
        y: Activations,
        *,
        validation: tuple[Activations, Activations] | None = None,
        progress: Progress = silent,
        check: Check = no_check,
    ) -> Self:
        """Learn from activations X (n, d) and boards y (n, 64) of classes 0 to 2; returns self.

        float64 activations give a float64 probe, all others a float32 one. ``check`` is called at each step.
        ``validation`` is (activations, boards) for the early stop of the reference recipe (without it the last rows
        serve); the fast recipe has no use for it.

        Raises UserError(field="probe"): settings that make no probe; (field="boards") or (field="activations"): too few
        rows, wrong shapes, other classes, numbers that are not finite.
        """
        self.check_settings()
        h, boards = check_data(X, y)
        held_out = None if validation is None else check_data(*validation, width=h.shape[1])
        if self.recipe == "reference":
            return self.take(fit_reference(self, h, boards, held_out, progress, check))
        return self.take(fit_fast(self, h, boards, progress, check))

    def take(self, parts: Parts) -> Self:
        """Take learned tensors over, by name without underscore."""
        for name in self.names:
            setattr(self, name + "_", parts[name].detach())
        self.n_features_in_ = self.width
        return self

    @property
    def parts(self) -> Parts:
        """The learned tensors by name. Raises NotFittedError before ``fit``."""
        check_is_fitted(self)
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
        chunks = [self.logits(h[i : i + CHUNK]).argmax(-1).to(torch.uint8).numpy() for i in range(0, len(h), CHUNK)]
        return np.concatenate(chunks) if chunks else np.empty((0, SQUARES), np.uint8)

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
        unknown = set(rest) - set(cls().get_params())
        if unknown:
            raise UserError(f"The {cls.kind} probe has no setting {sorted(unknown)[0][:40]!r}.", "probe")
        probe = cls(**rest)
        probe.check_settings()
        first = np.asarray(arrays.get(cls.tensors[0], 0.0))
        shapes = probe.shapes(int(first.shape[cls.axis])) if first.ndim else {}
        parts = {name: torch.from_numpy(np.array(arrays[name])) for name in probe.names if name in arrays}
        if any(name not in parts or tuple(parts[name].shape) != shapes.get(name) for name in probe.names):
            raise UserError(f"These arrays do not have the shapes of a {cls.kind} probe of these settings.", "probe")
        if not all(bool(torch.isfinite(value).all()) for value in parts.values()):
            raise UserError("These arrays hold numbers that are not finite.", "probe")
        return probe.take(parts)
