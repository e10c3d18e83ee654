"""Attention under steering: a prompt is read unsteered, steered, and under random directions that cost as much.

All passes of one prompt and set-up are kept, without values, so that any head's row is there at a click.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Generic

import numpy as np

from analysis.bridge.inside import A, InsideSteering
from analysis.engine.context import Context
from analysis.engine.keys import hash_of
from analysis.engine.question import Kind
from analysis.errors import UserError
from analysis.fields import Whole, whole
from analysis.mfa.answers.moved import MovedHeads, SteeredRow
from analysis.models.capabilities import require_attention
from analysis.steering.prompt import ReadPrompt

if TYPE_CHECKING:
    from analysis.mfa.answers.samples import Push
    from analysis.models.loaded_model import LoadedModel
    from analysis.models.trace import Trace
    from analysis.steering.ready import ReadySteer

DRAWS, NAMED = 4, 2


@dataclass(frozen=True)
class _Read:
    """The passes over one text: unsteered, steered, random; what the set-up and the random directions cost."""

    base: Trace
    steered: Trace
    random: list[Trace]
    kl: float
    pushes: list[Push]
    acts: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes held."""
        layers = {id(r): r for trace in (self.base, self.steered, *self.random) for r in trace.layers.values()}
        return sum(r.queries.nbytes + r.keys.nbytes for r in layers.values())


@dataclass(frozen=True)
class ReadSteered(InsideSteering[A], Generic[A]):
    """A prompt with ``generate`` tokens of the unsteered model's own after it (greedy), all of which are steered as the
    prompt is."""

    generate: Annotated[int, Whole(0, 200, words="The number of generated tokens")] = 0

    def prepared(self, context: Context) -> tuple[LoadedModel, ReadySteer, ReadPrompt]:
        """Model, set-up and the text, read. Errors as of InsideSteering.prepared."""
        from analysis.models.generation import generate_stream
        from analysis.steering import PromptCache

        loaded, own, prompt = super().prepared(context)
        if not self.generate:
            return loaded, own, prompt
        ids = [*prompt.ids, *generate_stream(loaded, prompt.ids, self.generate)]
        cache = PromptCache(loaded, ids, [own.lowest])
        return loaded, own, ReadPrompt(cache, ids, prompt.seconds)

    def passes(self, context: Context) -> tuple[LoadedModel, _Read]:
        """The passes, from memory if they are there. Raises UserError where nothing is steered, or for one token."""
        from analysis.steering.calibrate import kl_divergence
        from analysis.steering.moved import steered_trace

        loaded = context.model(self.model)
        require_attention(loaded.facts, "Attention under steering does not work with this model.")
        asked = [self.text, self.chat, self.generate, self.steer.to_dict(), self.seed, self.reads(context)]
        key = hash_of(["attention under steering", context.residents.identity(self.model), *asked])
        read: _Read | None = context.memory.get(key)
        if read is not None:
            return loaded, read
        loaded, setup, prompt, own = self.ready(context)
        if len(prompt.ids) < 2:
            raise UserError("One token has nothing to attend to but itself. Read a longer prompt.", "prompt")
        context.progress(0.1, "unsteered")
        base = steered_trace(loaded, prompt.ids, [])
        context.progress(0.2, "steered")
        steered = steered_trace(loaded, prompt.ids, own, base)
        kl = kl_divergence(prompt.base, prompt.cache.next_logits(own))
        context.progress(0.3, "random directions at the same KL")
        pushes = self.directions(context, setup, prompt, kl, DRAWS)
        random = []
        for n, (_, made) in enumerate(pushes):
            context.progress(0.6 + 0.4 * n / DRAWS, "random directions at the same KL")
            random.append(steered_trace(loaded, prompt.ids, made, base))
        acts = tuple(sorted({i.site.layer for i in own}))
        read = _Read(base, steered, random, kl, [push for push, _ in pushes], acts)
        context.memory.put(key, read, read.size)
        return loaded, read


