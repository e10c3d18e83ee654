"""Continue a prompt, one token at a time, with a point between tokens where the caller may stop it.

Plain and steered generation have to be the same loop, or their speeds and their draws could not be compared. So the
loop takes a context that is in force during each forward pass and at no other time: between two tokens other work may
use the model, and finds it untouched. A model that cannot go on from what it kept reads the whole text for every token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from analysis.models.caching import states_of, way_of_going_on
from analysis.models.loaded_model import LoadedModel
from analysis.models.prompts import end_ids


def generate_stream(
    loaded: LoadedModel, ids: list[int], count: int, temperature: float = 0.0, seed: int = 0
) -> Iterator[int]:
    """Yield up to ``count`` token ids that the model writes after ``ids``; ends early at an end token or where the
    model has no further position.

    ``temperature`` 0 takes the most likely token; otherwise tokens are drawn with a generator seeded by ``seed``.
    """
    for token, _ in decode(loaded, ids, count, temperature=temperature, seed=seed):
        yield token


@torch.no_grad()
def decode(
    loaded: LoadedModel,
    ids: list[int],
    count: int,
    *,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int = 0,
    during: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Iterator[tuple[int, Tensor]]:
    """As :func:`generate_stream`, with the logits (V,) float32 on the CPU that each token was chosen from.

    End tokens are those of :func:`~analysis.models.prompts.end_ids`. ``top_p``: draw from the smallest set of tokens
    that holds this share of the probability. ``during`` makes the context of each forward pass.
    """
    generator = torch.Generator().manual_seed(seed)
    ends = end_ids(loaded)
    whole = way_of_going_on(loaded) == "whole"
    cache, text = None, list(ids)
    feed = torch.tensor([text], device=loaded.device)
    room = (loaded.facts.max_positions or len(ids) + count) - len(ids)
    for _ in range(min(count, room)):
        with during():
            if whole:
                output = loaded.model(feed, use_cache=False, logits_to_keep=1)
            else:
                output = loaded.model(feed, past_key_values=cache, use_cache=True, logits_to_keep=1)
        logits, cache = output.logits[0, -1].float().cpu(), None if whole else states_of(output)
        token = choose(logits, temperature, top_p, generator)
        if token in ends:
            return
        yield token, logits
        text.append(token)
        feed = torch.tensor([text if whole else [token]], device=loaded.device)


def choose(logits: Tensor, temperature: float, top_p: float, generator: torch.Generator) -> int:
    """A token from logits (V,): the most likely one at temperature 0, else drawn from the ``top_p`` nucleus."""
    if temperature <= 0:
        return int(logits.argmax())
    probabilities = torch.softmax(logits / temperature, -1)
    if top_p < 1:
        # All tokens below this floor together are less than what the nucleus may leave out (with room for rounding), so
        # it lies among the others, and few need sorting. Equal ones stand in the order of their ids.
        floor = max(0.0, 1 - top_p - 1e-4) / (2 * len(probabilities))
        places = (probabilities >= floor).nonzero()[:, 0]
        values, order = probabilities[places].sort(descending=True, stable=True)
        # The token that crosses the share belongs to the set, so that it is never empty.
        values = values.masked_fill(values.cumsum(-1) - values >= top_p, 0.0)
        # Drawn over the whole vocabulary: how far the generator goes on must not depend on how many were sorted.
        drawn = int(
            torch.multinomial(nn.functional.pad(values, (0, len(logits) - len(values))), 1, generator=generator)
        )
        return int(places[order[drawn]])
    return int(torch.multinomial(probabilities, 1, generator=generator))
