"""What a gate of a set-up reads: the responsibility of one of the fit's regions, or the place along its direction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from torch import Tensor

from analysis.errors import UserError
from analysis.mfa.settings import SteeringSettings
from analysis.models.sites import Site
from analysis.steering.gates import Gate, Projection, Reading, Side
from analysis.steering.operators import Intervention

if TYPE_CHECKING:
    from analysis.mfa.library import RegionSet


@dataclass(frozen=True, eq=False)
class Responsibility:
    """p(``region`` | activation) in a fit."""

    fit: RegionSet
    region: int

    @property
    def site(self) -> Site:
        """The fit's own."""
        return self.fit.site

    @property
    def width(self) -> int:
        """Numbers of an activation there."""
        return self.fit.parameters.width

    @property
    def words(self) -> str:
        """With the fit's name, since it has no meaning without it."""
        return f"responsibility of region {self.region} of the fit {self.fit.name}"

    def values(self, x: Tensor) -> Tensor:
        """(..., D) to (...), in [0, 1]."""
        flat = x.reshape(-1, x.shape[-1]).float().cpu()
        shares: Tensor = self.fit.density.responsibilities(flat)[:, self.region]
        return shares.reshape(x.shape[:-1]).to(x.device)


def gated(settings: SteeringSettings, fit: RegionSet, made: Sequence[Intervention]) -> list[Intervention]:
    """The interventions of a set-up or of a control of it, behind the set-up's gate. Raises UserError("gate")."""
    if settings.gate is None and not settings.after:
        return list(made)
    gate = Gate(after=settings.after)
    if settings.gate is not None:
        wanted = settings.gate
        side: Side = "above" if wanted.side == "above" else "below"
        gate = replace(gate, reading=_reading(settings, fit), side=side, threshold=float(wanted.value))
    return [replace(intervention, gate=gate) for intervention in made]


def _reading(settings: SteeringSettings, fit: RegionSet) -> Reading:
    assert settings.gate is not None
    region = settings.gate.region
    if region >= fit.parameters.components:
        raise UserError(f"This fit has regions 0 to {fit.parameters.components - 1}; the gate reads {region}.", "gate")
    if settings.gate.kind == "responsibility":
        return Responsibility(fit, region)
    away = fit.parameters.means[region] - fit.mean
    direction = (away / away.square().sum()).float()
    return Projection(fit.site, direction, float(fit.mean @ direction), f"projection on region {region}")
