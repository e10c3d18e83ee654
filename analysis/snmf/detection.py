"""How well directions tell which passages are about a theme, without a judge.

The paper lets a language model describe each feature and write sentences that should and should not activate it (arXiv
2506.10920). Here the labels exist before the features do: the themes of the corpus. A direction is picked for a theme
on some passages and scored on others, so that picking among many directions is not rewarded by itself. A passage's
score is the largest cosine between the direction and one of its activations. Reported are the paper's ratio,
ln(mean on the theme / mean elsewhere), and the area under the ROC curve beside it, because the ratio grows without
bound where the mean elsewhere is near zero, and says little there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor

from analysis.progress import Progress, silent
from analysis.snmf.baselines import random_sparse, shuffled_neurons

FLOOR = 1e-3
"""Means of cosines below this count as this: the ratio of the paper is not defined for means that are not positive."""
FEW = 2
"""With fewer held-out passages of its theme, or of others, a feature is given no number."""
SHUFFLES, RANDOM_DIRECTIONS = 10, 200
Floats = NDArray[np.float64]
Whole = NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """Activations with the passage of each: ``x`` (n, d) float32, sorted by passage; ``bounds`` (P + 1,) where each
    passage begins; ``documents`` (P,) the passages' numbers; ``theme`` (P,) the number of each one's theme."""

    x: Tensor
    bounds: list[int]
    documents: list[int]
    theme: Whole

    @property
    def theme_of_row(self) -> Tensor:
        """The theme of each activation, (n,)."""
        return torch.from_numpy(np.repeat(self.theme, np.diff(self.bounds)))


@dataclass(frozen=True)
class HeldOutScores:
    """One direction for each theme and what it does on held-out passages.

    ``pick`` (T,): which direction; ``score``, ``auc`` (T,): held out; the intervals are of their means over themes.
    """

    pick: Whole
    score: Floats
    auc: Floats
    score_interval: tuple[float, float]
    auc_interval: tuple[float, float]


def rows_of(x: Tensor, documents: Tensor, themes: Sequence[int]) -> Rows:
    """Sort activations (n, d) by passage. ``documents`` (n,): passage of each; ``themes``: theme of every passage."""
    order = torch.argsort(documents, stable=True)
    numbers, counts = documents[order].unique_consecutive(return_counts=True)
    bounds = [0, *counts.cumsum(0).tolist()]
    kept = [int(n) for n in numbers]
    return Rows(x[order], bounds, kept, np.array([themes[n] for n in kept], dtype=np.int64))


def passage_scores(rows: Rows, directions: Tensor | None) -> Floats:
    """(P, M): the largest cosine of each direction (M, d) with an activation of each passage.

    None stands for the axes in both signs, single neurons: (P, 2 d), the positive ones first.
    """
    unit = None if directions is None else directions / directions.norm(dim=1, keepdim=True).clamp(min=1e-12)
    scores = []
    for first, last in zip(rows.bounds, rows.bounds[1:], strict=False):
        part = rows.x[first:last]
        part = part / part.norm(dim=1, keepdim=True).clamp(min=1e-12)
        if unit is None:
            scores.append(torch.cat([part.amax(0), (-part).amax(0)]))
        else:
            scores.append((part @ unit.T).amax(0))
    return np.asarray(torch.stack(scores).double().numpy())


def areas(scores: Floats, theme: Whole, themes: int) -> Floats:
    """Area under the ROC curve (T, M) of scores (P, M) for each theme against all others; ties count half.

    NaN for a theme that has no passage or all of them.
    """
    ranks = rankdata(scores, axis=0)
    area = np.full((themes, scores.shape[1]), np.nan)
    for t in range(themes):
        mine = theme == t
        n, m = int(mine.sum()), int((~mine).sum())
        if n and m:
            area[t] = (ranks[mine].sum(0) - n * (n + 1) / 2) / (n * m)
    return area


def ratios(scores: Floats, theme: Whole, themes: int) -> Floats:
    """The paper's score (T, M): ln of the mean score on the theme over the mean elsewhere, NaN as for :func:`areas`."""
    ratio = np.full((themes, scores.shape[1]), np.nan)
    for t in range(themes):
        mine = theme == t
        if mine.any() and not mine.all():
            ratio[t] = np.log(np.maximum(scores[mine].mean(0), FLOOR) / np.maximum(scores[~mine].mean(0), FLOOR))
    return ratio


def pick_for_themes(scores: Floats, theme: Whole, themes: int) -> Whole:
    """The direction (T,) whose area is largest for each theme."""
    return np.asarray(np.nan_to_num(areas(scores, theme, themes), nan=-1.0).argmax(1), dtype=np.int64)


def pick_for_directions(scores: Floats, theme: Whole, themes: int) -> Whole:
    """The theme (M,) that each direction tells apart best."""
    return np.asarray(np.nan_to_num(areas(scores, theme, themes), nan=-1.0).argmax(0), dtype=np.int64)


