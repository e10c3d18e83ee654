"""Operations on one prompt: read it once, then ask about any head, token, swap or subspace of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np

from analysis.engine.context import Context
from analysis.engine.keys import hash_of
from analysis.engine.operation import A, Operation
from analysis.engine.question import Kind
from analysis.errors import UserError
from analysis.fields import Choice, Whole, whole
from analysis.models.capabilities import require_attention
from analysis.models.prompts import LONG_CHARACTERS, check_prompt
from analysis.models.spec import ModelSpec
from analysis.qk.answers.prompt import HeadCells, MapPlaces, NextTokens, QueryRow, Reading, SignedCells
from analysis.qk.answers.token import RunCost
from analysis.qk.contrasts.spec import ContrastSpec
from analysis.qk.ops.features import FitContrast, HeldOut, feature_name, fit_of

if TYPE_CHECKING:
    from analysis.models.trace import Overview, Trace
    from analysis.qk.subspace import QKSubspace

MAX_CELLS = 512


@dataclass(frozen=True)
class OnPrompt(Operation[A]):
    """A prompt in a model: raw text or a chat turn, with ``generate`` tokens of the model's own (greedy) after it."""

    model: ModelSpec = ModelSpec("default")
    text: str = ""
    chat: bool = False
    generate: Annotated[int, Whole(0, 200, words="The number of generated tokens")] = 0

    def __post_init__(self) -> None:
        check_prompt(self.text, LONG_CHARACTERS)
        super().__post_init__()

    def trace(self, context: Context, overview: bool = False) -> tuple[Trace, Overview | None, int]:
        """The recorded pass (from memory if it is there), the overview if asked for, and the length of the prompt."""
        from analysis.models.generation import generate_stream
        from analysis.models.prompts import encode_prompt
        from analysis.models.trace import longest_trace, trace_prompt

        loaded = context.model(self.model)
        require_attention(loaded.facts, "The Attention page does not work with this model.")
        prompt = [self.text, self.chat, self.generate]
        key = hash_of(["trace", context.residents.identity(self.model), *prompt])
        earlier = context.memory.get(key)
        if earlier is not None and not overview:
            return earlier[0], None, earlier[1]
        prompt_ids = encode_prompt(loaded, self.text, self.chat, longest_trace(loaded.facts))
        count, ids = len(prompt_ids), list(earlier[0].ids) if earlier is not None else list(prompt_ids)
        if earlier is None:
            context.progress(0.0, f"{count} tokens")
            for n, token in enumerate(generate_stream(loaded, prompt_ids, self.generate), start=1):
                ids.append(token)
                context.progress(0.6 * n / self.generate, f"generated {n} of {self.generate} tokens")
        # Of a long prompt the pass is nearly all of the work, and the time left is told from its share.
        begun = 0.6 if self.generate and earlier is None else 0.0
        context.progress(begun, "recording all layers")

        def within(layer: int) -> None:
            context.end_if_unwanted()
            share = (layer + 1) / loaded.facts.layers
            context.tell(begun + (1 - begun) * share, f"recorded layer {layer} of {loaded.facts.layers}")

        trace, scores = trace_prompt(loaded, ids, overview, within=within)
        context.memory.put(key, (trace, count), trace.size)
        return trace, scores, count


@dataclass(frozen=True)
class TracePrompt(OnPrompt[Reading]):
    """Read a prompt: its tokens, what the model predicts next, scores and thumbnails of every head."""

    kind: ClassVar[Kind] = "job"

    def describe(self) -> str:
        return f"Read “{self.text[:40].strip()}{'…' if len(self.text) > 40 else ''}”"

    def run(self, context: Context) -> Reading:
        from analysis.models.legible import legibility_notes
        from analysis.models.prompts import encoded_prompt, prompt_notes, token_labels
        from analysis.models.trace import longest_trace

        trace, overview, count = self.trace(context, overview=True)
        assert overview is not None
        loaded = context.model(self.model)
        probabilities = trace.next_logits.double().softmax(-1)
        top = probabilities.topk(min(10, probabilities.shape[0]))
        labels = token_labels(loaded.tokenizer, trace.ids)
        following = token_labels(loaded.tokenizer, top.indices.tolist())
        return Reading(
            labels=tuple(labels),
            ids=tuple(trace.ids),
            prompt_tokens=count,
            notes=(
                *encoded_prompt(loaded, self.text, self.chat, longest_trace(loaded.facts)).notes,
                *legibility_notes(loaded.tokenizer, self.text),
                *prompt_notes(self.text, labels),
            ),
            next=NextTokens(tuple(following), tuple(top.values.tolist()), tuple(top.indices.tolist())),
            layers=loaded.facts.layers,
            heads=loaded.facts.heads,
            head_width=loaded.facts.head_width,
            attention_layers=tuple(loaded.facts.attention_layers),
            entropy=overview.scores["entropy"],
            sink=overview.scores["sink"],
            previous=overview.scores["previous"],
            induction=overview.scores["induction"],
            itself=overview.scores["self"],
            thumbnails=overview.thumbnails,
            distance=overview.scores["distance"],
        )


