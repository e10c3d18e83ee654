"""How often a lens puts the model's own next token first, at every block: what tells how far to trust it there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from analysis.engine.context import Context
from analysis.engine.keys import hash_of
from analysis.models.spec import ModelSpec

if TYPE_CHECKING:
    from torch import Tensor

    from analysis.models.lens import Stage
    from analysis.models.loaded_model import LoadedModel
    from analysis.models.trained_lens import TrainedLens

SAMPLES, LONG, SKIPPED = 4, 24, 8
"""Of the bundled corpus: texts, tokens of each, and how many of these only lead in."""


def moved(lens: TrainedLens, stages: Sequence[Stage], vectors: Tensor) -> Tensor:
    """Streams (S, P, D) at whole stages as the lens takes them to the last block."""
    import torch

    if not stages:
        return vectors
    return torch.stack([lens.moved(stage.block, x) for stage, x in zip(stages, vectors, strict=True)])


def agreement_of(
    context: Context, model: ModelSpec, loaded: LoadedModel, lens: TrainedLens | None = None
) -> tuple[np.ndarray, np.ndarray, int]:
    """Share of tokens of the bundled corpus (B + 1,) at which the plain lens of the embeddings and of each block puts
    the model's own next token first; the same of a trained ``lens``, or again the plain one's; and of how many tokens.
    The plain one's is remembered, since it is of the model alone."""
    key = hash_of(["lens", context.residents.identity(model)])
    known: tuple[np.ndarray, int] | None = context.memory.get(key)
    if known is None:
        known = _shares(context, loaded, None)
        context.memory.put(key, known, known[0].nbytes)
    plain, count = known
    return plain, plain if lens is None else _shares(context, loaded, lens)[0], count


def _shares(context: Context, loaded: LoadedModel, lens: TrainedLens | None) -> tuple[np.ndarray, int]:
    import torch

    from analysis.corpora.passages import bundled_corpus
    from analysis.models.frames import text_ids
    from analysis.models.lens import lens_logits, read_stream

    long = min(LONG, loaded.facts.max_positions or LONG)
    passages = bundled_corpus()
    some = passages[:: max(1, len(passages) // SAMPLES)][:SAMPLES]
    same, count = torch.zeros(loaded.facts.layers + 1), 0
    for row in (text_ids(loaded.tokenizer, p.text)[:long] for p in some):
        context.check()
        last = max(1, len(row) - SKIPPED)
        stream = read_stream(loaded, torch.tensor([row]), last, within=False)
        own = stream.logits.argmax(-1)
        vectors = stream.vectors if lens is None else moved(lens, stream.stages, stream.vectors)
        tops = torch.cat([part.argmax(-1) for part in lens_logits(loaded, stream, vectors)])
        same, count = same + (tops == own).float().sum(1), count + last
    return (same / count).numpy().astype(np.float32), count
