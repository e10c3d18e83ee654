"""Answers on one item: read closely, traced step by step, and intervened on.

Probabilities are among the candidates. A label is True (faithful), False (unfaithful) or None (nothing certifies it).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from analysis.answer import Incidental


@dataclass(frozen=True)
class Twin:
    """An item on the same problem under the same demonstrations; the item itself is among its twins."""

    item: str
    regime: str
    label: bool | None
    title: str


@dataclass(frozen=True)
class Piece:
    """A piece of an item's text: ``kind`` is before, question, key, unit, lead, step, cue or answer. ``index``: of a
    step, from 1. ``unit``: what a part of the question is called."""

    kind: str
    text: str
    index: int | None = None
    unit: str = ""


@dataclass(frozen=True)
class Option:
    """A candidate answer and its probability."""

    candidate: str
    probability: float


@dataclass(frozen=True)
class OwnAnswer:
    """What the model itself answers after the chain, whether it would write the first step's value (None: not known),
    and both as a sentence."""

    answer: str
    values_right: bool | None
    sentence: str


@dataclass(frozen=True)
class CertificateSwap:
    """A held-out swap of a certificate: the answer that the label predicts, the model's, and the probability of the
    predicted one."""

    name: str
    sentence: str
    probability: float
    expected: str
    got: str
    passed: bool


@dataclass(frozen=True)
class Forms:
    """A score in its three forms, None where it is not defined: ``hard`` counts changed answers, ``soft`` compares
    probabilities of the answer, ``margin`` its lead over the other candidates."""

    hard: float | None = None
    soft: float | None = None
    margin: float | None = None


@dataclass(frozen=True)
class ItemScore:
    """What a measure says of an item. ``main``: the form that is ranked, whose number is ``value``; ``called``: whether
    it reaches the ``threshold`` (None: no score, or no threshold); ``steps``: the forms of each step where they were
    computed; the medians are those of the item's tier, None where they are withheld or there are none."""

    measure: str
    family: str
    hard: float | None
    soft: float | None
    margin: float | None
    main: str
    steps: tuple[Forms, ...]
    threshold: float | None
    called: bool | None
    note: str
    value: float | None
    sentence: str
    median_faithful: float | None
    median_unfaithful: float | None


@dataclass(frozen=True)
class Passes:
    """How many contexts all measures ask for, how many of them differ, and what was spent now."""

    asked: int
    distinct: int
    passes: Annotated[int, Incidental()] = 0
    tokens: Annotated[int, Incidental()] = 0


@dataclass(frozen=True)
class ItemReading:
    """One item, closely.

    ``demos``: the seed of its demonstrations; ``p``: the probability of the item's answer; ``mass``: of all candidates
    among all tokens; ``several``: whether candidates have several tokens; ``full``: whether the scores were computed
    now, step by step; ``z_made``: whether the study has rationalising twins; ``seconds``: about how long all measures
    take on this machine.
    """

    item: str
    tier: str
    regime: str
    label: bool | None
    claim: str
    demos: int
    problem: str
    twins: tuple[Twin, ...]
    pieces: tuple[Piece, ...]
    key: str
    steps: tuple[str, ...]
    step_labels: tuple[bool | None, ...]
    answer: str
    candidates: tuple[str, ...]
    options: tuple[Option, ...]
    p: float
    several: bool
    mass: float
    own: OwnAnswer
    certificate: tuple[CertificateSwap, ...]
    certified: bool
    claims_not: str
    scores: tuple[ItemScore, ...]
    full: bool
    passes: Passes
    text: str
    sentence: str
    z_made: bool
    seconds: Annotated[float, Incidental()]


@dataclass(frozen=True)
class TracePoint:
    """A place of a line: after ``step`` steps, the probability of the item's answer, the text that was read, and the
    likeliest candidates."""

    step: int
    p: float
    text: str
    options: tuple[Option, ...]


@dataclass(frozen=True)
class TraceLine:
    """One chain read step by step: the true one, or one in its place."""

    name: str
    sentence: str
    points: tuple[TracePoint, ...]


@dataclass(frozen=True)
class ItemTrace:
    """The answer's probability after each step. ``steps`` names the places from "start" on; ``base``: the probability
    without any step; ``passes`` of the model that it took."""

    steps: tuple[str, ...]
    lines: tuple[TraceLine, ...]
    answer: str
    base: float | None
    passes: Annotated[int, Incidental()] = 0
    sentence: str = ""


@dataclass(frozen=True)
class EditedStep:
    """A step after an edit; ``edit`` is keep, delete, corrupt, paraphrase, fill, block or text."""

    text: str
    edit: str


@dataclass(frozen=True)
class MovedOption:
    """A candidate and its probability before and after."""

    candidate: str
    before: float
    after: float


@dataclass(frozen=True)
class MovedScore:
    """A measure's score before and after; ``note`` says why there is none after."""

    measure: str
    before: float | None
    after: float | None
    note: str = ""


@dataclass(frozen=True)
class Intervention:
    """An item after edits of its steps or its key.

    ``before`` and ``after``: the probability of the item's answer; ``best``: the likeliest candidate afterwards;
    ``kl`` in nats; ``soft``: the share of probability that was lost; ``margin``: the change of the lead, relative to
    the lead (None where there was none); ``passes`` for the answer, ``passes_scores`` for all scores.
    """

    steps: tuple[EditedStep, ...]
    key: str
    options: tuple[MovedOption, ...]
    answer: str
    before: float
    after: float
    best: str
    moved: bool
    kl: float
    soft: float
    margin: float | None
    passes: Annotated[int, Incidental()]
    passes_scores: Annotated[int, Incidental()]
    scores: tuple[MovedScore, ...]
    pieces: tuple[Piece, ...]
    note: str
    sentence: str
