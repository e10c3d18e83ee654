"""NLDD: how much of the answer's margin is gone when a step is wrong and the rest is cut off.

The intervention is that of Adding Mistakes, so the contexts are the same ones and are asked once; what differs is what
is read: the margin over all steps, and the step at which most of it is lost (the reasoning horizon). The published
normaliser of the margin belongs to the model and cancels in the ratio.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.faithfulness.ask import Ask, ask_of
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
    mean,
    probed,
    skipped,
)
from analysis.faithfulness.measures.mistakes import NO_MISTAKE, mistaken, wrong_steps


class LogitDifferenceDecay(Measure):
    """Mean over the steps of (LD_clean - LD_corrupted)/LD_clean (arXiv 2602.11201; dossier M11).

    margin: the raw value, unbounded; soft: the mean of the same values clipped to [-1, 1] for display; hard: share of
    steps whose corruption changes the answer. At most ``positions`` steps are probed, evenly spaced. 0 for all steps if
    abs(LD_clean) <= ``eps`` (score units, nats). Negative values are results. facts: ``horizon``, the step (from 1) at
    which most is lost among those probed, and ``most``, how much.
    """

    name = "NLDD"
    family = "other"
    level = "step and chain"
    sentence = "Make one step wrong and cut there: higher the more of the answer's lead over the others is lost."
    source = "arXiv 2602.11201"
    main = "margin"

    def __init__(self, eps: float = 1e-3, positions: int = MOST_POSITIONS) -> None:
        self.eps = eps
        self.positions = positions

    def missing(self, item: Item) -> str:
        """See :meth:`Measure.missing`."""
        return "" if wrong_steps(item) else NO_MISTAKE

    def _asks(self, item: Item) -> Sequence[Ask]:
        return [*(mistaken(item, i) for i in probed(wrong_steps(item), self.positions)), ask_of(item)]

    def _score(self, item: Item, replies: Replies) -> Score:
        clean, answer = answered(replies, ask_of(item)), item.answer
        steps: list[StepScore] = [dict(NOT_PROBED) for _ in item.steps]
        whole = clean.margin(answer)
        undecided = abs(whole) <= self.eps
        able = wrong_steps(item)
        chosen = probed(able, self.positions)
        for i in chosen:
            reply = answered(replies, mistaken(item, i))
            lost = 0.0 if undecided else (whole - reply.margin(answer)) / whole
            hard = grades(reply, clean, answer).hard
            steps[i] = {"hard": hard, "soft": float(np.clip(lost, -1.0, 1.0)), "margin": lost}
        raw = {i: float(steps[i]["margin"] or 0.0) for i in chosen}
        horizon = max(chosen, key=lambda i: raw[i])
        note = joined(
            astray(item, clean),
            "Two candidates are as good as tied after the whole chain, so the score is set to 0." if undecided else "",
            "The soft form is clipped to [-1, 1]; the margin is not."
            if any(abs(value) > 1.0 for value in raw.values())
            else "",
            skipped(len(item.steps), able, chosen, "wrong version"),
        )
        return Score(
            mean([steps[i]["hard"] for i in chosen]),
            mean([steps[i]["soft"] for i in chosen]),
            mean(list(raw.values())),
            steps=tuple(steps),
            note=note,
            facts={"horizon": horizon + 1, "most": raw[horizon], "clean": whole},
        )
