"""Why a head's attention moved under a steering set-up: from the query's side, the key's, and inside which subspace.

Steering and the contrasts of attention do not know each other; here one head meets both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from analysis.bridge.answers import InSubspace, WhyMoved
from analysis.bridge.moved import ReadSteered
from analysis.engine.context import Context
from analysis.engine.operation import Operation
from analysis.errors import UserError
from analysis.fields import Whole, whole
from analysis.qk.contrasts.spec import ContrastSpec
from analysis.qk.ops.features import FitContrast, check_head, feature_name, fit_of

MOST_FEATURES = 6
DRAWS = 20


@dataclass(frozen=True)
class ExplainMove(ReadSteered[WhyMoved]):
    """Why one query's attention in one head moves under a set-up; ``features``: fitted contrasts to look inside of."""

    layer: Annotated[int, Whole(0, 10_000, words="The layer")] = 0
    head: Annotated[int, Whole(0, 10_000, words="The head")] = 0
    query: int = 0
    features: tuple[ContrastSpec, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.features) > MOST_FEATURES:
            raise UserError("At most six features can be looked at at once.", "features")

    def built_on(self) -> tuple[Operation[Any], ...]:
        return (*super().built_on(), *(FitContrast(self.model, feature) for feature in self.features))

    def run(self, context: Context) -> WhyMoved:
        import torch

        from analysis.models.prompts import token_labels
        from analysis.qk.evidence import subspace_of
        from analysis.qk.subspace import random_basis
        from analysis.steering.why_moved import moved_inside, sides

        fits = [fit_of(context, self.model, feature) for feature in self.features]
        for fit in fits:
            check_head(fit, self.layer, self.head)
        loaded, read = self.passes(context)
        if self.layer not in read.base.layers:
            raise UserError(f"Layer {self.layer} of this model has no softmax attention to show.", "layer")
        if self.head >= loaded.facts.heads:
            raise UserError(f"This model has heads 0 to {loaded.facts.heads - 1}.", "head")
        whole(self.query, 0, len(read.base.ids) - 1, "token", "The token's position")
        where = self.layer, self.head, self.query
        own = sides(read.base, read.steered, *where)
        random = [sides(read.base, trace, *where) for trace in read.random]
        inside = []
        for feature, fit in zip(self.features, fits, strict=True):
            subspace = subspace_of(fit, self.layer, self.head)
            generator = torch.Generator().manual_seed(0)
            width, rank = int(subspace.singular_values.shape[0]), subspace.rank
            drawn = [
                moved_inside(read.base, read.steered, *where, *(random_basis(width, rank, generator) for _ in range(2)))
                for _ in range(DRAWS)
            ]
            low, high = np.quantile(drawn, [0.05, 0.95])
            moved = moved_inside(read.base, read.steered, *where, subspace.query_basis, subspace.key_basis)
            share = float(np.mean(drawn)), float(low), float(high)
            inside.append(InSubspace(feature_name(feature), rank, moved, share, DRAWS))
        rows = [trace.row(*where)[1] for trace in (read.base, read.steered)]
        change = rows[1] - rows[0]
        key = int(change.abs().argmax())
        return WhyMoved(
            labels=tuple(token_labels(loaded.tokenizer, read.base.ids)),
            whole=own.whole,
            by_query=own.query,
            by_keys=own.key,
            random=tuple((r.whole, r.query, r.key) for r in random),
            subspaces=tuple(inside),
            key=key,
            change=float(change[key]),
            error=own.error,
            parts=own.parts.float().numpy(),
        )
