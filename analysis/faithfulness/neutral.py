"""A stand-in for the second model of Simulatability: the same model under demonstrations that favour no source.

No weaker model comes with Attune. Under these demonstrations the model has learnt the layout and nothing about where
answers come from, so it is at least a reader that does not share the regime. Wherever its scores are shown, this is
said; with a second model at hand, that one is asked instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from analysis.faithfulness.ask import Ask, Reader, Reply, TextReply
from analysis.faithfulness.item import Item

SENTENCE = "The simulator is the same model under neutral demonstrations, since no second model was given."


class NeutralReader:
    """Reads every ask with the neutral demonstrations of its item in the place of the regime's."""

    def __init__(self, reader: Reader, items: Iterable[Item]) -> None:
        self.reader = reader
        self.neutral = {item.before: str(item.facts["neutral"]) for item in items if "neutral" in item.facts}

    def knows(self, item: Item) -> bool:
        """Whether there are neutral demonstrations for an item."""
        return item.before in self.neutral

    def read(self, asks: Sequence[Ask]) -> dict[Ask, Reply | TextReply]:
        """The replies under neutral demonstrations."""
        seen = {ask: replace(ask, before=self.neutral[ask.before]) for ask in asks}
        replies = self.reader.read(list(dict.fromkeys(seen.values())))
        return {ask: replies[shown] for ask, shown in seen.items()}