@dataclass(frozen=True)
class ReadingCost(OnPrompt[RunCost]):
    """How many tokens a prompt has, and what reading it takes here, said before the press."""

    def run(self, context: Context) -> RunCost:
        from analysis.models.pass_cost import reading_cost
        from analysis.models.prompts import encode_prompt
        from analysis.models.trace import longest_trace

        loaded = context.model(self.model)
        tokens = len(encode_prompt(loaded, self.text, self.chat, longest_trace(loaded.facts)))
        cost = reading_cost(loaded, tokens + self.generate)
        return RunCost(tokens, cost.seconds, cost.bytes)


@dataclass(frozen=True)
class OnHead(OnPrompt[A]):
    """One head of one layer on a prompt."""

    layer: Annotated[int, Whole(0, 10_000, words="The layer")] = 0
    head: Annotated[int, Whole(0, 10_000, words="The head")] = 0

    def recorded(self, context: Context, *positions: int) -> Trace:
        """The trace, once layer, head and token positions are known to exist in it."""
        trace, _, _ = self.trace(context)
        if self.layer not in trace.layers:
            raise UserError(f"Layer {self.layer} of this model has no softmax attention to show.", "layer")
        heads = trace.layers[self.layer].queries.shape[1]
        if self.head >= heads:
            raise UserError(f"This model has heads 0 to {heads - 1}.", "head")
        for position in positions:
            whole(position, 0, len(trace.ids) - 1, "token", "The token's position")
        return trace


@dataclass(frozen=True)
class HeadAttention(OnHead[HeadCells]):
    """All attention of one head as 8-bit numbers, max-pooled when there are more than 512 tokens."""

    def run(self, context: Context) -> HeadCells:
        import torch

        trace = self.recorded(context)
        tokens = len(trace.ids)
        pool = -(-tokens // MAX_CELLS)
        matrix = trace.matrix(self.layer, self.head, pool)
        top = float(matrix.max())
        cells = (matrix / max(top, 1e-12) * 255).round().to(torch.uint8).numpy()
        return HeadCells(top, pool, tokens, cells)


@dataclass(frozen=True)
class AttentionRow(OnHead[QueryRow]):
    """One query's row: attention, logits, and what each feature contributes to them.

    ``key`` -1 is the key with the most attention, the first token and the query itself aside. ``ranks`` has one entry
    per feature, -1 for the energy rule.
    """

    query: int = 0
    key: int = 0
    features: tuple[ContrastSpec, ...] = ()
    ranks: tuple[int, ...] = ()
    side: Annotated[str, Choice(("query", "key", "both"), words="The side that is split")] = "query"
    orthogonalise: bool = False
    reference: Annotated[str, Choice(("others", "token", "none"), words="The reference")] = "others"
    reference_token: int = 0
    skip_first: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.features) > 6:
            raise UserError("At most six features can be compared at once.", "features")
        for rank in self.ranks:
            whole(rank, -1, 4096, "rank", "The rank")

    def built_on(self) -> tuple[Operation[Any], ...]:
        return tuple(FitContrast(self.model, feature) for feature in self.features)

    def run(self, context: Context) -> QueryRow:
        from analysis.models.prompts import token_labels
        from analysis.qk.alike import partner_of
        from analysis.qk.why import row_parts, sentence

        trace = self.recorded(context, self.query, max(0, self.key), self.reference_token)
        key = self.key if self.key >= 0 else _most_attended(trace, self.layer, self.head, self.query)
        subspaces = self._subspaces(context)
        arguments: dict[str, Any] = {"side": self.side, "orthogonalise": self.orthogonalise}
        arguments |= {"skip_first": self.skip_first}
        at = (trace, self.layer, self.head, self.query, subspaces)
        row = row_parts(*at, reference=self.reference, token=self.reference_token, **arguments)  # type: ignore[arg-type]
        spoken = row if self.reference == "others" else row_parts(*at, **arguments)
        labels = token_labels(context.model(self.model).tokenizer, trace.ids)
        names = [feature_name(f) for f in self.features]
        masked = key > self.query or not np.isfinite(float(row.nats[key]))
        text = (
            f"“{labels[key]}” (token {key}) is masked for “{labels[self.query]}” (token {self.query}): it "
            "comes later, or lies outside the attention window."
            if masked
            else sentence(spoken, key, names, labels, self.query)
        )
        record = trace.layers[self.layer]
        finite = row.nats.masked_fill(~row.nats.isfinite(), np.nan)
        return QueryRow(
            sentence=text,
            key=key,
            names=tuple(names),
            ranks=tuple(s.rank for s in subspaces),
            sum_error=row.error,
            scaling=record.scaling,
            softcap=record.softcap,
            masked=masked,
            attention=row.attention.float().numpy(),
            nats=finite.float().numpy(),
            parts=row.parts.float().numpy(),
            total=row.total.float().numpy(),
            candidates=row.candidates.numpy().astype(np.uint8),
            partner=-1 if masked else partner_of(context.model(self.model), trace.ids, row.attention, key, self.query),
        )

    def _subspaces(self, context: Context) -> list[QKSubspace]:
        ranks = [*self.ranks, *[-1] * len(self.features)]
        return [subspace_for(context, self, f, r) for f, r in zip(self.features, ranks, strict=False)]


