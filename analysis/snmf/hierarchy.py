"""Small concepts that merge into larger ones: the features of one level are the data of the next (arXiv 2506.10920).

The edges between two levels are weights, and a small concept may belong to several larger ones, so what comes out is a
graph and is kept as one. Joint fine-tuning, where it is asked for, keeps activations nonnegative and features sparse
(the official code keeps neither and shows the levels from before it); the tree is always that of the levels kept.
Levels are counted from 1, the smallest concepts, wherever they have names, and from 0 in lists.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from analysis.errors import UserError
from analysis.progress import Check, Progress, no_check, portion, silent
from analysis.snmf.semi_nmf import SemiNMF, as_tensor, explained, squared
from analysis.snmf.updates import least_squares, winner_take_all

STARTS = 8
"""Starts of each level above the first, of which the best is kept."""


class HierarchicalSemiNMF(BaseEstimator):
    """Factorize tokens X (n, d) into ``ranks[0]`` features, these into ``ranks[1]``, and so on.

    Other settings as of :class:`SemiNMF`, the same for all levels. ``fine_tune``: steps of Adam on all levels at once.
    Learned (tensors, whatever came in): ``levels_``, a fitted SemiNMF each; ``weights_``: for each pair of levels
    (K_above, K_below) >= 0, how much of each smaller concept is in a larger one; ``tuned_``: |X - G1 G2 ... F|^2 / 2
    before and after the tuning, or None.
    """

    def __init__(
        self,
        ranks: Sequence[int] = (400, 200, 100, 50),
        *,
        sparsity: float = 0.01,
        init: str = "kmeans",
        max_iter: int = 400,
        tol: float = 1e-5,
        patience: int = 50,
        solver: str = "fast",
        fine_tune: int = 0,
        random_state: int = 0,
    ) -> None:
        self.ranks = ranks
        self.sparsity = sparsity
        self.init = init
        self.max_iter = max_iter
        self.tol = tol
        self.patience = patience
        self.solver = solver
        self.fine_tune = fine_tune
        self.random_state = random_state

    def fit(
        self, X: Any, y: Any = None, *, progress: Progress = silent, check: Check = no_check
    ) -> HierarchicalSemiNMF:
        """Learn all levels. Raises UserError as of SemiNMF, or if the ranks do not fall."""
        ranks = [int(r) for r in self.ranks]
        if not ranks or any(a <= b for a, b in itertools.pairwise(ranks)):
            raise UserError(
                "Each level must have fewer features than the one before it, such as 200, 100, 50.", "levels"
            )
        self.levels_: list[SemiNMF] = []
        data = X = as_tensor(X)
        for number, rank in enumerate(ranks):
            # Levels above the first have few rows, so that one start is often unlucky, and several cost nothing.
            starts = 1 if number == 0 else STARTS
            fitted = [
                self._level(rank, start).fit(
                    data, progress=_of_start(progress, number, len(ranks), start, starts), check=check
                )
                for start in range(starts)
            ]
            self.levels_.append(max(fitted, key=lambda m: m.explained_))
            data = self.levels_[-1].components_
        # Level l+1 has the features of level l for tokens: its activations (K_below, K_above) are the weights.
        self.weights_ = [level.activations_.T.clone() for level in self.levels_[1:]]
        self.tuned_: tuple[float, float] | None = None
        if self.fine_tune > 0 and len(ranks) > 1:
            self.tuned_ = self._tune(X, check)
        self.n_features_in_ = X.shape[1]
        return self

    def concept_tokens(self, level: int) -> Tensor:
        """How much each token holds of each concept of ``levels_[level]``: (n, K) >= 0, the product of activations."""
        check_is_fitted(self)
        if not 0 <= level < len(self.levels_):
            raise UserError(f"There are {len(self.levels_)} levels. Choose one of them.", "levels")
        product: Tensor = self.levels_[0].activations_
        for weights in self.weights_[:level]:
            product = product @ weights.T
        return product

    def tree(self, threshold: float = 0.15, max_children: int | None = None) -> dict[str, Any]:
        """Nodes, edges and shared children of the graph of levels; see :func:`graph`."""
        check_is_fitted(self)
        return graph([len(level.components_) for level in self.levels_], self.weights_, threshold, max_children)

    def _level(self, rank: int, start: int) -> SemiNMF:
        return SemiNMF(
            rank,
            sparsity=self.sparsity,
            init=self.init,
            max_iter=self.max_iter,
            tol=self.tol,
            patience=self.patience,
            solver=self.solver,
            random_state=self.random_state + start,
        )

    def _tune(self, X: Tensor, check: Check) -> tuple[float, float]:
        chain = [self.levels_[0].activations_, *(w.T for w in self.weights_)]
        top = self.levels_[-1].components_
        before, after, parts = joint_descent(X, [*chain, top], self.fine_tune, check)
        chain, top = parts[:-1], parts[-1]
        # Only the highest features are in the loss. The others become what fits their tuned activations best.
        below = X
        for number, level in enumerate(self.levels_):
            last = number == len(self.levels_) - 1
            features = top if last else winner_take_all(least_squares(chain[number], below), self.sparsity)
            length = features.norm(dim=1)
            length = torch.where(length > 0, length, torch.ones_like(length))
            level.components_ = features / length[:, None]
            chain[number] = chain[number] * length
            if not last:
                chain[number + 1] = chain[number + 1] / length[:, None]
            level.activations_ = chain[number]
            level.explained_ = explained(below, level.activations_, level.components_)
            below = level.components_
        self.weights_ = [part.T.clone() for part in chain[1:]]
        return before, after


def joint_descent(
    X: Tensor, parts: Sequence[Tensor], steps: int, check: Check = no_check
) -> tuple[float, float, list[Tensor]]:
    """Lower |X - P1 P2 ... F|^2 / 2 in all parts at once: all but the last stay >= 0, zeros of the last stay zero.

    Adam at 1e-3 of each part's own size, so that the scale of the data does not matter; the best parts seen are kept.
    Returns the loss before and after, and the parts.
    """
    support = parts[-1] != 0
    factors = [part.detach().clone().requires_grad_(True) for part in parts]
    groups = [{"params": [p], "lr": 1e-3 * float(p.detach().square().mean().sqrt())} for p in factors]
    optimiser = torch.optim.Adam(groups)

    def residual() -> Tensor:
        made = factors[-1]
        for part in reversed(factors[:-1]):
            made = part @ made
        return X - made

    with torch.no_grad():
        before = best = squared(residual()) / 2
    kept = [part.detach().clone() for part in factors]
    for _ in range(steps):
        check()
        optimiser.zero_grad()
        with torch.enable_grad():
            value = residual().square().sum() / 2
            value.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        with torch.no_grad():
            for part in factors[:-1]:
                part.clamp_(min=0)
            factors[-1] *= support
            loss = squared(residual()) / 2
        if loss < best:
            best, kept = loss, [part.detach().clone() for part in factors]
    return before, best, kept


def _of_start(progress: Progress, level: int, levels: int, start: int, starts: int) -> Progress:
    # The first level holds nearly all of the work, and only its curve is shown.
    prefix = f"level {level + 1} of {levels}, "
    if level == 0:
        return portion(progress, 0.0, 0.9, prefix)
    first, last = (0.9 + 0.1 * (level - 1 + n / starts) / (levels - 1) for n in (start, start + 1))
    above = portion(progress, first, last, prefix)
    return lambda share, text="", **_curve: above(share, text)


def graph(
    counts: Sequence[int], weights: Sequence[Tensor], threshold: float = 0.15, max_children: int | None = None
) -> dict[str, Any]:
    """The levels as plain data: ``nodes`` (id "level:number", level 1 the smallest concepts), ``edges`` (parent, child,
    ``weight`` as a share of the parent's largest, at least ``threshold``), ``shared`` ids with several parents."""
    nodes = [
        {"id": f"{level + 1}:{number}", "level": level + 1, "number": number}
        for level, count in enumerate(counts)
        for number in range(count)
    ]
    edges: list[dict[str, Any]] = []
    for below, part in enumerate(weights):
        share = part / part.max(1, keepdim=True).values.clamp(min=1e-30)
        heaviest = share.argsort(dim=1, descending=True, stable=True)[:, :max_children].tolist()
        weight, reaches = share.tolist(), ((part > 0) & (share >= threshold)).tolist()
        for parent, children in enumerate(heaviest):
            edges += [
                {
                    "parent": f"{below + 2}:{parent}",
                    "child": f"{below + 1}:{child}",
                    "weight": weight[parent][child],
                }
                for child in children
                if reaches[parent][child]
            ]
    parents: dict[str, int] = {}
    for edge in edges:
        parents[edge["child"]] = parents.get(edge["child"], 0) + 1
    return {"nodes": nodes, "edges": edges, "shared": sorted(c for c, n in parents.items() if n > 1)}
