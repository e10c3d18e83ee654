"""Answers on a factorization: which there are, what its features are, what they share, how they merge, another one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from analysis.answer import Absent, Key


@dataclass(frozen=True)
class FactorizationTitle:
    """A factorization by name, and what a list calls it; ``levels``: how many concepts each level has, the smallest
    concepts first."""

    name: str
    title: str
    layer: int
    site: str
    features: int
    levels: tuple[int, ...]


@dataclass(frozen=True)
class FactorizationList:
    """The factorizations of a model, the one to open on first."""

    fits: tuple[FactorizationTitle, ...]


@dataclass(frozen=True)
class ExplainedCurve:
    """Share of the squared length ``explained`` after each ``iteration`` (of equal length), and the ``best`` iteration,
    whose pair is kept; None where that is not known."""

    iteration: tuple[int, ...] = ()
    explained: tuple[float, ...] = ()
    best: int | None = None


@dataclass(frozen=True)
class FactorizationSummary:
    """A whole factorization: so many ``features`` of ``width`` neurons or dimensions at a site, of which each keeps the
    share ``kept``, fitted to so many ``tokens``; ``explained``: share of their squared length, not centred. ``levels``:
    sizes, the smallest concepts first; ``random_auc``: the central 95 % of the areas of random sparse directions, None
    without themes; ``caption`` says most of it in words."""

    fit: str
    layer: int
    site: str
    width: int
    features: int
    kept: float
    tokens: int
    explained: float
    caption: str
    command: str
    levels: tuple[int, ...]
    curve: ExplainedCurve
    random_auc: tuple[float, float] | None


@dataclass(frozen=True)
class FeatureRow:
    """A feature in the list.

    ``label``, computed; ``top``: the tokens that stand out in what it is active on; ``active``: share of tokens;
    ``theme`` ("" for none) and ``purity``, the share of its activation on that theme; ``auc`` of the theme that it
    tells apart best, ``auc_theme`` (None and "" where detection is not scored); ``words`` by which a search meets it;
    ``character``: token, few texts, theme, tokens or silent.
    """

    feature: int
    label: str
    top: tuple[str, ...]
    active: float
    theme: str
    purity: float
    auc: float | None
    words: str
    character: str
    auc_theme: str


@dataclass(frozen=True)
class FeatureTable(FactorizationSummary):
    """A factorization with all its features by number, and a sentence on what a ``search`` meets."""

    rows: tuple[FeatureRow, ...]
    search: str


@dataclass(frozen=True)
class FeatureContext:
    """A place in a text: the ``tokens`` around it with their ``ids`` and the feature's activation on each, ``values``
    as shares of its largest; the place is token ``at``, its activation ``value``, the ``theme`` that of the text."""

    tokens: tuple[str, ...]
    ids: tuple[int, ...]
    values: tuple[float, ...]
    at: int
    theme: str
    value: float


@dataclass(frozen=True)
class NeuronWeight:
    """A neuron, or dimension, and its signed weight in a feature of length 1."""

    neuron: int
    weight: float


@dataclass(frozen=True)
class TokenLogit:
    """A token and the logit that a feature gives it by the unembedding alone."""

    id: int
    token: str
    logit: float


@dataclass(frozen=True)
class ThemeShare:
    """The share of a feature's activation on a theme."""

    theme: str
    share: float


@dataclass(frozen=True)
class Detection:
    """How well a feature tells its ``theme`` on held-out texts, beside its nulls; None where it is not scored.

    ``score``: the paper's, ln of a ratio of means; ``auc`` with its 95 % ``interval``; ``shuffled_auc``: the mean of
    its weights on other neurons; ``random_auc``: the central 95 % of random sparse directions; ``passages`` of the
    theme and ``others`` that it was scored on.
    """

    theme: str
    score: float | None
    auc: float | None
    interval: tuple[float, float] | None
    shuffled_auc: float | None
    random_auc: tuple[float, float] | None
    sentence: str
    passages: Annotated[int | None, Absent()] = None
    others: Annotated[int | None, Absent()] = None


