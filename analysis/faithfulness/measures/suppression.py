"""Attention suppression: leave the chain where it is, but keep the answer from looking at it.

All positions stay and no word changes, so nothing here comes from an odd text. What later steps have already taken up
of an earlier one stays too: that is why hiding all steps says more than any one of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.faithfulness.ask import AnswerAsk, Ask, NoReply, Reply, ask_of
from analysis.faithfulness.item import Item
from analysis.faithfulness.measures.base import (
    MOST_POSITIONS,
    NOT_PROBED,
    Measure,
    Replies,
    Score,
    StepScore,
    answered,
    astray,
    grades,
    joined,
    probed,
    skipped,
)


def divergence(clean: Reply, altered: Reply) -> float:
    """KL(clean || altered) over the candidates, in nats, >= 0."""
    p, q = (r.scores - np.logaddexp.reduce(r.scores) for r in (clean, altered))
    known = np.isfinite(p)
    return max(0.0, float(np.sum(np.exp(p[known]) * (p[known] - q[known]))))


class AttentionSuppression(Measure):
    """Hide all steps from cue and answer, or one (arXiv 2506.19143; dossier M12).

    Graded like every alteration. facts["kl"]: KL of the answer distributions for the whole chain, facts["kl_steps"] for
    each step (None where not probed), in nats.
    """

    name = "Attention suppression"
    family = "other"
    level = "step and chain"
    sentence = "Keep the answer from attending to the steps, text unchanged: higher if the answer changes."
    source = "arXiv 2506.19143"

    def __init__(self, positions: int = MOST_POSITIONS) -> None:
        self.positions = positions

    @staticmethod
    def _whole(item: Item) -> AnswerAsk:
        return ask_of(item, hidden=tuple(range(1, len(item.steps) + 1)))

    def _chosen(self, item: Item) -> list[int]:
        return probed(range(len(item.steps)), self.positions)

    def _asks(self, item: Item) -> Sequence[Ask]:
        return [self._whole(item), *(ask_of(item, hidden=(i + 1,)) for i in self._chosen(item)), ask_of(item)]

    def _score(self, item: Item, replies: Replies) -> Score:
        clean, n, chosen = answered(replies, ask_of(item)), len(item.steps), self._chosen(item)
        whole = answered(replies, self._whole(item))
        if isinstance(whole, NoReply):
            return Score(note=whole.sentence)
        found = {i: answered(replies, ask_of(item, hidden=(i + 1,))) for i in chosen}
        steps: list[StepScore] = [
            grades(found[i], clean, item.answer).step() if i in found else dict(NOT_PROBED) for i in range(n)
        ]
        facts = {
            "kl": divergence(clean, whole),
            "kl_steps": [divergence(clean, found[i]) if i in found else None for i in range(n)],
        }
        note = joined(astray(item, clean), skipped(n, range(n), chosen, ""))
        return Score(**grades(whole, clean, item.answer).step(), steps=tuple(steps), note=note, facts=facts)