@dataclass(frozen=True)
class SteeredHeads(ReadSteered[MovedHeads]):
    """How far a set-up moves every head's pattern on a prompt, beside random directions at the same KL."""

    kind: ClassVar[Kind] = "job"

    def describe(self) -> str:
        return f"Attention on “{self.text[:40].strip()}{'…' if len(self.text) > 40 else ''}”, steered"

    def run(self, context: Context) -> MovedHeads:
        from analysis.models.prompts import token_labels
        from analysis.steering.moved import movement

        loaded, read = self.passes(context)
        own = movement(loaded, read.base, read.steered)
        random = [movement(loaded, read.base, trace) for trace in read.random]
        return MovedHeads(
            labels=tuple(token_labels(loaded.tokenizer, read.base.ids)),
            acts=read.acts,
            kls=(read.kl, *(push.kl for push in read.pushes)),
            met=(1, *(int(push.met) for push in read.pushes)),
            same=not np.nan_to_num(own.worst).any(),
            mean=own.mean,
            worst=own.worst,
            query=own.query,
            null=np.mean([m.mean for m in random], 0).astype(np.float32),
            null_high=np.max([m.mean for m in random], 0),
            null_worst=np.max([m.worst for m in random], 0),
        )


@dataclass(frozen=True)
class SteeredAttention(ReadSteered[SteeredRow]):
    """One query's attention in one head without and with a set-up, and under random directions at the same KL."""

    layer: Annotated[int, Whole(0, 10_000, words="The layer")] = 0
    head: Annotated[int, Whole(0, 10_000, words="The head")] = 0
    query: int = 0

    def run(self, context: Context) -> SteeredRow:
        import torch

        from analysis.models.prompts import token_labels
        from analysis.steering.moved import distance

        loaded, read = self.passes(context)
        if self.layer not in read.base.layers:
            raise UserError(f"Layer {self.layer} of this model has no softmax attention to show.", "layer")
        if self.head >= loaded.facts.heads:
            raise UserError(f"This model has heads 0 to {loaded.facts.heads - 1}.", "head")
        whole(self.query, 0, len(read.base.ids) - 1, "token", "The token's position")
        rows = [trace.row(self.layer, self.head, self.query)[1] for trace in (read.base, read.steered, *read.random)]
        moved = [distance(rows[0], row) for row in rows[1:]]
        labels = token_labels(loaded.tokenizer, read.base.ids)
        return SteeredRow(
            sentence=_sentence(labels, self.query, rows[0].numpy(), rows[1].numpy(), moved),
            labels=tuple(labels),
            moved=moved[0],
            random_moved=tuple(moved[1:]),
            base=rows[0].float().numpy(),
            steered=rows[1].float().numpy(),
            random=torch.stack(rows[2:]).float().numpy(),
        )


def _sentence(labels: list[str], query: int, base: np.ndarray, steered: np.ndarray, moved: list[float]) -> str:
    """Where a query's attention went, the first token and the query itself included."""
    asker = f"“{labels[query]}” (token {query})"
    if moved[0] == 0:
        return f"{asker} attends as without steering, bit for bit."
    change = steered - base
    ways = []
    for word, order, sign in (("more to", np.argsort(-change), 1), ("less to", np.argsort(change), -1)):
        named = [int(k) for k in order[:NAMED] if sign * change[k] >= 0.01]
        keys = [f"“{labels[k]}” (token {k}), {base[k]:.0%} to {steered[k]:.0%}" for k in named]
        ways += [f"{word} {' and '.join(keys)}"] if keys else []
    said = f"Steered, {asker} puts {moved[0]:.0%} of its attention elsewhere"
    said += f": {'; '.join(ways)}." if ways else ", less than one per cent of it from or to any one token."
    low, high = min(moved[1:]), max(moved[1:])
    return f"{said} Random directions at the same KL: {low:.0%} to {high:.0%} ({len(moved) - 1} draws)."
