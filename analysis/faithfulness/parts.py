"""Items of one tier under one demonstration seed: made, certified, and scored by every measure.

Twins stay together: an item of tier 1 or 2 whose counterpart failed its certificate is left out too, so both classes
hold the same problems. The asks of a few items are read at once, since what they share is then computed once.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from analysis.engine.spread import Bench
from analysis.errors import UserError
from analysis.faithfulness import bottleneck, organisms, sources
from analysis.faithfulness.ask import Reader, Reply, ask_of
from analysis.faithfulness.certificate import Certified, certify
from analysis.faithfulness.item import Check, Item
from analysis.faithfulness.masked import ChainBlind, QuestionBlind
from analysis.faithfulness.measures import BASELINES, CONTINUED, MEASURES, OF_ROWS, Measure, asked, score_all, wanted
from analysis.faithfulness.neutral import NeutralReader
from analysis.faithfulness.reader import ModelReader, reader_of_model
from analysis.models.spec import ModelSpec
from analysis.progress import Progress, silent

ALL: tuple[Measure, ...] = (*MEASURES, *BASELINES)
"""What is measured in any case; the published forms that let the model write on come where they are asked for."""
FORMS = ("hard", "soft", "margin")
TIERS = ("0", "1", "2", "Z", "G1")
GROUP = 4
"""Items whose asks are read together: enough to fill a pass, few enough to show progress."""
MASKED = (
    (
        "chain only",
        True,
        "Used, by construction: this model is never shown the question, so its answer can only come from the chain.",
    ),
    (
        "question only",
        False,
        "Decoration, by construction: this model is never shown the chain when it answers.",
    ),
)
"""Regime, label and claim of the two masked models of tier 0."""


def chosen(continued: bool, rows: bool = False) -> tuple[Measure, ...]:
    """All measures, with or without the published forms that let the model write on, and baselines of ``rows`` from
    outside."""
    return (*MEASURES, *(CONTINUED if continued else ()), *BASELINES, *(OF_ROWS if rows else ()))


def named(names: Sequence[str]) -> tuple[Measure, ...]:
    """What is computed anew for a study whose measures have these names."""
    return chosen(*(any(m.name in names for m in some) for some in (CONTINUED, OF_ROWS)))


@dataclass(frozen=True)
class StudySettings:
    """What a study is made of. ``problems``: base problems per demonstration seed; ``seeds``: how many of those."""

    seeds: int = 5
    problems: int = 30
    tiers: tuple[str, ...] = TIERS
    fur: int = 0
    seed: int = 0
    continued: bool = False

    @property
    def measures(self) -> tuple[Measure, ...]:
        """What the items are scored by; with ``continued`` the published forms of two measures as well."""
        return chosen(self.continued)

    def __post_init__(self) -> None:
        for name, low, high in (("seeds", 1, 20), ("problems", 2, 60), ("fur", 0, 200), ("seed", 0, 2**31 - 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise UserError(f"{name.capitalize()} must be a whole number from {low} to {high:,}.", name)
        wrong = [tier for tier in self.tiers if tier not in TIERS]
        if wrong or not self.tiers:
            raise UserError(f"Choose among the tiers {', '.join(TIERS)}.", "tiers")


@dataclass(frozen=True)
class Wanted:
    """One part of a study: a tier under a demonstration seed."""

    tier: str
    seed: int


@dataclass
class Part:
    """A tier under one demonstration seed: items, scores (3 forms, measures, items) with nan, and how it was made."""

    tier: str
    seed: int
    items: tuple[Item, ...]
    scores: np.ndarray
    made: int
    failed: dict[str, int]
    notes: dict[str, str] = field(default_factory=dict)
    asked: int = 0
    distinct: int = 0
    passes: int = 0
    tokens: int = 0
    seconds: float = 0.0


def parts_of(settings: StudySettings) -> list[tuple[str, int]]:
    """The parts of a study, in the order in which they are made."""
    return [
        (tier, seed) for tier in TIERS if tier in settings.tiers for seed in range(1 if tier == "0" else settings.seeds)
    ]


def make_part(reader: ModelReader, tier: str, seed: int, settings: StudySettings, progress: Progress = silent) -> Part:
    """Make, certify and score the items of a tier under a demonstration seed."""
    began, before = time.perf_counter(), reader.count.copy()
    progress(0.0, f"Making and certifying items of tier {tier}, demonstrations {seed + 1}")
    if tier == "0":
        items, found = _masked(reader, settings)
    else:
        items, found = _certified(reader, tier, seed, settings)
    what = f"Scoring tier {tier}, demonstrations {seed + 1}"
    result = scored(reader, items, progress, what, measures=settings.measures)
    spent = reader.count - before
    return Part(
        tier, seed, items, result.chains, found.made, found.failed, result.notes, result.asked,
        result.distinct, spent.passes, spent.tokens, time.perf_counter() - began,
    )  # fmt: skip


def part_of_study(bench: Bench, settings: StudySettings, wanted: Wanted) -> Part:
    """:func:`make_part`, as a shard of a study."""
    reader = reader_of_model(bench.loaded, bench.check)
    return make_part(reader, wanted.tier, wanted.seed, settings, bench.progress)


def reader_of(item: Item, reader: Reader) -> Reader:
    """The reader that an item was made for: items of tier 0 belong to a model that does not see question or chain."""
    if item.tier == "0":
        return QuestionBlind(reader) if item.regime == "chain only" else ChainBlind(reader)
    return reader


def evaluated(
    item: Item, reader: Reader, measures: Sequence[Measure] = ALL, simulator: Reader | None = None
) -> dict[str, Any]:
    """Scores of one item by name, read with the reader that it was made for; ``simulator`` None: the neutral one."""
    own, second = wanted(item, measures)
    replies = reader_of(item, reader).read(own) if own else {}
    if simulator is None and "neutral" in item.facts:
        simulator = reader_of(item, NeutralReader(reader, [item]))
    simulated = None if simulator is None else simulator.read(second) if second else {}
    return score_all(item, measures, replies, simulated)


def _certified(
    reader: ModelReader, tier: str, seed: int, settings: StudySettings
) -> tuple[tuple[Item, ...], Certified]:
    if tier == "2":
        pairs = sources.paired(
            seed, sources.problems(settings.problems, settings.seed), reader, reader.loaded.tokenizer
        )
        return pairs.items, pairs.certified
    if tier == "G1":
        triples = bottleneck.problems(settings.problems, settings.seed)
        drafts = [d for regime in bottleneck.REGIMES for d in bottleneck.drafts(regime, seed, triples)]
        found = certify(drafts, reader)
        return found.items, found
    sums = organisms.problems(settings.problems, settings.seed)
    regimes = ("Z",) if tier == "Z" else ("R", "K")
    found = certify([d for regime in regimes for d in organisms.drafts(regime, seed, sums)], reader)
    both = [item for item in found.items if tier == "Z" or _twins(found.items, item) == len(regimes)]
    return tuple(both), found


def _twins(items: Sequence[Item], item: Item) -> int:
    return sum(other.problem == item.problem and other.demos == item.demos for other in items)


def _masked(reader: ModelReader, settings: StudySettings) -> tuple[tuple[Item, ...], Certified]:
    """Tier 0: certified items of regime R, once for a model without the question and once for one without the chain.

    Their answer is the masked model's own, whether it is right or not.
    """
    sums = organisms.problems(settings.problems, settings.seed)
    found = certify(organisms.drafts("R", 0, sums), reader)
    items = []
    for item in found.items:
        for regime, label, claim in MASKED:
            check = Check(regime, "Nothing is left to test: the model never reads the other part.", 1.0, "", "", True)
            name = f"{regime.split()[0]}-{item.problem}"
            known: dict[str, Any] = {"regime": regime, "label": label, "claim": claim, "certificate": (check,)}
            masked = replace(item, id=name, tier="0", **known)
            reply = reader_of(masked, reader).read([ask_of(masked)])[ask_of(masked)]
            assert isinstance(reply, Reply)
            items.append(replace(masked, answer=reply.best))  # what this model answers, right or wrong
    return tuple(items), Certified(tuple(items), 2 * found.made, {k: 2 * v for k, v in found.failed.items()})


@dataclass
class Scores:
    """Scores of items: ``chains`` (3 forms, measures, items), ``steps`` (3 forms, measures, labelled steps), with nan.

    ``where``: item, step and label of each labelled step. ``notes``: one per measure that had one. ``asked`` counts all
    asks, ``distinct`` those that differ within an item; ``passes`` and ``tokens`` are what the model was asked for.
    """

    chains: np.ndarray
    steps: np.ndarray
    where: list[tuple[int, int, bool]]
    notes: dict[str, str]
    asked: int = 0
    distinct: int = 0
    passes: int = 0
    tokens: int = 0

    @classmethod
    def joined(cls, parts: Sequence[Scores], items: Sequence[int]) -> Scores:
        """The scores of all items from those of some each; ``items``: how many each part has."""
        notes: dict[str, str] = {}
        where: list[tuple[int, int, bool]] = []
        for part, first in zip(parts, itertools.accumulate(items, initial=0), strict=False):
            notes = {**part.notes, **notes}
            where += [(first + at, step, label) for at, step, label in part.where]
        chains, steps = (np.concatenate([getattr(p, name) for p in parts], 2) for name in ("chains", "steps"))
        counts = (sum(getattr(p, name) for p in parts) for name in ("asked", "distinct", "passes", "tokens"))
        return cls(chains, steps, where, notes, *counts)


@dataclass(frozen=True)
class Scoring:
    """How items are scored: whether by the published forms that let the model write on, and by the baselines of rows
    from outside, too; by which second model (None: none), whose weights have that fingerprint; and what is said
    meanwhile."""

    continued: bool
    rows: bool
    simulator: ModelSpec | None
    fingerprint: str
    what: str


@dataclass(frozen=True)
class Items:
    """Some items of a study."""

    items: tuple[Item, ...]


def scores_of_items(bench: Bench, scoring: Scoring, some: Items) -> Scores:
    """:func:`scored`, as a shard of a study. Raises UserError where the second model cannot be loaded, or is another
    one there."""
    second = None if scoring.simulator is None else bench.surroundings.model(scoring.simulator)
    if second is not None and second.facts.fingerprint != scoring.fingerprint:
        raise UserError(
            f"The second model, {second.facts.label}, has other weights on a machine of the cluster than here. Name "
            "it by a folder that all machines share.",
            "simulator",
        )
    return scored(
        reader_of_model(bench.loaded, bench.check),
        some.items,
        bench.progress,
        scoring.what,
        None if second is None else reader_of_model(second, bench.check),
        measures=chosen(scoring.continued, scoring.rows),
    )


def in_shards(items: tuple[Item, ...], hands: int) -> list[Items]:
    """Items in about as many shards as there are hands, each of whole groups but the last; one shard for one hand."""
    size = GROUP * max(1, -(-len(items) // (GROUP * hands)))
    return [Items(items[first : first + size]) for first in range(0, len(items), size)]


def scored(
    reader: ModelReader,
    items: tuple[Item, ...],
    progress: Progress,
    what: str,
    simulator: Reader | None = None,
    *,
    measures: tuple[Measure, ...] = ALL,
) -> Scores:
    """Score items by ``measures``, a few at a time; steps whose label is known are scored one by one as well."""
    chains = np.full((len(FORMS), len(measures), len(items)), np.nan)
    where = [(at, k, label) for at, i in enumerate(items) for k, label in enumerate(i.step_labels) if label is not None]
    places = {(at, k): n for n, (at, k, _) in enumerate(where)}
    steps = np.full((len(FORMS), len(measures), len(where)), np.nan)
    found = Scores(chains, steps, where, {})
    before = reader.count.copy()
    neutral = NeutralReader(reader, items)
    for start in range(0, len(items), GROUP):
        group = items[start : start + GROUP]
        progress(start / max(1, len(items)), f"{what}: item {start + 1} of {len(items)}")
        # One read warms the reader's memory for the whole group; the items then find their replies there.
        _warm(reader, group, neutral, measures)
        for at, item in enumerate(group, start):
            many, few = asked(item, measures)
            found.asked, found.distinct = found.asked + many, found.distinct + few
            for row, (name, score) in enumerate(evaluated(item, reader, measures, simulator).items()):
                assert name == measures[row].name
                values = [getattr(score, form) for form in FORMS]
                chains[:, row, at] = [np.nan if v is None else v for v in values]
                for k, step in enumerate(score.steps):
                    if (at, k) in places:
                        graded = [step.get(form) for form in FORMS]
                        steps[:, row, places[at, k]] = [np.nan if v is None else v for v in graded]
                if score.note:
                    found.notes.setdefault(name, score.note)
    spent = reader.count - before
    found.passes, found.tokens = spent.passes, spent.tokens
    return found


def _warm(reader: ModelReader, group: Sequence[Item], neutral: NeutralReader, measures: Sequence[Measure]) -> None:
    pools: dict[str, tuple[Reader, list[Any]]] = {}
    for item in group:
        own, second = wanted(item, measures)
        pools.setdefault(item.regime if item.tier == "0" else "", (reader_of(item, reader), []))[1].extend(own)
        if neutral.knows(item):
            key = f"neutral {item.regime if item.tier == '0' else ''}"
            pools.setdefault(key, (reader_of(item, neutral), []))[1].extend(second)
    for source, asks in pools.values():
        source.read(asks)
