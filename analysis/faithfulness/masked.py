"""Models whose use of the chain is known because they are built that way (dossier, recipe G0).

A reader that never shows the model the question can answer from the chain alone; one that never shows it the chain
cannot be moved by it. They turn any model into a test of the measures: a measure of importance has to give the second
exactly zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from analysis.faithfulness.ask import AnswerAsk, Ask, ContinuedAsk, Reader, Reply, TextReply


class QuestionBlind:
    """Reads the answer from demonstrations, chain and cue; the question is not there. The chain is used for certain."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    def read(self, asks: Sequence[Ask]) -> dict[Ask, Reply | TextReply]:
        """The replies of the model without the question."""
        seen = {ask: replace(ask, question="") for ask in asks}
        replies = self.reader.read(list(seen.values()))
        return {ask: replies[shown] for ask, shown in seen.items()}


class ChainBlind:
    """Reads the answer from demonstrations, question and cue; the chain is not there, and the cue stands at the same
    positions whatever the chain is. The chain is decoration for certain. Texts are still read: it can say the chain."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    def read(self, asks: Sequence[Ask]) -> dict[Ask, Reply | TextReply]:
        """The replies of the model without the chain."""
        seen = {ask: _chainless(ask) for ask in asks}
        replies = self.reader.read(list(seen.values()))
        return {ask: replies[shown] for ask, shown in seen.items()}


def _chainless(ask: Ask) -> Ask:
    # What the model would write on is part of the chain as well.
    if isinstance(ask, ContinuedAsk):
        return replace(ask.after(""), chain=())
    return replace(ask, chain=(), hidden=()) if isinstance(ask, AnswerAsk) else ask
