"""Answers on a fit: which there are, the map of its regions, what one region is, and what a token is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from analysis.answer import Absent, Incidental


@dataclass(frozen=True)
class FitTitle:
    """A fit by name, and what a list calls it."""

    name: str
    title: str


@dataclass(frozen=True)
class FitList:
    """The fits of a model, the one to open on first."""

    fits: tuple[FitTitle, ...]


@dataclass(frozen=True)
class FitFacts:
    """A whole fit: ``K`` regions with ``R`` local factors in ``D`` dimensions, made from ``rows`` activations behind
    block ``layer`` (of ``layers``) at ``site``; ``held_out`` log-likelihood beside that of one diagonal ``gaussian``,
    nats per activation; ``command``: what made it. ``caption`` says so in words."""

    caption: str
    K: int
    R: int
    D: int
    model: str
    rows: int
    held_out: float
    gaussian: float
    seed: int
    command: str
    layer: int
    site: str
    layers: int


@dataclass(frozen=True)
class Region:
    """A region on the map and in the list.

    ``character``: token, theme, grammar, mixed or small; ``score``: how much of it; ``size``: activations that belong
    to it; ``purity``: the share of its members that are of its ``theme`` ("" for none); ``entropy`` of its tokens, in
    bits; ``label``: the user's ``own_label``, or else the computed one; ``words``: by which a search meets it; ``x``
    and ``y`` on the map; ``near``: the numbers of the nearest regions.
    """

    region: int
    character: str
    size: float
    score: float
    purity: float
    theme: str
    entropy: float
    label: str
    own_label: str
    words: str
    x: float
    y: float
    near: tuple[int, ...]


@dataclass(frozen=True)
class FitMap:
    """All regions of a fit, by number."""

    fit: str
    facts: FitFacts
    regions: tuple[Region, ...]


@dataclass(frozen=True)
class RegionName:
    """The name by which a region goes now."""

    label: str


@dataclass(frozen=True)
class TokenValue:
    """A token with its id, and a number: what that is, the list says."""

    id: int
    token: str
    value: float


@dataclass(frozen=True)
class ContextLine:
    """A member of a region in its text: the words ``before`` the ``token`` and ``after`` it, the whole ``word`` that
    the token is part of, the ``source`` of the text, and ``row``: document times 4,096 plus position."""

    before: str
    token: str
    word: str
    after: str
    source: str
    region: int
    row: int


@dataclass(frozen=True)
class Factor:
    """A local factor: ``spread`` of its score among the region's points (activation units), ``share`` of the region's
    local variance, and both ends: named, as a title of several lines, and as contexts, the furthest first."""

    spread: float
    share: float
    low: str
    high: str
    low_title: str
    high_title: str
    low_contexts: tuple[ContextLine, ...]
    high_contexts: tuple[ContextLine, ...]


@dataclass(frozen=True)
class RegionFacts:
    """What a region is. ``contexts`` by sample: likelihood, responsibility, random. ``unembedded``: tokens that the
    unembedding alone gives for its centroid (logits), with a note on the ``readout``; ``lifted``: tokens that are
    over-represented among its members (log-odds). ``facts``: names and sentences."""

    region: int
    label: str
    own_label: str
    contexts: dict[str, tuple[ContextLine, ...]]
    readout: str
    unembedded: tuple[TokenValue, ...]
    lifted: tuple[TokenValue, ...]
    factors: tuple[Factor, ...]
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Effects:
    """What steering does to the next token, measured: tokens ``promoted`` and ``suppressed`` by the centroid (mean
    change of log-probability, nats), or, where these were asked for, labels of the tokens that each of the ``factors``
    promotes at its low and its high end. What was not asked is None."""

    promoted: Annotated[tuple[TokenValue, ...] | None, Absent()] = None
    suppressed: Annotated[tuple[TokenValue, ...] | None, Absent()] = None
    factors: Annotated[tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] | None, Absent()] = None


@dataclass(frozen=True)
class ContextFactors:
    """The local factors (R,) of a context of a region, in spreads."""

    region: int
    factors: tuple[float, ...]


@dataclass(frozen=True)
class TokenParts:
    """Every token of a text, split; tuples over the T tokens.

    ``region`` and the ``second`` likeliest, with their names, ``responsibility`` and ``second_share``; ``log_density``
    in nats; norms in activation units: of ``centroid`` and activation (``norm``) from the mean activation, of the
    ``local`` offset and of the ``rest``; ``factors`` (T, R) in spreads; ``path_x`` and ``path_y`` (T, 4): the mean,
    the centroid, the centroid with the local offset, and the activation, in the plane that holds these four best. The
    first ``outside`` positions lie outside of what the fit has seen.
    """

    labels: tuple[str, ...]
    region: tuple[int, ...]
    region_labels: tuple[str, ...]
    second: tuple[int, ...]
    second_labels: tuple[str, ...]
    responsibility: tuple[float, ...]
    second_share: tuple[float, ...]
    log_density: tuple[float, ...]
    centroid: tuple[float, ...]
    local: tuple[float, ...]
    rest: tuple[float, ...]
    norm: tuple[float, ...]
    factors: tuple[tuple[float, ...], ...]
    path_x: tuple[tuple[float, ...], ...]
    path_y: tuple[tuple[float, ...], ...]
    outside: int


@dataclass(frozen=True)
class KeptTexts:
    """Texts to fit on: the ``source`` as JSON, which the form of a fit takes, its ``label``, and a ``sentence`` on what
    is in it."""

    source: str
    label: str
    sentence: str


@dataclass(frozen=True)
class FitEstimate:
    """What a fit will cost: seconds, bytes of ``memory`` and ``disk``, and all three as a ``sentence``."""

    seconds: Annotated[float, Incidental()]
    memory: float
    disk: float
    sentence: str


@dataclass(frozen=True)
class Iteration:
    """Log-likelihood after an iteration, nats per activation: on the data fitted, and on held-out documents, None where
    that was not measured."""

    iteration: int
    train: float
    held_out: float | None


@dataclass(frozen=True)
class NewFit:
    """A fit that was made: its name, the course of its iterations, a sentence, and the settings asked for. ``probe``:
    of a mixture that others trained, its log-likelihood and that of one diagonal Gaussian, nats per activation."""

    fit: str
    history: tuple[Iteration, ...]
    sentence: str
    settings: dict[str, Any]
    probe: tuple[float, float] | None = None
