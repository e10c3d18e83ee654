"""A model reads a text, and a fit says what it read: the activations at the fit's site, and what the mixture makes of
them. Nothing is steered here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from analysis.mfa.answers.regions import TokenParts
from analysis.models.capture import capture
from analysis.models.loaded_model import LoadedModel
from analysis.models.prompts import token_labels

if TYPE_CHECKING:
    from analysis.mfa.library import RegionSet


def activations_of(loaded: LoadedModel, fit: RegionSet, ids: list[int]) -> Tensor:
    """Activations (T, D) float32 of all tokens of a text at the fit's site, the first ones included."""
    captured = next(capture(loaded, [([0], [ids])], [fit.site], skip_first=0, norm_guard=None))
    return captured.activations[fit.site].float()


def responsibilities_of(loaded: LoadedModel, fit: RegionSet, ids: list[int]) -> np.ndarray:
    """p(region | activation) of all tokens of a text, (T, K) float32."""
    shares: np.ndarray = fit.density.responsibilities(activations_of(loaded, fit, ids)).numpy()
    return shares


def explain(loaded: LoadedModel, fit: RegionSet, ids: list[int], rotation: str) -> TokenParts:
    """The split of every token of a text, numbers to four places."""
    x = activations_of(loaded, fit, ids)
    shares = fit.density.responsibilities(x)
    top = shares.topk(min(2, shares.shape[1]), 1)
    region = top.indices[:, 0]
    second = top.indices[:, -1]
    z = fit.factors_of(x, region, rotation)
    numbers, place = region.unique(return_inverse=True)
    some = fit.part(numbers.tolist(), rotation)
    centroid = some.means[place]
    local = torch.einsum("tdr,tr->td", some.loadings[place], z)
    rest = x - centroid - local
    points = torch.stack([fit.mean.expand_as(x), centroid, centroid + local, x], 1)  # (T, 4, D)
    flat = _planes(points)
    regions, seconds = region.tolist(), second.tolist()
    return TokenParts(
        labels=tuple(token_labels(loaded.tokenizer, ids)),
        region=tuple(regions),
        region_labels=tuple(fit.label(k) for k in regions),
        second=tuple(seconds),
        second_labels=tuple(fit.label(k) for k in seconds),
        responsibility=_numbers(top.values[:, 0]),
        second_share=_numbers(top.values[:, -1]),
        log_density=_numbers(fit.density.score(x)),
        centroid=_numbers((centroid - fit.mean).norm(dim=1)),
        local=_numbers(local.norm(dim=1)),
        rest=_numbers(rest.norm(dim=1)),
        norm=_numbers((x - fit.mean).norm(dim=1)),
        factors=_rows(z / fit.spread(rotation)[region].clamp(min=1e-6)),
        path_x=_rows(flat[..., 0]),
        path_y=_rows(flat[..., 1]),
        outside=fit.skip_first,
    )


def _numbers(values: Tensor) -> tuple[float, ...]:
    return tuple(np.round(values.numpy(), 4).tolist())


def _rows(values: Tensor) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in np.round(values.numpy(), 4).tolist())


def _planes(points: Tensor) -> Tensor:
    """Coordinates (T, 4, 2) of four points each, in the plane through the first that loses least of the others."""
    away = points - points[:, :1]
    _, _, axes = torch.linalg.svd(away, full_matrices=False)
    flat: Tensor = away @ axes[:, :2].mT
    return flat
