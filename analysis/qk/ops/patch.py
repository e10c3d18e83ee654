"""Operations on patches: one run's vector written into another, wholly and in parts of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from analysis.engine.context import Context
from analysis.engine.question import Kind
from analysis.errors import UserError
from analysis.fields import Choice, Whole
from analysis.progress import portion
from analysis.qk.answers.patch import PatchedSubspace
from analysis.qk.ops.features import OnFittedContrast, check_head, check_lengths, feature_name, fit_of


@dataclass(frozen=True)
class PatchSubspace(OnFittedContrast[PatchedSubspace]):
    """How much of what another run's query or key changes in a head is carried by the feature's subspace: patched
    wholly, inside it, outside it, and inside random subspaces of its rank, on held-out examples where there are any.

    ``rank`` -1: by the energy rule.
    """

    kind: ClassVar[Kind] = "job"
    layer: int = 0
    head: int = 0
    side: Annotated[str, Choice(("query", "key"), words="What is written")] = "query"
    rank: Annotated[int, Whole(-1, 4096, words="The rank")] = -1
    centred: bool = False
    examples_count: Annotated[int, Whole(20, 500, words="The number of examples to patch")] = 40
    draws: Annotated[int, Whole(5, 100, words="The number of random subspaces")] = 20

    def describe(self) -> str:
        return f"Patch of {feature_name(self.contrast)} on layer {self.layer}, head {self.head}"

    def run(self, context: Context) -> PatchedSubspace:
        import torch

        from analysis.qk import patching
        from analysis.qk.contrasts import trial_of
        from analysis.qk.evidence import subspace_of
        from analysis.qk.heldout import collect

        if self.rotary != "post":
            raise UserError("Vectors before the rotary embedding make no attention. Choose those after it.", "rotary")
        fit = fit_of(context, self.model, self.contrast, self.rotary)
        check_head(fit, self.layer, self.head)
        rank = None if self.rank < 0 else self.rank
        subspace = subspace_of(fit, self.layer, self.head, rank, self.centred)
        loaded = context.model(self.model)
        trial = trial_of(self.contrast, loaded.tokenizer, self.examples_count)
        check_lengths(trial.examples, loaded.facts.max_positions, self.contrast.kind)
        told = portion(context.progress, 0.0, 0.3)
        samples = collect(loaded, trial.examples, self.layer, self.head, self.rotary, told)
        moves = patching.differences(samples, trial.examples, self.side)
        here = [i for i, move in enumerate(moves) if move is not None]
        if len(here) < patching.FEWEST:
            raise UserError(
                f"Only {len(here)} of {len(moves)} examples have a match that their query sees and another key to "
                f"write; {patching.FEWEST} are needed.",
                "contrast",
            )
        basis = subspace.query_basis if self.side == "query" else subspace.key_basis
        draws = self.draws if subspace.rank else 0
        nothing = basis.new_zeros(0, *basis.shape)
        drawn = patching.drawn_bases(moves, subspace.rank, draws)[0] if draws else (nothing, nothing)
        attention, rows = patching.attention_on_matches(samples, moves, self.side, basis, drawn)
        found = patching.moved(attention, draws)
        ranks: tuple[int, ...] = ()
        by_rank = np.zeros((0, 7), np.float32)
        if found.inside is not None:
            full = subspace.left if self.side == "query" else subspace.right
            told = portion(context.progress, 0.3, 0.5)
            ranks, by_rank = patching.shares_by_rank(samples, moves, self.side, full, told)
        examples = [trial.examples[i] for i in here]
        answers, why = patching.answers_of(examples, self.contrast.kind)
        odds = []
        if answers:
            few, model = patching.DRAWN + draws, patching.Continuation(loaded, self.layer, self.head)
            for batch in patching.batches_of(examples, few, loaded.facts.vocabulary):
                texts = [examples[i].prompts[examples[i].query.prompt] for i in batch]
                logits = model.several(texts, torch.stack([rows[i][:few] for i in batch]))
                odds += [patching.log_odds(one, answers[i]).numpy() for i, one in zip(batch, logits, strict=True)]
                context.progress(0.5 + 0.5 * batch.stop / len(here), f"answers of {batch.stop} of {len(here)} examples")
        clean = 1 / (1 + np.exp(-np.stack(odds)[:, 0])) if odds else None
        return PatchedSubspace(
            self.layer,
            self.head,
            self.side,
            subspace.rank,
            int(subspace.singular_values.shape[0]),
            len(here),
            len(moves) - len(here),
            draws,
            trial.in_sample,
            trial.basis,
            found,
            patching.moved(np.stack(odds), draws) if odds else None,
            None if clean is None else float(clean.mean()),
            why,
            attention[:, : patching.DRAWN].astype(np.float32),
            ranks,
            by_rank,
        )
