"""What to factorize and what comes out of it, whatever the estimator's conventions are.

One level or a tree is chosen here from the sizes that were asked for; features are brought to unit length and the
activations carry the scale, so that nothing after this has to know how the estimator splits the two.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from analysis.corpora.passages import Passage
from analysis.errors import UserError
from analysis.models.sites import Site
from analysis.progress import Progress
from analysis.snmf.library import Level
from analysis.snmf.spread import Shards

HELD_OUT = 9_000
"""Held-out activations for detection: at least so many, and at least half as many as are fitted."""


@dataclass(frozen=True)
class Wanted:
    """What to make: site, tokens to fit, features K, share ``kept`` of the neurons (p), start, most iterations, seed.

    ``levels``: sizes of all levels, the lowest first, for a tree; empty for features alone. ``held_out``: activations
    collected besides, for detection; None takes what is usual. Nothing is held out of texts without themes.
    """

    site: Site
    tokens: int
    features: int
    kept: float = 0.01
    init: str = "kmeans"
    iterations: int = 400
    seed: int = 0
    levels: tuple[int, ...] = ()
    held_out: int | None = None

    @property
    def ranks(self) -> tuple[int, ...]:
        """Sizes of all levels: ``levels`` if they begin with at least as many features, else those above ``features``.

        Raises UserError(field="levels") unless they fall from level to level.
        """
        ranks = self.levels if self.levels and self.levels[0] >= self.features else (self.features, *self.levels)
        if any(b >= a for a, b in itertools.pairwise(ranks)) or min(ranks) < 1:
            raise UserError("Each level of the tree must have fewer concepts than the one before it.", "levels")
        return ranks

    def reserve(self, passages: Sequence[Passage]) -> int:
        """How many activations are collected for detection."""
        if not any(p.theme for p in passages):
            return 0
        return max(HELD_OUT, self.tokens // 2) if self.held_out is None else self.held_out


@dataclass(frozen=True)
class Learned:
    """What a fit gives: levels with unit features, activations (n, K) of the lowest on the fitted tokens, the share of
    their squared length that is explained, iterations, and the curve."""

    levels: list[Level]
    activations: Tensor
    explained: float
    iterations: int
    curve: dict[str, Any]


def learn(x: Tensor, wanted: Wanted, progress: Progress, shards: Shards | None = None) -> Learned:
    """Factorize activations (n, d) into one level or several. ``shards``: as of :meth:`SemiNMF.fit`, for one level."""
    from analysis.snmf.hierarchy import HierarchicalSemiNMF
    from analysis.snmf.semi_nmf import SemiNMF

    done = 0.0

    def told(share: float | None, text: str = "", **facts: Any) -> None:
        nonlocal done
        done = max(done, share or 0.0)  # several starts of a level must not look like going back
        progress(done, text, **facts)

    ranks = wanted.ranks
    options: dict[str, Any] = {
        "sparsity": wanted.kept,
        "init": wanted.init,
        "max_iter": wanted.iterations,
        "random_state": wanted.seed,
    }
    progress(0.0, "finding a start")
    if len(ranks) == 1:
        base: Any = SemiNMF(ranks[0], **options).fit(x, progress=told, shards=shards)
        fits, weights = [base], []
    else:
        tree: Any = HierarchicalSemiNMF(ranks=ranks, **options).fit(x, progress=told)
        fits, weights = list(tree.levels_), [w.float().cpu() for w in tree.weights_]
        base = fits[0]
    components = [level.components_.float().cpu() for level in fits]
    activations = base.activations_.float().cpu()
    levels, activations = unit_levels(components, weights, activations)
    curve = [float(v) for v in base.loss_curve_]
    total = sum(float(part.double().square().sum()) for part in x.split(4096))
    explained = [1 - v / total for v in curve]
    shown = sorted({*range(0, len(curve), max(1, len(curve) // 200)), len(curve) - 1, int(base.best_iter_)})
    shown = [i for i in shown if 0 <= i < len(curve)]
    return Learned(
        levels,
        activations,
        float(base.explained_),
        int(base.n_iter_),
        {
            "iteration": [i + 1 for i in shown],
            "explained": [round(explained[i], 5) for i in shown],
            "best": int(base.best_iter_) + 1,
        },
    )


def unit_levels(
    components: Sequence[Tensor], weights: Sequence[Tensor], activations: Tensor
) -> tuple[list[Level], Tensor]:
    """The same factorization with features of unit length at every level; activations (n, K) and weights take the rest.

    A feature of length s in activations G is one of length 1 in s G; the weight of a parent of length t in a child of
    length s becomes its weight times t / s: the amount of the unit parent in the unit child.
    """
    lengths = [c.norm(dim=1) for c in components]
    levels = []
    for i, matrix in enumerate(components):
        unit = matrix / lengths[i].clamp(min=1e-30)[:, None]
        scaled = None if i == 0 else weights[i - 1] * lengths[i][:, None] / lengths[i - 1].clamp(min=1e-30)
        levels.append(Level(unit, scaled))
    return levels, activations * lengths[0]
