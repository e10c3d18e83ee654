"""Which tokens a region makes more and less likely, measured: the model runs with the region steered, after a few
neutral prompts, and its next-token distributions are compared. In the middle of a model this says more than reading a
vector off the unembedding, which knows nothing of the blocks between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from analysis.engine.memory import Memory
from analysis.mfa.answers.regions import Effects, TokenValue
from analysis.models.frames import text_ids
from analysis.models.legible import check_corpus
from analysis.models.loaded_model import LoadedModel
from analysis.models.prompts import token_labels
from analysis.steering import Add, Interpolate, Intervention, PromptCache

if TYPE_CHECKING:
    from analysis.mfa.library import RegionSet

NEUTRAL = ("I think that", "The next day we talked about the", "She opened the door and saw a")
STRENGTH, SPREADS = 0.3, 3.0
SHOWN, NAMED = 12, 5
LIKELY = 2e-4
"""Tokens below this probability in both distributions are no news, however their ratio has changed."""


class EffectMeasurement:
    """Effects of the regions of one fit on the loaded model; the neutral prompts are read once and remembered."""

    def __init__(self, loaded: LoadedModel, fit: RegionSet, memory: Memory) -> None:
        self._loaded, self._fit, self._memory = loaded, fit, memory

    def _caches(self, count: int) -> list[PromptCache]:
        block = self._fit.site.layer - (self._fit.site.kind != "residual")
        key = ("neutral", self._loaded.facts.fingerprint, block)
        caches: list[PromptCache] | None = self._memory.get(key)
        if caches is None:
            check_corpus(self._loaded.tokenizer, NEUTRAL, "model")
            most = self._loaded.facts.max_positions or None
            rows = [text_ids(self._loaded.tokenizer, text)[:most] for text in NEUTRAL]
            caches = [PromptCache(self._loaded, row, [block]) for row in rows]
            self._memory.put(key, caches, sum(c.nbytes for c in caches))
        return caches[:count]

    def of_centroid(self, region: int) -> Effects:
        """Tokens promoted and suppressed by interpolating to the centroid at STRENGTH, with mean changes in nats."""
        towards: list[Intervention] = [Interpolate(self._fit.site, self._fit.parameters.means[region], STRENGTH)]
        change, likely = self._change(towards, [], len(NEUTRAL))
        return Effects(promoted=self._top(change, likely, 1.0), suppressed=self._top(change, likely, -1.0))

    def of_factors(self, region: int, rotation: str) -> Effects:
        """Labels of the tokens that each factor promotes at either end."""
        count = self._fit.parameters.factors
        ends = [tuple(self._of_factor(region, rotation, j, sign) for sign in (-1.0, 1.0)) for j in range(count)]
        return Effects(factors=tuple((low, high) for low, high in ends))

    def _of_factor(self, region: int, rotation: str, factor: int, sign: float) -> tuple[str, ...]:
        """Labels of the tokens that three spreads of a factor promote, beside the centroid at the same strength."""
        own = self._fit.part([region], rotation)
        step = own.loadings[0, :, factor] * self._fit.spread(rotation)[region, factor] * SPREADS * sign
        centre: list[Intervention] = [Interpolate(self._fit.site, own.means[0], STRENGTH)]
        change, likely = self._change([*centre, Add(self._fit.site, step)], centre, 1)
        return tuple(row.token for row in self._top(change, likely, 1.0)[:NAMED])

    def _change(
        self, interventions: list[Intervention], beside: list[Intervention], prompts: int
    ) -> tuple[Tensor, Tensor]:
        """Mean change of log-probabilities (V,) from one steering to another, and which tokens are ever likely."""
        total, likely = torch.zeros(()), torch.zeros((), dtype=torch.bool)
        for cache in self._caches(prompts):
            after = cache.next_logits(interventions).log_softmax(-1)
            before = (cache.next_logits(beside) if beside else cache.base_logits).log_softmax(-1)
            total = total + (after - before) / prompts
            likely = likely | (torch.maximum(after, before).exp() > LIKELY)
        return total, likely

    def _top(self, change: Tensor, likely: Tensor, sign: float) -> tuple[TokenValue, ...]:
        best = (sign * change).masked_fill(~likely, -torch.inf).topk(min(SHOWN, int(likely.sum())))
        ids = best.indices[best.values > 0].tolist()
        labels = token_labels(self._loaded.tokenizer, ids)
        return tuple(TokenValue(i, label, float(change[i])) for label, i in zip(labels, ids, strict=True))
