"""Answers about features: examples of a contrast, its fit on all heads, scores of heads, overlap of subspaces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from analysis.answer import Absent, Incidental, Key


@dataclass(frozen=True)
class ExampleToken:
    """A token of an example: in which of its prompts, at which position, and how it is shown."""

    prompt: int
    position: int
    token: str


@dataclass(frozen=True)
class ExampleKey(ExampleToken):
    """A key of an example with its label, the value of the feature."""

    label: str


@dataclass(frozen=True)
class ShownExample:
    """An example of a contrast as it is shown: ``prompts`` are lists of token texts; ``negative_query`` is None where
    the query serves both conditions."""

    prompts: tuple[list[str], ...]
    label: str
    query: ExampleToken
    negative_query: ExampleToken | None
    positive: tuple[ExampleKey, ...]
    negative: tuple[ExampleKey, ...]


@dataclass(frozen=True)
class ContrastPreview:
    """A few examples, and what a fit costs: ``count`` examples, ``tokens``, ``seconds``; ``held_back``: examples that
    a fit leaves out, to be tested on."""

    examples: tuple[ShownExample, ...]
    count: int
    held_back: int
    tokens: int
    seconds: Annotated[float, Incidental()]


@dataclass(frozen=True)
class FittedContrast:
    """A fit as it is kept: the arrays of :class:`analysis.qk.fit.ContrastFit`, which says what they are.

    ``candidates`` and ``chance`` are None where no example has keys of both kinds. ``still``: booleans by layer, and
    ``still_layers``: the numbers of these layers, in which nothing rotates.
    """

    layers: list[int]
    counts: tuple[int, int]
    name: str
    still_layers: Annotated[tuple[int, ...], Key("still")]
    halves: np.ndarray
    query_mean: np.ndarray
    key_mean: np.ndarray
    query_gap: np.ndarray
    key_mid: np.ndarray
    null_values: np.ndarray
    null_values_centred: np.ndarray
    null_trace: np.ndarray
    query_sq: np.ndarray
    key_sq: np.ndarray
    trace: np.ndarray
    trace_error: np.ndarray
    attention: np.ndarray
    hits: np.ndarray
    scaling: np.ndarray
    still: np.ndarray
    candidates: Annotated[tuple[float, float] | None, Absent()] = None
    chance: Annotated[float | None, Absent()] = None


@dataclass(frozen=True)
class FitFlags:
    """Which of the features that were asked about are fitted, in their order; ``bundled``: by a fit that comes with
    Attune."""

    fitted: tuple[bool, ...]
    bundled: tuple[bool, ...]


@dataclass(frozen=True)
class FeatureHeads:
    """Scores of every head for a feature, (L, H) float32, NaN in layers without attention.

    ``trace_nats``: mean logit gap; ``trace_z``: its distance from the null in standard deviations, NaN where there are
    too few ``permutations``; ``contrast``: attention on matching keys minus that on others; ``hits``: share of
    ``examples`` whose matching keys all win, ``chance``: that share by chance; ``matching``: attention that all
    matching keys get together, and ``looks``: below this, it counts as none.
    """

    examples: int
    permutations: int
    chance: float | None
    looks: float
    trace_nats: np.ndarray
    trace_z: np.ndarray
    contrast: np.ndarray
    hits: np.ndarray
    matching: np.ndarray


@dataclass(frozen=True)
class SubspaceOverlap:
    """How far F features coincide on a head: rows of (F, F) matrices.

    ``query`` and ``key``: mean cosine of the principal angles over the smaller rank. ``interaction``: Frobenius norm of
    ``U_a^T V_b`` over the square root of the smaller rank: how strongly queries of feature a meet keys of feature b.
    """

    query: tuple[list[float], ...]
    key: tuple[list[float], ...]
    interaction: tuple[list[float], ...]
    names: tuple[str, ...]
