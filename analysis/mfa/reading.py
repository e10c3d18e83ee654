"""A model reads a text, and a fit says what it read: the activations at the fit's site, and what the mixture makes of
them. Nothing is steered here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from analysis.models.capture import capture
from analysis.models.loaded_model import LoadedModel

if TYPE_CHECKING:
    from analysis.mfa.library import RegionSet


def activations_of(loaded: LoadedModel, fit: RegionSet, ids: list[int]) -> Tensor:
    """Activations (T, D) float32 of all tokens of a text at the fit's site, the first ones included."""
    found = next(capture(loaded, [([0], [ids])], [fit.site], skip_first=0, norm_guard=None))
    return found.activations[fit.site].float()


def responsibilities_of(loaded: LoadedModel, fit: RegionSet, ids: list[int]) -> np.ndarray:
    """p(region | activation) of all tokens of a text, (T, K) float32."""
    found: np.ndarray = fit.density.responsibilities(activations_of(loaded, fit, ids)).numpy()
    return found


def explain(loaded: LoadedModel, fit: RegionSet, ids: list[int], rotation: str) -> dict[str, np.ndarray]:
    """The split of every token of a text; arrays over T.

    ``region`` and ``second`` with ``responsibility`` and ``second_share``; ``log_density`` in nats; the norms
    ``centroid`` (from the mean activation), ``local``, ``rest`` and ``norm`` (of the activation minus the mean), in
    activation units; ``factors`` (T, R) in spreads; ``path_x``, ``path_y`` (T, 4): the mean, the centroid, the centroid
    with the local offset, and the activation, in the plane that holds these four best.
    """
    x = activations_of(loaded, fit, ids)
    parameters = fit.rotated(rotation)
    shares = fit.density.responsibilities(x)
    top = shares.topk(min(2, shares.shape[1]), 1)
    region = top.indices[:, 0]
    second = top.indices[:, -1]
    z = fit.density_of(rotation).posterior(x, region)
    centroid = parameters.means[region]
    local = torch.einsum("tdr,tr->td", parameters.loadings[region], z)
    rest = x - centroid - local
    points = torch.stack([fit.mean.expand_as(x), centroid, centroid + local, x], 1)  # (T, 4, D)
    flat = _planes(points)
    return {
        "region": region.numpy(),
        "second": second.numpy(),
        "responsibility": top.values[:, 0].numpy(),
        "second_share": top.values[:, -1].numpy(),
        "log_density": fit.density.score(x).numpy(),
        "centroid": (centroid - fit.mean).norm(dim=1).numpy(),
        "local": local.norm(dim=1).numpy(),
        "rest": rest.norm(dim=1).numpy(),
        "norm": (x - fit.mean).norm(dim=1).numpy(),
        "factors": (z / fit.spread(rotation)[region].clamp(min=1e-6)).numpy(),
        "path_x": flat[..., 0].numpy(),
        "path_y": flat[..., 1].numpy(),
    }


def _planes(points: Tensor) -> Tensor:
    """Coordinates (T, 4, 2) of four points each, in the plane through the first that loses least of the others."""
    away = points - points[:, :1]
    _, _, axes = torch.linalg.svd(away, full_matrices=False)
    flat: Tensor = away @ axes[:, :2].mT
    return flat