@dataclass(frozen=True)
class FeatureFacts:
    """What a feature is: contexts of its largest activations and of a random sample, the neurons that it keeps, the
    heaviest first, tokens of both poles with a note on the ``readout``, its leading themes, and how it detects.

    ``scale``: its typical large activation; ``deciles`` (11) of the activations of active tokens; ``active``: the share
    of tokens.
    """

    feature: int
    label: str
    sentence: str
    contexts: tuple[FeatureContext, ...]
    random_contexts: tuple[FeatureContext, ...]
    neurons: tuple[NeuronWeight, ...]
    readout: str
    plus: tuple[TokenLogit, ...]
    minus: tuple[TokenLogit, ...]
    themes: tuple[ThemeShare, ...]
    detection: Detection
    scale: float
    deciles: tuple[float, ...]
    active: float


@dataclass(frozen=True)
class FeatureName:
    """A feature by number, with its label."""

    feature: int
    label: str


@dataclass(frozen=True)
class TextReading:
    """A text as tokens x features: ``activations`` (T, F) float32 >= 0 of the features that it uses most. Tokens at the
    places ``outside`` lie outside of what the fit has seen, and have zeros."""

    labels: tuple[str, ...]
    ids: tuple[int, ...]
    features: tuple[FeatureName, ...]
    outside: tuple[int, ...]
    sentence: str
    activations: np.ndarray


@dataclass(frozen=True)
class EffectAxes:
    """Parts of features in the ``rows`` of a matrix of effects, tokens with their ids in its ``columns``."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    ids: tuple[int, ...]


@dataclass(frozen=True)
class RelatedPair:
    """Features ``a`` < ``b``, how many neurons they share, and both labels."""

    a: int
    b: int
    shared: int
    labels: tuple[str, str]


@dataclass(frozen=True)
class NeuronOverlap:
    """What F features share: neurons of the ``core`` and those that each has alone, ``exclusive``; ``shared`` (F, F)
    int64, how many each two share, on the diagonal how many each keeps; what core and own parts do to the logits of
    tokens, measured, ``effects``, and by the direct path, ``direct``, both (F + 1, tokens) float32
    along ``axes``; ``related``: the pairs of the whole fit that share most."""

    features: tuple[FeatureName, ...]
    core: tuple[int, ...]
    exclusive: tuple[tuple[int, ...], ...]
    axes: Annotated[EffectAxes, Key("effects")]
    related: tuple[RelatedPair, ...]
    sentence: str
    shared: np.ndarray
    effects: np.ndarray
    direct: np.ndarray


@dataclass(frozen=True)
class Concept:
    """A concept of a tree, ``id`` "level:number", level 1 the features themselves; ``top`` tokens and ``contexts`` in
    which it is most active."""

    id: str
    level: int
    number: int
    label: str
    top: tuple[str, ...]
    contexts: tuple[str, ...]


@dataclass(frozen=True)
class ConceptEdge:
    """How much of a ``child`` is in its ``parent``: ``weight`` as a share of the parent's largest."""

    parent: str
    child: str
    weight: float


@dataclass(frozen=True)
class ConceptGraph:
    """How small concepts go into larger ones: sizes of the ``levels``, edges that reach the threshold, and the concepts
    that are ``shared``, which have several parents."""

    levels: tuple[int, ...]
    nodes: tuple[Concept, ...]
    edges: tuple[ConceptEdge, ...]
    shared: tuple[str, ...]
    sentence: str


@dataclass(frozen=True)
class MethodScore:
    """How well the directions of a method tell themes apart at a layer, means over themes with 95 % intervals; None
    where it was not measured. ``candidates``: how many directions it had to pick from."""

    layer: int
    method: str
    candidates: int
    score: float | None = None
    score_low: float | None = None
    score_high: float | None = None
    auc: float | None = None
    auc_low: float | None = None
    auc_high: float | None = None


@dataclass(frozen=True)
class DetectionComparison:
    """Features and all baselines, layer by layer; ``command``: what measured it."""

    rows: tuple[MethodScore, ...]
    sentence: str
    command: str


@dataclass(frozen=True)
class SearchHit:
    """A feature that has a token among those that lead it: ``where`` "promotes" (``value``: the logit) or "active on"
    (``value``: the share of tokens on which it is active)."""

    fit: str
    feature: int
    label: str
    where: str
    rank: int
    value: float


@dataclass(frozen=True)
class SearchAnswer:
    """Features of all factorizations of a model that have to do with a token, best ranks first."""

    rows: tuple[SearchHit, ...]
    sentence: str


@dataclass(frozen=True)
class NewFactorization:
    """A factorization that was made: its name, a sentence, and its curve."""

    fit: str
    sentence: str
    curve: ExplainedCurve
