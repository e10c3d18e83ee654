"""Small concepts that merge into larger ones: the features of one level are the data of the next (arXiv 2506.10920).

The edges between two levels are weights, and a small concept may belong to several larger ones, so what comes out is a
graph and is kept as one. Joint fine-tuning, where it is asked for, keeps activations nonnegative and features sparse
(the official code keeps neither and shows the levels from before it); the tree is always that of the levels kept.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from sklearn.base import BaseEstimator
from torch import Tensor

from analysis.errors import UserError
from analysis.snmf.semi_nmf import Progress, SemiNMF
from analysis.snmf.updates import winner_take_all

STARTS = 8
"""Starts of each level above the first, of which the best is kept."""


class HierarchicalSemiNMF(BaseEstimator):  # type: ignore[misc]
    """Factorize tokens X (n, d) into ``ranks[0]`` features, these into ``ranks[1]``, and so on.

    Other settings as of :class:`SemiNMF`, the same for all levels. ``fine_tune``: steps of Adam on all levels at once.
    Learned: ``levels_``, a fitted SemiNMF each; ``weights_``: for each pair of levels (K_above, K_below) >= 0, how much
    of each smaller concept is in a larger one; ``tuned_`` (loss before, loss after) or None.
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
        self, X: Any, y: Any = None, *, progress: Progress | None = None, check: Callable[[], None] | None = None
    ) -> HierarchicalSemiNMF:
        """Learn all levels. Raises UserError as of SemiNMF, or if the ranks do not fall."""
        ranks = [int(r) for r in self.ranks]
        if not ranks or any(a <= b for a, b in itertools.pairwise(ranks)):
            raise UserError(
                "Each level must have fewer features than the one before it, such as 200, 100, 50.", "levels"
            )
        self.levels_: list[SemiNMF] = []
        data = torch.as_tensor(X)
        for number, rank in enumerate(ranks):

            def say(share: float, text: str, curve: dict[str, Any], number: int = number) -> None:
                if progress is not None:
                    # The first level holds nearly all of the work.
                    whole = 0.9 * share if number == 0 else 0.9 + 0.1 * (number - 1 + share) / (len(ranks) - 1)
                    progress(whole, f"level {number + 1} of {len(ranks)}, {text}", curve if number == 0 else {})

            # Levels above the first have few rows, so that one start is often unlucky, and several cost nothing.
            starts = 1 if number == 0 else STARTS
            fitted = [
                SemiNMF(
                    rank,
                    sparsity=self.sparsity,
                    init=self.init,
                    max_iter=self.max_iter,
                    tol=self.tol,
                    patience=self.patience,
                    solver=self.solver,
                    random_state=self.random_state + start,
                ).fit(data, progress=say, check=check)
                for start in range(starts)
            ]
            level = max(fitted, key=lambda m: m.explained_)
            self.levels_.append(level)
            data = level.components_
        # Level l+1 has the features of level l for tokens: its activations (K_below, K_above) are the weights.
        self.weights_ = [level.activations_.T.clone() for level in self.levels_[1:]]
        self.tuned_: tuple[float, float] | None = None
        if self.fine_tune > 0 and len(ranks) > 1:
            self.tuned_ = self._tune(torch.as_tensor(X), check)
        return self

    def concept_tokens(self, level: int) -> Tensor:
        """How much each token holds of each concept of a level, (n, K_level) >= 0: the product of all activations."""
        found: Tensor = self.levels_[0].activations_
        for weights in self.weights_[:level]:
            found = found @ weights.T
        return found

    def tree(self, threshold: float = 0.15, max_children: int | None = None) -> dict[str, Any]:
        """Nodes, edges and shared children of the graph of levels; see :func:`graph`."""
        return graph([len(level.components_) for level in self.levels_], self.weights_, threshold, max_children)

    def _tune(self, X: Tensor, check: Callable[[], None] | None) -> tuple[float, float]:
        G = self.levels_[0].activations_
        chain = [w.T.clone() for w in self.weights_]  # (K_below, K_above)
        top = self.levels_[-1].components_
        masks = (top != 0).to(top)
        parts = [p.clone().requires_grad_(True) for p in (G, *chain, top)]
        optimiser = torch.optim.Adam(parts, lr=1e-3)

        def loss() -> Tensor:
            made = parts[0]
            for part in parts[1:]:
                made = made @ part
            half: Tensor = (X - made).square().sum() / 2
            return half

        before = float(loss().detach())
        with torch.enable_grad():
            for _ in range(self.fine_tune):
                if check is not None:
                    check()
                optimiser.zero_grad()
                value = loss()
                value.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                with torch.no_grad():
                    for part in parts[:-1]:
                        part.clamp_(min=0)
                    parts[-1] *= masks
        after = float(loss().detach())
        with torch.no_grad():
            self.levels_[0].activations_ = parts[0].detach()
            self.weights_ = [p.detach().T.clone() for p in parts[1:-1]]
            self.levels_[-1].components_ = parts[-1].detach()
            # Smaller concepts are rebuilt from above only where they were made from it; their own features stay.
            for level, weights in zip(self.levels_[1:], self.weights_, strict=True):
                level.activations_ = weights.T.clone()
                level.components_ = winner_take_all(level.components_, self.sparsity)
        return before, after


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
        for parent in range(len(part)):
            order = share[parent].argsort(descending=True, stable=True)[:max_children].tolist()
            edges += [
                {
                    "parent": f"{below + 2}:{parent}",
                    "child": f"{below + 1}:{child}",
                    "weight": float(share[parent, child]),
                }
                for child in order
                if part[parent, child] > 0 and share[parent, child] >= threshold
            ]
    parents: dict[str, int] = {}
    for edge in edges:
        parents[edge["child"]] = parents.get(edge["child"], 0) + 1
    return {"nodes": nodes, "edges": edges, "shared": sorted(c for c, n in parents.items() if n > 1)}
