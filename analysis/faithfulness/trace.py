"""The answer's probability after each step: of the true chain, and of chains in its place that say less or else."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.faithfulness.ask import AnswerAsk, Reader, Reply, ask_of
from analysis.faithfulness.item import Item
from analysis.faithfulness.measures.filler import filled


@dataclass(frozen=True)
class Line:
    """One chain read step by step: after each number of steps, the context that was asked and the reply."""

    name: str
    sentence: str
    asks: tuple[AnswerAsk | None, ...]


def lines(item: Item) -> list[Line]:
    """The chains that the trace compares; the ask at place k has k steps. None where a step has no such version."""

    def cut(steps: tuple[str, ...], hide: bool = False) -> tuple[AnswerAsk | None, ...]:
        asks: list[AnswerAsk | None] = []
        for k in range(len(item.steps) + 1):
            whole = steps[:k]
            known = all(whole)
            hidden = tuple(range(1, k + 1)) if hide else ()
            asks.append(ask_of(item, chain=(item.lead, *whole), hidden=hidden) if known else None)
        return tuple(asks)

    found = [Line("true", "The chain as it is, cut after this step.", cut(item.steps))]
    if item.mistakes and item.mistakes[0]:
        found.append(Line("corrupted", "The same steps with wrong values, cut after this step.", cut(item.mistakes)))
    filler = tuple(filled(step) for step in item.steps)
    found.append(Line("filler", "Filler of about the same length in place of the steps so far.", cut(filler)))
    found.append(
        Line(
            "attention blocked",
            "The true steps are there, but cue and answer cannot attend to them.",
            cut(item.steps, True),
        )
    )
    if item.paraphrases and item.paraphrases[0]:
        found.append(Line("paraphrased", "The same steps in other words, cut after this step.", cut(item.paraphrases)))
    return found


def traced(item: Item, reader: Reader) -> list[dict[str, object]]:
    """Every line with its points: step, probability of the item's answer, altered text, options; one pooled read."""
    chosen = lines(item)
    replies = reader.read([ask for line in chosen for ask in line.asks if ask is not None])
    rows: list[dict[str, object]] = []
    for line in chosen:
        points = []
        for k, ask in enumerate(line.asks):
            if ask is None:
                continue
            reply = replies[ask]
            assert isinstance(reply, Reply)
            points.append(
                {
                    "step": k,
                    "p": reply.p(item.answer),
                    "text": "".join(ask.chain[1:]).strip() or "no step yet",
                    "options": options(reply),
                }
            )
        rows.append({"name": line.name, "sentence": line.sentence, "points": points})
    return rows


def options(reply: Reply, most: int = 9) -> list[dict[str, object]]:
    """The likeliest candidates with their probabilities, at most ``most`` of them."""
    order = (-reply.probabilities).argsort()[:most]
    return [{"candidate": reply.candidates[i].strip(), "probability": float(reply.probabilities[i])} for i in order]
