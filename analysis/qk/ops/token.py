"""Operations that begin at a predicted token: which heads and MLPs matter for it, by what they write and without them.

A token is asked about over another one, or over the mean of all tokens: a logit alone says nothing, since what raises
all of them alike changes no prediction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np

from analysis.engine.context import Context
from analysis.engine.operation import A
from analysis.errors import UserError
from analysis.fields import Choice, Whole, whole
from analysis.qk.answers.prompt import NextTokens
from analysis.qk.answers.token import HeadSources, Split, Target, TokenAblation, TokenHeads
from analysis.qk.ops.prompt import OnHead, OnPrompt

if TYPE_CHECKING:
    from torch import Tensor

    from analysis.models.loaded_model import LoadedModel
    from analysis.models.stream import Stream
    from analysis.models.trace import Trace

LIKELY = 6
DRAWS = 40
REMEMBERED = 4
_STREAMS = "streams"


@dataclass(frozen=True)
class OnToken(OnPrompt[A]):
    """A token that is predicted after token ``query`` (-1: the last of the prompt): ``token``, -1 for the most probable
    one, over ``against``, -1 for the mean of all tokens."""

    query: Annotated[int, Whole(-1, 10**6, words="The query")] = -1
    token: Annotated[int, Whole(-1, 10**7, words="The predicted token")] = -1
    against: Annotated[int, Whole(-1, 10**7, words="The other token")] = -1

    def read(self, context: Context) -> tuple[LoadedModel, Trace, int]:
        """The model, the recorded pass and the query's position."""
        trace, _, count = self.trace(context)
        query = count - 1 if self.query < 0 else self.query
        whole(query, 0, len(trace.ids) - 1, "token", "The token's position")
        return context.model(self.model), trace, query


def stream_at(loaded: LoadedModel, trace: Trace, query: int) -> Stream:
    """The residual stream at a token taken apart; the last ones are remembered with the model, whose weights they hold.
    Raises UserError(field="model") where it cannot be."""
    from analysis.models.stream import take_apart

    ids = tuple(trace.ids[: query + 1])
    streams: dict[tuple[int, ...], Stream] = loaded.extras.setdefault(_STREAMS, {})
    if ids not in streams:
        made = take_apart(loaded, ids)
        while len(streams) >= REMEMBERED:
            streams.pop(next(iter(streams)))
        streams[ids] = made
    return streams[ids]


def target_of(loaded: LoadedModel, logits: Tensor, query: int, token: int, against: int) -> Target:
    """What is asked, once its tokens are known; ``logits`` (V,) after the query."""
    from analysis.models.prompts import token_labels

    size = int(logits.shape[0])
    for value, field in ((token, "token"), (against, "against")):
        if value >= size:
            raise UserError(f"This model has tokens 0 to {size - 1:,}, and no token {value:,}.", field)
    probabilities = logits.double().softmax(-1)
    top = probabilities.topk(min(LIKELY, size))
    ids = top.indices.tolist()
    token = ids[0] if token < 0 else token
    if token == against:
        raise UserError("A token is compared with another one, or with the mean of all. Choose another.", "against")
    labels = token_labels(loaded.tokenizer, [*ids, token, *([against] if against >= 0 else [])])
    likely = NextTokens(tuple(labels[: len(ids)]), tuple(top.values.tolist()), tuple(ids))
    return Target(query, token, against, labels[len(ids)], labels[-1] if against >= 0 else "", likely)


