"""Operations on a swap: two keys trade places inside a feature's subspace, for one head and one query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from analysis.answer import extended
from analysis.engine.context import Context
from analysis.engine.operation import A, Operation
from analysis.errors import UserError
from analysis.fields import Whole
from analysis.qk.answers.prompt import KeySwap, SwapEffect
from analysis.qk.contrasts.spec import ContrastSpec
from analysis.qk.ops.features import FitContrast
from analysis.qk.ops.prompt import OnHead, subspace_for

if TYPE_CHECKING:
    from analysis.models.trace import Trace
    from analysis.qk.subspace import QKSubspace


@dataclass(frozen=True)
class OnSwap(OnHead[A]):
    """Two keys, a feature and a rank (-1: by the energy rule), seen from one query."""

    query: int = 0
    a: int = 0
    b: int = 1
    feature: ContrastSpec = ContrastSpec("induction")
    rank: Annotated[int, Whole(-1, 4096, words="The rank")] = -1

    def built_on(self) -> tuple[Operation[Any], ...]:
        return (FitContrast(self.model, self.feature),)

    def checked(self, context: Context) -> tuple[Trace, QKSubspace]:
        """Trace and subspace, once the two keys are known to be visible and different."""
        trace = self.recorded(context, self.query, self.a, self.b)
        if self.a == self.b:
            raise UserError("Choose two different tokens to swap.", "swap")
        raw, _ = trace.row(self.layer, self.head, self.query)
        if not bool(raw[self.a].isfinite() and raw[self.b].isfinite()):
            raise UserError("Both tokens of a swap must be visible to the query: before it, and in its window.", "swap")
        return trace, subspace_for(context, self, self.feature, self.rank)


@dataclass(frozen=True)
class SwapRow(OnSwap[KeySwap]):
    """This head's attention after two keys have traded their coordinates, beside random subspaces of equal rank."""

    draws: Annotated[int, Whole(5, 200, words="The number of random subspaces")] = 50

    def run(self, context: Context) -> KeySwap:
        from analysis.qk.swap import random_rows, swapped_row

        trace, subspace = self.checked(context)
        at = (trace, self.layer, self.head, self.query, self.a, self.b)
        _, before = trace.row(self.layer, self.head, self.query)
        after = swapped_row(*at, subspace.key_basis)
        random = random_rows(*at, subspace.rank, self.draws)
        band = np.quantile(random.numpy(), [0.05, 0.5, 0.95], axis=0)
        a, b = self.a, self.b
        return KeySwap(
            rank=subspace.rank,
            width=int(subspace.singular_values.shape[0]),
            rule_rank=subspace_for(context, self, self.feature, -1).rank,
            draws=self.draws,
            a=(float(before[a]), float(after[a]), *band[:, a].tolist()),
            b=(float(before[b]), float(after[b]), *band[:, b].tolist()),
            before=before.float().numpy(),
            after=after.float().numpy(),
            band=band.astype(np.float32),
        )


@dataclass(frozen=True)
class SwapPrediction(OnSwap[SwapEffect]):
    """What the whole model predicts after the query when this one head attends by the swapped row."""

    def run(self, context: Context) -> SwapEffect:
        import torch

        from analysis.models.prompts import token_labels
        from analysis.qk.subspace import random_basis
        from analysis.qk.swap import compare_predictions, predictions_after, swapped_row

        trace, subspace = self.checked(context)
        loaded = context.model(self.model)
        at = (trace, self.layer, self.head, self.query)
        _, own = trace.row(self.layer, self.head, self.query)
        before = predictions_after(loaded, *at, own)
        basis = random_basis(subspace.left.shape[0], subspace.rank, torch.Generator().manual_seed(0))
        after = predictions_after(loaded, *at, swapped_row(*at, self.a, self.b, subspace.key_basis))
        control = predictions_after(loaded, *at, swapped_row(*at, self.a, self.b, basis))
        change = compare_predictions(before, after)
        return extended(
            SwapEffect,
            change,
            labels=tuple(token_labels(loaded.tokenizer, list(change.ids))),
            kl_random=compare_predictions(before, control).kl,
            rank=subspace.rank,
        )
