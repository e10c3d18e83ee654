"""A set-up of regions, read for one model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.errors import UserError
from analysis.mfa.library import RegionSet, fit_for
from analysis.mfa.ops.control import largest_scale
from analysis.mfa.ops.samples import subject_of
from analysis.mfa.settings import SteeringSettings
from analysis.mfa.steering import interventions_of, lowest_block, random_direction
from analysis.models.loaded_model import LoadedModel
from analysis.steering import Intervention
from analysis.steering.prompt import ReadPrompt
from analysis.steering.ready import ReadySteer, Words

if TYPE_CHECKING:
    from analysis.engine.context import Context


class ReadyRegions(ReadySteer):
    """Regions of a fit, local factors and vectors of others."""

    def __init__(self, steer: SteeringSettings, context: Context, loaded: LoadedModel) -> None:
        """Raises UserError where fit and model do not belong together, or a block is not there."""
        self._steer, self._loaded = steer, loaded
        self._fit: RegionSet = fit_for(context.memory, loaded, steer.fit)
        beyond = [layer for layer in steer.layers if layer >= loaded.facts.layers]
        if beyond:
            raise UserError(
                f"This model has blocks 0 to {loaded.facts.layers - 1}; there is no block {beyond[0]}.", "layers"
            )
        self.lowest = lowest_block(steer, self._fit)
        self.largest = largest_scale(steer)

    def interventions(self, prompt: ReadPrompt) -> list[Intervention]:
        """As of :class:`ReadySteer`."""
        return interventions_of(self._steer, self._fit)

    def random(self, prompt: ReadPrompt, seed: int, scale: float) -> list[Intervention]:
        """Centroids' offsets, local offsets and vectors of others turned to random directions."""
        return random_direction(self._steer, self._fit, seed, scale)

    def words(self) -> Words:
        """Of the regions' themes, else what stands out in them."""
        subject = subject_of(self._loaded, self._fit, self._steer)
        return Words(subject.name, subject.words)