@dataclass(frozen=True)
class PlaceOnMap(OnHead[MapPlaces]):
    """Where one query of the prompt and the keys that it sees lie on the map of a held-out test of the same head."""

    query: int = 0
    held_out: HeldOut = HeldOut()

    def built_on(self) -> tuple[Operation[Any], ...]:
        return (*self.held_out.built_on(), self.held_out)

    def run(self, context: Context) -> MapPlaces:
        import torch

        from analysis.qk.evidence import subspace_of

        trace, trial = self.recorded(context, self.query), self.held_out
        stored = context.stored(trial)
        if stored is None or trial.rotary != "post" or (trial.layer, trial.head) != (self.layer, self.head):
            raise UserError("The map belongs to another head or to other vectors. Test this one first.", "map")
        fit = fit_of(context, self.model, trial.contrast, trial.rotary)
        subspace = subspace_of(fit, self.layer, self.head, None, trial.centred)
        record = trace.layers[self.layer]
        raw, _ = trace.row(self.layer, self.head, self.query)
        visible = torch.nonzero(raw.isfinite())[:, 0]
        keys = record.keys[0, self.head // record.group].double()[visible] @ subspace.key_basis
        query = record.queries[0, self.head, self.query].double() @ subspace.query_basis
        test = HeldOut.answer_from(stored)
        centre, axes = torch.from_numpy(test.centre).double(), torch.from_numpy(test.axes).double()
        places = torch.zeros(len(visible) + 1, 3, dtype=torch.float64)
        places[:, : axes.shape[1]] = (torch.cat([query[None], keys]) - centre) @ axes
        return MapPlaces((self.query, *visible.tolist()), places.float().numpy())


def _most_attended(trace: Trace, layer: int, head: int, query: int) -> int:
    _, attention = trace.row(layer, head, query)
    attention = attention.clone()
    if query > 1:
        attention[0] = attention[query] = -1
    return int(attention[: query + 1].argmax())


@dataclass(frozen=True)
class Alignment(OnHead[SignedCells]):
    """The part of every logit that one feature's subspace makes, tokens x tokens, as 8-bit signed numbers in nats."""

    feature: ContrastSpec = ContrastSpec("induction")
    rank: Annotated[int, Whole(-1, 4096, words="The rank")] = -1

    def built_on(self) -> tuple[Operation[Any], ...]:
        return (FitContrast(self.model, self.feature),)

    def run(self, context: Context) -> SignedCells:
        import torch

        from analysis.qk.why import alignment_matrix

        trace = self.recorded(context)
        subspace = subspace_for(context, self, self.feature, self.rank)
        tokens = len(trace.ids)
        pool = -(-tokens // MAX_CELLS)
        matrix = alignment_matrix(trace, self.layer, self.head, subspace, pool)
        top = float(matrix.nan_to_num(0).abs().max())
        scaled = (matrix / max(top, 1e-12) * 127).round()
        cells = scaled.nan_to_num(-128).to(torch.int8).numpy()
        return SignedCells(top, pool, tokens, cells, subspace.rank, feature_name(self.feature))


def subspace_for(context: Context, on: OnHead[Any], feature: ContrastSpec, rank: int) -> QKSubspace:
    """The fitted subspace of a feature on the operation's head, of the energy rule's rank for -1; UserError if the
    feature is not fitted yet."""
    from analysis.qk.evidence import subspace_of

    return subspace_of(fit_of(context, on.model, feature), on.layer, on.head, None if rank < 0 else rank)
