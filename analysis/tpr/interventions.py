"""Run a game through OthelloGPT with vectors added to the residual stream at its last position.

Only the last position is changed, so the earlier ones are computed once and kept as keys and values, and every
candidate (a method, a scale) is one row of a batch that runs a single position. Hooks are on the blocks only while that
batch runs, and are taken off whatever happens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, GPT2LMHeadModel

from analysis.errors import UserError
from analysis.othello.squares import POSITIONS, token_of


@dataclass(frozen=True)
class EditedRun:
    """``logits`` (S, 61) at the last position; ``residual`` (S, L, d) after each block there, edits included.

    float64 for a model in float64, else float32.
    """

    logits: Tensor
    residual: Tensor

    @property
    def probabilities(self) -> Tensor:
        """(S, 61) without padding: column 0 is zero."""
        shares = self.logits.double().clone()
        shares[:, 0] = -torch.inf
        return shares.softmax(-1)


@torch.no_grad()
def run_edited(model: GPT2LMHeadModel, moves: Sequence[int], vectors: dict[int, Tensor]) -> EditedRun:
    """Play ``moves`` and read the last position S times, with ``vectors[layer]`` (S, d) added after that block.

    No vectors: one plain row. Rows whose vectors are all zero give exactly what a plain row of the same batch gives.
    Raises UserError(field="moves") for no moves or more than 59, (field="layer") for a block that is not there.
    """
    ids = _ids(model, moves, vectors)
    rows = len(next(iter(vectors.values()))) if vectors else 1
    cache: Any = DynamicCache(config=model.config)
    if len(moves) > 1:
        model.transformer(ids[:, :-1], past_key_values=cache, use_cache=True)
        if rows > 1:
            cache.batch_repeat_interleave(rows)
    streams: dict[int, Tensor] = {}
    handles = []

    def hook_of(layer: int) -> Callable[..., Any]:
        def hook(_module: object, _inputs: object, output: Any) -> Any:
            h = output if isinstance(output, Tensor) else output[0]
            if layer in vectors:
                h = h + vectors[layer][:, None].to(h)
            streams[layer] = h[:, -1]
            if layer not in vectors:
                return None
            return h if isinstance(output, Tensor) else (h, *output[1:])

        return hook

    try:
        for layer, block in enumerate(model.transformer.h):
            handles.append(block.register_forward_hook(hook_of(layer)))
        position = torch.full((rows, 1), len(moves) - 1, device=ids.device)
        hidden = model.transformer(
            ids[:, -1:].expand(rows, 1), past_key_values=cache, position_ids=position, use_cache=True
        ).last_hidden_state
        logits: Tensor = model.lm_head(hidden[:, -1])
    finally:
        for handle in handles:
            handle.remove()
    residual = torch.stack([streams[i] for i in range(len(model.transformer.h))], 1)
    return EditedRun(_wide(logits), _wide(residual))


@torch.no_grad()
def run_slowly(model: GPT2LMHeadModel, moves: Sequence[int], vectors: dict[int, Tensor]) -> Tensor:
    """Logits (61,) of the same by whole passes, one vector (d,) for each layer: what `run_edited` is checked by.

    Raises UserError as `run_edited` does.
    """
    ids = _ids(model, moves, vectors)
    handles = []

    def hook_of(vector: Tensor) -> Callable[..., Any]:
        def hook(_module: object, _inputs: object, output: Any) -> Any:
            h = (output if isinstance(output, Tensor) else output[0]).clone()
            h[:, -1] += vector.to(h)
            return h if isinstance(output, Tensor) else (h, *output[1:])

        return hook

    try:
        for layer, vector in vectors.items():
            handles.append(model.transformer.h[layer].register_forward_hook(hook_of(vector)))
        logits: Tensor = model(ids, use_cache=False).logits[0, -1]
    finally:
        for handle in handles:
            handle.remove()
    return logits


def _ids(model: GPT2LMHeadModel, moves: Sequence[int], vectors: dict[int, Tensor]) -> Tensor:
    if not 1 <= len(moves) <= POSITIONS:
        raise UserError(f"An edit needs a game of 1 to {POSITIONS} moves, not {len(moves)}.", "moves")
    blocks = len(model.transformer.h)
    if any(not 0 <= layer < blocks for layer in vectors):
        raise UserError(f"This model has blocks 0 to {blocks - 1}.", "layer")
    return torch.tensor([[token_of(m) for m in moves]], device=model.lm_head.weight.device)


def _wide(vectors: Tensor) -> Tensor:
    return (vectors if vectors.dtype == torch.float64 else vectors.float()).cpu()
