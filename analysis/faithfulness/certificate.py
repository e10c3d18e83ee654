"""Certify labels by held-out swaps: an item is kept only if the model did what the label says it does.

A generator writes an item together with the swaps that would show its label to be wrong. The swaps use values that no
measure uses, and the model's answers to them go on record with the item.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Sequence
from dataclasses import dataclass, replace

from analysis.faithfulness.ask import AnswerAsk, Reader, Reply
from analysis.faithfulness.item import Check, Item


@dataclass(frozen=True)
class Swap:
    """One held-out intervention: what is asked, what the model has to answer, and what that shows."""

    name: str
    sentence: str
    ask: AnswerAsk
    expected: str


@dataclass(frozen=True)
class Draft:
    """An item whose label is claimed but not yet certified. ``probe`` reads the model's own value of the chain."""

    item: Item
    swaps: tuple[Swap, ...]
    probe: AnswerAsk | None = None


@dataclass(frozen=True)
class Certified:
    """What certification left: the items, how many drafts there were, and which swap failed how often."""

    items: tuple[Item, ...]
    made: int
    failed: dict[str, int]

    @property
    def dropped(self) -> int:
        """How many drafts were not kept."""
        return self.made - len(self.items)


def certify(drafts: Sequence[Draft], reader: Reader) -> Certified:
    """Ask every swap of every draft; keep the items all of whose swaps came out as the label says.

    The unaltered item is the first check of each: its own answer must be the model's.
    """
    asks = [ask for draft in drafts for ask in _asks(draft)]
    replies = reader.read(asks)
    items, failed = [], Tally[str]()
    for draft in drafts:
        checks = []
        for swap in _with_own(draft):
            reply = replies[swap.ask]
            assert isinstance(reply, Reply)
            passed = reply.best == swap.expected
            checks.append(Check(swap.name, swap.sentence, reply.p(swap.expected), swap.expected, reply.best, passed))
        wrong = [check.name for check in checks if not check.passed]
        failed.update(wrong[:1])
        if wrong:
            continue
        facts = dict(draft.item.facts)
        if draft.probe is not None:
            own = replies[draft.probe]
            assert isinstance(own, Reply)
            facts |= {
                "own_value": own.best,
                "own_p": own.p(draft.item.answer),
                "values_right": own.best == draft.item.answer,
            }
        items.append(replace(draft.item, certificate=tuple(checks), facts=facts))
    return Certified(tuple(items), len(drafts), dict(failed))


def _with_own(draft: Draft) -> tuple[Swap, ...]:
    item = draft.item
    ask = AnswerAsk(item.before, item.question_text, item.chain, item.cue, item.candidates)
    own = Swap(
        "as it is", "Nothing is changed: the model's answer is the one that the chain leads to.", ask, item.answer
    )
    return (own, *draft.swaps)


def _asks(draft: Draft) -> list[AnswerAsk]:
    asks = [swap.ask for swap in _with_own(draft)]
    return [*asks, draft.probe] if draft.probe is not None else asks
