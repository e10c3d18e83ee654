"""The mixture of factor analyzers as an estimator of scikit-learn's kind.

The fit runs on centred activations divided by one scalar, so that floors, tolerances and single precision mean the
same at every layer of every model; what it finds is folded back, so that attributes are in the units of the data.
Dimensions are not scaled one by one: that would change which directions count.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from analysis.errors import UserError
from analysis.mfa.density import Density
from analysis.mfa.em import Floors, Statistics
from analysis.mfa.parameters import Noise, Parameters
from analysis.mfa.spread import Passes, Shards
from analysis.mfa.start import Start, begin, too_few
from analysis.mfa.stream import Activations, Stream, as_points, finite
from analysis.mfa.training import Schedule, Stepwise, Trained, train
from analysis.mfa.validation import check_settings, check_width
from analysis.progress import Progress, silent

HELD_ELEMENTS = 2**25  # of the activations held out: they stay in memory, 128 MB in float32
FIRST_ROUNDS = 5  # of EM on the first activations that partial_fit sees
IMPORTED_BATCHES = 10.0  # how many batches stochastic EM takes given parameters to stand for

Array = np.ndarray | Tensor


class MixtureOfFactorAnalyzers(DensityMixin, BaseEstimator):
    """p(x) = sum_k pi_k N(x | mu_k, W_k W_k^T + Psi), fitted by EM (arXiv 2602.02464 for the use).

    Args:
        n_components: regions, K. n_factors: local factors of each, R < D; 0 makes the Gaussians diagonal.
        noise: "shared", one diagonal Psi, or "component", one for each region.
        start: "kmeans", or "points" for centroids that are activations drawn at random.
        max_iter: most M-steps. tol: nats per activation, on those held out; a round that gains less is the last.
        top: responsibilities per activation that the M-step takes, None for all.
        rotation: of the factors: "principal", "varimax" or "none".
        batch_size: activations taken at a time. validation: share of them held out to decide when to stop.
        n_init: fits from different seeds, of which the best on held-out activations is kept.
        random_state: seed, None for another one every time.

    Attributes, after a fit, in the units of the data and as numpy arrays or tensors, as the data were:
        weights_ (K,), means_ (K, D), loadings_ (K, D, R), noise_variance_ (D,) or (K, D); parameters_, the same as
        :class:`Parameters`; center_ (D,), the mean of the data, and scale_, the root of their mean variance; history_,
        rows of iteration, train and held_out (mean log-density in nats), seconds and reseeded; n_iter_ M-steps,
        converged_, reseeded_ (empty regions moved), score_ of the kept parameters, n_features_in_.
    """

    def __init__(
        self,
        n_components: int = 64,
        n_factors: int = 8,
        *,
        noise: Noise = "shared",
        start: Start = "kmeans",
        max_iter: int = 30,
        tol: float = 0.2,
        top: int | None = 2,
        rotation: Literal["none", "principal", "varimax"] = "principal",
        batch_size: int = 4096,
        validation: float = 0.1,
        n_init: int = 1,
        random_state: int | None = 0,
    ) -> None:
        self.n_components = n_components
        self.n_factors = n_factors
        self.noise = noise
        self.start = start
        self.max_iter = max_iter
        self.tol = tol
        self.top = top
        self.rotation = rotation
        self.batch_size = batch_size
        self.validation = validation
        self.n_init = n_init
        self.random_state = random_state

    @classmethod
    def from_parameters(cls, parameters: Parameters, center: Tensor | None = None) -> MixtureOfFactorAnalyzers:
        """An estimator that is already fitted: its parameters as given, not rotated. ``center`` (D,): mean of the data,
        by default that of the mixture."""
        noise: Noise = "shared" if parameters.noise.ndim == 1 else "component"
        found = cls(parameters.components, parameters.factors, noise=noise, rotation="none")
        sums = Statistics.expected(parameters)
        mean = sums.cross[..., -1].sum(0)
        square = sums.square if sums.square.ndim == 1 else sums.square.sum(0)
        spread = float((square - mean.square()).mean())
        found._stand(mean if center is None else center, math.sqrt(max(spread, 1e-30)), "torch")
        working = parameters.scaled(1 / found.scale_, -found._shift.to(parameters.means) / found.scale_)
        found._stepwise = found._online(working, Statistics.expected(working), IMPORTED_BATCHES)
        found.history_, found.n_iter_, found.converged_, found.reseeded_ = [], 0, True, 0
        found._publish(parameters)
        return found

    def fit(
        self,
        X: Activations,
        y: Any = None,
        *,
        validation: Activations | None = None,
        progress: Progress = silent,
        shards: Shards | None = None,
    ) -> MixtureOfFactorAnalyzers:
        """Fit activations (N, D): an array, a tensor, or batches (M, D), in a list or from a function that starts anew.

        float64 stays, all else is computed in float32, on the device of the data; batches are converted one at a time,
        and need not fit in memory together. ``validation``: activations of other documents, in the place of a held-out
        share of these. ``progress`` is told each row of ``history_`` as ``iteration``.
        ``shards``: the same activations and the same held out, where the passes over them are made; what is done once
        is done here. Settings, numbers that are not finite and too few activations raise UserError.
        """
        check_settings(self)
        seed = self._seed()
        stream = Stream.of(X, self.batch_size, seed)
        rows, center = self._measure(stream)
        held: Stream | list[Tensor] | Passes | None = None
        share = 0.0
        if validation is None:
            share = min(float(self.validation), HELD_ELEMENTS / (rows * center.shape[0]))
        stream = stream.standardised(center, self.scale_).holding(share)
        if validation is not None:
            outside = Stream.of(validation, self.batch_size, seed)
            if outside.moments()[1].shape[0] != center.shape[0]:
                raise UserError("The validation activations have another width than those to fit.", "validation")
            held = outside.standardised(center, self.scale_)
        elif share:
            apart = list(stream.batches("held"))
            rows -= sum(p.shape[0] for p in apart)
            held = apart or None
        if rows < self.n_components:
            raise too_few(self.n_components, rows)
        kept: Stream | Passes = stream
        over: Passes | None = None
        if shards is not None and validation is not None:
            over, held = shards.passes(center, self.scale_, self.batch_size)
            kept = over
        schedule = Schedule(self.max_iter, self.tol, self.top, -center.shape[0] * math.log(self.scale_))
        best: Trained | None = None
        for run in range(self.n_init):
            generator = torch.Generator().manual_seed(seed + run)
            first = self._begin(stream, rows, generator, over)
            found = train(first, kept, held, schedule, generator, progress)
            best = found if best is None or found.score > best.score else best
        assert best is not None
        self._stepwise = self._online(best.parameters, best.sums, rows / self.batch_size)
        self.history_, self.converged_, self.reseeded_ = best.history, best.converged, best.reseeded
        self.n_iter_, self.score_ = len(best.history) - 1, best.score
        self._publish(best.parameters.scaled(self.scale_, center.to(best.parameters.means)))
        return self

    def partial_fit(self, X: Activations, y: Any = None, *, progress: Progress = silent) -> MixtureOfFactorAnalyzers:
        """Go on fitting with more activations, as in :meth:`fit`: each batch is read once (stochastic EM).

        The first call, unless there was a fit before, needs at least K of them, better 50 K: they give the start, the
        shift and the scale. Rows of ``history_`` then tell how well each batch was explained before it was learned.
        """
        check_settings(self)
        seed = self._seed()
        stream = Stream.of(X, self.batch_size, seed)
        if not hasattr(self, "_stepwise"):
            rows, center = self._measure(stream)
            if rows < self.n_components:
                raise too_few(self.n_components, rows)
            stream = stream.standardised(center, self.scale_)
            generator = torch.Generator().manual_seed(seed)
            schedule = Schedule(FIRST_ROUNDS, 0.0, self.top, -center.shape[0] * math.log(self.scale_))
            found = train(self._begin(stream, rows, generator), stream, None, schedule, generator, progress)
            self._stepwise = self._online(found.parameters, found.sums, rows / self.batch_size)
            self.history_, self.converged_, self.reseeded_ = found.history, False, found.reseeded
            self.n_iter_, self.score_ = len(found.history) - 1, found.score
        else:
            self._stepwise.size, self._stepwise.top = self.batch_size, self.top
            for points in stream.standardised(self._shift, self.scale_):
                progress(None, iteration=self._learn(finite(points), seed))
        self._publish(self._stepwise.parameters.scaled(self.scale_, self._shift.to(self._stepwise.parameters.means)))
        return self

    def score_samples(self, X: Array) -> Array:
        """log p(x) of each activation, (N,) in nats."""
        return self._answer(X, lambda points: self._density.score(points))

    def score(self, X: Array, y: Any = None) -> float:
        """Mean log p(x) in nats."""
        return float(as_points(self.score_samples(X)[:, None]).mean(dtype=torch.float64))

    def predict_proba(self, X: Array) -> Array:
        """Responsibilities p(k | x), (N, K)."""
        return self._answer(X, lambda points: self._density.responsibilities(points))

    def predict(self, X: Array) -> Array:
        """The most responsible region of each activation, (N,) int64."""
        return self._answer(X, self._regions)

    def transform(self, X: Array) -> Array:
        """Local factors, (N, R): their posterior means in the most responsible region, in standard deviations."""
        return self._answer(X, lambda points: self._density.posterior(points, self._regions(points)))

    def reconstruct(self, X: Array) -> Array:
        """mu_k + W_k z, (N, D), with k the most responsible region and z its local factors."""

        def rebuilt(points: Tensor) -> Tensor:
            region = self._regions(points)
            return self._place(region, self._density.posterior(points, region), points)

        return self._answer(X, rebuilt)

    def sample(self, n: int = 1, *, random_state: int | None = None) -> tuple[Array, Array]:
        """``n`` activations (n, D) drawn from the mixture and the regions (n,) they came from; the seed is that of the
        estimator unless given."""
        check_is_fitted(self)
        if not isinstance(n, int) or n < 1:
            raise UserError(f"The number of samples must be a whole number from 1, not {n!r}.", "n")
        held = self.parameters_.to("cpu")
        generator = torch.Generator().manual_seed(self._seed() if random_state is None else random_state)
        region = torch.multinomial(held.weights.double(), n, replacement=True, generator=generator)
        factors = torch.randn(n, held.factors, generator=generator, dtype=torch.float64).to(held.means)
        points = torch.randn(n, held.width, generator=generator, dtype=torch.float64).to(held.means)
        points *= (held.noise if held.noise.ndim == 1 else held.noise[region]).sqrt()
        points += self._place(region.to(self.parameters_.means.device), factors, points)
        return self._given(points), self._given(region)

    def _measure(self, stream: Stream) -> tuple[int, Tensor]:
        rows, center, variance = stream.moments()
        check_width(self.n_factors, center.shape[0])
        if not variance > 0:
            raise UserError("All activations are the same, so there is nothing to fit.", "activations")
        self._stand(center, math.sqrt(variance), stream.arrays)
        return rows, center

    def _begin(self, stream: Stream, rows: int, generator: torch.Generator, over: Passes | None = None) -> Parameters:
        return begin(
            stream,
            self.n_components,
            self.n_factors,
            noise=self.noise,
            start=self.start,
            generator=generator,
            rows=rows,
            over=over,
        )

    def _learn(self, points: Tensor, seed: int) -> dict[str, Any]:
        """A step of stochastic EM; its row of the history."""
        generator = torch.Generator().manual_seed(seed + self.n_iter_)
        gone = self._stepwise.reseeded
        score = self._stepwise.step(points, generator) - points.shape[1] * math.log(self.scale_)
        self.n_iter_ += 1
        self.reseeded_ += self._stepwise.reseeded - gone
        row = {"iteration": self.n_iter_, "train": score, "held_out": None, "seconds": 0.0, "reseeded": self.reseeded_}
        self.history_.append(row)
        return dict(row)

    def _online(self, parameters: Parameters, sums: Statistics, seen: float) -> Stepwise:
        return Stepwise(parameters, sums, seen, self.batch_size, self.top, Floors())

    def _seed(self) -> int:
        return torch.Generator().seed() % 2**31 if self.random_state is None else int(self.random_state)

    def _stand(self, center: Tensor, scale: float, arrays: str) -> None:
        """Where the data lie: shift and scale of the fit, and what kind of arrays they were."""
        self._shift, self.scale_, self._arrays = center.double(), scale, arrays
        self.center_ = self._given(center)

    def _publish(self, parameters: Parameters) -> None:
        """Attributes from parameters in the units of the data."""
        if self.rotation != "none":
            from analysis.mfa.rotations import rotate

            parameters = rotate(parameters, self.rotation)
        self.parameters_ = parameters
        self._density = Density(parameters, self._shift)
        self.n_features_in_ = parameters.width
        self.weights_, self.means_ = self._given(parameters.weights), self._given(parameters.means)
        self.loadings_, self.noise_variance_ = self._given(parameters.loadings), self._given(parameters.noise)

    def _regions(self, points: Tensor) -> Tensor:
        return self._density.responsibilities(points).argmax(1)

    def _place(self, region: Tensor, factors: Tensor, like: Tensor) -> Tensor:
        """mu_k + W_k z for each point's region, a product per region in use."""
        held = self.parameters_.to(like.dtype).to(like.device)
        found = held.means[region.to(like.device)]
        for k in region.unique().tolist():
            rows = (region.to(like.device) == k).nonzero()[:, 0]
            found[rows] += factors[rows] @ held.loadings[k].T
        return found

    def _answer(self, X: Array, ask: Callable[[Tensor], Tensor]) -> Array:
        check_is_fitted(self)
        found = ask(finite(as_points(X)))
        return found if isinstance(X, Tensor) else found.cpu().numpy()

    def _given(self, held: Tensor) -> Array:
        return held if self._arrays == "torch" else held.cpu().numpy()
