"""Semi-nonnegative matrix factorization of activations: few signed groups of neurons, each used or not by a token.

X ~ G F: tokens as rows of X (n, d); features F (K, d) signed, with few neurons each; activations G (n, K) >= 0. The
objective and the order of its steps are the published ones (arXiv 2506.10920); what is different is the nonnegative
step, which is solved nearly to its end instead of being nudged, and that the residual is never formed.
Features have unit length here and activations carry the size: an activation is how far a token goes along a feature.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from analysis.errors import UserError
from analysis.progress import Check, Progress, no_check, silent
from analysis.snmf.plain import plain_step
from analysis.snmf.spread import Shards
from analysis.snmf.start import KINDS, start_activations
from analysis.snmf.updates import least_squares, nonnegative, products, rescale, winner_take_all

SOLVERS = ("fast", "plain")
SWEEPS = 2
"""Coordinate sweeps between two least-squares steps: fewer lose in iterations, more in time."""


class SemiNMF(TransformerMixin, BaseEstimator):
    """Factorize activations.

    ``n_components`` K; ``sparsity``: share p of neurons that a feature keeps (1.0: all); ``init``: "kmeans", "random"
    or "svd"; ``max_iter``; ``tol``: relative fall of the loss that counts, ``patience``: iterations without one after
    which it ends; ``solver``: "fast", or "plain" for the published five steps; ``random_state``.

    Learned: ``components_`` (K, d) of unit length, at most ceil(p d) entries each (ties aside); ``activations_`` (n, K)
    >= 0; ``loss_curve_``: |X - G F|^2 by iteration; ``best_iter_``, whose pair is kept; ``explained_``: 1 - loss /
    |X|^2, not centred; ``n_iter_``; ``converged_``.
    """

    def __init__(
        self,
        n_components: int = 100,
        *,
        sparsity: float = 0.01,
        init: str = "kmeans",
        max_iter: int = 400,
        tol: float = 1e-5,
        patience: int = 50,
        solver: str = "fast",
        random_state: int = 0,
    ) -> None:
        self.n_components = n_components
        self.sparsity = sparsity
        self.init = init
        self.max_iter = max_iter
        self.tol = tol
        self.patience = patience
        self.solver = solver
        self.random_state = random_state

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        progress: Progress = silent,
        check: Check = no_check,
        shards: Shards | None = None,
    ) -> SemiNMF:
        """Learn from tokens X (n, d). ``progress`` is told, as ``curve``, the share explained by iteration. ``shards``:
        the same tokens where the fast steps are made, in float32 on the CPU.

        Raises UserError for bad settings, too few tokens, or no numbers.
        """
        self.fit_transform(X, y, progress=progress, check=check, shards=shards)
        return self

    @torch.no_grad()
    def fit_transform(
        self,
        X: Any,
        y: Any = None,
        *,
        progress: Progress = silent,
        check: Check = no_check,
        shards: Shards | None = None,
    ) -> Any:
        """As :meth:`fit`; the activations (n, K), of the type that came in."""
        data = as_tensor(X)
        self._check(data)
        total = squared(data)
        G = start_activations(data, self.n_components, self.init, self.random_state)
        if shards is not None:
            shards.begin(G, data)
        transposed = np.ascontiguousarray(data.T.numpy()) if data.device.type == "cpu" else None
        curve: list[float] = []
        best, kept, since, limit = math.inf, None, 0, math.inf
        self.converged_ = False
        for iteration in range(self.max_iter):
            check()
            if self.solver == "plain":
                G, F, loss = plain_step(data, G, self.sparsity)
            elif shards is not None:
                G, F, loss = shards.step(G, self.sparsity, SWEEPS, total)
            else:
                G, F, loss = _fast_step(data, G, self.sparsity, total, transposed)
            if not math.isfinite(loss):
                break
            curve.append(loss)
            if kept is None or loss < best:
                best, kept = loss, (F, G, iteration)
            since = 0 if loss < limit * (1 - self.tol) else since + 1
            limit = min(limit, loss) if since == 0 else limit
            if iteration % 5 == 0 or iteration == self.max_iter - 1:
                share, text = (iteration + 1) / self.max_iter, f"iteration {iteration + 1}"
                progress(share, text, curve=_curve(curve, total, kept[2]))
            if since >= self.patience:
                self.converged_ = True
                break
        if kept is None:
            raise UserError(
                "The factorization gave no finite numbers. Use fewer features or another start.", "features"
            )
        F, G, self.best_iter_ = kept
        size = F.norm(dim=1)
        live = size > 0
        scale = torch.where(live, size, torch.ones_like(size))
        features, activations = F / scale[:, None], G * scale * live
        self.components_, self.activations_ = _like(features, X), _like(activations, X)
        self.loss_curve_, self.n_iter_ = curve, len(curve)
        self.explained_ = explained(data, activations, features)
        self.n_features_in_ = data.shape[1]
        return self.activations_

    @torch.no_grad()
    def transform(self, X: Any, *, sweeps: int = 500) -> Any:
        """Activations (m, K) >= 0 of new tokens X (m, d), the features fixed: least squares under the sign, to its end.

        Raises UserError for tokens of another width or without finite numbers.
        """
        check_is_fitted(self)
        data = as_tensor(X)
        F = as_tensor(self.components_).to(data)
        if data.ndim != 2 or data.shape[1] != F.shape[1]:
            raise UserError(
                f"These activations do not have {F.shape[1]:,} numbers a token. Take those of the site that was "
                "factorized.",
                "text",
            )
        if not bool(data.isfinite().all()):
            raise UserError("These activations hold values that are no finite numbers. Try another text.", "text")
        start = torch.zeros(len(data), len(F), dtype=data.dtype, device=data.device)
        return _like(nonnegative(start, data @ F.T, F @ F.T, sweeps), X)

    def inverse_transform(self, X: Any) -> Any:
        """Activations (m, K) back to neurons, (m, d)."""
        check_is_fitted(self)
        activations = as_tensor(X)
        return _like(activations @ as_tensor(self.components_).to(activations), X)

    def _check(self, X: Tensor) -> None:
        if X.ndim != 2 or len(X) < 2:
            raise UserError("A factorization needs at least two tokens. Bring more text.", "tokens")
        if self.n_components < 1 or self.n_components != int(self.n_components):
            raise UserError("The number of features must be a whole number from 1 on.", "features")
        if self.n_components > len(X):
            raise UserError(
                f"{self.n_components:,} features cannot be found in {len(X):,} tokens. Use fewer features, or more "
                "text.",
                "features",
            )
        if not 0 < self.sparsity <= 1:
            raise UserError("The kept share of neurons must be above 0 and at most 1.", "kept")
        if self.init not in KINDS:
            raise UserError(f"The start must be one of {', '.join(KINDS)}.", "init")
        if self.solver not in SOLVERS:
            raise UserError(f"The solver must be one of {', '.join(SOLVERS)}.", "solver")
        if self.max_iter < 1 or self.patience < 1:
            raise UserError("At least one iteration is needed.", "iterations")
        if not bool(X.isfinite().all()):
            raise UserError(
                "The activations hold values that are no finite numbers, so nothing can be fitted to them. Load the "
                "model in another dtype, or choose another site.",
                "site",
            )
        if not bool(X.any()):
            raise UserError("All activations are zero, so there is nothing to factorize.", "site")


def _fast_step(
    X: Tensor, G: Tensor, sparsity: float, total: float, transposed: np.ndarray | None
) -> tuple[Tensor, Tensor, float]:
    F = winner_take_all(least_squares(G, X), sparsity)
    # The scales of a feature and its activations are free; equal ones keep the sums within the dtype.
    G, F = rescale(G, F)
    cross, gram = products(X, F, transposed)
    G = nonnegative(G, cross, gram, SWEEPS)
    fit = float((cross.double() * G).sum())
    square = float((gram.double() * (G.T @ G).double()).sum())
    return G, F, max(total - 2 * fit + square, 0.0)


def _curve(curve: list[float], total: float, best: int) -> dict[str, Any]:
    step = max(1, len(curve) // 200)
    places = [*range(0, len(curve) - 1, step), len(curve) - 1]
    return {
        "iteration": [i + 1 for i in places],
        "explained": [1 - curve[i] / total for i in places],
        "best": best + 1,
    }


def squared(X: Tensor) -> float:
    """|X|^2 summed in float64, in parts: a copy in float64 of all activations would not fit where they do."""
    return sum(float(part.double().square().sum()) for part in X.split(8192))


def explained(X: Tensor, activations: Tensor, features: Tensor) -> float:
    """1 - |X - G F|^2 / |X|^2 of tokens X (n, d), from the residual itself; not centred."""
    parts = zip(X.split(8192), activations.split(8192), strict=True)
    return 1 - sum(squared(part - used @ features) for part, used in parts) / squared(X)


def as_tensor(X: Any) -> Tensor:
    """X as a tensor of float32 or float64, which it keeps where it has it."""
    tensor = X if isinstance(X, Tensor) else torch.from_numpy(np.asarray(X))
    return tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()


def _like(tensor: Tensor, X: Any) -> Any:
    return tensor if isinstance(X, Tensor) else tensor.cpu().numpy()
