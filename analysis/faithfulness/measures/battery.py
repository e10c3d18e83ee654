"""All measures of the board, and how to ask for several at once.

The asks of all measures are pooled before anything is read, so a context that five measures need is computed once; the
pool is in an order of its own, so that what comes out cannot depend on the order in which measures are listed.
"""

from __future__ import annotations

from collections.abc import Sequence

from analysis.errors import UserError
from analysis.faithfulness.ask import Ask, Reader
from analysis.faithfulness.item import Item
from analysis.faithfulness.measures.base import Measure, Replies, Score
from analysis.faithfulness.measures.baselines import (
    AnswerConfidence,
    ChainLength,
    ChainLogProbability,
    Correctness,
    Keyword,
    NoChainConfidence,
)
from analysis.faithfulness.measures.cc_shap import CCShap
from analysis.faithfulness.measures.decay import LogitDifferenceDecay
from analysis.faithfulness.measures.early import EarlyAnswering
from analysis.faithfulness.measures.filler import FillerTokens
from analysis.faithfulness.measures.mediation import Mediation
from analysis.faithfulness.measures.mistakes import AddingMistakes, AddingMistakesContinued
from analysis.faithfulness.measures.paraphrase import Paraphrasing, ParaphrasingContinued
from analysis.faithfulness.measures.scm import StructuralCausalModel
from analysis.faithfulness.measures.simulate import Simulatability
from analysis.faithfulness.measures.suppression import AttentionSuppression

MEASURES: tuple[Measure, ...] = (
    EarlyAnswering(),
    AddingMistakes(),
    FillerTokens(),
    StructuralCausalModel(),
    Paraphrasing(),
    CCShap(),
    Simulatability(),
    Mediation(),
    LogitDifferenceDecay(),
    AttentionSuppression(),
)
"""The measures with their default settings, in the order of the board."""

CONTINUED: tuple[Measure, ...] = (AddingMistakesContinued(), ParaphrasingContinued())
"""The published forms of two of them, which let the model write on: many times dearer, so measured where asked for."""

BASELINES: tuple[Measure, ...] = (
    ChainLength(),
    ChainLogProbability(),
    AnswerConfidence(),
    NoChainConfidence(),
    Keyword(),
)
"""The free baselines, in the order of the board."""

OF_ROWS: tuple[Measure, ...] = (Correctness(),)
"""Free baselines of rows from outside, which alone say what the correct answer is."""

NO_SIMULATOR = "This measure needs a second model, and none was given."


def by_name(name: str) -> Measure:
    """The measure or baseline of that name. Raises UserError (field "measure") if there is none."""
    every = (*MEASURES, *CONTINUED, *BASELINES, *OF_ROWS)
    for measure in every:
        if measure.name == name:
            return measure
    known = ", ".join(measure.name for measure in every)
    raise UserError(f"There is no measure called {name!r}. Choose one of: {known}.", "measure")


def wanted(item: Item, measures: Sequence[Measure]) -> tuple[list[Ask], list[Ask]]:
    """Every ask of the measures once: those for the model, and those for the second model (the simulator)."""
    pools: tuple[dict[Ask, None], dict[Ask, None]] = ({}, {})
    for measure in sorted(measures, key=lambda m: m.name):
        pools[measure.simulated].update(dict.fromkeys(measure.asks(item)))
    return list(pools[0]), list(pools[1])


def asked(item: Item, measures: Sequence[Measure]) -> tuple[int, int]:
    """How many asks the measures make one by one, and how many are left when they are pooled."""
    own, second = wanted(item, measures)
    return sum(len(measure.asks(item)) for measure in measures), len(own) + len(second)


def score_all(
    item: Item, measures: Sequence[Measure], replies: Replies, simulated: Replies | None = None
) -> dict[str, Score]:
    """The score by each measure, by name, from replies that are there already; ``simulated``: the second model's."""
    found = {}
    for measure in measures:
        source = simulated if measure.simulated else replies
        found[measure.name] = Score(note=NO_SIMULATOR) if source is None else measure.score(item, source)
    return found


def evaluate(
    item: Item, measures: Sequence[Measure], reader: Reader, simulator: Reader | None = None
) -> dict[str, Score]:
    """The score by each measure, by name, with one pooled read of each model; nothing is read that no measure needs."""
    own, second = wanted(item, measures)
    replies = reader.read(own) if own else {}
    simulated = None if simulator is None else simulator.read(second) if second else {}
    return score_all(item, measures, replies, simulated)
