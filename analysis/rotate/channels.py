"""Vocabulary channels of neurons, one after the other (arXiv 2604.06005).

A round finds for each neuron the channel of least loss, then the tokens of its tails are weighted down for this neuron,
and the next round starts from the same weight vector. Neurons go through the rounds in batches, so that what a channel
costs is its share of a few dozen matrix products. What is kept of a channel is what a reader needs to judge it: not
only its kurtosis, which random vectors reach as well, but how strongly the neuron itself favours the channel's tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import Tensor

from analysis.errors import UserError
from analysis.progress import Progress, silent
from analysis.rotate.descent import Descent, Look, adamw
from analysis.rotate.lbfgs import lbfgs
from analysis.rotate.objective import Objective, kurtosis, skewness, z_scores

TOP = 20
"""How many tokens stand for a channel."""
MASKED = 0.01
"""Weight of a masked token in later rounds."""
ONE_SIDED = 10.0
"""Skewness beyond which only the heavier tail is masked."""
BATCH = 32
Batches = Callable[
    ["VocabularyChannels", Tensor, Tensor, Sequence[range], Progress],
    Iterable[dict[str, Any]],
]
"""Goes through the batches of a search elsewhere: the search, vectors (N, d), token weights (V,), and the rows of each
batch; gives what :meth:`VocabularyChannels.batch` gives of each, in their order."""


class VocabularyChannels(BaseEstimator):
    """Channels of weight vectors.

    ``n_channels`` rounds; ``kurtosis_weight`` and ``cosine_weight``: the two terms of the loss; ``mask_z``: tokens
    beyond so many standard deviations of a found channel are weighted down; ``optimiser``: "lbfgs", or "adamw" for the
    published recipe at ``rate`` with at most ``max_steps`` steps; ``starts``: random starts, of which the lowest loss
    is kept; ``compatible``: as the official code, a mask sets a weight even where it was lower, and AdamW keeps the
    candidate of largest kurtosis without token weights instead of lowest loss (with one start and ``compatible``, the
    optimiser "adamw" is the official recipe whole). ``random_state`` decides the starts:
    those of a neuron depend on its place among the rows and on the round, not on the batch.

    After :meth:`fit`, for N vectors and C rounds: ``channels_`` (N, C, d), of the vectors' lengths; ``loss_``,
    ``cosine_`` with the neuron, ``kurtosis_`` and ``skewness_`` (both with the round's token weights), ``pole_`` (the
    sign of the heavier tail), ``masked_`` (tokens weighted down after the round), ``evaluations_``: (N, C); ``top_``
    (N, C, 20) ids of the heaviest tokens of the pole, ``top_z_`` the channel's z-scores there, ``top_own_z_`` those of
    the neuron itself, both times the pole; ``own_z_`` (N, C) their mean; ``weights_`` (N, V) token weights after the
    last round, if ``keep_weights``; ``traces_`` a list of C rounds, each (steps (S,), (S, N, 3) loss, kurtosis,
    cosine of the kept start), for a single batch of neurons only.
    """

    def __init__(
        self,
        n_channels: int = 5,
        *,
        kurtosis_weight: float = 0.3,
        cosine_weight: float = 1.0,
        mask_z: float = 4.0,
        optimiser: str = "lbfgs",
        starts: int = 2,
        rate: float = 8e-4,
        max_steps: int = 10_000,
        compatible: bool = False,
        keep_weights: bool = False,
        random_state: int = 0,
    ) -> None:
        self.n_channels = n_channels
        self.kurtosis_weight = kurtosis_weight
        self.cosine_weight = cosine_weight
        self.mask_z = mask_z
        self.optimiser = optimiser
        self.starts = starts
        self.rate = rate
        self.max_steps = max_steps
        self.compatible = compatible
        self.keep_weights = keep_weights
        self.random_state = random_state

    @torch.no_grad()
    def fit(
        self,
        X: Tensor | np.ndarray,
        U: Tensor | np.ndarray,
        token_weights: Tensor | None = None,
        *,
        progress: Progress = silent,
        batches: Batches | None = None,
    ) -> VocabularyChannels:
        """Find the channels of vectors X (N, d) under the projection U (V, d), one row per token.

        ``token_weights`` (V,) before the first round: 0 leaves a token out. ``progress`` is told the ``channel``, the
        ``step``, and the ``figures`` (loss, kurtosis, cosine) of the first neuron of the batch; it may raise to cancel.
        ``batches``: how to go through the batches, where that is not done here; then no ``figures`` and no ``traces_``.
        Raises UserError for vectors that are no numbers, of another width than the projection's, or bad settings.
        """
        U = torch.as_tensor(U)
        W = torch.as_tensor(X).to(U)
        self._check(W, U)
        weights = torch.ones(len(U)).to(U) if token_weights is None else token_weights.to(U)
        rows = [range(first, min(first + BATCH, len(W))) for first in range(0, len(W), BATCH)]
        if batches is not None:
            parts = list(batches(self, W, weights, rows, progress))
        else:
            parts = [self.batch(W[r.start : r.stop], U, weights, r, len(W), progress) for r in rows]
        for name in parts[0]:
            if name != "traces_":
                setattr(self, name, torch.cat([p[name] for p in parts]))
        self.traces_ = parts[0].get("traces_", []) if len(parts) == 1 else []
        self.n_features_in_ = W.shape[1]
        return self

    def _check(self, W: Tensor, U: Tensor) -> None:
        if W.ndim != 2 or U.ndim != 2 or W.shape[1] != U.shape[1] or not len(W):
            raise UserError("The weight vectors and the projection must be matrices of equal width.", "neuron")
        if not bool(W.isfinite().all()) or bool((W.norm(dim=1) == 0).any()):
            raise UserError("A weight vector holds values that are no finite numbers, or is all zero.", "neuron")
        if self.n_channels < 1 or self.starts < 1:
            raise UserError("At least one channel and one start are needed.", "channels")
        if self.optimiser not in ("lbfgs", "adamw"):
            raise UserError("The optimiser must be lbfgs or adamw.", "optimiser")
        if not self.kurtosis_weight >= 0 or not self.cosine_weight > 0:
            raise UserError(
                "The weight of kurtosis must not be negative, and that of the cosine must be positive.", "weights"
            )

    def batch(self, W: Tensor, U: Tensor, start: Tensor, rows: range, total: int, progress: Progress) -> dict[str, Any]:
        """The attributes of :meth:`fit` for a batch W (n, d) of vectors, which are the ``rows`` of ``total``; ``start``
        (V,) are the token weights before the first round."""
        own = z_scores(W @ U.T)
        weights = start
        found: list[dict[str, Tensor]] = []
        traces = []
        for number in range(self.n_channels):
            objective = Objective(W, U, weights, self.kurtosis_weight, self.cosine_weight)

            def look(step: int, figures: Tensor, number: int = number) -> None:
                inside = min(step / self._expected(), 0.95)
                share = (rows.start + len(rows) * (number + inside) / self.n_channels) / total
                text = f"channel {number + 1} of {self.n_channels}, step {step}"
                progress(share, text, channel=number + 1, step=step, figures=figures[0].tolist())

            made = self._descend(objective, rows, number, look)
            channel, weights = self._describe(made, W, U, own, weights)
            traces.append((made.steps, made.trace))
            found.append(channel)
        result: dict[str, Any] = {f"{k}_": torch.stack([f[k] for f in found], 1) for k in found[0]}
        if self.keep_weights:
            result["weights_"] = weights.expand(len(W), -1)
        return result | {"traces_": traces}

    def _descend(self, objective: Objective, rows: range, number: int, look: Look) -> Descent:
        """The best of several starts for every neuron of a batch."""
        n, d = objective.w.shape
        start = torch.cat([self._start(row, number, d) for row in rows]).to(objective.w)
        neuron = torch.arange(n, device=start.device).repeat_interleave(self.starts)
        if self.optimiser == "lbfgs":
            made = lbfgs(objective, start, neuron, look=look)
        else:
            made = adamw(
                objective,
                start,
                neuron,
                rate=self.rate,
                max_steps=self.max_steps,
                first_check=min(2_000, self.max_steps),
                by_kurtosis=self.compatible,
                look=look,
            )
        # Reference mode with one start has nothing to choose; ties go to the first start.
        best = made.loss.view(n, self.starts).argmin(1) + torch.arange(n, device=start.device) * self.starts
        kept = best.cpu()
        return Descent(
            made.vectors[best],
            made.loss[best],
            made.kurtosis[best],
            made.cosine[best],
            made.evaluations.view(n, self.starts).sum(1) if self.optimiser == "lbfgs" else made.evaluations[kept],
            made.steps,
            made.trace[:, kept],
        )

    def _expected(self) -> int:
        """About how many steps a descent takes: evaluations of L-BFGS, steps of AdamW."""
        return 120 if self.optimiser == "lbfgs" else min(4_000, self.max_steps)

    def _start(self, row: int, number: int, width: int) -> Tensor:
        generator = torch.Generator().manual_seed(hash((self.random_state, row, number)) & 0x7FFF_FFFF_FFFF_FFFF)
        return torch.randn(self.starts, width, generator=generator, dtype=torch.float64)

    def _describe(
        self, made: Descent, W: Tensor, U: Tensor, own: Tensor, weights: Tensor
    ) -> tuple[dict[str, Tensor], Tensor]:
        """What is kept of the channels of one round, and the token weights of the next."""
        projected = made.vectors @ U.T
        z = z_scores(projected)
        skew = skewness(weights * projected)
        pole = torch.where(skew < 0, -1.0, 1.0).to(z)
        visible = pole[:, None] * z * weights
        top = visible.topk(min(TOP, len(U)), dim=1).indices
        top_own = own.gather(1, top) * pole[:, None]
        # The tails are those of the channel itself, whatever the weights.
        plain = skewness(projected)[:, None]
        high, low = z > self.mask_z, z < -self.mask_z
        tails = torch.where(plain > ONE_SIDED, high, torch.where(plain < -ONE_SIDED, low, high | low))
        level = torch.full_like(z, MASKED)
        after = torch.where(tails, level if self.compatible else weights.clamp(max=MASKED).expand_as(z), weights)
        described = {
            "channels": made.vectors,
            "loss": made.loss,
            "cosine": made.cosine,
            "kurtosis": kurtosis(weights * projected),
            "skewness": skew,
            "pole": pole,
            "masked": tails.sum(1),
            "evaluations": made.evaluations,
            "top": top,
            "top_z": z.gather(1, top) * pole[:, None],
            "top_own_z": top_own,
            "own_z": top_own.mean(1),
        }
        return described, after
