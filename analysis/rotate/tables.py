"""Embedding and unembedding as vectors of the residual stream, also where a model keeps them narrower than that.

Some models embed tokens in fewer dimensions than their blocks work in (OPT-350m: 512 against 1,024): one linear map
leads into the stream, another out of it. What a token is in the stream is then its row through that map. Which module
that is is not taken from a name: it is the linear map of the right shape outside the blocks, and on a short pass what
goes into it and comes out of it has to be what embedding and unembedding make and take.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from analysis.errors import UserError
from analysis.models.hooks import layout
from analysis.models.loaded_model import LoadedModel


def tables_in_stream(loaded: LoadedModel) -> tuple[Tensor, Tensor]:
    """(embedding, unembedding), each (V, hidden) in the model's dtype: one row per token that a text can have.

    They are the model's own weights where these are as wide as the stream. Raises UserError(field="model") where they
    are not and no one linear map leads from one to the other.
    """
    embedding: Any = loaded.model.get_input_embeddings()
    unembedding: Any = loaded.model.get_output_embeddings()
    table = embedding.weight if unembedding is None else unembedding.weight
    # A table may have more rows than there are tokens; rows that no text can give would only add noise.
    size = min(len(loaded.tokenizer), len(table), len(embedding.weight))
    hidden = loaded.facts.hidden
    first, last = embedding.weight[:size], table[:size]
    if first.shape[1] != hidden:
        first = first.detach() @ _map(loaded, embedding, first.shape[1], into=True).weight.detach().T
    if last.shape[1] != hidden:
        last = last.detach() @ _map(loaded, unembedding or embedding, last.shape[1], into=False).weight.detach()
    return first, last


def narrow(loaded: LoadedModel) -> bool:
    """Whether the embeddings of a model have other dimensions than its residual stream."""
    embedding: Any = loaded.model.get_input_embeddings()
    return bool(embedding.weight.shape[1] != loaded.facts.hidden)


def _map(loaded: LoadedModel, end: nn.Module, width: int, *, into: bool) -> nn.Linear:
    """The linear map between a table of that width and the stream, seen at work on a short pass."""
    hidden = loaded.facts.hidden
    inside = {id(m) for block in layout(loaded).blocks for m in block.modules()}
    shape = (hidden, width) if into else (width, hidden)
    maps = [
        m
        for m in loaded.model.modules()
        if isinstance(m, nn.Linear) and m is not end and id(m) not in inside and tuple(m.weight.shape) == shape
    ]
    seen: dict[int, tuple[Tensor, Tensor]] = {}

    def look(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if args and isinstance(args[0], Tensor) and isinstance(output, Tensor):
            seen[id(module)] = args[0].detach(), output.detach()

    handles = [m.register_forward_hook(look) for m in (*maps, end)]
    try:
        with torch.no_grad():
            loaded.forward(torch.arange(3, 7).view(1, 4) % loaded.facts.vocabulary, logits=True)
    finally:
        for handle in handles:
            handle.remove()
    found = [m for m in maps if id(m) in seen and id(end) in seen and _meet(seen[id(m)], seen[id(end)], into)]
    if len(found) == 1:
        return found[0]
    name = "embeddings" if into else "unembedding's rows"
    raise UserError(
        f"The {name} of this model have {width:,} dimensions and its residual stream {hidden:,}, and no one linear map "
        "leads from one to the other, so its neurons cannot be read as tokens. Load another model.",
        "model",
    )


def _meet(between: tuple[Tensor, Tensor], end: tuple[Tensor, Tensor], into: bool) -> bool:
    """Whether a map takes what the embedding made, or made what the unembedding took (of as many places)."""
    a, b = (between[0], end[1]) if into else (between[1], end[0])
    if a.ndim != 3 or b.ndim != 3 or a.shape[2] != b.shape[2]:
        return False
    places = min(a.shape[1], b.shape[1])
    return bool(torch.equal(a[:, -places:], b[:, -places:]))
