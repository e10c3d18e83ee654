"""Continue a prompt, one token at a time, with a point between tokens where the caller may stop it."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from analysis.models.loader import LoadedModel


@torch.no_grad()
def generate_stream(
    loaded: LoadedModel, ids: list[int], count: int, temperature: float = 0.0, seed: int = 0
) -> Iterator[int]:
    """Yield up to ``count`` token ids that the model writes after ``ids``; ends early at an end token or where the
    model has no further position.

    ``temperature`` 0 takes the most likely token; otherwise tokens are drawn with a generator seeded by ``seed``.
    """
    generator = torch.Generator().manual_seed(seed)
    end = loaded.model.generation_config.eos_token_id
    ends = set(end if isinstance(end, list) else [end]) - {None}
    cache, feed = None, torch.tensor([ids], device=loaded.device)
    room = (loaded.facts.max_positions or len(ids) + count) - len(ids)
    for _ in range(min(count, room)):
        output = loaded.model(feed, past_key_values=cache, use_cache=True, logits_to_keep=1)
        logits, cache = output.logits[0, -1].float().cpu(), output.past_key_values
        if temperature > 0:
            token = int(torch.multinomial(torch.softmax(logits / temperature, -1), 1, generator=generator))
        else:
            token = int(logits.argmax())
        if token in ends:
            return
        yield token
        feed = torch.tensor([[token]], device=loaded.device)
