"""Operations on heads over the texts of the bundled corpus: their scores, and what those cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from analysis.engine.context import Context
from analysis.engine.operation import A, Operation
from analysis.engine.question import Kind
from analysis.errors import UserError
from analysis.fields import Whole
from analysis.models.capabilities import require_attention
from analysis.models.spec import ModelSpec
from analysis.qk.answers.corpus import CorpusCost, CorpusHeads

TEXTS, LENGTH = 96, 64
_SCORING = 0.6
"""Time of a token in a batch with every head scored, in that of the short probe after loading (measured: 0.53)."""


@dataclass(frozen=True)
class OnCorpus(Operation[A]):
    """Texts of the bundled corpus, drawn by a fixed seed and each cut to ``tokens`` tokens."""

    model: ModelSpec = ModelSpec("default")
    passages: Annotated[int, Whole(2, 2000, words="The number of texts")] = TEXTS
    tokens: Annotated[int, Whole(4, 1024, words="The length of a text in tokens")] = LENGTH

    def length(self, context: Context) -> int:
        """How many tokens of each text this model reads. UserError for a model whose heads cannot be scored."""
        facts = context.model(self.model).facts
        require_attention(facts, "The Attention page does not work with this model.")
        return min(self.tokens, facts.max_positions or self.tokens)


@dataclass(frozen=True)
class CorpusPlan(OnCorpus[CorpusCost]):
    """What scores over texts cost, and whether they have been measured."""

    def run(self, context: Context) -> CorpusCost:
        tokens = self.passages * self.length(context)
        seconds = tokens * context.model(self.model).facts.seconds_per_token * _SCORING
        kept = context.stored(CorpusScores(self.model, self.passages, self.tokens)) is not None
        return CorpusCost(seconds, tokens, kept)


@dataclass(frozen=True)
class CorpusScores(OnCorpus[CorpusHeads]):
    """Entropy, sink, previous token, induction and distance of every head, means over texts."""

    kind: ClassVar[Kind] = "job"

    def describe(self) -> str:
        return f"Scores of all heads over {self.passages} texts in {self.model.label}"

    def run(self, context: Context) -> CorpusHeads:
        from analysis.corpora.passages import bundled_corpus
        from analysis.models.frames import text_ids
        from analysis.models.legible import check_corpus
        from analysis.qk.corpus_scores import corpus_scores

        loaded, length = context.model(self.model), self.length(context)
        passages = bundled_corpus()
        check_corpus(loaded.tokenizer, [passage.text for passage in passages[:20]], "model")
        rows: list[list[int]] = []
        for number in np.random.default_rng(0).permutation(len(passages)):
            ids = text_ids(loaded.tokenizer, passages[int(number)].text)
            if len(ids) >= length:
                rows.append(ids[:length])
            if len(rows) == self.passages:
                return corpus_scores(loaded, rows, context.progress)
        raise UserError(
            f"The corpus has {len(rows):,} texts of {length:,} tokens or more, not {self.passages:,}. Take shorter or "
            "fewer ones.",
            "passages",
        )
