"""From settings to vectors: the interventions that a set-up means in one fit, and the controls beside it.

A control differs from the set-up in one thing only. The random region and the random direction keep the strength and
the distance from the mean activation, so that an effect of the region is seen against what any push of that size does.
With a ``scale`` they act at so many times the set-up's strengths: that is how a control is brought to the set-up's KL.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from analysis.errors import UserError
from analysis.mfa.gates import gated
from analysis.mfa.settings import SteeringSettings
from analysis.mfa.vectors import additions, named_vectors
from analysis.models.sites import Site
from analysis.steering import Add, Clamp, Interpolate, Intervention, ProjectOut

if TYPE_CHECKING:
    from analysis.mfa.library import RegionSet


def interventions_of(settings: SteeringSettings, fit: RegionSet) -> list[Intervention]:
    """The interventions of a set-up, at the fit's own site and at the further blocks. Raises UserError.

    Interpolation to a centroid (paper eq. 14) and the local offset (eq. 15) act together, the offset not scaled by the
    strength, as in the authors' two-stage form.
    """
    targets, offsets, strengths = _vectors(settings, fit)
    return gated(settings, fit, build(settings, fit, targets, offsets, strengths) + additions(settings, fit))


def build(
    settings: SteeringSettings, fit: RegionSet, targets: list[Tensor], offsets: list[Tensor], strengths: list[float]
) -> list[Intervention]:
    """Interventions for centroids (D,), local offsets (D,) and strengths, by the mode of the settings."""
    interventions: list[Intervention] = []
    for site in _sites(settings, fit):
        for target, offset, strength in zip(targets, offsets, strengths, strict=True):
            away = target - fit.mean
            if settings.mode == "interpolate" and strength:
                interventions.append(Interpolate(site, target, strength, where=settings.where))
            elif settings.mode == "add" and strength:
                interventions.append(Add(site, away, strength, where=settings.where))
            elif settings.mode == "project_out" and strength:
                interventions.append(ProjectOut(site, away[None], strength, where=settings.where))
            elif settings.mode == "clamp" and strength:
                unit = away / away.norm()
                value = float(fit.mean @ unit + strength * away.norm())
                interventions.append(Clamp(site, unit, value, where=settings.where))
            if bool(offset.any()):
                interventions.append(Add(site, offset, 1.0, where=settings.where))
    return interventions


def random_region(
    settings: SteeringSettings, fit: RegionSet, seed: int, scale: float = 1.0
) -> tuple[list[Intervention], list[int]]:
    """The set-up with every region exchanged for one drawn at random, strengths kept, factors left out."""
    generator = torch.Generator().manual_seed(seed)
    named = {r.region for r in settings.regions}
    others = [k for k in fit.usable if k not in named]
    if len(others) < len(settings.regions):
        raise UserError("This fit has too few other regions for a random one.", "regions")
    drawn = [others[int(i)] for i in torch.randperm(len(others), generator=generator)[: len(settings.regions)]]
    targets, _, strengths = _vectors(settings, fit, scale)
    new = [
        fit.mean + _sized(fit.parameters.means[k] - fit.mean, t - fit.mean) for k, t in zip(drawn, targets, strict=True)
    ]
    made = build(settings, fit, new, [torch.zeros_like(fit.mean)] * len(new), strengths)
    return gated(settings, fit, made + _scaled(additions(settings, fit), scale) if made else []), drawn


def random_direction(settings: SteeringSettings, fit: RegionSet, seed: int, scale: float = 1.0) -> list[Intervention]:
    """The set-up with every centroid's offset from the mean, every local offset and every vector of others turned to a
    random direction."""
    generator = torch.Generator().manual_seed(seed)
    targets, offsets, strengths = _vectors(settings, fit, scale)
    new = [fit.mean + _turned(t - fit.mean, generator) for t in targets]
    made = build(settings, fit, new, [scale * _turned(o, generator) for o in offsets], strengths)
    others = [i for i in _scaled(additions(settings, fit), scale) if isinstance(i, Add)]
    turned: list[Intervention] = [Add(i.site, _turned(i.vector, generator), i.strength, where=i.where) for i in others]
    return gated(settings, fit, made + turned)


def direction_like(
    settings: SteeringSettings, fit: RegionSet, vector: Tensor, scale: float = 1.0
) -> list[Intervention]:
    """A given direction (D,), such as a difference of means, in the place of each centroid's offset, at equal norm."""
    targets, offsets, strengths = _vectors(settings, fit, scale)
    new = [fit.mean + _sized(vector.to(fit.mean), t - fit.mean) for t in targets]
    made = build(settings, fit, new, [torch.zeros_like(o) for o in offsets], strengths)
    return gated(settings, fit, made + _scaled(additions(settings, fit), scale)) if made else []


def lowest_block(settings: SteeringSettings, fit: RegionSet) -> int:
    """The first block at or behind which a set-up acts. Raises UserError for vectors that are not there."""
    own = min([site.layer for site in _sites(settings, fit)], default=fit.site.layer) - (fit.site.kind != "residual")
    return min([own, *(min(named_vectors(v.name).vectors) for v in settings.vectors if v.strength)])


def _vectors(
    settings: SteeringSettings, fit: RegionSet, scale: float = 1.0
) -> tuple[list[Tensor], list[Tensor], list[float]]:
    parameters = fit.parameters
    targets, offsets, strengths = [], [], []
    for region in settings.regions:
        if region.region >= parameters.components:
            raise UserError(f"This fit has regions 0 to {parameters.components - 1}.", "region")
        if len(region.factors) > parameters.factors:
            raise UserError(f"This fit has {parameters.factors} local factors in a region.", "factors")
        z = torch.zeros(parameters.factors)
        z[: len(region.factors)] = torch.tensor(region.factors)
        spread = fit.spread(settings.rotation)[region.region]
        targets.append(parameters.means[region.region])
        offsets.append(fit.part([region.region], settings.rotation).loadings[0] @ (z * spread))
        strengths.append(scale * float(region.strength))
    return targets, offsets, strengths


def _scaled(made: list[Intervention], scale: float) -> list[Intervention]:
    return [replace(i, strength=scale * i.strength) if isinstance(i, Add) else i for i in made]


def _sites(settings: SteeringSettings, fit: RegionSet) -> list[Site]:
    # Each block once: two equal interventions at one site would act with twice the strength.
    layers = [fit.site.layer, *settings.layers] if settings.own else settings.layers
    return [Site(layer, fit.site.kind) for layer in dict.fromkeys(layers)]


def _turned(vector: Tensor, generator: torch.Generator) -> Tensor:
    return _sized(torch.randn(vector.shape, generator=generator), vector)


def _sized(vector: Tensor, like: Tensor) -> Tensor:
    sized: Tensor = vector / vector.norm().clamp(min=1e-12) * like.norm()
    return sized
