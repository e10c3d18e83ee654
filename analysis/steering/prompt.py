"""A prompt that is read once for all who steer it, and the next token beside what it was without."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analysis.engine.context import Context
from analysis.engine.keys import hash_of
from analysis.models.spec import ModelSpec
from analysis.steering.answers import NextTokenShift

if TYPE_CHECKING:
    from torch import Tensor

    from analysis.models.loaded_model import LoadedModel
    from analysis.steering import PromptCache

SHOWN = 8


@dataclass(frozen=True)
class ReadPrompt:
    """A prompt after one unsteered pass: its cache, its token ids, and how long that pass took."""

    cache: PromptCache
    ids: list[int]
    seconds: float

    @property
    def base(self) -> Tensor:
        """Unsteered logits (V,) of the next token."""
        return self.cache.base_logits


def read_prompt(
    context: Context, loaded: LoadedModel, model: ModelSpec, text: str, chat: bool, lowest: int
) -> ReadPrompt:
    """A prompt, read once for all who steer from block ``lowest`` on: what one page has read serves the others."""
    from analysis.models.prompts import encode_prompt
    from analysis.steering import PromptCache

    key = hash_of(["prompt", context.residents.identity(model), text, chat, lowest])
    prompt: ReadPrompt | None = context.memory.get(key)
    if prompt is None:
        ids = encode_prompt(loaded, text, chat)
        began = time.perf_counter()
        cache = PromptCache(loaded, ids, [lowest])
        prompt = ReadPrompt(cache, ids, time.perf_counter() - began)
        context.memory.put(key, prompt, cache.nbytes + 4 * cache.base_logits.numel())
    return prompt


def next_token_shift(loaded: LoadedModel, base: Tensor, steered: Tensor) -> NextTokenShift:
    """Leading tokens of two distributions given by logits (V,), their probabilities and changes, KL and entropies."""
    import torch

    from analysis.models.prompts import token_labels
    from analysis.steering.calibrate import kl_divergence

    b, s = base.double().log_softmax(-1), steered.double().log_softmax(-1)
    count = min(SHOWN, len(s))
    lead = torch.cat([s.topk(count).indices, b.topk(count).indices]).tolist()
    ids = list(dict.fromkeys(lead))[: SHOWN + SHOWN // 2]
    ids.sort(key=lambda i: -float(torch.maximum(b[i], s[i])))
    return NextTokenShift(
        labels=tuple(token_labels(loaded.tokenizer, ids)),
        ids=tuple(ids),
        base=tuple(b[ids].exp().tolist()),
        steered=tuple(s[ids].exp().tolist()),
        change=tuple((s[ids] - b[ids]).tolist()),
        kl=kl_divergence(base, steered),
        entropy=(float(-(b.exp() * b).sum()), float(-(s.exp() * s).sum())),
        same=bool(torch.equal(base, steered)),
    )
