"""Answers about one prompt: its reading, a head's attention, a query's row, a swap of two keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from analysis.answer import Key


@dataclass(frozen=True)
class NextTokens:
    """The most probable next tokens, most probable first; ``ids`` in the vocabulary: a reading that an earlier version
    kept has none."""

    labels: tuple[str, ...]
    probabilities: tuple[float, ...]
    ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class Reading:
    """A prompt of T tokens as a model of L layers with H heads reads it.

    ``labels`` (T,) as they are shown, ``ids`` (T,), ``prompt_tokens``: how many of them were given and not generated,
    ``notes``: sentences on the prompt. ``head_width``: of a query or key; ``attention_layers``: those with softmax
    attention. Scores of every head, (L, H) float32, NaN in layers without attention: mean shares of attention, but
    ``entropy`` in nats and ``distance`` in tokens (:func:`analysis.models.head_scores.head_scores`); a reading that an
    earlier version kept has no distance. ``thumbnails`` (L, H, s, s) uint8: square roots of the attention, max-pooled,
    255 for 1.
    """

    labels: tuple[str, ...]
    ids: tuple[int, ...]
    prompt_tokens: int
    notes: tuple[str, ...]
    next: NextTokens
    layers: int
    heads: int
    head_width: int
    attention_layers: tuple[int, ...]
    entropy: np.ndarray
    sink: np.ndarray
    previous: np.ndarray
    induction: np.ndarray
    itself: Annotated[np.ndarray, Key("self")]
    thumbnails: np.ndarray
    distance: np.ndarray | None = None


@dataclass(frozen=True)
class HeadCells:
    """Attention of one head, ``cells`` (n, n) uint8: queries down, keys across, 255 for ``top``. Of ``tokens`` tokens,
    each cell is the largest value of ``pool`` x ``pool``."""

    top: Annotated[float, Key("max")]
    pool: int
    tokens: int
    cells: np.ndarray


@dataclass(frozen=True)
class SignedCells(HeadCells):
    """A feature's part of every logit in nats, ``cells`` (n, n) int8: 127 for ``top``, -128 where masked; pooling keeps
    what is largest in size. ``rank``: of the subspace of the feature called ``name``."""

    rank: int
    name: str


@dataclass(frozen=True)
class QueryRow:
    """One query's row over T tokens, taken apart by F features.

    ``attention`` (T,); ``nats`` (T,): logits as the softmax sees them; ``parts`` (T, F + 1): what each feature and the
    remainder adds, in nats before any soft-cap, relative to the reference; ``total`` (T,): their sum; all float32, NaN
    where masked. ``candidates`` (T,) uint8: 1 for a token that is averaged as reference. ``sum_error``: largest
    difference between a raw logit and the sum of its parts. ``key``: the token asked about, ``masked`` if the query
    cannot see it. ``scaling`` turns raw logits into nats; ``softcap``: where the model bounds its logits. ``partner``:
    the token to try in the key's place, the other one of its kind with most attention; -1 where there is none.
    """

    sentence: str
    key: int
    names: tuple[str, ...]
    ranks: tuple[int, ...]
    sum_error: float
    scaling: float
    softcap: float | None
    masked: bool
    attention: np.ndarray
    nats: np.ndarray
    parts: np.ndarray
    total: np.ndarray
    candidates: np.ndarray
    partner: int = -1


@dataclass(frozen=True)
class MapPlaces:
    """``places`` (m, 3) float32 of tokens on a map: first the query, then the keys that it sees; ``positions`` (m,)."""

    positions: tuple[int, ...]
    places: np.ndarray


@dataclass(frozen=True)
class KeySwap:
    """A head's attention before and after two keys traded places in a subspace.

    ``before``, ``after`` (T,) and ``band`` (3, T), all float32: the 5 %, 50 % and 95 % points of ``draws`` random
    subspaces of the same rank. ``a``, ``b``: of the two keys, attention before, after, and at the three points.
    ``rank`` of ``width`` dimensions; ``rule_rank``: that of the energy rule.
    """

    rank: int
    width: int
    rule_rank: int
    draws: int
    a: tuple[float, ...]
    b: tuple[float, ...]
    before: np.ndarray
    after: np.ndarray
    band: np.ndarray


@dataclass(frozen=True)
class PredictionChange:
    """Probabilities of the next tokens ``ids`` before and after a change, most probable first, and the divergence
    ``kl`` from before to after, in nats over the whole vocabulary."""

    ids: tuple[int, ...]
    before: tuple[float, ...]
    after: tuple[float, ...]
    kl: float


@dataclass(frozen=True)
class SwapEffect(PredictionChange):
    """What a swap does to the model's prediction; ``kl_random``: the same for a random subspace of that rank."""

    labels: tuple[str, ...]
    kl_random: float
    rank: int


@dataclass(frozen=True)
class DrawnHeads:
    """How far every head attends to the cells that were drawn: ``scores`` (L, H) float32, 1 for all attention on them
    and 0 for a head that looks at all alike, and ``shares`` (L, H), the mean share itself; NaN where nothing tells.

    ``uniform``: the share of a head that looks at all alike; ``chance``: below it the best head stays in 95 % of
    ``draws`` random patterns of the same shape, with other keys or other distances, whichever is higher.
    ``rows``: queries that count, of ``cells`` cells.
    """

    scores: np.ndarray
    shares: np.ndarray
    uniform: float
    chance: float
    draws: int
    rows: int
    cells: int