@dataclass(frozen=True)
class WritingHeads(OnToken[TokenHeads]):
    """Which heads and MLPs write a predicted token, and which heads look from the query to ``key`` (-1: none)."""

    key: Annotated[int, Whole(-1, 10**6, words="The key")] = -1

    def run(self, context: Context) -> TokenHeads:
        from analysis.models.ablation import plain_logits
        from analysis.qk.contributions import contributions, pair_heads, pair_values

        loaded, trace, query = self.read(context)
        if self.key > query:
            raise UserError("The key comes after the query, which cannot see it. Choose an earlier token.", "key")
        facts, key = loaded.facts, self.key
        size = (facts.layers, facts.heads)
        nothing = np.full(size, np.nan, np.float32)
        attention = nothing if key < 0 else pair_heads(trace, query, key, *size).float().numpy()
        try:
            stream = stream_at(loaded, trace, query)
        except UserError as error:
            if error.field != "model":
                raise
            target = target_of(loaded, plain_logits(loaded, trace.ids[: query + 1]), query, self.token, self.against)
            none = np.full(facts.layers, np.nan, np.float32)
            return TokenHeads(target, key, None, str(error), nothing, none, attention, nothing, nothing)
        target = target_of(loaded, stream.logits, query, self.token, self.against)
        against = None if self.against < 0 else self.against
        parts = contributions(stream, target.token, against, DRAWS)
        weighted = from_key = nothing
        if key >= 0:
            pair = pair_values(stream, trace, key, target.token, against, facts.heads)
            weighted, from_key = (values.float().numpy() for values in pair)
        split = Split(
            parts.total, parts.embedding, parts.constant, parts.remainder, *parts.chance, DRAWS, _note(stream)
        )
        heads, mlps = parts.heads.float().numpy(), parts.mlps.float().numpy()
        return TokenHeads(target, key, split, "", heads, mlps, attention, weighted, from_key)


def _note(stream: Stream) -> str:
    """Where the model's logits are not those of its unembedding, a sentence."""
    if float((stream.raw - stream.logits).abs().max()) <= 1e-3 * max(1.0, float(stream.raw.abs().max())):
        return ""
    return "This model scales or bounds its logits last; the parts are of the logits before that."


@dataclass(frozen=True)
class EstimateFalls(OnToken[TokenAblation]):
    """By how much a predicted token would fall without each head and each MLP, to first order, from one pass back."""

    baseline: Annotated[str, Choice(("zero", "mean"), words="What stands in place of an output")] = "mean"

    def run(self, context: Context) -> TokenAblation:
        from analysis.models.ablation import plain_logits
        from analysis.models.first_order import estimated_falls

        loaded, trace, query = self.read(context)
        ids = trace.ids[: query + 1]
        plain = plain_logits(loaded, ids)
        target = target_of(loaded, plain, query, self.token, self.against)
        against = None if target.against < 0 else target.against
        found = estimated_falls(loaded, ids, target.token, against, self.baseline)  # type: ignore[arg-type]
        heads, mlps = (part.float().numpy() for part in found)
        none, none_mlps = (np.full_like(part, np.nan) for part in (heads, mlps))
        return TokenAblation(target, self.baseline, True, difference(plain, target), heads, mlps, none, none_mlps)


def difference(logits: Tensor, target: Target) -> float:
    """The logit difference that is asked about."""
    from analysis.qk.falls import logit_difference

    return logit_difference(logits, target.token, target.against)


@dataclass(frozen=True)
class WritingSources(OnHead[HeadSources]):
    """From which source tokens one head writes a predicted token; ``query``, ``token`` and ``against`` as
    of :class:`WritingHeads`."""

    query: Annotated[int, Whole(-1, 10**6, words="The query")] = -1
    token: Annotated[int, Whole(-1, 10**7, words="The predicted token")] = -1
    against: Annotated[int, Whole(-1, 10**7, words="The other token")] = -1

    def run(self, context: Context) -> HeadSources:
        import torch

        from analysis.qk.contributions import head_total, sources

        count = self.trace(context)[2]
        query = count - 1 if self.query < 0 else self.query
        trace, loaded = self.recorded(context, query), context.model(self.model)
        stream = stream_at(loaded, trace, query)
        target = target_of(loaded, stream.logits, query, self.token, self.against)
        against = None if self.against < 0 else self.against
        found = sources(stream, trace, self.layer, self.head, target.token, against)
        direction = stream.measures(torch.tensor([target.token]), against)[0][0]
        whole_head = head_total(stream.blocks[self.layer], self.head, direction)
        attention, weighted, writes = (t.float().numpy() for t in (found.attention, found.weighted, found.writes))
        error = abs(whole_head - float(found.writes.sum()))
        return HeadSources(target, whole_head, error, attention, weighted, writes)
