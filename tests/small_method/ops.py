"""The operation of the small method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from analysis.engine.context import Context
from analysis.engine.operation import Operation
from analysis.engine.question import Kind
from analysis.fields import Text, Whole
from analysis.models.spec import ModelSpec
from tests.small_method.answers import EmbeddingNorms


@dataclass(frozen=True)
class MeasureNorms(Operation[EmbeddingNorms]):
    """Norms of the embeddings of the first tokens of a text."""

    kind: ClassVar[Kind] = "job"
    title: ClassVar[str] = "Measure norms of embeddings"
    model: ModelSpec = ModelSpec("default")
    text: Annotated[str, Text(2_000, words="The text")] = "One small text"
    most: Annotated[int, Whole(1, 100, words="The number of tokens")] = 8

    def run(self, context: Context) -> EmbeddingNorms:
        from analysis.models.prompts import encode_prompt, token_labels

        loaded = context.model(self.model)
        ids = encode_prompt(loaded, self.text, chat=False)[: self.most]
        context.progress(0.5, "measuring")
        rows = loaded.model.get_input_embeddings().weight[ids].detach().float()
        return EmbeddingNorms(tuple(token_labels(loaded.tokenizer, ids)), rows.norm(dim=-1).cpu().numpy())
