"""What a measure asks of a model, and what comes back: contexts in, numbers out, no model in sight.

Equal asks are equal objects, so whoever collects the asks of many measures computes each context once. A measure never
sees a model: it can be tested with a reader that is a plain function of the text, and the same measure runs on a model
that is made blind to its question or its chain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from analysis.faithfulness.item import Item


@dataclass(frozen=True)
class AnswerAsk:
    """The answer after before + question + chain + cue, among candidates.

    ``hidden`` are indices into ``chain`` of pieces that cue and answer cannot attend to, while later pieces still can
    and all positions stay.
    """

    before: str
    question: str
    chain: tuple[str, ...]
    cue: str
    candidates: tuple[str, ...]
    hidden: tuple[int, ...] = ()

    @property
    def text(self) -> str:
        """The context, up to and including the cue."""
        return self.before + self.question + "".join(self.chain) + self.cue


@dataclass(frozen=True)
class TextAsk:
    """How likely the model holds the pieces ``target`` of the chain to be, token by token, given all before them."""

    before: str
    question: str
    chain: tuple[str, ...]
    target: tuple[int, ...]

    @property
    def text(self) -> str:
        """The context, up to and including the chain."""
        return self.before + self.question + "".join(self.chain)


@dataclass(frozen=True)
class ContinuedAsk:
    """The answer after before + question + chain, what the model writes on from there, and the cue.

    The model writes greedily up to where it comes to the cue itself, to an end of its turn, or to ``most`` tokens.
    """

    before: str
    question: str
    chain: tuple[str, ...]
    cue: str
    candidates: tuple[str, ...]
    most: int

    def after(self, written: str) -> AnswerAsk:
        """The ask for the answer once ``written`` stands behind the chain."""
        chain = (*self.chain, written) if written else self.chain
        return AnswerAsk(self.before, self.question, chain, self.cue, self.candidates)

    @property
    def text(self) -> str:
        """The context that is continued."""
        return self.before + self.question + "".join(self.chain)


Ask = AnswerAsk | TextAsk | ContinuedAsk


@dataclass(frozen=True, eq=False)
class Reply:
    """The answer to an :class:`AnswerAsk`.

    ``scores`` (C,) float64: logits of the candidates, or, if ``several``, mean log-probabilities of their tokens in
    nats, because candidates of several tokens have no one logit; to a candidate with which others begin, ending there
    counts as one token more. ``mass``: share of the whole vocabulary's probability
    at the first token that differs which falls on the candidates. To a :class:`ContinuedAsk`, ``written`` is what the
    model wrote on, and ``cut`` says that it was stopped at its limit.
    """

    candidates: tuple[str, ...]
    scores: np.ndarray
    several: bool = False
    mass: float = 1.0
    written: str = ""
    cut: bool = False

    @property
    def probabilities(self) -> np.ndarray:
        """(C,) softmax over the candidates."""
        e = np.exp(self.scores - self.scores.max())
        return np.asarray(e / e.sum())

    @property
    def best(self) -> str:
        """The candidate that the model holds most likely."""
        return self.candidates[int(self.scores.argmax())]

    def p(self, answer: str) -> float:
        """The probability of a candidate among the candidates."""
        return float(self.probabilities[self.candidates.index(answer)])

    def margin(self, answer: str) -> float:
        """The candidate's score less that of the best other one, in logits (nats)."""
        at = self.candidates.index(answer)
        return float(self.scores[at] - np.delete(self.scores, at).max())


@dataclass(frozen=True, eq=False)
class NoReply(Reply):
    """A reply that cannot be had from this model: every score is nan, and ``sentence`` says why."""

    sentence: str = ""


@dataclass(frozen=True, eq=False)
class TextReply:
    """The answer to a :class:`TextAsk`: log p and log p - log(1 - p) per token of the targets, (T,) float64, nats."""

    log_probs: np.ndarray
    log_odds: np.ndarray

    @property
    def tokens(self) -> int:
        """How many tokens the targets have."""
        return len(self.log_probs)


def continued(item: Item, chain: tuple[str, ...], most: int) -> ContinuedAsk:
    """The ask for an item's answer after another chain, which the model goes on with; ``chain`` includes the lead."""
    return ContinuedAsk(item.before, item.question_text, chain, item.cue, item.candidates, most)


class Reader(Protocol):
    """Whatever answers asks."""

    def read(self, asks: Sequence[Ask]) -> dict[Ask, Reply | TextReply]:
        """The reply to every ask."""
        ...


def ask_of(
    item: Item,
    *,
    chain: tuple[str, ...] | None = None,
    question: str | None = None,
    before: str | None = None,
    hidden: tuple[int, ...] = (),
) -> AnswerAsk:
    """The ask for an item's answer; what is not given is the item's own. ``chain`` includes the lead as its piece 0."""
    return AnswerAsk(
        item.before if before is None else before,
        item.question_text if question is None else question,
        item.chain if chain is None else chain,
        item.cue,
        item.candidates,
        hidden,
    )
