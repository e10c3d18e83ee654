"""Take a vocabulary channel out of a neuron while the model runs, and say what fell."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from analysis.engine.context import Context
from analysis.errors import UserError
from analysis.fields import whole
from analysis.rotate.answers.channels import Ablation
from analysis.rotate.ops.channels import OfChannels, channels_of

if TYPE_CHECKING:
    from analysis.models.loaded_model import LoadedModel

TEXTS = 240
"""Passages of the bundled corpus in which sentences, or the neuron's strongest context, are looked for."""
LONGEST = 200


@dataclass(frozen=True)
class AblateChannel(OfChannels[Ablation]):
    """What falls without one channel, beside controls that take as much out of the neuron.

    ``channel`` counts from 1. ``text``: where a down vector's effect is looked at; empty takes the context of the
    corpus in which the neuron is most active.
    """

    channel: int = 1
    text: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        whole(self.channel, 1, self.channels, "channel", "The channel")
        if not isinstance(self.text, str) or len(self.text) > 20_000:
            raise UserError("The text has more than 20,000 characters. Cut it down.", "text")

    def run(self, context: Context) -> Ablation:
        from analysis.models.prompts import encode_prompt
        from analysis.rotate.ablation import ablate
        from analysis.rotate.contexts import strongest
        from analysis.rotate.removal import Case, other_tokens

        vectors, library = self.measured(context)
        loaded = vectors.loaded
        w, U = self.weight(vectors)
        channels, _, _ = channels_of(self, context, vectors, library)
        at = self.channel - 1
        usable = library.token_weights(library.projection_of(self.layer), len(U)) == 1
        channel, pole = channels["channels"][at].to(w), int(channels["pole"][at])
        case = Case(
            self.layer,
            self.vector,
            self.neuron,
            channel,
            tuple(channels["top"][at].tolist()),
            other_tokens(w, U, channel, pole, usable=usable, mask_z=self.mask_z),
            pole,
        )
        rows = corpus_rows(context, loaded)
        if self.text.strip():
            ids = encode_prompt(loaded, self.text, False)
        else:
            context.check()
            ids = strongest(loaded, self.layer, [self.neuron], rows[: TEXTS // 2], 1)[0][0]
        if len(ids) > LONGEST:
            raise UserError(
                f"This text has {len(ids):,} tokens; the ablation looks at up to {LONGEST}. Shorten it.", "text"
            )
        context.check()
        answer = ablate(vectors, case, ids, rows, seed=self.seed)
        return replace(answer, text="" if self.text.strip() else loaded.tokenizer.decode(ids), tokens_own=pole)


def corpus_rows(context: Context, loaded: LoadedModel) -> list[list[int]]:
    """Token ids of passages of the bundled corpus, spread over its themes."""
    from analysis.activations.collect import passage_order, tokens_of
    from analysis.corpora.passages import bundled_corpus
    from analysis.models.legible import check_corpus

    key = ("corpus rows", loaded.facts.fingerprint)
    rows: list[list[int]] | None = context.memory.get(key)
    if rows is None:
        passages = bundled_corpus()
        check_corpus(loaded.tokenizer, [p.text for p in passages[:20]], "model")
        rows = tokens_of(loaded, [passages[i] for i in passage_order(len(passages), 0)])
        context.memory.put(key, rows, 8 * sum(map(len, rows)))
    return rows
