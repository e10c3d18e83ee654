"""A model reads a text, and a factorization says which features each token uses, its features held fixed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from analysis.models.capture import capture
from analysis.models.loaded_model import LoadedModel
from analysis.models.prompts import token_labels
from analysis.snmf.answers.factorization import FeatureName, TextReading

if TYPE_CHECKING:
    from analysis.snmf.library import Factorization

SHOWN = 24
OUTSIDE = 20.0
"""Tokens whose activation is longer than this many medians of the text are not solved for: no fit has seen such."""


def activations_of(loaded: LoadedModel, fit: Factorization, ids: Sequence[int]) -> Tensor:
    """Activations (T, d) float32 of all tokens of a text at the factorization's site, the first ones included."""
    batch = next(capture(loaded, [([0], [list(ids)])], [fit.site], skip_first=0, norm_guard=None))
    return batch.activations[fit.site].float()


def codes(components: Tensor, x: Tensor) -> Tensor:
    """How much of each unit feature (K, d) each activation (n, d) uses: (n, K) >= 0, the features held fixed."""
    from analysis.snmf.semi_nmf import SemiNMF

    estimator = SemiNMF(n_components=len(components))
    estimator.components_ = components
    return torch.as_tensor(estimator.transform(x))


def read_text(loaded: LoadedModel, fit: Factorization, ids: Sequence[int]) -> TextReading:
    """The features that a text uses most.

    Features are ordered by their largest activation relative to what is typical of them, so that a feature with small
    numbers is not hidden by one with large ones. Tokens at positions that the fit never saw (the first of a text, and
    those whose activation is many times as long as the others) have zeros and are named in ``outside``.
    """
    x = activations_of(loaded, fit, ids)
    inside = _inside(fit, x)
    used = torch.zeros(len(x), fit.features)
    if bool(inside.any()):
        used[inside] = codes(fit.components, x[inside]).float()
    relative = (used / fit.arrays["scale"].float().clamp(min=1e-12)).amax(0)
    shown = [int(k) for k in relative.argsort(descending=True)[:SHOWN] if relative[k] > 0]
    residual = x[inside] - used[inside] @ fit.components
    explained = 1 - float(residual.double().square().sum() / x[inside].double().square().sum().clamp(min=1e-30))
    sentence = (
        f"{len(shown)} of {fit.features} features, the most active first relative to what is typical of each. All "
        f"features together explain {max(explained, 0):.0%} of the squared length of these activations."
    )
    outside = tuple(int(i) for i in (~inside).nonzero()[:, 0])
    if outside:
        sentence += f" {len(outside)} tokens lie outside of what the fit has seen and are left empty."
    return TextReading(
        labels=tuple(token_labels(loaded.tokenizer, list(ids))),
        ids=tuple(ids),
        features=tuple(FeatureName(k, fit.label(k)) for k in shown),
        outside=outside,
        sentence=sentence,
        activations=used[:, shown].numpy(),
    )


def feature_by_token(loaded: LoadedModel, fit: Factorization, ids: Sequence[int], feature: int) -> Tensor:
    """How active one feature is at each token of a text (T,), the features held fixed; 0 at positions that the fit
    never saw."""
    x = activations_of(loaded, fit, ids)
    used = torch.zeros(len(x))
    inside = _inside(fit, x)
    if bool(inside.any()):
        used[inside] = codes(fit.components, x[inside]).float()[:, feature]
    return used


def _inside(fit: Factorization, x: Tensor) -> Tensor:
    """Of each activation (T, d), whether the fit has seen such: not the first ones, and none many times as long as the
    others."""
    norms = x.norm(dim=1)
    inside: Tensor = (torch.arange(len(x)) >= fit.skip_first) & (norms <= OUTSIDE * norms.median())
    return inside