def held_out(scores: Floats, theme: Whole, pick: Whole, draws: int = 500, seed: int = 0) -> HeldOutScores:
    """Score the picked direction of each theme on held-out passages.

    ``scores`` (P, M), ``theme`` (P,) of the held-out passages; ``pick`` (T,). Intervals: 95 %, passages drawn again
    within their theme and themes drawn again, both at once. Themes without held-out passages are left out of means.
    """
    themes = len(pick)
    column = scores[:, pick]
    every = np.arange(themes)
    score, area = ratios(column, theme, themes)[every, every], areas(column, theme, themes)[every, every]
    weights = resampled(theme, draws, seed)
    good = [t for t in range(themes) if np.isfinite(area[t])]
    drawn_score, drawn_area = np.empty((draws, len(good))), np.empty((draws, len(good)))
    for i, t in enumerate(good):
        drawn_score[:, i], drawn_area[:, i] = _weighted(column[:, t], theme == t, weights)
    if not good:  # no theme has passages on both sides, so there is no mean to give an interval of
        return HeldOutScores(pick, score, area, (np.nan, np.nan), (np.nan, np.nan))
    chosen = np.random.default_rng(seed + 1).integers(0, len(good), (draws, len(good)))
    return HeldOutScores(
        pick,
        score,
        area,
        interval(np.take_along_axis(drawn_score, chosen, 1).mean(1)),
        interval(np.take_along_axis(drawn_area, chosen, 1).mean(1)),
    )


def intervals_of(scores: Floats, theme: Whole, pick: Whole, draws: int = 200, seed: int = 0) -> Floats:
    """95 % interval (M, 2) of the area of each direction for its theme ``pick`` (M,), passages drawn again."""
    weights = resampled(theme, draws, seed)
    bounds = np.full((scores.shape[1], 2), np.nan)
    for m, t in enumerate(pick):
        mine = theme == t
        if mine.any() and not mine.all():
            bounds[m] = interval(_weighted(scores[:, m], mine, weights)[1])
    return bounds


def feature_detection(
    components: Tensor, fitted: Rows, held: Rows, names: Sequence[str], seed: int = 0,
    progress: Progress = silent,
) -> tuple[list[dict[str, Any] | None], list[float] | None]:  # fmt: skip
    """Score every feature (K, d) for the one theme that it tells apart best on the fitted passages.

    For each feature ``theme``, ``score``, ``auc``, ``interval`` of the area, ``shuffled_auc`` (mean of its weights on
    other neurons, each draw with the theme that it picks itself), ``passages`` and ``others``; None where its theme has
    fewer than FEW held-out passages, or the other themes have. Beside them the central 95 % of the areas of random
    sparse directions, which pick their themes alike. Themes with number -1 belong to no passage that is scored for.
    """
    counts = np.bincount(held.theme[held.theme >= 0], minlength=len(names))
    able = (counts >= FEW) & (len(held.theme) - counts >= FEW)
    none: list[dict[str, Any] | None] = [None] * len(components)
    if not able.any():
        return none, None
    theme = np.where(able[fitted.theme] & (fitted.theme >= 0), fitted.theme, -1)

    def own_theme(directions: Tensor) -> tuple[Whole, Floats, Floats]:
        """Theme picked on the fitted passages (M,), held-out scores (P, M), and their areas for that theme (M,)."""
        pick = pick_for_directions(passage_scores(fitted, directions), theme, len(names))
        scores = passage_scores(held, directions)
        return pick, scores, areas(scores, held.theme, len(names))[pick, np.arange(len(pick))]

    random = own_theme(random_sparse(components, RANDOM_DIRECTIONS, seed))[2]
    shuffled = np.empty((SHUFFLES, len(components)))
    for draw in range(SHUFFLES):
        progress(draw / SHUFFLES)
        shuffled[draw] = own_theme(shuffled_neurons(components, seed + draw))[2]
    pick, scores, area = own_theme(components)
    bounds = intervals_of(scores, held.theme, pick)
    score = ratios(scores, held.theme, len(names))[pick, np.arange(len(pick))]
    rows = [
        {
            "theme": names[t],
            "score": round(float(score[k]), 4),
            "auc": round(float(area[k]), 4),
            "interval": [round(float(v), 4) for v in bounds[k]],
            "shuffled_auc": round(float(np.nanmean(shuffled[:, k])), 4),
            "passages": int(counts[t]),
            "others": len(held.theme) - int(counts[t]),
        }
        if np.isfinite(area[k])
        else None
        for k, t in enumerate(pick.tolist())
    ]
    return rows, [round(v, 4) for v in interval(random[np.isfinite(random)])]


def resampled(theme: Whole, draws: int, seed: int) -> Floats:
    """How often each passage is drawn, (draws, P): as many of each theme as there are, with replacement."""
    generator = np.random.default_rng(seed)
    weights = np.zeros((draws, len(theme)))
    for t in np.unique(theme):
        places = np.flatnonzero(theme == t)
        weights[:, places] = generator.multinomial(len(places), np.full(len(places), 1 / len(places)), draws)
    return weights


def interval(values: Floats) -> tuple[float, float]:
    """The central 95 % of some draws."""
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def _weighted(scores: Floats, mine: NDArray[np.bool_], weights: Floats) -> tuple[Floats, Floats]:
    """Ratio and area (draws,) of one direction's scores (P,) under weights (draws, P)."""
    inside, outside = weights[:, mine], weights[:, ~mine]
    a, b = scores[mine], scores[~mine]
    wins = (a[:, None] > b).astype(float) + 0.5 * (a[:, None] == b)
    area = ((inside @ wins) * outside).sum(1) / (inside.sum(1) * outside.sum(1))
    on, off = inside @ a / inside.sum(1), outside @ b / outside.sum(1)
    return np.log(np.maximum(on, FLOOR) / np.maximum(off, FLOOR)), area
