"""The answer's probability after each step: of the true chain, and of chains in its place that say less or else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.faithfulness.answers.item import Option, TraceLine, TracePoint
from analysis.faithfulness.ask import AnswerAsk, Reader, Reply, ask_of
from analysis.faithfulness.item import Item
from analysis.faithfulness.measures.base import probed
from analysis.faithfulness.measures.filler import filled

MOST_PLACES = 25
"""Places of a chain that the trace reads, both ends among them; a question that somebody waits for must end."""


@dataclass(frozen=True)
class Line:
    """One chain read step by step: after each number of steps, the context that was asked and the reply."""

    name: str
    sentence: str
    asks: tuple[AnswerAsk | None, ...]


def lines(item: Item) -> list[Line]:
    """The chains that the trace compares; the ask at place k has k steps.

    A step that has no wrong version, or no other words, stands as it is; a chain without a single one is left out.
    None at the places that are not read: at most :data:`MOST_PLACES` are, evenly spaced with both ends, and the true
    chain's sentence says how many where not all are.
    """
    places = set(probed(range(len(item.steps) + 1), MOST_PLACES))

    def cut(steps: tuple[str, ...], hide: bool = False) -> tuple[AnswerAsk | None, ...]:
        asks: list[AnswerAsk | None] = []
        for k in range(len(item.steps) + 1):
            hidden = tuple(range(1, k + 1)) if hide else ()
            asks.append(ask_of(item, chain=(item.lead, *steps[:k]), hidden=hidden) if k in places else None)
        return tuple(asks)

    said = "The chain as it is, cut after this step."
    if len(places) <= len(item.steps):
        said += f" Of {len(item.steps) + 1} places, {len(places)} are read, evenly spaced; the other lines likewise."
    found = [Line("true", said, cut(item.steps))]
    if any(item.mistakes):
        said = _said("The same steps with wrong values, cut after this step.", item.mistakes, "wrong version")
        found.append(Line("corrupted", said, cut(_filled_up(item, item.mistakes))))
    filler = tuple(filled(step) for step in item.steps)
    found.append(Line("filler", "Filler of about the same length in place of the steps so far.", cut(filler)))
    found.append(
        Line(
            "attention blocked",
            "The true steps are there, but cue and answer cannot attend to them.",
            cut(item.steps, True),
        )
    )
    if any(item.paraphrases):
        said = _said("The same steps in other words, cut after this step.", item.paraphrases, "paraphrase")
        found.append(Line("paraphrased", said, cut(_filled_up(item, item.paraphrases))))
    return found


def _filled_up(item: Item, versions: Sequence[str]) -> tuple[str, ...]:
    return tuple(version or step for version, step in zip(versions, item.steps, strict=True))


def _said(sentence: str, versions: Sequence[str], what: str) -> str:
    without = sum(not version for version in versions)
    if not without:
        return sentence
    return f"{sentence} {without} of {len(versions)} steps have no {what} and stand as written."


def traced(item: Item, reader: Reader) -> tuple[TraceLine, ...]:
    """Every line with its points: step, probability of the item's answer, altered text, options; one pooled read."""
    chosen = lines(item)
    replies = reader.read([ask for line in chosen for ask in line.asks if ask is not None])
    rows = []
    for line in chosen:
        points = []
        for k, ask in enumerate(line.asks):
            if ask is None:
                continue
            reply = replies[ask]
            assert isinstance(reply, Reply)
            text = "".join(ask.chain[1:]).strip() or "no step yet"
            points.append(TracePoint(k, reply.p(item.answer), text, options(reply)))
        rows.append(TraceLine(line.name, line.sentence, tuple(points)))
    return tuple(rows)


def options(reply: Reply, most: int = 9) -> tuple[Option, ...]:
    """The likeliest candidates with their probabilities, at most ``most`` of them."""
    order = (-reply.probabilities).argsort()[:most]
    return tuple(Option(reply.candidates[i].strip(), float(reply.probabilities[i])) for i in order)
