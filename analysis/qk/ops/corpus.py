"""Operations on heads over many texts, those of the bundled corpus or a user's own: scores, and what those cost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import numpy as np

from analysis.corpora.text_source import TextSource, source_of
from analysis.engine.context import Context
from analysis.engine.operation import A, Operation
from analysis.engine.question import Kind
from analysis.errors import UserError
from analysis.fields import Whole
from analysis.models.capabilities import require_attention
from analysis.models.spec import ModelSpec
from analysis.qk.answers.corpus import CorpusCost, CorpusHeads

TEXTS, MOST_TEXTS = 96, 2000
LENGTH, LONGEST = 64, 1024
_SCORING = 0.6
"""Time of a token in a batch with every head scored, in that of the short probe after loading (measured: 0.53)."""


@dataclass(frozen=True)
class OnCorpus(Operation[A]):
    """Texts of a ``source`` ("bundled", or what :class:`analysis.mfa.ops.fit.KeepTexts` answers), drawn by a fixed seed
    and each cut to ``tokens`` tokens."""

    model: ModelSpec = ModelSpec("default")
    passages: Annotated[int, Whole(2, MOST_TEXTS, words="The number of texts")] = TEXTS
    tokens: Annotated[int, Whole(4, LONGEST, words="The length of a text in tokens")] = LENGTH
    source: str = "bundled"

    def __post_init__(self) -> None:
        super().__post_init__()
        source_of(self.source)

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
        kept = context.stored(CorpusScores(self.model, self.passages, self.tokens, self.source)) is not None
        return CorpusCost(seconds, tokens, kept)


@dataclass(frozen=True)
class CorpusScores(OnCorpus[CorpusHeads]):
    """Entropy, sink, previous token, induction and distance of every head, means over texts; while it runs, the means
    so far (``so_far``, as of :meth:`CorpusHeads.sent`)."""

    kind: ClassVar[Kind] = "job"

    def describe(self) -> str:
        return f"Scores of all heads over {self.passages} texts in {self.model.label}"

    def run(self, context: Context) -> CorpusHeads:
        from analysis.corpora.sources import read_source
        from analysis.models.frames import text_ids
        from analysis.models.legible import check_corpus
        from analysis.qk.corpus_scores import corpus_scores

        loaded, length, source = context.model(self.model), self.length(context), source_of(self.source)
        passages = read_source(source, context.check)
        check_corpus(loaded.tokenizer, [passage.text for passage in passages[:20]], _field(source))
        rows: list[list[int]] = []
        for number in np.random.default_rng(0).permutation(len(passages)):
            ids = text_ids(loaded.tokenizer, passages[int(number)].text)
            if len(ids) >= length:
                rows.append(ids[:length])
            if len(rows) == self.passages:
                answer = corpus_scores(loaded, rows, context.progress)
                return answer if source.kind == "bundled" else replace(answer, of=source.label)
        raise UserError(
            f"{_name(source)} has {len(rows):,} texts of {length:,} tokens or more, not {self.passages:,}. Take "
            "shorter or fewer ones.",
            "passages",
        )


def _name(source: TextSource) -> str:
    return "The corpus" if source.kind == "bundled" else f"“{source.label}”"


def _field(source: TextSource) -> str:
    """Whose fault it is that texts cannot be read: the model's for those that all models are offered."""
    return "model" if source.kind == "bundled" else "texts"
