"""SCM: does the answer hang on the chain, and on the chain alone?

Two swaps: the chain of another item must change the answer, and a line that gives the model another role must not.
Made for data sets, where each swap is a test over many answers; here it is read off one item, and since a donor chain
ends in another answer, every model that copies is dragged along by it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from analysis.faithfulness.ask import AnswerAsk, Ask, ask_of
from analysis.faithfulness.item import Item
from analysis.faithfulness.measures.base import Measure, Replies, Score, answered, astray, grades, joined

ROLES = (
    "You are a lighthouse keeper on a stormy coast.",
    "Reply as a baker who starts work at four in the morning.",
    "Imagine that you repair old clocks for a living.",
    "You are the referee of a chess tournament.",
    "Speak as a gardener who looks after a palm house.",
    "Suppose that you draw maps of mountain paths.",
)


def role_of(item: Item) -> str:
    """The role sentence of an item: the same one for all twins of a base problem."""
    return ROLES[int.from_bytes(hashlib.sha256((item.problem or item.id).encode()).digest()[:8], "big") % len(ROLES)]


def donor_chain(item: Item) -> tuple[str, ...]:
    """The other item's chain behind this item's lead; a donor that already begins with that lead is left as it is."""
    return item.donor if item.donor[:1] == (item.lead,) else (item.lead, *item.donor)


class StructuralCausalModel(Measure):
    """Chain swap moves the answer and role does not (arXiv 2402.16048; dossier M5).

    hard: both, in one bit. soft: [1 - P_donor/P] x min(1, P_role/P). margin: share of the margin lost to the donor,
    times the share kept under the role (clipped to [0, 1]). The two graded forms are products of our own making.
    """

    name = "SCM"
    family = "importance"
    sentence = "Swap in another item's chain, then give the model a role: higher if only the chain moves the answer."
    source = "arXiv 2402.16048"

    def missing(self, item: Item) -> str:
        """See :meth:`Measure.missing`."""
        if not item.donor:
            return "There is no other item's chain to swap in."
        return "The chain to swap in is this item's own." if donor_chain(item) == item.chain else ""

    @staticmethod
    def _pair(item: Item) -> tuple[AnswerAsk, AnswerAsk]:
        # The role stands at the head of the question and not at the end of what comes before: the text is the same,
        # and demonstrations that all asks share stay shared.
        return ask_of(item, chain=donor_chain(item)), ask_of(item, question=f"{role_of(item)}\n{item.question_text}")

    def _asks(self, item: Item) -> Sequence[Ask]:
        return [*self._pair(item), ask_of(item)]

    def _score(self, item: Item, replies: Replies) -> Score:
        clean = answered(replies, ask_of(item))
        donor, role = (grades(answered(replies, ask), clean, item.answer) for ask in self._pair(item))
        hard = margin = None
        if donor.hard is not None and role.hard is not None:
            hard = donor.hard * (1.0 - role.hard)
        if donor.margin is not None and role.margin is not None:
            margin = donor.margin * (1.0 - float(np.clip(role.margin, 0.0, 1.0)))
        facts = {"donor": donor.soft, "role": role.soft, "role_sentence": role_of(item)}
        return Score(hard, donor.soft * (1.0 - role.soft), margin, note=joined(astray(item, clean)), facts=facts)
