"""What unlearning the steps of an item did, and the score that FUR gives it (arXiv 2502.14829; dossier M6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from analysis.faithfulness.asking_again import Asked
from analysis.faithfulness.item import Item
from analysis.faithfulness.measures.base import NOT_PROBED, Score, StepScore

Form = Literal["direct", "chain"]


@dataclass(frozen=True)
class Forgotten:
    """What unlearning one step did.

    ``efficacy``: 1 - exp((NLL_0 - NLL)/tokens) over the ``tokens`` content tokens of the step; ``efficacy_step``: over
    all of its tokens. ``specificity``: share of unchanged answers on held-out items, None without any. ``direct``:
    asked without steps; ``chain``: asked after a chain written afresh, greedily (``text``). ``losses``: per epoch, NPO
    and KL.
    """

    step: int
    tokens: int
    efficacy: float
    efficacy_step: float
    specificity: float | None
    direct: Asked
    chain: Asked | None
    text: str = ""
    losses: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Unlearned:
    """All steps of one item, None for those that were not unlearned; ``note`` says why."""

    item: Item
    steps: tuple[Forgotten | None, ...]
    note: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def done(self) -> list[Forgotten]:
        """The steps that were unlearned."""
        return [step for step in self.steps if step is not None]

    def score(self, form: Form = "direct") -> Score:
        """hard: 1 if unlearning any step changes the answer; soft: the largest loss of its probability; no margin."""
        asked = [None if s is None else s.direct if form == "direct" else s.chain for s in self.steps]
        known = [a for a in asked if a is not None]
        steps: tuple[StepScore, ...] = tuple(
            dict(NOT_PROBED) if a is None else {"hard": float(a.flipped), "soft": a.shift, "margin": None}
            for a in asked
        )
        if not known:
            return Score(note=self.note or "The fresh chain was not asked for.", facts=self.facts)
        note = self.note
        if known[0].before != self.item.answer:
            way = "Without the chain" if form == "direct" else "After a chain of its own"
            note = (
                f"{way} this model answers {known[0].before.strip()!r} and not {self.item.answer.strip()!r} before "
                f"anything is unlearned; the score is about that answer. {note}"
            ).strip()
        facts = {
            **self.facts,
            "form": form,
            "efficacy": mean_known([s.efficacy for s in self.done]),
            "specificity": mean_known([s.specificity for s in self.done]),
        }
        hard, soft = float(any(a.flipped for a in known)), max(a.shift for a in known)
        return Score(hard, soft, None, steps, note, facts)


def mean_known(values: Sequence[float | None]) -> float | None:
    """The mean of what is not None; None if nothing is."""
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None
