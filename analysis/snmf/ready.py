"""A feature that steers, read for one model: its strength is found for the prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from analysis.errors import UserError
from analysis.models.loaded_model import LoadedModel
from analysis.snmf.directions import direction_of, shuffled_like
from analysis.snmf.library import Factorization, fit_for
from analysis.snmf.ops.steer import typical
from analysis.snmf.steer import FeatureSteer
from analysis.snmf.steering import calibrated, divergence_of, interventions_of
from analysis.steering import Intervention, PromptCache
from analysis.steering.prompt import ReadPrompt
from analysis.steering.ready import ReadySteer

if TYPE_CHECKING:
    from analysis.engine.context import Context

_DRAW = 100_003
"""Between the seeds of two draws, so that features do not share one."""


class ReadyFeature(ReadySteer):
    """One pole of a feature."""

    def __init__(self, steer: FeatureSteer, context: Context, loaded: LoadedModel) -> None:
        """Raises UserError where factorization and model do not belong together, or the feature is not there."""
        self._steer, self._check = steer, context.check
        self._fit: Factorization = fit_for(context.memory, loaded, steer.fit)
        self._vector = direction_of("feature", context.memory, loaded, self._fit, steer.feature).vector
        self.lowest = self._fit.site.layer - (self._fit.site.kind != "residual")
        self._strengths: WeakKeyDictionary[PromptCache, float] = WeakKeyDictionary()

    def interventions(self, prompt: ReadPrompt) -> list[Intervention]:
        """Raises UserError where no strength costs the KL."""
        return interventions_of(self._fit.site, self._vector, self._steer.pole, self._strength(prompt))

    def random(self, prompt: ReadPrompt, seed: int, scale: float) -> list[Intervention]:
        """The feature's loadings on other neurons."""
        drawn = shuffled_like(self._fit.components[self._steer.feature], _DRAW * (seed + 1) + self._steer.feature)
        return interventions_of(self._fit.site, drawn, self._steer.pole, scale * self._strength(prompt))

    def _strength(self, prompt: ReadPrompt) -> float:
        known = self._strengths.get(prompt.cache)
        if known is not None:
            return known
        price = divergence_of([prompt.cache], self._fit.site, self._vector, self._steer.pole, self._check)
        found = calibrated(price, self._steer.target, typical(self._fit, self._steer.feature))
        if not found.met:
            raise UserError(f"{found.sentence} Choose another KL on the MLP features page.", "steer")
        self._strengths[prompt.cache] = found.strength
        return found.strength
