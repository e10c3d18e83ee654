"""Answers about what supports a feature on one head: its spectrum beside a null, and a test by swaps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from analysis.answer import Absent, Key


@dataclass(frozen=True)
class HeadEvidence:
    """Everything that the evidence panel shows of one head.

    ``singular_values`` (d,) and ``null_band`` (3, d: the 5 %, 50 % and 95 % points) are in units of the raw logit;
    ``trace``, its standard error and its null likewise, ``trace_nats`` is the mean logit gap as the softmax sees it
    (before any soft-cap). ``above_null`` counts the singular values above the null's 95 % point of the same index;
    ``null_rank_mean`` and ``null_rank_sd`` are the ranks that the energy rule gives to relabelled spectra.
    ``first_is_shared``: the first raw singular value lies within the null and the first centred one does not.
    ``direction_trace`` (d,): what each pair adds to the trace, ``trace_in_rank``: what the first ``rank`` add.
    ``noise_share`` of the squared norm; split-half cosines of the first pair, and of the whole key subspace.
    ``attention_positive``, ``attention_negative``: mean attention on a matching and on another key; ``hits``: share of
    examples whose matching keys win, ``chance``: by chance; ``candidates``: mean numbers of keys of both kinds.

    What needs a null is None without one, ``noise_share`` where the covariance is zero, and ``hits`` and the attentions
    where the query's own prompt has no such keys. ``rotary`` says which vectors were fitted, ``held_back`` how many
    examples were kept out of the fit.
    """

    layer: int
    head: int
    centred: bool
    examples: int
    rank: int
    rank_by_rule: int
    energy: float
    singular_values: tuple[float, ...]
    null_band: tuple[list[float], ...] | None
    permutations: int
    above_null: int | None
    null_rank_mean: float | None
    null_rank_sd: float | None
    first_is_shared: bool | None
    trace: float
    trace_error: float
    trace_nats: float
    trace_null_mean: float | None
    trace_null_sd: float | None
    direction_trace: tuple[float, ...]
    trace_in_rank: float
    noise_share: float | None
    split_half_query: float
    split_half_key: float
    split_half_subspace: float
    attention_positive: float | None
    attention_negative: float | None
    hits: float | None
    chance: float | None
    candidates: tuple[float, float] | None
    rotary: str
    verdict: str = ""
    remarks: tuple[str, ...] = ()
    held_back: int = 0


@dataclass(frozen=True)
class RankSwap:
    """Swaps in a subspace of one rank, means over the pairs: attention on the ``original`` and on the ``target`` key,
    and the share of examples whose most attended candidate becomes the target (``flip``).

    Of ranks above 0 also: the same for random subspaces, with the least and the most of their targets; and which share
    of the mean logit gap is left when the query, the key, or both are projected, None where there is no gap.
    """

    rank: int
    original: Annotated[float, Key("orig")]
    target: float
    flip: float
    random_original: Annotated[float | None, Key("random_orig"), Absent()] = None
    random_target: Annotated[float | None, Absent()] = None
    random_flip: Annotated[float | None, Absent()] = None
    random_target_min: Annotated[float | None, Absent()] = None
    random_target_max: Annotated[float | None, Absent()] = None
    share_query: Annotated[float | None, Absent()] = None
    share_key: Annotated[float | None, Absent()] = None
    share_both: Annotated[float | None, Absent()] = None


@dataclass(frozen=True)
class SwapTable:
    """Swaps of a matching key with another one, by rank; rank 0 is no swap.

    ``pairs``: examples that take part; without any there are no rows. ``rule_rank``: the rank of the energy rule;
    ``random_bases``: random subspaces averaged. ``gap``: mean logit gap of the pairs, raw, ``gap_error``: its standard
    error; None without pairs, and for the error of one pair.
    """

    rows: tuple[RankSwap, ...]
    pairs: int
    rule_rank: int
    random_bases: int
    gap: float | None
    gap_error: float | None


@dataclass(frozen=True)
class MapLegend:
    """What the m points of a map are: their labels (values of the feature), their kinds ("query", "positive"
    or "negative"), and the shares of the coordinates' variance along the three axes."""

    labels: tuple[str, ...]
    kinds: tuple[str, ...]
    explained: tuple[float, ...]


@dataclass(frozen=True)
class SubspaceMap:
    """m queries and keys in a subspace of rank r on common principal axes, all float32: ``points`` (m, 3), ``centre``
    (r,) and ``axes`` (r, up to 3); a vector with coordinates c in the subspace lies at (c - centre) axes."""

    map: MapLegend
    points: np.ndarray
    centre: np.ndarray
    axes: np.ndarray


@dataclass(frozen=True)
class SubspaceTest(SubspaceMap):
    """A head's subspace tried on ``examples``; ``in_sample``: they are those that were fitted; ``basis``: a sentence on
    which they are. ``swaps`` is None where keys of one prompt cannot be swapped."""

    swaps: SwapTable | None
    in_sample: bool
    basis: str
    examples: int
