"""All heads by a score over many texts, with the same score on the prompt beside it."""

from __future__ import annotations

import numpy as np

from analysis.qk.answers.corpus import CorpusHeads
from analysis.qk.answers.prompt import Reading
from components.kit.view import Control, Drawing, view
from components.qk.controls import measured
from components.qk.heads import ENOUGH, SCORE_NAMES, HeadOptions, HeadScore, beyond_first, heads_drawing, prompt_score

PREFIX = "texts-"
CORPUS_SCORES = {PREFIX + short: f"over texts: {name}" for short, name in SCORE_NAMES.items()}
"""Scores over the texts of the corpus, by short name."""


def corpus_score(reading: Reading, answer: CorpusHeads, short: str) -> HeadScore:
    """A score over texts; KeyError for none of them."""
    kind = short.removeprefix(PREFIX)
    name = SCORE_NAMES[kind].split(":")[0].removesuffix(" (nats)").removesuffix(" (tokens)") + ", over texts"
    place = answer.names.index(kind)
    values, errors = answer.values[place], answer.errors[place]
    sink = answer.values[answer.names.index("sink")]
    if kind == "distance":
        values = np.where(1 - sink >= ENOUGH, values, np.nan)
    finite = np.isfinite(values)
    best = np.unravel_index(np.argmax(np.where(finite, values, -np.inf)), values.shape)
    digits = 1 if kind == "distance" else 2
    said = (
        f"Means over {answer.counts[place]:,} texts of {answer.length} tokens of {_named(answer)}; the highest head’s "
        f"standard error is {errors[best]:.{digits + 1}f}. {_alike(answer, place, digits)}"
        if finite.any()
        else ""
    )
    here = prompt_score(reading, kind).values
    score = HeadScore(
        values.astype(float), name, False, nowhere="Nothing repeats in these texts.", said=said, beside=here
    )
    return beyond_first(score, sink) if kind == "distance" else score


def _named(answer: CorpusHeads) -> str:
    return "the corpus" if answer.of is None else f"“{answer.of}”"


def _alike(answer: CorpusHeads, place: int, digits: int) -> str:
    if not np.isfinite(answer.uniform[place]).any():
        return ""
    low, high = np.nanmin(answer.uniform[place]), np.nanmax(answer.uniform[place])
    # Layers with a window see fewer tokens, so that looking at all alike is not the same in all of them.
    value = f"{low:.{digits}f}" if high - low < 10**-digits else f"{low:.{digits}f} to {high:.{digits}f}, by layer"
    return f"A head that looks at all tokens alike: {value}."


@view("attention/heads over texts", Reading, CorpusHeads, options=HeadOptions)
def heads_over_texts(reading: Reading, answer: CorpusHeads, options: HeadOptions, theme: str) -> Drawing:
    """All heads by a score over texts; ``options.score``: one of CORPUS_SCORES."""
    score = corpus_score(reading, answer, options.score)
    place = answer.names.index(options.score.removeprefix(PREFIX))
    uniform = answer.uniform[place]
    there = uniform[np.isfinite(uniform)]
    numbers = measured({"lowest layer": float(there.min()), "highest layer": float(there.max())}) if there.size else {}
    control = Control("uniform attention", _alike(answer, place, 2), numbers)
    return heads_drawing(reading, score, options, theme, control)
