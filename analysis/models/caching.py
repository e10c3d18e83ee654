"""Whether a model can go on from what it kept of a text, and if so how: asked of the model itself, once.

Most models hand back keys and values, and a token that is read with them gives what reading the whole text would give.
Models with a state (Mamba, RWKV, RecurrentGemma) hand back something else or nothing, and some mixed ones go on by one
token but not by several. Names say little about it, so a short text is read in both ways and the logits are compared.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

if TYPE_CHECKING:
    from analysis.models.loaded_model import LoadedModel

Way = Literal["pieces", "tokens", "whole"]
_KEY = "way of going on"
_TOKENS, _FIRST = 9, 5
_TOLERANCE = {"float32": 2e-3, "float64": 2e-3}
"""Largest difference of log-probabilities relative to their spread; the half-precision types round more."""
_COARSE = 8e-2


def way_of_going_on(loaded: LoadedModel) -> Way:
    """How the model may read on: "pieces" (any number of tokens behind a kept text), "tokens" (one at a time), or
    "whole" (not at all: every pass reads the whole text). Tried once, and remembered with the model."""
    known: tuple[Any, Way] | None = loaded.extras.get(_KEY)
    if known is None or known[0] is not loaded.model:
        known = (loaded.model, _tried(loaded))
        loaded.extras[_KEY] = known
    return known[1]


def states_of(output: Any) -> Any:
    """What a pass kept for the next one, None where it kept nothing that the next one would take."""
    return getattr(output, "past_key_values", None)


@torch.no_grad()
def _tried(loaded: LoadedModel) -> Way:
    limit = min([*loaded.facts.sliding_windows, loaded.facts.max_positions or _TOKENS, _TOKENS])
    if limit < 4:
        return "whole"
    first = max(1, min(_FIRST, limit - 3))
    ids = probe_text(loaded, limit)
    want = loaded.model(ids, use_cache=False).logits[0].double().log_softmax(-1).cpu()
    way: Way = "whole"
    # Any refusal of such a call, by any architecture, means that it cannot be done this way.
    with contextlib.suppress(Exception):
        if agrees(_read_on(loaded, ids, [first, *[1] * (limit - first)]), want, loaded):
            way = "tokens"
    if way == "tokens":
        with contextlib.suppress(Exception):
            if agrees(_read_on(loaded, ids, [first, limit - first]), want, loaded):
                way = "pieces"
    return way


def probe_text(loaded: LoadedModel, count: int) -> Tensor:
    """Token ids (1, count) on the model's device, no two in a row alike."""
    size = loaded.facts.vocabulary
    low = min(5, size - 1)
    row = [low + (7 * i + 3) % max(1, size - low) for i in range(count)]
    return torch.tensor([row], device=loaded.device)


def _read_on(loaded: LoadedModel, ids: Tensor, sizes: list[int]) -> Tensor:
    """Logits (T, V) float64 of a text read in pieces of these sizes, each with what those before it left."""
    kept, parts, at = None, [], 0
    for size in sizes:
        output = loaded.model(ids[:, at : at + size], past_key_values=kept, use_cache=True)
        kept, at = states_of(output), at + size
        if kept is None:
            raise LookupError("the pass kept nothing")
        parts.append(output.logits[0].double().log_softmax(-1).cpu())
    return torch.cat(parts)


def agrees(found: Tensor, want: Tensor, loaded: LoadedModel) -> bool:
    """Whether log-probabilities of one shape are equal within what the model's dtype rounds."""
    if found.shape != want.shape or not bool(torch.isfinite(found).all()):
        return False
    allowed = _TOLERANCE.get(loaded.facts.dtype, _COARSE) * max(1.0, float(want.std()))
    return bool((found - want).abs().max() <= allowed)
