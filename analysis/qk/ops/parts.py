"""Operations that change one head or one MLP at a time: taken out, or made as it is in another prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np

from analysis.engine.context import Context
from analysis.engine.question import Kind
from analysis.errors import UserError
from analysis.fields import Choice, Whole
from analysis.qk.answers.token import RunCost, Target, TokenAblation, TokenPatch, TokenPath
from analysis.qk.ops.token import OnToken, difference, target_of

if TYPE_CHECKING:
    from torch import Tensor

    from analysis.engine.spread import Spread
    from analysis.models.loaded_model import LoadedModel
    from analysis.qk.falls import PartChange, Prediction


@dataclass(frozen=True)
class PartsCost(OnToken[RunCost]):
    """What it takes here to change each head and each MLP, said before the press. ``baseline`` "other" is another
    prompt, of which ``what`` is taken; ``side``: of one head of ``layer``, or "all" ways."""

    baseline: Annotated[str, Choice(("zero", "mean", "resampled", "other"), words="What stands in its place")] = "mean"
    what: Annotated[str, Choice(("output", "pattern", "query", "key", "value"), words="What is taken")] = "output"
    side: Annotated[str, Choice(("all", "query", "key", "value"), words="The side of the head")] = "all"
    layer: Annotated[int, Whole(0, 10_000, words="The layer")] = 0

    def run(self, context: Context) -> RunCost:
        from analysis.qk.costs import change_cost, on_hands

        loaded, trace, query = self.read(context)
        into = None if self.side == "all" else self.layer
        cost, _ = on_hands(context, loaded, change_cost(loaded, trace, query + 1, self.baseline, self.what, into))
        return RunCost(query + 1, cost.seconds, cost.bytes, cost.refused)


@dataclass(frozen=True)
class AblateParts(OnToken[TokenAblation]):
    """By how much a predicted token falls without each head and each MLP, one at a time, at all tokens."""

    kind: ClassVar[Kind] = "job"

    baseline: Annotated[str, Choice(("zero", "mean", "resampled"), words="What stands in place of an output")] = "mean"

    def describe(self) -> str:
        return f"Take out each head and MLP of “{shortened(self.text)}”"

    def run(self, context: Context) -> TokenAblation:
        from analysis.models.ablation import parts_of, plain_logits
        from analysis.qk.costs import begun, change_cost
        from analysis.qk.falls import PartChange

        loaded, trace, query = self.read(context)
        ids = trace.ids[: query + 1]
        spread = begun(context, loaded, change_cost(loaded, trace, len(ids), self.baseline))
        plain = plain_logits(loaded, ids)
        target = target_of(loaded, plain, query, self.token, self.against)
        parts = parts_of(loaded)
        asked = _prediction(ids, target, plain)
        if self.baseline != "resampled":
            change = PartChange(asked, self.baseline)
            return TokenAblation(target, self.baseline, False, *_falls(context, spread, loaded, change, target, parts))
        if len(ids) < 2:
            raise UserError(
                "A prompt of one token has no other tokens to take from other texts. Take zero.", "baseline"
            )
        # The first token keeps its own: many models park attention there, and its vectors are like no other's.
        several = tuple(map(tuple, other_texts(loaded, len(ids))))
        change = PartChange(asked, others=several, positions=tuple(range(1, len(ids))))
        return TokenAblation(target, self.baseline, False, *_falls(context, spread, loaded, change, target, parts))


@dataclass(frozen=True)
class PatchParts(OnToken[TokenPatch]):
    """By how much a predicted token falls with each head, and each MLP, made as it is in another prompt with as many
    tokens: ``what`` of it, at token ``at`` (-1: all)."""

    kind: ClassVar[Kind] = "job"

    other: str = ""
    what: Annotated[str, Choice(("output", "pattern", "query", "key", "value"), words="What is taken")] = "output"
    at: Annotated[int, Whole(-1, 10**6, words="The token that is patched")] = -1

    def describe(self) -> str:
        return f"Patch each head of “{shortened(self.text)}” from “{shortened(self.other)}”"

    def run(self, context: Context) -> TokenPatch:
        from analysis.models.ablation import MLP, parts_of, plain_logits
        from analysis.models.prompts import token_labels
        from analysis.qk.costs import begun, change_cost
        from analysis.qk.falls import PartChange

        loaded, trace, query = self.read(context)
        ids = trace.ids[: query + 1]
        if self.at > query:
            raise UserError("The token that is patched comes after the query. Choose an earlier one.", "at")
        other = other_ids(context, loaded, self, ids, query)
        spread = begun(context, loaded, change_cost(loaded, trace, len(ids), "other", self.what))
        parts = [part for part in parts_of(loaded) if self.what == "output" or part[1] != MLP]
        plain = plain_logits(loaded, ids)
        target = target_of(loaded, plain, query, self.token, self.against)
        differ = tuple(i for i, (a, b) in enumerate(zip(ids, other, strict=False)) if a != b)
        positions = None if self.at < 0 else (self.at,)
        change = PartChange(_prediction(ids, target, plain), "", (tuple(other),), self.what, positions)
        falls = _falls(context, spread, loaded, change, target, parts)
        return TokenPatch(
            target,
            "other",
            False,
            *falls,
            difference(plain_logits(loaded, other), target),
            self.what,
            self.at,
            differ,
            tuple(token_labels(loaded.tokenizer, [other[i] for i in differ])),
        )


@dataclass(frozen=True)
class PathParts(OnToken[TokenPath]):
    """By how much a predicted token falls where the change of each earlier head, and MLP, reaches only one ``side`` of
    one head: at its mean, at zero, or as in the prompt ``other``."""

    kind: ClassVar[Kind] = "job"

    layer: Annotated[int, Whole(0, 10_000, words="The layer")] = 0
    head: Annotated[int, Whole(0, 10_000, words="The head")] = 0
    side: Annotated[str, Choice(("query", "key", "value"), words="The side of the head")] = "query"
    baseline: Annotated[str, Choice(("zero", "mean", "other"), words="What stands in place of an output")] = "mean"
    other: str = ""

    def describe(self) -> str:
        return f"Ways into layer {self.layer}, head {self.head} on “{shortened(self.text)}”"

    def run(self, context: Context) -> TokenPath:
        from analysis.models.ablation import parts_of, plain_logits
        from analysis.models.patches import same_length
        from analysis.qk.costs import begun, change_cost
        from analysis.qk.falls import PartChange

        loaded, trace, query = self.read(context)
        ids, to = trace.ids[: query + 1], (self.layer, self.head)
        parts = parts_of(loaded)
        if to not in parts:
            raise UserError(
                f"This model has no head {self.head} in layer {self.layer} that can be looked into.", "head"
            )
        if not any(layer < self.layer for layer, _ in parts):
            raise UserError("No head and no MLP stands before this head. Open one of a later layer.", "layer")
        if self.baseline == "mean" and len(ids) < 2:
            raise UserError("A prompt of one token has no mean over other tokens. Take zero.", "baseline")
        others: tuple[tuple[int, ...], ...] = ()
        spread = begun(context, loaded, change_cost(loaded, trace, len(ids), self.baseline, into=self.layer))
        other_total: float | None = None
        plain = plain_logits(loaded, ids)
        target = target_of(loaded, plain, query, self.token, self.against)
        if self.baseline == "other":
            other = other_ids(context, loaded, self, ids, query)
            same_length(ids, other)
            others, other_total = (tuple(other),), difference(plain_logits(loaded, other), target)
        before = [part for part in parts if part[0] < self.layer]
        change = PartChange(_prediction(ids, target, plain), self.baseline, others, to=to, side=self.side)
        falls = _falls(context, spread, loaded, change, target, before)
        return TokenPath(target, self.baseline, False, *falls, self.layer, self.head, self.side, other_total)


def other_ids(
    context: Context, loaded: LoadedModel, asked: PatchParts | PathParts, ids: Sequence[int], query: int
) -> list[int]:
    """Token ids of the other prompt, up to the query, beside ``ids`` of this one. Raises UserError(field="other") where
    there is none, or no other one."""
    from analysis.models.prompts import MAX_TOKENS, encode_prompt

    if not asked.other.strip():
        raise UserError("Write the other prompt.", "other")
    other = encode_prompt(loaded, asked.other, asked.chat, max(MAX_TOKENS, len(ids)))
    # What comes after a query within the prompt is read by nothing that is asked here; else both end at the same place.
    if query < asked.trace(context)[2] - 1:
        other = other[: query + 1]
    if list(ids) == list(other):
        raise UserError("Both prompts are the same up to the query, so nothing can be patched.", "other")
    return other


def shortened(text: str) -> str:
    """The beginning of a text, for the name of a job."""
    return text[:30].strip() + ("…" if len(text) > 30 else "")


def other_texts(loaded: LoadedModel, tokens: int) -> list[list[int]]:
    """The first ``tokens`` ids of some passages of the bundled corpus that have as many, drawn by a fixed seed.

    Raises UserError(field="baseline") where none is so long.
    """
    from analysis.corpora.passages import bundled_corpus
    from analysis.qk.costs import RESAMPLED

    passages = bundled_corpus()
    texts: list[list[int]] = []
    for number in np.random.default_rng(0).permutation(len(passages)):
        text = passages[int(number)].text
        if len(text) < 2 * tokens:
            continue
        ids = [int(i) for i in loaded.tokenizer(text)["input_ids"]]
        if len(ids) >= tokens:
            texts.append(ids[:tokens])
        if len(texts) == RESAMPLED:
            return texts
    raise UserError("No texts of the corpus are as long as this prompt. Take the mean.", "baseline")


def _prediction(ids: Sequence[int], target: Target, plain: Tensor) -> Prediction:
    from analysis.qk.falls import Prediction

    return Prediction(tuple(ids), target.token, target.against, plain.numpy())


def _falls(
    context: Context,
    spread: Spread,
    loaded: LoadedModel,
    change: PartChange,
    target: Target,
    parts: Sequence[tuple[int, int]],
) -> tuple[float, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The plain difference, and falls and divergences of heads and MLPs as of :class:`TokenAblation`."""
    import torch

    from analysis.models.ablation import MLP
    from analysis.qk.falls import over_parts

    facts, asked = loaded.facts, change.prediction
    found = over_parts(spread, change, parts, facts.layers, context.progress, context.check)
    size = (facts.layers, facts.heads + 1)
    falls, moved = (np.full(size, np.nan) for _ in range(2))  # the last column is the MLPs'
    for n, (layer, head) in enumerate(parts):
        place = layer, size[1] - 1 if head == MLP else head
        falls[place], moved[place] = found.falls[n], found.moved[n]
    falls, moved = falls.astype(np.float32), moved.clip(0).astype(np.float32)
    total = difference(torch.from_numpy(asked.logits), target)
    return total, falls[:, :-1], falls[:, -1], moved[:, :-1], moved[:, -1]
