"""Answers of the Validation page: a trained toy beside its known answer, and identities of the method on a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from analysis.answer import Absent
from analysis.qk.toy_settings import ToySettings


@dataclass(frozen=True)
class ToyPoint:
    """Loss (nats) and accuracy of fresh rows at a step of training."""

    step: int
    loss: float
    accuracy: float


@dataclass(frozen=True)
class ToyLatent:
    """The contrast of one latent: ``rank`` found, true and of untrained weights; ``singular_values`` (d_head,) float32
    of raw logits; ``gap`` s_r / s_(r+1) at the true rank, None if the head is not wider; ``closed_form_error``
    relative, Frobenius; ``trace``, and the ``mean_gap`` of logits that it equals; ``noise_share`` of the square."""

    rank: int
    true_rank: int
    untrained_rank: int
    singular_values: np.ndarray
    gap: float | None
    closed_form_error: float
    trace: float
    mean_gap: float
    noise_share: float


@dataclass(frozen=True)
class ToyOverlap:
    """Principal cosines of the subspaces of z1 and z2 on either side, (smaller rank,) float32."""

    query: np.ndarray
    key: np.ndarray


@dataclass(frozen=True)
class ToySwap:
    """Mean attention on the asked (``original``) and the other key after they traded coordinates, and the shares of
    rows in which either leads. ``kind``: none, latent or random; ``bases``: how many random ones are averaged."""

    condition: str
    kind: str
    rank: int
    bases: int
    original: float
    target: float
    argmax_original: float
    argmax_target: float


@dataclass(frozen=True)
class ToyInteraction:
    """G = (W_Q B)^T (W_K A), (n1 + n2, n1 + n2) float32 in raw logits, and the diagonal's share of its squared norm."""

    matrix: np.ndarray
    diagonal_share: float
    names: tuple[str, ...]


@dataclass(frozen=True)
class ToyMap:
    """Queries and their target keys in z1's subspace along three principal components (the paper's Figure 3).

    ``points`` (2 * 1600, 3), first the queries, then the keys; ``role`` 0 for a query, 1 for a key, and ``code``, both
    (2 * 1600,), all float32. Binary: ``code`` is that of the first bits of z1 (at most five), ``code_names`` spells the
    signs, ``code_means`` (codes, 3) are mean key positions (NaN for a code never drawn) and ``edges`` pairs of codes
    that differ in one bit. Gaussian: ``code`` is one of eight quantile bins of z1's first coordinate, without edges.
    ``shares``: the parts of the variance along the three components, padded with 0 where the rank is below 3.
    """

    points: np.ndarray
    role: np.ndarray
    code: np.ndarray
    code_names: tuple[str, ...]
    code_means: np.ndarray
    edges: tuple[tuple[int, int], ...]
    shares: np.ndarray


@dataclass(frozen=True)
class ToyAttribution:
    """Mean raw logit of the target key and of the other keys, split on the query side, z1 first.

    ``target`` and ``others`` (3,) float32, each adding up to its total; ``additivity_error``, the largest departure of
    a sum of parts from its logit; ``energy_explained``, one minus the remainder's share of the squared logits.
    """

    names: tuple[str, ...]
    target: np.ndarray
    others: np.ndarray
    target_total: float
    others_total: float
    additivity_error: float
    energy_explained: float


@dataclass(frozen=True)
class ToyReport:
    """The evidence on a trained toy (arXiv 2602.04752, Figures 2 to 5).

    ``samples`` contrast triples per latent and rows for the ``accuracy``; ``ceiling``: the accuracy that cannot be
    exceeded, None for the Gaussian task; ``swap_rows``: rows of the swap test. Logits are raw (not divided by
    sqrt(d_head)), attention is a probability.
    """

    settings: ToySettings
    steps: int
    seed: int
    samples: int
    accuracy: float
    ceiling: float | None
    latents: dict[str, ToyLatent]
    overlap: ToyOverlap
    swaps: tuple[ToySwap, ...]
    swap_rows: int
    interaction: ToyInteraction
    map: ToyMap
    attribution: ToyAttribution


@dataclass(frozen=True)
class ToyTraining(ToyReport):
    """A report with the course of its training. ``source``: a sentence on where it was made, None where it was asked
    for."""

    curve: tuple[ToyPoint, ...]
    recipe: str
    source: Annotated[str | None, Absent()] = None


@dataclass(frozen=True)
class Invariant:
    """A claim, its measured error, the tolerance, the error of a variant that breaks it (None: there is none on this
    model), what that variant is, whether the claim holds, and where it was measured."""

    claim: str
    error: float
    tolerance: float
    broken: float | None
    variant: str
    holds: bool
    layer: int
    head: int


@dataclass(frozen=True)
class InvariantTable:
    """All identities measured on a model. ``notes``: sentences on what could not be measured on it."""

    invariants: tuple[Invariant, ...]
    notes: tuple[str, ...]
