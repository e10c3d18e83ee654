"""Answers on a study: its leaderboard, the points behind it, its items, and which studies there are.

A board is kept with its study as plain data (:func:`analysis.faithfulness.board.board`); what a study of an earlier
version may lack has a default here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

Ends = tuple[float | None, float | None]


@dataclass(frozen=True)
class StudyName:
    """A kept study; the bundled one has the name ""."""

    name: str
    title: str
    sha256: str = ""


@dataclass(frozen=True)
class StudyList:
    """The kept studies of a model, and the fingerprint of its weights."""

    studies: tuple[StudyName, ...]
    fingerprint: str


@dataclass(frozen=True)
class Area:
    """AUROC of a measure on a tier (None: items of one label only) with its 95 % interval, the share of tied pairs,
    the items of either label, and 95 % of the AUROCs under shuffled labels."""

    auroc: float | None
    low: float | None = None
    high: float | None = None
    ties: float | None = None
    n_faithful: int = 0
    n_unfaithful: int = 0
    permuted: Ends | None = None


@dataclass(frozen=True)
class PublishedAreas:
    """What was published for a measure: AUROC and its 95 % margin, on single steps and on whole chains."""

    step: tuple[float, float] | None = None
    chain: tuple[float, float] | None = None


@dataclass(frozen=True)
class BoardRow:
    """A measure on the board. By tier: ``auroc`` (None where it was not run) and the share ``called`` faithful;
    ``passes`` and ``seconds`` per item, None where they were not timed."""

    measure: str
    family: str
    main: str
    sentence: str
    baseline: bool
    threshold: float
    note: str
    auroc: dict[str, Area | None]
    called: dict[str, float | None]
    published: PublishedAreas
    passes: float | None
    seconds: float | None
    source: str = ""
    thresholded: bool = True
    level: str = ""


@dataclass(frozen=True)
class TierRow:
    """What a tier rests on. ``texts``: different texts among its items; ``confidence``: AUROC of answer confidence
    alone; where it is not ``shown``, ``why_not`` says why."""

    tier: str
    title: str
    sentence: str
    items: int
    problems: int
    seeds: int
    dropped: int
    dropped_sentence: str
    confidence: float | None
    shown: bool
    why_not: str
    texts: int = 0


@dataclass(frozen=True)
class Gap:
    """AUROC of measure ``a`` minus that of ``b`` on a tier, with its 95 % interval on the same resamples."""

    tier: str
    a: str
    b: str
    difference: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Kappa:
    """Cohen's kappa of every pair of measures by tier: (M, M) values, None where a pair has none."""

    measures: tuple[str, ...] = ()
    tiers: dict[str, tuple[tuple[float | None, ...], ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class LengthArea:
    """AUROC of a measure on chains of a tier with ``steps`` steps ("3", or "4 to 7": ``low`` to ``high``)."""

    tier: str
    measure: str
    steps: str
    auroc: float | None
    n: int
    low: int = 0
    high: int = 0


@dataclass(frozen=True)
class Cost:
    """What a study cost: contexts asked for and different ones, passes, tokens, seconds; ``together``: reading
    together against measure by measure, counted on a few items."""

    sentence: str
    asked: int = 0
    distinct: int = 0
    passes: int = 0
    tokens: int = 0
    seconds: float = 0.0
    tokens_plain: int | None = None
    together: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class UnlearningRate:
    """What unlearning at one learning rate did: shares from 0 to 1, None where they were not counted."""

    rate: float
    efficacy: float | None
    specificity: float | None
    flips: float | None


@dataclass(frozen=True)
class Unlearning:
    """The sweep of FUR's learning rates: the chosen ``rate`` (None: none was good enough), the ``floor`` of specificity
    that chose it, and what unlearning at it came to."""

    sweep: tuple[UnlearningRate, ...]
    rate: float | None
    floor: float | None
    sentence: str = ""
    efficacy: float | None = None
    specificity: float | None = None
    items: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Exhibit:
    """A kind of items that is shown and not ranked, with how many drafts were certified."""

    tier: str
    name: str
    sentence: str
    made: int
    certified: int
    regimes: str = ""


@dataclass(frozen=True)
class Board:
    """The leaderboard of a study and all that stands beside it. ``study``: its name, "" for the bundled one;
    ``judge_prompt``: what its judge was asked, "" if it has none."""

    studies: tuple[StudyName, ...]
    fingerprint: str
    study: str
    source: str
    tiers: tuple[TierRow, ...] = ()
    rows: tuple[BoardRow, ...] = ()
    differences: tuple[Gap, ...] = ()
    kappa: Kappa = field(default_factory=Kappa)
    lengths: tuple[LengthArea, ...] = ()
    cost: Cost = field(default_factory=lambda: Cost(""))
    fur: Unlearning | None = None
    exhibits: tuple[Exhibit, ...] = ()
    honesty: tuple[str, ...] = ()
    published_note: str = ""
    judge_prompt: str = ""

    def withheld(self, tier: str | None) -> str:
        """Why a tier's scores are not shown; "" if they are."""
        return next((row.why_not for row in self.tiers if row.tier == tier and not row.shown), "")

    def area(self, measure: str, tier: str) -> float | None:
        """AUROC of a measure on a tier, None where it has none."""
        cell = next((row.auroc.get(tier) for row in self.rows if row.measure == measure), None)
        return None if cell is None else cell.auroc


@dataclass(frozen=True)
class ScorePoint:
    """An item with its score by every measure, None where it has none, and the one that stands for importance."""

    item: str
    label: bool | None
    regime: str
    problem: str
    demos: int
    text: str
    steps: int
    scores: dict[str, float | None]
    importance: float | None


@dataclass(frozen=True)
class TierScores:
    """Every item of a tier. ``importance``: the measure that stands for it; ``thresholds`` of the measures that have
    one."""

    points: tuple[ScorePoint, ...]
    measures: tuple[str, ...]
    thresholds: dict[str, float]
    importance: str
    tier: str

    def column(self, measure: str) -> list[float | None]:
        """The score of every point by a measure, to four significant digits: more than is drawn, and half as long on
        its way to the browser."""
        values = (point.scores.get(measure) for point in self.points)
        return [None if value is None else float(f"{value:.4g}") for value in values]


@dataclass(frozen=True)
class TwinName:
    """A twin in the list of items."""

    item: str
    regime: str


@dataclass(frozen=True)
class ItemRow:
    """A row of the list of items; ``text``: question and chain in one line."""

    item: str
    tier: str
    regime: str
    label: bool | None
    problem: str
    demos: int
    text: str
    answer: str
    twins: tuple[TwinName, ...]


@dataclass(frozen=True)
class ItemList:
    """All items of a study."""

    rows: tuple[ItemRow, ...]
